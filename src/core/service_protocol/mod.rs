//! The Azure SignalR service protocol: what an app server and the service say to each other on a server connection.
//!
//! A server connection is a WebSocket whose binary messages are one stream of bytes: every message begins with its length
//! ([`BinaryFraming`](super::framing::BinaryFraming) cuts it), and is a MessagePack array whose first element is the
//! type. [`parse`] and [`write`](fn@write) are held against everything that the SDK's own library reads and writes
//! (1.34.0), to the last byte, its faults included: a peer that reads more than the SDK would hide faults of the app
//! server, and one that reads less would break it.
//!
//! Payloads and texts are borrowed from the frame. What is nil or absent where the protocol allows it is `None`; an
//! empty list and an absent one mean the same.
//!
//! Source: [ServiceProtocol.md](https://github.com/Azure/azure-signalr/blob/dev/specs/ServiceProtocol.md), and where the
//! two differ, the SDK's code.

pub mod codes;
mod element;
mod extensions;
mod messages;
mod payload;

pub use element::{Claims, Headers, InstantUtc, Payloads, Text};
pub use extensions::Extensions;
pub use messages::ServiceMessage;
pub use payload::{GroupMember, GroupMembers, read_claims, write_claims};

use crate::core::ProtocolError;
use crate::core::framing::length_prefix;
use crate::core::msgpack::reader::Reader;
use crate::core::msgpack::{write_array, write_integer};

use self::element::{Elements, int};

/// Reads one message, without its length. `None` is a message of an unknown type, to be ignored.
///
/// # Errors
/// [`ProtocolError::MessagePack`] and [`ProtocolError::Message`]. The frame is lost, what follows it is not: the SDK goes
/// on with the next one.
///
/// ```
/// # #[cfg(feature = "unstable-machines")]
/// # fn main() -> Result<(), hubwire::core::ProtocolError> {
/// use hubwire::core::service_protocol::{ServiceMessage, parse};
///
/// let message = parse(b"\x94\x0b\xa5conn1\xa6admins\x80")?;
/// let Some(ServiceMessage::JoinGroup { connection_id, group_name, .. }) = message else { panic!() };
/// assert_eq!((&*connection_id, &*group_name), ("conn1", "admins"));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "unstable-machines"))]
/// # fn main() {}
/// ```
pub fn parse(frame: &[u8]) -> Result<Option<ServiceMessage<'_>>, ProtocolError> {
    let mut reader = Reader::new(frame);
    let count = reader.array()?;
    let mut elements = Elements { reader, count };
    let kind = int::read(&mut elements)?;
    ServiceMessage::read(kind, &mut elements)?.map(|message| message.after_reading(count)).transpose()
}

/// Writes a message behind what is in `out`, with its length.
pub fn write(out: &mut Vec<u8>, message: &ServiceMessage<'_>) {
    let mut body = Vec::with_capacity(64);
    let message = message.clone().before_writing();
    write_array(&mut body, message.count());
    write_integer(&mut body, message.kind().into());
    message.write(&mut body);
    out.reserve(body.len() + 5);
    out.extend(length_prefix(body.len()));
    out.append(&mut body);
}

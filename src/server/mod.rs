//! Hubs hosted in Rust: [`HubServer`].
//!
//! What a server of hubs is made of, whoever its clients are and whatever is done with their messages.
//!
//! A [`Room`](room::Room) has the connections of one server. How a client gets in and what happens to it:
//!
//! 1. The host (the owner of the room) looks at a request and decides who the client is and what it may do: an
//!    [`Admission`](endpoint::Admission).
//! 2. [`endpoint`] answers negotiate, opens the transport, and takes the requests of transports without a socket;
//!    [`negotiated`] keeps connections between negotiate and their end.
//! 3. A [`session`] runs the connection: it moves bytes between the transport and the core's
//!    [machine](crate::core::server::ServerMachine), and tells the host's [`Dispatcher`](session::Dispatcher) what the
//!    client does.
//! 4. [`connections`] knows who is where; what goes to a client waits in its [`outbox`].
//!
//! Nothing here knows Azure or access tokens. The claims of clients are kept for the host, and mean nothing here.

pub(crate) mod calls;
pub(crate) mod claims;
mod codec;
pub(crate) mod connections;
pub(crate) mod endpoint;
mod exchange;
mod host;
pub(crate) mod message;
pub(crate) mod negotiated;
pub(crate) mod outbox;
pub(crate) mod query;
pub(crate) mod random;
pub(crate) mod room;
pub(crate) mod session;
pub(crate) mod transport;

#[doc(inline)]
pub use host::*;

//! The MessagePack hub protocol: reads and writes every [`HubMessage`] as MessagePack.
//!
//! Reading finds the envelope in one pass and leaves payloads as slices of the message. They are checked to be whole,
//! so what a handler decodes later can be of the wrong type, but not cut off. As the official parsers do, it takes
//! integers, arrays, maps and texts of any width, invocations without stream ids, and more elements than it knows. An
//! element that is nil is absent, wherever nil is not a value of its own.
//!
//! Source: [HubProtocol.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md#messagepack-msgpack-encoding).

pub(crate) mod reader;

use std::borrow::Cow;

use self::reader::Reader;
use crate::core::ProtocolError;
use crate::core::framing::{length_prefix, prefix_width};
use crate::core::headers::keep_last;
use crate::core::message::{Headers, HubMessage, Invocation, MAX_ENTRIES, Outcome};

/// The name of the protocol in the handshake.
pub const NAME: &str = "messagepack";

/// Reads one message, without its length. `None` is a message of an unknown type, to be ignored.
///
/// Payloads are slices of the message: an argument list with its header, an item, a result.
///
/// # Errors
/// [`ProtocolError::MessagePack`] and [`ProtocolError::Message`]; the connection has to be closed.
///
/// ```
/// # #[cfg(feature = "unstable-machines")]
/// # fn main() -> Result<(), hubwire::core::ProtocolError> {
/// use hubwire::core::{message::HubMessage, msgpack};
///
/// // [1, {}, nil, "Greet", ["world"], []]
/// let message = msgpack::parse(b"\x96\x01\x80\xc0\xa5Greet\x91\xa5world\x90")?;
/// let Some(HubMessage::Invocation(call)) = message else { panic!() };
/// assert_eq!((&*call.target, call.arguments), ("Greet", &b"\x91\xa5world"[..]));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "unstable-machines"))]
/// # fn main() {}
/// ```
#[inline]
pub fn parse(message: &[u8]) -> Result<Option<HubMessage<'_, &[u8]>>, ProtocolError> {
    match parse_usual(message) {
        Some(message) => Ok(Some(message)),
        None => parse_any(message),
    }
}

/// Reads calls and results as ASP.NET Core writes them, which are most of what comes: without headers, and with short
/// names. `None` for all others.
#[inline]
fn parse_usual(message: &[u8]) -> Option<HubMessage<'_, &[u8]>> {
    match message {
        [0x96, 1, 0x80, rest @ ..] => {
            let (invocation_id, rest) = match rest {
                [0xc0, rest @ ..] => (None, rest),
                _ => short_text(rest).map(|(id, rest)| (Some(Cow::Borrowed(id)), rest))?,
            };
            let (target, rest) = short_text(rest)?;
            // No stream ids.
            let (arguments @ [0x90..=0x9f, ..], [0x90]) = first_value(rest)? else { return None };
            Some(HubMessage::Invocation(Invocation {
                headers: Headers::new(),
                invocation_id,
                target: Cow::Borrowed(target),
                arguments,
                stream_ids: Vec::new(),
            }))
        }
        [0x95, 3, 0x80, rest @ ..] => {
            let (id, rest) = short_text(rest)?;
            let (value, []) = first_value(rest.strip_prefix(&[3])?)? else { return None };
            Some(HubMessage::Completion {
                headers: Headers::new(),
                invocation_id: Cow::Borrowed(id),
                outcome: Outcome::Value(value),
            })
        }
        _ => None,
    }
}

/// A text of at most 31 bytes that is not empty, and what follows it.
fn short_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length @ 0xa1..=0xbf, rest) = bytes.split_first()? else { return None };
    let (text, rest) = rest.split_at_checked(usize::from(length & 0x1f))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// A value, and what follows it.
fn first_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = Reader::new(bytes).value().ok()?.len();
    bytes.split_at_checked(length)
}

/// Reads elements of any width, and says what is wrong with them.
fn parse_any(message: &[u8]) -> Result<Option<HubMessage<'_, &[u8]>>, ProtocolError> {
    let mut reader = Reader::new(message);
    let left = reader.array()?;
    let mut elements = Elements { reader, left };
    let kind = elements.next("the message type is missing")?.integer()?;
    let message = match kind {
        1 => Some(HubMessage::Invocation(elements.invocation(false)?)),
        2 => Some(HubMessage::StreamItem {
            headers: elements.headers()?,
            invocation_id: elements.required_id()?,
            item: elements.next("the item is missing")?.value()?,
        }),
        3 => Some(HubMessage::Completion {
            headers: elements.headers()?,
            invocation_id: elements.required_id()?,
            outcome: elements.outcome()?,
        }),
        4 => Some(HubMessage::StreamInvocation(elements.invocation(true)?)),
        5 => Some(HubMessage::CancelInvocation {
            headers: elements.headers()?,
            invocation_id: elements.required_id()?,
        }),
        6 => Some(HubMessage::Ping),
        7 => Some(HubMessage::Close {
            error: elements.next("the error is missing")?.text()?.map(Cow::Borrowed),
            allow_reconnect: elements.left > 0
                && elements.next("the reconnect flag is missing")?.boolean_or_nil()?,
        }),
        8 => Some(HubMessage::Ack { sequence_id: elements.sequence_id()? }),
        9 => Some(HubMessage::Sequence { sequence_id: elements.sequence_id()? }),
        _ => None,
    };
    elements.reader.skip(elements.left)?;
    elements.reader.end()?;
    Ok(message)
}

/// The elements of the array that a message is.
struct Elements<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Elements<'a> {
    fn next(&mut self, missing: &'static str) -> Result<&mut Reader<'a>, ProtocolError> {
        self.left = self.left.checked_sub(1).ok_or(ProtocolError::Message(missing))?;
        Ok(&mut self.reader)
    }

    fn invocation(&mut self, streams: bool) -> Result<Invocation<'a, &'a [u8]>, ProtocolError> {
        let headers = self.headers()?;
        let invocation_id = self.id()?;
        if streams && invocation_id.is_none() {
            return Err(ProtocolError::Message("the invocation id is empty"));
        }
        let target = self.next("the target is missing")?.text()?.filter(|target| !target.is_empty());
        let target = target.ok_or(ProtocolError::Message("the target is empty"))?;
        // Where they are nil, the official JavaScript client calls handlers without arguments. They have to be there.
        let arguments = if self.left > 0 && self.is_nil()? {
            b"\x90"
        } else {
            let reader = self.next("the arguments are missing")?;
            reader.clone().array()?;
            reader.value()?
        };
        let stream_ids = self.stream_ids()?;
        Ok(Invocation { headers, invocation_id, target: target.into(), arguments, stream_ids })
    }

    /// Whether the next element is nil or missing; it is taken then.
    fn is_nil(&mut self) -> Result<bool, ProtocolError> {
        if self.left > 0 && self.reader.peek() != Some(0xc0) {
            return Ok(false);
        }
        let taken = self.left.min(1);
        self.left -= taken;
        self.reader.skip(taken)?;
        Ok(true)
    }

    /// An empty id does not count.
    fn id(&mut self) -> Result<Option<Cow<'a, str>>, ProtocolError> {
        let id = self.next("the invocation id is missing")?.text()?;
        Ok(id.filter(|id| !id.is_empty()).map(Cow::Borrowed))
    }

    fn required_id(&mut self) -> Result<Cow<'a, str>, ProtocolError> {
        self.id()?.ok_or(ProtocolError::Message("the invocation id is empty"))
    }

    fn outcome(&mut self) -> Result<Outcome<'a, &'a [u8]>, ProtocolError> {
        match self.next("the result kind is missing")?.integer()? {
            1 => Ok(match self.next("the error is missing")?.text()? {
                Some(error) => Outcome::Error(error.into()),
                None => Outcome::Void,
            }),
            2 => Ok(Outcome::Void),
            3 => Ok(Outcome::Value(self.next("the result is missing")?.value()?)),
            _ => Err(ProtocolError::Message("the result kind is not 1, 2 or 3")),
        }
    }

    fn sequence_id(&mut self) -> Result<i64, ProtocolError> {
        self.next("the sequence id is missing")?.integer()
    }

    fn headers(&mut self) -> Result<Headers<'a>, ProtocolError> {
        let mut headers = Headers::new();
        if self.is_nil()? {
            return Ok(headers);
        }
        let reader = self.next("the headers are missing")?;
        for _ in 0..entries(reader.map()?)? {
            let name = reader.text()?.filter(|name| !name.is_empty());
            let name = name.ok_or(ProtocolError::Message("the name of a header is empty"))?;
            headers.extend(reader.text()?.map(|value| (name.into(), value.into())));
        }
        keep_last(&mut headers);
        Ok(headers)
    }

    fn stream_ids(&mut self) -> Result<Vec<Cow<'a, str>>, ProtocolError> {
        let mut ids = Vec::new();
        if self.is_nil()? {
            return Ok(ids);
        }
        let reader = self.next("the stream ids are missing")?;
        for _ in 0..entries(reader.array()?)? {
            ids.push(reader.text()?.ok_or(ProtocolError::Message("a stream id is nil"))?.into());
        }
        Ok(ids)
    }
}

/// Refuses what would take many times the memory of the message.
fn entries(count: u64) -> Result<usize, ProtocolError> {
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= MAX_ENTRIES)
        .ok_or(ProtocolError::Message("too many headers or stream ids"))
}

/// Writes one message after its length to the end of `out`, byte for byte as .NET does. Payloads have to be
/// MessagePack: an argument list with its header, an item, a result.
///
/// ```
/// # #[cfg(feature = "unstable-machines")]
/// # fn main() -> Result<(), hubwire::core::ProtocolError> {
/// use hubwire::core::{message::HubMessage, msgpack};
///
/// let mut out = Vec::new();
/// msgpack::write::<&[u8]>(&mut out, &HubMessage::Ping);
/// assert_eq!(out, b"\x02\x91\x06");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "unstable-machines"))]
/// # fn main() {}
/// ```
pub fn write<P: AsRef<[u8]>>(out: &mut Vec<u8>, message: &HubMessage<'_, P>) {
    // The length comes first and is known last. Room is left for it by the payload's; in the few cases where that is
    // the wrong width, the message moves.
    let start = out.len();
    let width = prefix_width(payload_length(message) + 32);
    out.resize(start + width, 0);
    write_elements(out, message);
    let length = out.len() - start - width;
    out.splice(start..start + width, length_prefix(length));
}

fn payload_length<P: AsRef<[u8]>>(message: &HubMessage<'_, P>) -> usize {
    match message {
        HubMessage::Invocation(call) | HubMessage::StreamInvocation(call) => call.arguments.as_ref().len(),
        HubMessage::StreamItem { item, .. } => item.as_ref().len(),
        HubMessage::Completion { outcome: Outcome::Value(value), .. } => value.as_ref().len(),
        _ => 0,
    }
}

fn write_elements<P: AsRef<[u8]>>(out: &mut Vec<u8>, message: &HubMessage<'_, P>) {
    match message {
        HubMessage::Invocation(call) => write_invocation(out, 1, call),
        HubMessage::StreamInvocation(call) => write_invocation(out, 4, call),
        HubMessage::StreamItem { headers, invocation_id, item } => {
            write_start(out, 4, 2, headers, Some(invocation_id));
            out.extend_from_slice(item.as_ref());
        }
        HubMessage::Completion { headers, invocation_id, outcome } => {
            let elements = if matches!(outcome, Outcome::Void) { 4 } else { 5 };
            write_start(out, elements, 3, headers, Some(invocation_id));
            match outcome {
                Outcome::Error(error) => {
                    out.push(1);
                    write_text(out, error);
                }
                Outcome::Void => out.push(2),
                Outcome::Value(value) => {
                    out.push(3);
                    out.extend_from_slice(value.as_ref());
                }
            }
        }
        HubMessage::CancelInvocation { headers, invocation_id } => {
            write_start(out, 3, 5, headers, Some(invocation_id));
        }
        HubMessage::Ping => out.extend_from_slice(b"\x91\x06"),
        HubMessage::Close { error, allow_reconnect } => {
            out.extend_from_slice(b"\x93\x07");
            write_text_or_nil(out, error.as_deref());
            out.push(if *allow_reconnect { 0xc3 } else { 0xc2 });
        }
        HubMessage::Ack { sequence_id } => {
            out.extend_from_slice(b"\x92\x08");
            write_integer(out, *sequence_id);
        }
        HubMessage::Sequence { sequence_id } => {
            out.extend_from_slice(b"\x92\x09");
            write_integer(out, *sequence_id);
        }
    }
}

fn write_start(out: &mut Vec<u8>, elements: u8, kind: u8, headers: &Headers<'_>, id: Option<&str>) {
    out.extend_from_slice(&[0x90 | elements, kind]);
    write_map(out, headers.len());
    for (name, value) in headers {
        write_text(out, name);
        write_text(out, value);
    }
    write_text_or_nil(out, id);
}

fn write_invocation<P: AsRef<[u8]>>(out: &mut Vec<u8>, kind: u8, call: &Invocation<'_, P>) {
    write_start(out, 6, kind, &call.headers, call.invocation_id.as_deref());
    write_text(out, &call.target);
    out.extend_from_slice(call.arguments.as_ref());
    write_array(out, call.stream_ids.len());
    for id in &call.stream_ids {
        write_text(out, id);
    }
}

/// Writes the header of an array.
pub(crate) fn write_array(out: &mut Vec<u8>, count: usize) {
    write_header(out, [0x90, 0xdc, 0xdd], count);
}

/// Writes the header of a map of so many pairs.
pub(crate) fn write_map(out: &mut Vec<u8>, count: usize) {
    write_header(out, [0x80, 0xde, 0xdf], count);
}

/// Writes the header of an array or a map: a count of up to 15 in the first byte, or in two or four more.
#[allow(clippy::cast_possible_truncation, reason = "the arm has checked the range")]
fn write_header(out: &mut Vec<u8>, [short, codes @ ..]: [u8; 3], count: usize) {
    match count {
        0..=0x0f => out.push(short | count as u8),
        _ => write_count(out, codes, count),
    }
}

/// Writes a count in two bytes or in four, after the code for that.
#[allow(clippy::cast_possible_truncation, reason = "messages are shorter than 4 GiB")]
fn write_count(out: &mut Vec<u8>, [medium, long]: [u8; 2], count: usize) {
    if let Ok(count) = u16::try_from(count) {
        out.push(medium);
        out.extend_from_slice(&count.to_be_bytes());
    } else {
        out.push(long);
        out.extend_from_slice(&(count as u32).to_be_bytes());
    }
}

fn write_text_or_nil(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_text(out, text),
        None => out.push(0xc0),
    }
}

/// Writes a text.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    #[allow(clippy::cast_possible_truncation, reason = "each arm has checked the range")]
    match text.len() {
        length @ 0..=0x1f => out.push(0xa0 | length as u8),
        length @ 0x20..=0xff => out.extend_from_slice(&[0xd9, length as u8]),
        length => write_count(out, [0xda, 0xdb], length),
    }
    out.extend_from_slice(text.as_bytes());
}

/// Writes bytes.
#[cfg(all(
    native,
    any(feature = "unstable-machines", feature = "server", all(feature = "service", feature = "msgpack"))
))]
pub(crate) fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    #[allow(clippy::cast_possible_truncation, reason = "each arm has checked the range")]
    match bytes.len() {
        length @ 0..=0xff => out.extend_from_slice(&[0xc4, length as u8]),
        length => write_count(out, [0xc5, 0xc6], length),
    }
    out.extend_from_slice(bytes);
}

/// Writes an integer in as few bytes as it takes; what is not negative as unsigned.
pub(crate) fn write_integer(out: &mut Vec<u8>, number: i64) {
    let bytes = number.to_be_bytes();
    let [.., e, f, g, h] = bytes;
    match number {
        -0x20..=0x7f => out.push(h),
        0x80..=0xff => out.extend_from_slice(&[0xcc, h]),
        0x100..=0xffff => out.extend_from_slice(&[0xcd, g, h]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[0xce, e, f, g, h]),
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&bytes);
        }
        -0x80..=-0x21 => out.extend_from_slice(&[0xd0, h]),
        -0x8000..=-0x81 => out.extend_from_slice(&[0xd1, g, h]),
        -0x8000_0000..=-0x8001 => out.extend_from_slice(&[0xd2, e, f, g, h]),
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests;

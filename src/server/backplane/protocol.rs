//! What servers say to each other: the layout of Microsoft.AspNetCore.SignalR.StackExchangeRedis, so that servers of both
//! kinds can share a hub. With P for the full name of the hub's .NET type:
//!
//! | what | channel | message, in MessagePack |
//! | --- | --- | --- |
//! | to all, a group, a user, a connection | `P:all`, `P:group:G`, `P:user:U`, `P:connection:ID` | `[[excluded ids], {"json": bytes, "messagepack": bytes}]` |
//! | ask a client for a result | `P:connection:ID` | the same, then an invocation id and the channel for the answer |
//! | the answer | `P:internal:return:SERVER` | `["json" or "messagepack", the bytes of the completion]` |
//! | change a group of a connection of another server | `P:internal:groups` | `[ack id, "SERVER", 1 = add or 2 = remove, group, connection id]` |
//! | that is done | `P:internal:ack:SERVER` | `[ack id]` |
//!
//! The bytes of hub messages are those that clients get, with their framing.

use axum::body::Bytes;

use crate::core::{
    HubProtocol, ProtocolError,
    framing::{RECORD_SEPARATOR, length},
    json,
    message::{HubMessage, Invocation, Outcome},
    msgpack::{self, reader::Reader, write_array, write_binary, write_integer, write_map, write_text},
};
use crate::server::{calls::Answer, message::Message};

type Result<T> = std::result::Result<T, ProtocolError>;

/// Names of channels.
#[derive(Debug)]
pub(super) struct Channels {
    hub: String,
    server: String,
}

/// What a channel is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Channel<'a> {
    All,
    Group(&'a str),
    User(&'a str),
    Connection(&'a str),
    Groups,
    Acks,
    Returns,
}

impl Channels {
    pub(super) fn new(hub: &str, server: &str) -> Self {
        Self { hub: hub.to_owned(), server: server.to_owned() }
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn all(&self) -> String {
        self.named("all")
    }

    pub(super) fn groups(&self) -> String {
        self.named("internal:groups")
    }

    pub(super) fn acks(&self, server: &str) -> String {
        self.named(&format!("internal:ack:{server}"))
    }

    pub(super) fn returns(&self) -> String {
        self.named(&format!("internal:return:{}", self.server))
    }

    pub(super) fn group(&self, name: &str) -> String {
        self.named(&format!("group:{name}"))
    }

    pub(super) fn user(&self, id: &str) -> String {
        self.named(&format!("user:{id}"))
    }

    pub(super) fn connection(&self, id: &str) -> String {
        self.named(&format!("connection:{id}"))
    }

    fn named(&self, name: &str) -> String {
        format!("{}:{name}", self.hub)
    }

    /// What a channel of this hub and this server is for.
    pub(super) fn read<'a>(&self, channel: &'a str) -> Option<Channel<'a>> {
        let name = channel.strip_prefix(&*self.hub)?.strip_prefix(':')?;
        Some(match name.split_once(':') {
            None if name == "all" => Channel::All,
            Some(("group", name)) => Channel::Group(name),
            Some(("user", id)) => Channel::User(id),
            Some(("connection", id)) => Channel::Connection(id),
            Some(("internal", "groups")) => Channel::Groups,
            Some(("internal", name)) => match name.split_once(':')? {
                ("ack", server) if server == self.server => Channel::Acks,
                ("return", server) if server == self.server => Channel::Returns,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// A message for clients.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    pub(super) excluded: Vec<&'a str>,
    pub(super) json: Option<&'a [u8]>,
    pub(super) msgpack: Option<&'a [u8]>,
    /// The invocation id and the channel for the answer, if the client is asked.
    pub(super) asks: Option<(&'a str, &'a str)>,
}

impl<'a> Delivery<'a> {
    pub(super) fn write(&self) -> Vec<u8> {
        let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let mut out = Vec::with_capacity(bytes(self.json) + bytes(self.msgpack) + 64);
        write_array(&mut out, if self.asks.is_some() { 4 } else { 2 });
        write_array(&mut out, self.excluded.len());
        self.excluded.iter().for_each(|id| write_text(&mut out, id));
        let parts = [(json::NAME, self.json), (msgpack::NAME, self.msgpack)];
        let parts = parts.iter().filter_map(|(name, part)| Some((name, (*part)?)));
        write_map(&mut out, parts.clone().count());
        for (name, part) in parts {
            write_text(&mut out, name);
            write_binary(&mut out, part);
        }
        if let Some((id, channel)) = self.asks {
            write_text(&mut out, id);
            write_text(&mut out, channel);
        }
        out
    }

    pub(super) fn read(message: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(message);
        let elements = at_least(2, reader.array()?)?;
        let mut delivery = Self::default();
        for _ in 0..reader.array()? {
            delivery.excluded.extend(reader.text()?);
        }
        for _ in 0..reader.map()? {
            let name = reader.text()?;
            let part = Some(reader.binary()?);
            match name {
                Some(json::NAME) => delivery.json = part,
                Some(msgpack::NAME) => delivery.msgpack = part,
                // A protocol that no client of ours speaks.
                _ => {}
            }
        }
        if elements >= 4 {
            delivery.asks = reader.text()?.zip(reader.text()?);
        }
        // More elements may follow in later versions.
        Ok(delivery)
    }
}

/// What is to happen with a group of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupAction {
    Add = 1,
    Remove = 2,
}

/// Adds a connection to a group, or removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupCommand {
    pub(super) ack: i64,
    /// Who waits for the acknowledgement.
    pub(super) server: String,
    pub(super) action: GroupAction,
    pub(super) group: String,
    pub(super) connection: String,
}

impl GroupCommand {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_array(&mut out, 5);
        write_integer(&mut out, self.ack);
        write_text(&mut out, &self.server);
        write_integer(&mut out, self.action as i64);
        write_text(&mut out, &self.group);
        write_text(&mut out, &self.connection);
        out
    }

    pub(super) fn read(message: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(message);
        at_least(5, reader.array()?)?;
        let ack = reader.integer()?;
        let server = reader.text()?.unwrap_or_default().to_owned();
        let action = match reader.integer()? {
            1 => GroupAction::Add,
            2 => GroupAction::Remove,
            _ => return malformed("unknown change of a group"),
        };
        let mut text = || Ok(reader.text()?.unwrap_or_default().to_owned());
        Ok(Self { ack, server, action, group: text()?, connection: text()? })
    }
}

pub(super) fn write_ack(ack: i64) -> Vec<u8> {
    let mut out = Vec::new();
    write_array(&mut out, 1);
    write_integer(&mut out, ack);
    out
}

pub(super) fn read_ack(message: &[u8]) -> Result<i64> {
    let mut reader = Reader::new(message);
    at_least(1, reader.array()?)?;
    reader.integer()
}

/// Writes what a client has answered to the invocation of this id.
pub(super) fn write_return(protocol: HubProtocol, id: &str, answer: &Answer) -> Vec<u8> {
    let outcome = match answer {
        Outcome::Void => Outcome::Void,
        Outcome::Value(value) => Outcome::Value(value.as_slice()),
        Outcome::Error(error) => Outcome::Error(error.as_ref().into()),
    };
    let completion = HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome };
    let mut bytes = Vec::new();
    let name = match protocol {
        HubProtocol::Json => {
            json::write(&mut bytes, &completion);
            json::NAME
        }
        HubProtocol::MessagePack => {
            msgpack::write(&mut bytes, &completion);
            msgpack::NAME
        }
    };
    let mut out = Vec::with_capacity(bytes.len() + 16);
    write_array(&mut out, 2);
    write_text(&mut out, name);
    write_binary(&mut out, &bytes);
    out
}

/// Reads what a client has answered: the invocation's id, the client's protocol, and the answer.
pub(super) fn read_return(message: &[u8]) -> Result<(String, HubProtocol, Answer)> {
    let mut reader = Reader::new(message);
    at_least(2, reader.array()?)?;
    let name = reader.text()?;
    let bytes = reader.binary()?;
    match name {
        Some(json::NAME) => completion(HubProtocol::Json, json::parse(json_record(bytes)?)?),
        Some(msgpack::NAME) => completion(HubProtocol::MessagePack, msgpack::parse(msgpack_message(bytes)?)?),
        _ => malformed("unknown hub protocol"),
    }
}

fn completion<P: AsRef<[u8]>>(
    protocol: HubProtocol,
    message: Option<HubMessage<'_, P>>,
) -> Result<(String, HubProtocol, Answer)> {
    let Some(HubMessage::Completion { invocation_id, outcome, .. }) = message else {
        return malformed("expected a completion");
    };
    let answer = match outcome {
        Outcome::Void => Outcome::Void,
        Outcome::Value(value) => Outcome::Value(value.as_ref().to_vec()),
        Outcome::Error(error) => Outcome::Error(error.into_owned().into()),
    };
    Ok((invocation_id.into_owned(), protocol, answer))
}

/// A call of a client's method that another server has written, in the client's protocol.
#[derive(Debug)]
pub(super) struct ForeignCall {
    protocol: HubProtocol,
    message: Vec<u8>,
}

impl ForeignCall {
    pub(super) fn read(delivery: &Delivery<'_>, protocol: HubProtocol) -> Result<Self> {
        let part = match protocol {
            HubProtocol::Json => delivery.json,
            HubProtocol::MessagePack => delivery.msgpack,
        };
        let Some(part) = part else { return malformed("the call is not there in the client's protocol") };
        let call = Self { protocol, message: part.to_vec() };
        call.renamed("").map(|_| call)
    }

    pub(super) fn size(&self) -> usize {
        self.message.len()
    }

    /// The call with an invocation id of this server's.
    pub(super) fn message(&self, id: &str) -> Message {
        // It was read before.
        self.renamed(id).unwrap_or_default()
    }

    fn renamed(&self, id: &str) -> Result<Message> {
        let mut out = Vec::new();
        Ok(match self.protocol {
            HubProtocol::Json => {
                let message = renamed(json::parse(json_record(&self.message)?)?, id)?;
                json::write(&mut out, &message);
                let text = String::from_utf8(out).unwrap_or_default();
                Message::from_encoded(text.into(), Bytes::new())
            }
            HubProtocol::MessagePack => {
                let message = renamed(msgpack::parse(msgpack_message(&self.message)?)?, id)?;
                msgpack::write(&mut out, &message);
                Message::from_encoded("".into(), out.into())
            }
        })
    }
}

fn renamed<'a, P>(message: Option<HubMessage<'a, P>>, id: &'a str) -> Result<HubMessage<'a, P>> {
    match message {
        Some(HubMessage::Invocation(call)) => {
            Ok(HubMessage::Invocation(Invocation { invocation_id: Some(id.into()), ..call }))
        }
        _ => malformed("expected an invocation"),
    }
}

/// A part of a message as bytes of their own, without copying them.
pub(super) fn part(message: &Bytes, part: Option<&[u8]>) -> Bytes {
    part.map(|part| message.slice_ref(part)).unwrap_or_default()
}

fn json_record(bytes: &[u8]) -> Result<&str> {
    let record = bytes.strip_suffix(&[RECORD_SEPARATOR]).unwrap_or(bytes);
    std::str::from_utf8(record).or_else(|_| malformed("a JSON message is not UTF-8"))
}

/// Takes away the length before a message.
fn msgpack_message(bytes: &[u8]) -> Result<&[u8]> {
    match length(bytes, usize::MAX)?.and_then(|(width, _)| bytes.get(width..)) {
        Some(message) => Ok(message),
        None => malformed("a message has no length"),
    }
}

fn at_least(wanted: u64, elements: u64) -> Result<u64> {
    if elements < wanted { malformed("a message is too short") } else { Ok(elements) }
}

fn malformed<T>(reason: &'static str) -> Result<T> {
    Err(ProtocolError::MessagePack { offset: 0, reason })
}

#[cfg(test)]
mod tests;

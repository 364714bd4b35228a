//! The extension map of a message: what came to the protocol later, by number.

use super::element::{Elements, Text, boolean, int, optional_text};
use crate::core::ProtocolError;
use crate::core::msgpack::{write_integer, write_map, write_text};

/// What a message may carry besides its elements. Each type carries some of it; what it does not carry is not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// What log lines of the app server and of the service know the message by.
    pub tracing_id: Option<u64>,
    /// After how many seconds a user leaves the group again.
    pub ttl: Option<i32>,
    /// The hub protocol of the client: `json`, `messagepack` or `blazorpack`.
    pub protocol: Option<Text<'a>>,
    /// Which receivers, in the service's filter language.
    pub filter: Option<Text<'a>>,
    /// What kind of hub messages the bytes are: 1 the handshake, 2 calls and their answers, 3 another, 4 a close
    /// message, 0 not said.
    pub data_message_type: i32,
    /// Whether the bytes end in the middle of a hub message, of which the rest follows (stateful reconnect).
    pub is_partial: bool,
}

/// The keys, as a set of bits.
pub(super) const TRACING_ID: u8 = 1 << 1;
pub(super) const TTL: u8 = 1 << 2;
pub(super) const PROTOCOL: u8 = 1 << 3;
pub(super) const FILTER: u8 = 1 << 4;
pub(super) const DATA_MESSAGE_TYPE: u8 = 1 << 5;
pub(super) const IS_PARTIAL: u8 = 1 << 6;
pub(super) const NO_KEYS: u8 = 0;

impl<'a> Extensions<'a> {
    pub(super) fn read(elements: &mut Elements<'a>, carried: u8) -> Result<Self, ProtocolError> {
        let mut read = Self::default();
        for _ in 0..elements.reader.map()? {
            let key = int::read(elements)?;
            let known = matches!(key, 1..=6);
            if !known {
                elements.skip_scalar()?;
            } else if carried & (1 << key) != 0 {
                match key {
                    1 => read.tracing_id = Some(elements.unsigned()?),
                    2 => read.ttl = Some(int::read(elements)?),
                    3 => read.protocol = optional_text::read(elements)?,
                    4 => read.filter = optional_text::read(elements)?,
                    5 => read.data_message_type = int::read(elements)?,
                    _ => read.is_partial = boolean::read(elements)?,
                }
            }
            // The SDK does not skip what a key has that it knows, but not on this type: it takes that for the next key.
        }
        Ok(read)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, carried: u8) {
        let set = [
            (TRACING_ID, self.tracing_id.is_some()),
            (TTL, self.ttl.is_some()),
            (PROTOCOL, self.protocol.is_some()),
            (FILTER, self.filter.is_some()),
            (DATA_MESSAGE_TYPE, self.data_message_type != 0),
            (IS_PARTIAL, self.is_partial),
        ];
        let keys =
            set.iter().filter(|(bit, set)| *set && carried & bit != 0).map(|(bit, _)| bit.trailing_zeros());
        write_map(out, keys.clone().count());
        for key in keys {
            write_integer(out, key.into());
            match key {
                1 => write_unsigned(out, self.tracing_id.unwrap_or_default()),
                2 => write_integer(out, self.ttl.unwrap_or_default().into()),
                3 => write_text(out, self.protocol.as_deref().unwrap_or_default()),
                4 => write_text(out, self.filter.as_deref().unwrap_or_default()),
                5 => write_integer(out, self.data_message_type.into()),
                _ => out.push(0xc3),
            }
        }
    }
}

fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    match i64::try_from(number) {
        Ok(number) => write_integer(out, number),
        Err(_) => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

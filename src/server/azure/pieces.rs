//! Cuts what goes to a client into single hub messages, and says what kind each is: stateful reconnect, which the service
//! does, counts some of them.

use crate::{
    core::{
        framing::{RECORD_SEPARATOR, length},
        service_protocol::codes::data::{CLOSE, INVOCATION, OTHER},
    },
    server::message::Frame,
};

/// The messages of a frame that this program has written: whole ones.
pub(super) struct Pieces<'f> {
    is_text: bool,
    rest: &'f [u8],
}

impl<'f> Pieces<'f> {
    pub(super) fn new(frame: &'f Frame) -> Self {
        Self { is_text: matches!(frame, Frame::Text(_)), rest: frame.bytes() }
    }
}

impl<'f> Iterator for Pieces<'f> {
    type Item = (&'f [u8], i32);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (length, kind) = if self.is_text {
            let end = memchr::memchr(RECORD_SEPARATOR, self.rest).map_or(self.rest.len(), |at| at + 1);
            let number = self.rest.strip_prefix(b"{\"type\":").and_then(|rest| rest.first());
            (end, number.map(|digit| digit.wrapping_sub(b'0')))
        } else {
            let whole = (0, self.rest.len());
            let (prefix, body) = length(self.rest, usize::MAX).ok().flatten().unwrap_or(whole);
            (prefix + body, self.rest.get(prefix + 1).copied())
        };
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some((piece, kind.map_or(OTHER, kind_of)))
    }
}

/// Calls, their items, ends and cancellations count.
fn kind_of(message_type: u8) -> i32 {
    match message_type {
        1..=5 => INVOCATION,
        7 => CLOSE,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        HubProtocol,
        message::{HubMessage, Outcome},
    };

    #[test]
    fn every_message_is_a_piece_of_its_kind() {
        let item = "x".repeat(300);
        for protocol in [HubProtocol::Json, HubProtocol::MessagePack] {
            let value = match protocol {
                HubProtocol::Json => format!("\"{item}\"").into_bytes(),
                HubProtocol::MessagePack => [&[0xda, 1, 44], item.as_bytes()].concat(),
            };
            let messages = [
                (HubMessage::Ping, OTHER),
                (
                    HubMessage::StreamItem { headers: Vec::new(), invocation_id: "1".into(), item: &*value },
                    INVOCATION,
                ),
                (
                    HubMessage::Completion {
                        headers: Vec::new(),
                        invocation_id: "1".into(),
                        outcome: Outcome::Void,
                    },
                    INVOCATION,
                ),
                (HubMessage::Ack { sequence_id: 1 }, OTHER),
                (HubMessage::Close { error: None, allow_reconnect: true }, CLOSE),
            ];
            let (mut all, mut expected) = (Vec::new(), Vec::new());
            for (message, kind) in messages {
                let mut one = Vec::new();
                protocol.write(&mut one, &message);
                all.extend_from_slice(&one);
                expected.push((one, kind));
            }
            let frame = Frame::new(protocol, all);
            let pieces: Vec<_> = Pieces::new(&frame).map(|(piece, kind)| (piece.to_vec(), kind)).collect();
            assert_eq!(pieces, expected, "{protocol:?}");
        }
    }
}

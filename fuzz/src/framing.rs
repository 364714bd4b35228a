//! Where a stream is cut does not matter, and what comes out is what plain splitting gives.

use hubwire::core::ProtocolError;
use hubwire::core::framing::{BinaryFraming, RECORD_SEPARATOR, TextFraming};
use hubwire::core::handshake::{self, HandshakeBuffer};

use crate::cut;

const LIMIT: usize = 100;

pub(crate) fn run(data: &[u8]) {
    let (stream, chunks) = cut::chunks(data);
    text(stream, &chunks);
    binary(stream, &chunks);
    handshake(stream, &chunks);
}

fn text(stream: &[u8], chunks: &[&[u8]]) {
    let mut parts: Vec<&[u8]> = stream.split(|&byte| byte == RECORD_SEPARATOR).collect();
    let partial = parts.pop().unwrap_or_default();
    let mut wanted = Vec::new();
    let mut end = "whole";
    for part in parts {
        match std::str::from_utf8(part) {
            _ if part.len() > LIMIT => end = "too long",
            Ok(text) => {
                wanted.push(text.to_owned());
                continue;
            }
            Err(_) => end = "not UTF-8",
        }
        break;
    }
    if end == "whole" {
        end = match partial.len() {
            0 => "whole",
            1..=LIMIT => "incomplete",
            _ => "too long",
        };
    }

    for chunks in [&[stream][..], chunks] {
        let mut framing = TextFraming::new(LIMIT);
        let mut records = Vec::new();
        let fed = chunks.iter().try_for_each(|chunk| {
            framing.feed(chunk, |record| {
                records.push(record.to_owned());
                Ok(())
            })
        });
        let ended = match fed.and_then(|()| framing.finish()) {
            Ok(()) => "whole",
            Err(ProtocolError::Incomplete) => "incomplete",
            Err(ProtocolError::TooLong { limit: LIMIT }) => "too long",
            Err(ProtocolError::Json { .. }) => "not UTF-8",
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!((records, ended), (wanted.clone(), end));
    }
}

fn binary(stream: &[u8], chunks: &[&[u8]]) {
    let mut wanted = Vec::new();
    let mut rest = stream;
    let end = loop {
        let width = rest.iter().take(5).position(|&byte| byte < 0x80).map(|last| last + 1);
        let Some(width) = width else {
            break match rest {
                [] => "whole",
                [_, _, _, _, _, ..] => "no length",
                _ => "incomplete",
            };
        };
        let (prefix, after) = rest.split_at(width);
        if width == 5 && prefix[4] > 7 {
            break "no length";
        }
        let length = prefix.iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        if length > LIMIT {
            break "too long";
        }
        let Some((message, after)) = after.split_at_checked(length) else { break "incomplete" };
        wanted.push(message.to_owned());
        rest = after;
    };

    for chunks in [&[stream][..], chunks] {
        let mut framing = BinaryFraming::new(LIMIT);
        let mut messages = Vec::new();
        let fed = chunks.iter().try_for_each(|chunk| {
            framing.feed(chunk, |message| {
                messages.push(message.to_owned());
                Ok(())
            })
        });
        let ended = match fed.and_then(|()| framing.finish()) {
            Ok(()) => "whole",
            Err(ProtocolError::Incomplete) => "incomplete",
            Err(ProtocolError::TooLong { limit: LIMIT }) => "too long",
            Err(ProtocolError::MessagePack { .. }) => "no length",
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!((messages, ended), (wanted.clone(), end));
    }
}

/// The first record is the handshake; everything after it is handed back.
fn handshake(stream: &[u8], chunks: &[&[u8]]) {
    let mut buffer = HandshakeBuffer::default();
    let mut taken = 0;
    let end = stream.iter().position(|&byte| byte == RECORD_SEPARATOR);
    for chunk in chunks {
        taken += chunk.len();
        match buffer.feed(chunk) {
            Ok(None) => assert!(end.is_none_or(|end| end >= taken)),
            Ok(Some((record, rest))) => {
                let end = end.expect("a separator");
                assert_eq!(record.as_bytes(), &stream[..end]);
                assert_eq!(rest, &stream[end + 1..taken]);
                return;
            }
            Err(ProtocolError::TooLong { limit }) => {
                return assert!(limit == handshake::LIMIT && end.unwrap_or(taken) > limit);
            }
            Err(error) => {
                assert_eq!(error, ProtocolError::NotAHandshake);
                // Either the first byte says it, or the whole record.
                let begins = stream.first().is_some_and(|byte| b"{ \t\r\n".contains(byte));
                return assert!(
                    !begins || std::str::from_utf8(&stream[..end.expect("a separator")]).is_err()
                );
            }
        }
    }
}

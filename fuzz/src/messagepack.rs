//! A message is what rmpv and the protocol's rules make of it, or none; and a message that is written is read again
//! as it was.

use hubwire::core::framing::BinaryFraming;
use hubwire::core::message::{Headers, HubMessage, Invocation, Outcome};
use hubwire::core::msgpack;
use rmpv::ValueRef;
use rmpv::decode::read_value_ref;

/// As many headers or stream ids as a message may have.
const MAX_ENTRIES: usize = 1_000;

pub(crate) fn run(data: &[u8]) {
    let parsed = msgpack::parse(data);
    match (&parsed, reference(data)) {
        (Ok(message), Some(wanted)) => assert_eq!(message, &wanted),
        // rmpv takes the one byte that begins no value for nil, and refuses what nests too deeply for it.
        (Ok(_), None) => {
            assert!(data.iter().filter(|&&byte| is_container(byte)).count() > 1_000, "taken: {parsed:?}")
        }
        (Err(error), Some(_)) => assert!(data.contains(&0xc1), "refused: {error}"),
        (Err(_), None) => {}
    }
    if let Ok(Some(message)) = parsed {
        let mut out = Vec::new();
        msgpack::write(&mut out, &message);
        let mut messages = 0;
        let mut framing = BinaryFraming::default();
        framing
            .feed(&out, |written| {
                assert_eq!(msgpack::parse(written)?.as_ref(), Some(&message));
                messages += 1;
                Ok(())
            })
            .expect("what is written is read");
        framing.finish().expect("a whole message");
        assert_eq!(messages, 1);
    }
}

fn is_container(byte: u8) -> bool {
    matches!(byte, 0x80..=0x9f | 0xdc..=0xdf)
}

/// `None` is a message that breaks the protocol.
fn reference(mut message: &[u8]) -> Option<Option<HubMessage<'_, &[u8]>>> {
    let (count, width) = match *message {
        [short @ 0x90..=0x9f, ..] => (usize::from(short & 15), 1),
        [0xdc, a, b, ..] => (usize::from(u16::from_be_bytes([a, b])), 3),
        [0xdd, a, b, c, d, ..] => (u32::from_be_bytes([a, b, c, d]) as usize, 5),
        _ => return None,
    };
    message = &message[width..];
    let mut elements = Vec::new();
    for _ in 0..count {
        let before = message;
        let value = read_value_ref(&mut message).ok()?;
        elements.push((value, &before[..before.len() - message.len()]));
    }
    if !message.is_empty() {
        return None;
    }
    let value = |at: usize| elements.get(at).map(|(value, _)| value);
    let payload = |at: usize| elements.get(at).map(|(_, bytes)| *bytes);
    let headers = || headers(value(1)?);
    let required_id = || Some(text(value(2)?)?.filter(|id| !id.is_empty())?.into());
    let call = || {
        Some(Invocation {
            headers: headers()?,
            invocation_id: text(value(2)?)?.filter(|id| !id.is_empty()).map(Into::into),
            target: text(value(3)?)?.filter(|target| !target.is_empty())?.into(),
            arguments: value(4)?.as_array().and(payload(4))?,
            stream_ids: match value(5) {
                None | Some(ValueRef::Nil) => Vec::new(),
                Some(ValueRef::Array(ids)) if ids.len() <= MAX_ENTRIES => {
                    ids.iter().map(|id| Some(text(id)??.into())).collect::<Option<_>>()?
                }
                Some(_) => return None,
            },
        })
    };
    Some(Some(match integer(value(0)?)? {
        1 => HubMessage::Invocation(call()?),
        2 => HubMessage::StreamItem { headers: headers()?, invocation_id: required_id()?, item: payload(3)? },
        3 => HubMessage::Completion {
            headers: headers()?,
            invocation_id: required_id()?,
            outcome: match integer(value(3)?)? {
                1 => text(value(4)?)?.map_or(Outcome::Void, |error| Outcome::Error(error.into())),
                2 => Outcome::Void,
                3 => Outcome::Value(payload(4)?),
                _ => return None,
            },
        },
        4 => {
            let call = call()?;
            call.invocation_id.as_ref()?;
            HubMessage::StreamInvocation(call)
        }
        5 => HubMessage::CancelInvocation { headers: headers()?, invocation_id: required_id()? },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: text(value(1)?)?.map(Into::into),
            allow_reconnect: match value(2) {
                None => false,
                Some(ValueRef::Boolean(allowed)) => *allowed,
                Some(_) => return None,
            },
        },
        8 => HubMessage::Ack { sequence_id: integer(value(1)?)? },
        9 => HubMessage::Sequence { sequence_id: integer(value(1)?)? },
        _ => return Some(None),
    }))
}

fn integer(value: &ValueRef<'_>) -> Option<i64> {
    if let ValueRef::Integer(number) = value { number.as_i64() } else { None }
}

/// A text or nil; `None` is neither.
fn text(value: &ValueRef<'_>) -> Option<Option<String>> {
    match value {
        ValueRef::Nil => Some(None),
        ValueRef::String(text) => Some(Some(text.as_str()?.to_owned())),
        _ => None,
    }
}

fn headers(value: &ValueRef<'_>) -> Option<Headers<'static>> {
    let pairs = match value {
        ValueRef::Nil => return Some(Vec::new()),
        ValueRef::Map(pairs) if pairs.len() <= MAX_ENTRIES => pairs,
        _ => return None,
    };
    let header = |value| text(value)?.filter(|text| !text.is_empty());
    pairs.iter().map(|(name, value)| Some((header(name)?.into(), header(value)?.into()))).collect()
}

//! A message is what rmpv and the protocol's rules make of it, or none; and a message that is written is read again
//! as it was.

use hubwire::core::framing::BinaryFraming;
use hubwire::core::message::{Headers, HubMessage, Invocation, Outcome};
use hubwire::core::msgpack;
use rmpv::Value;
use rmpv::decode::Error;

use crate::reference::MAX_ENTRIES;

pub(crate) fn run(data: &[u8]) {
    let parsed = msgpack::parse(data);
    if let Ok(Some(message)) = &parsed {
        round_trip(message);
    }
    // rmpv takes 0xc1, which begins no value, for nil.
    if data.contains(&0xc1) {
        return;
    }
    let mut rest = data;
    let value = rmpv::decode::read_value(&mut rest);
    let wanted = match &value {
        Ok(value) if rest.is_empty() => reference(value),
        Err(Error::DepthLimitExceeded) => return,
        _ => None,
    };
    match wanted {
        Some(wanted) => {
            let message = parsed.unwrap_or_else(|error| panic!("refused: {error}"));
            assert_eq!(message.map(|message| message.map(again)), wanted);
        }
        None => assert!(parsed.is_err(), "taken: {parsed:?}"),
    }
}

fn round_trip(message: &HubMessage<'_, &[u8]>) {
    let mut out = Vec::new();
    msgpack::write(&mut out, message);
    let mut messages = 0;
    let mut framing = BinaryFraming::default();
    framing
        .feed(&out, |bytes| {
            assert_eq!(msgpack::parse(bytes)?.as_ref(), Some(message));
            messages += 1;
            Ok(())
        })
        .expect("what is written is read");
    framing.finish().expect("a whole message");
    assert_eq!(messages, 1);
}

/// A payload in the form that rmpv writes.
fn again(mut payload: &[u8]) -> Vec<u8> {
    let value = rmpv::decode::read_value(&mut payload).expect("a payload is a value");
    assert!(payload.is_empty(), "a payload is one value");
    encoded(&value)
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).expect("memory takes it");
    out
}

/// `None` is a message that breaks the protocol.
fn reference(message: &Value) -> Option<Option<HubMessage<'_, Vec<u8>>>> {
    let elements = message.as_array()?;
    let element = |n: usize| elements.get(n);
    let id = || match element(2)? {
        Value::Nil => Some(None),
        id => Some(Some(id.as_str()?).filter(|id| !id.is_empty())),
    };
    let required_id = || id()?.map(Into::into);
    let call = || {
        Some(Invocation {
            headers: headers(element(1)?)?,
            invocation_id: id()?.map(Into::into),
            target: element(3)?.as_str().filter(|target| !target.is_empty())?.into(),
            arguments: match element(4) {
                Some(Value::Nil) => b"\x90".to_vec(),
                list => list.filter(|list| list.is_array()).map(encoded)?,
            },
            stream_ids: match element(5) {
                None | Some(Value::Nil) => Vec::new(),
                Some(ids) => {
                    let ids = ids.as_array().filter(|ids| ids.len() <= MAX_ENTRIES)?;
                    ids.iter().map(|id| Some(id.as_str()?.into())).collect::<Option<_>>()?
                }
            },
        })
    };
    let sequence_id = || integer(element(1)?);
    Some(Some(match integer(element(0)?)? {
        1 => HubMessage::Invocation(call()?),
        2 => HubMessage::StreamItem {
            headers: headers(element(1)?)?,
            invocation_id: required_id()?,
            item: encoded(element(3)?),
        },
        3 => HubMessage::Completion {
            headers: headers(element(1)?)?,
            invocation_id: required_id()?,
            outcome: match (integer(element(3)?)?, element(4)) {
                (1, Some(Value::Nil)) | (2, _) => Outcome::Void,
                (1, Some(error)) => Outcome::Error(error.as_str()?.into()),
                (3, Some(result)) => Outcome::Value(encoded(result)),
                _ => return None,
            },
        },
        4 => {
            id()??;
            HubMessage::StreamInvocation(call()?)
        }
        5 => HubMessage::CancelInvocation { headers: headers(element(1)?)?, invocation_id: required_id()? },
        6 => HubMessage::Ping,
        7 => HubMessage::Close {
            error: match element(1)? {
                Value::Nil => None,
                error => Some(error.as_str()?.into()),
            },
            allow_reconnect: match element(2) {
                None | Some(Value::Nil) => false,
                Some(flag) => flag.as_bool()?,
            },
        },
        8 => HubMessage::Ack { sequence_id: sequence_id()? },
        9 => HubMessage::Sequence { sequence_id: sequence_id()? },
        _ => return Some(None),
    }))
}

/// A floating point number that is an integer counts as one.
fn integer(value: &Value) -> Option<i64> {
    let float = value.as_f64().filter(|_| value.is_f32() || value.is_f64());
    let whole = float.filter(|float| float.fract() == 0.0 && float.abs() <= (1_u64 << 53) as f64);
    whole.map(|float| float as i64).or_else(|| value.as_i64())
}

fn headers(value: &Value) -> Option<Headers<'_>> {
    match value {
        Value::Nil => Some(Headers::new()),
        Value::Map(pairs) if pairs.len() <= MAX_ENTRIES => {
            let mut headers = Headers::new();
            for (name, value) in pairs {
                let name = name.as_str().filter(|name| !name.is_empty())?;
                if *value != Value::Nil {
                    headers.retain(|(known, _)| *known != name);
                    headers.push((name.into(), value.as_str()?.into()));
                }
            }
            Some(headers)
        }
        _ => None,
    }
}

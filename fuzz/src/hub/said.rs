//! What a client says to a hub, and what it is told, and how they have to fit.

use std::collections::{BTreeMap, HashSet};

use hubwire::HubProtocol;
use hubwire::core::framing::{BinaryFraming, TextFraming};
use hubwire::core::message::{HubMessage, Outcome};
use hubwire::core::{json, msgpack};

use super::methods::reference;

/// Hands on each message of a stream, up to the first that cannot be read.
fn each(protocol: HubProtocol, bytes: &[u8], mut hand_on: impl FnMut(HubMessage<'_, &[u8]>)) -> bool {
    let read = match protocol {
        HubProtocol::Json => TextFraming::default().feed(bytes, |record| {
            if let Some(message) = json::parse(record)? {
                hand_on(message.map(str::as_bytes));
            }
            Ok(())
        }),
        _ => BinaryFraming::default().feed(bytes, |message| {
            if let Some(message) = msgpack::parse(message)? {
                hand_on(message);
            }
            Ok(())
        }),
    };
    read.is_ok()
}

/// What a client has said.
#[derive(Default)]
pub(super) struct Said {
    /// Calls that expect an answer: by id, the method and its arguments.
    calls: BTreeMap<String, Vec<Called>>,
    /// Whether it matters how long what was called takes: something is cancelled, or an id is used again.
    pub(super) is_timely: bool,
}

struct Called {
    target: String,
    arguments: Vec<u8>,
    uploads: usize,
    streams: bool,
}

impl Said {
    pub(super) fn read(protocol: HubProtocol, bytes: &[u8]) -> Self {
        let (mut said, mut seen) = (Self::default(), HashSet::new());
        each(protocol, bytes, |message| match message {
            HubMessage::Invocation(_) | HubMessage::StreamInvocation(_) => {
                let streams = matches!(message, HubMessage::StreamInvocation(_));
                let (HubMessage::Invocation(call) | HubMessage::StreamInvocation(call)) = message else {
                    return;
                };
                for id in &call.stream_ids {
                    said.is_timely |= !seen.insert(id.as_ref().to_owned());
                }
                let Some(id) = call.invocation_id else { return };
                let (target, uploads) = (call.target.into_owned(), call.stream_ids.len());
                let calls = said.calls.entry(id.into_owned()).or_default();
                calls.push(Called { target, arguments: call.arguments.to_vec(), uploads, streams });
                said.is_timely |= calls.len() > 1;
            }
            HubMessage::CancelInvocation { .. } => said.is_timely = true,
            _ => {}
        });
        said
    }
}

/// What a client was told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// The items and the ends of its calls, by their ids.
    answers: BTreeMap<String, Vec<Answer>>,
    /// Messages of the hub.
    messages: Vec<String>,
    pub(super) is_closed: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Item(Vec<u8>),
    Value(Vec<u8>),
    Void,
    Error(String),
}

impl Told {
    pub(super) fn read(protocol: HubProtocol, bytes: &[u8], is_closed: bool) -> Self {
        let mut told = Self { is_closed, ..Self::default() };
        // The answer to the handshake is text in every protocol.
        let hello = bytes.iter().position(|byte| *byte == 0x1e).map_or(0, |at| at + 1);
        assert_eq!(&bytes[..hello], b"{}\x1e");
        let is_read = each(protocol, &bytes[hello..], |message| {
            let (id, answer) = match message {
                HubMessage::StreamItem { invocation_id, item, .. } => {
                    (invocation_id, Answer::Item(item.into()))
                }
                HubMessage::Completion { invocation_id, outcome, .. } => match outcome {
                    Outcome::Void => (invocation_id, Answer::Void),
                    Outcome::Value(value) => (invocation_id, Answer::Value(value.into())),
                    Outcome::Error(error) => (invocation_id, Answer::Error(error.into_owned())),
                },
                HubMessage::Ping => return,
                HubMessage::Invocation(call) => {
                    return told.messages.push(String::from_utf8_lossy(call.arguments).into_owned());
                }
                HubMessage::Close { .. } => {
                    told.is_closed = true;
                    return;
                }
                message => panic!("{message:?} of a hub"),
            };
            told.answers.entry(id.into_owned()).or_default().push(answer);
        });
        assert!(is_read, "what the hub says cannot be read");
        told
    }

    /// Every call has one answer, unless the connection has ended, or the call waits for a stream of the client's.
    pub(super) fn check(&self, said: &Said) {
        for (id, answers) in &self.answers {
            let calls = said.calls.get(id).map_or(0, Vec::len);
            let ends = answers.iter().filter(|answer| !matches!(answer, Answer::Item(_))).count();
            assert!(ends <= calls, "{id} has {calls} calls and {ends} answers");
        }
        for (id, calls) in said.calls.iter().filter(|_| !self.is_closed) {
            let answers = self.answers.get(id).map_or(&[][..], |answers| answers);
            let ends = answers.iter().filter(|answer| !matches!(answer, Answer::Item(_))).count();
            let waiting = calls.iter().filter(|call| call.uploads > 0).count();
            assert!(ends + waiting >= calls.len(), "{id} has {} calls and {ends} answers", calls.len());
        }
    }

    /// Of the hub whose methods are closures, in JSON: serde_json reads the same arguments, or refuses them as well.
    pub(super) fn compare(&self, said: &Said) {
        for (id, answers) in &self.answers {
            let (Some([call]), [answer]) = (said.calls.get(id).map(Vec::as_slice), &answers[..]) else {
                continue;
            };
            let arguments = String::from_utf8_lossy(&call.arguments);
            match (reference(&call.target, &arguments), answer) {
                (None, _) => {}
                (Some(Some(wanted)), Answer::Value(value)) if call.uploads == 0 => {
                    assert_eq!(String::from_utf8_lossy(value), wanted);
                }
                (Some(Some(_)), Answer::Error(_)) if call.uploads > 0 || call.streams => {}
                (Some(None), Answer::Error(_)) => {}
                (wanted, answer) => panic!("{}{arguments}: {wanted:?}, {answer:?}", call.target),
            }
        }
    }
}

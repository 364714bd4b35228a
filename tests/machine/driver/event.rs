//! What the server's messages mean to the user.

use hubwire::core::codec::Payload;
use hubwire::core::hub::{CallKind, HubEvent};
use hubwire::core::message::Outcome;

use super::Driver;

/// What came from the server and concerns the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Called { call: Option<u64>, target: String, arguments: String },
    Cancelled(u64),
    Completed(u64, Result<Option<String>, String>),
    UnexpectedItem(u64),
    Item(u64, String),
    StreamCompleted(u64, Option<String>),
}

impl Driver {
    /// What an event means to the user.
    pub(super) fn event(&mut self, event: HubEvent<'_, Payload<'_>>) -> Option<Heard> {
        let text = |payload: Payload<'_>| match payload {
            Payload::Json(json) => json.to_owned(),
            #[allow(unreachable_patterns, reason = "one protocol, where MessagePack is not built in")]
            payload => panic!("{payload:?}"),
        };
        Some(match event {
            HubEvent::Called { call, streams, invocation } => {
                assert!(!streams, "clients have no methods that stream");
                if let Some(call) = call {
                    assert!(self.asked.insert(call), "a number comes again");
                    assert!(self.machine.expects_answer(call));
                }
                let (target, arguments) = (invocation.target.into_owned(), text(invocation.arguments));
                Heard::Called { call, target, arguments }
            }
            HubEvent::Cancelled { call } => {
                assert!(self.asked.contains(&call));
                Heard::Cancelled(call)
            }
            HubEvent::Completed { id, outcome } => {
                self.call_ends(id, CallKind::Plain);
                Heard::Completed(
                    id,
                    match outcome {
                        Outcome::Void => Ok(None),
                        Outcome::Value(value) => Ok(Some(text(value))),
                        Outcome::Error(error) => Err(error.into_owned()),
                    },
                )
            }
            HubEvent::UnexpectedItem { id } => {
                self.call_ends(id, CallKind::Plain);
                Heard::UnexpectedItem(id)
            }
            HubEvent::Item { id, item } => {
                assert_eq!(self.calls.get(&id), Some(&CallKind::Stream));
                Heard::Item(id, text(item))
            }
            HubEvent::StreamCompleted { id, outcome } => {
                self.call_ends(id, CallKind::Stream);
                Heard::StreamCompleted(
                    id,
                    match outcome {
                        Outcome::Error(error) => Some(error.into_owned()),
                        Outcome::Void | Outcome::Value(_) => None,
                    },
                )
            }
            event => panic!("{event:?} does not concern the user"),
        })
    }

    pub(super) fn call_ends(&mut self, id: u64, kind: CallKind) {
        assert_eq!(self.calls.remove(&id), Some(kind), "the call {id} ends twice, or as another kind");
        assert!(!self.machine.cancel(id), "it has ended");
        self.uploads_end(id);
    }

    /// The uploads of a call end with it.
    pub(super) fn uploads_end(&mut self, call: u64) {
        let machine = &self.machine;
        self.uploads.retain(|&upload, of| {
            let ends = *of == Some(call);
            assert_eq!(machine.is_uploading(upload), !ends);
            !ends
        });
    }
}

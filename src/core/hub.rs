//! The calls of one connection: which are pending, and which of them a message ends.
//!
//! Both ends of a connection can call the other, so nothing here knows whether it is the client. `T` is what the
//! owner keeps for a call; it is handed back exactly once, when the call ends:
//!
//! - a completion for its id,
//! - a message that is none of its kind,
//! - [`abandon`](HubMachine::abandon), when its caller is gone,
//! - [`close`](HubMachine::close), when the connection is.

use std::borrow::Cow;

use crate::core::message::{HubMessage, Invocation, Outcome};

/// What a message means to its receiver.
#[derive(Debug, PartialEq)]
pub enum HubEvent<'a, P, T> {
    /// Nothing to do: a ping, or the end of a call that is no longer pending.
    None,
    /// The peer calls a method. With an id, it waits for a completion.
    Invocation(Invocation<'a, P>),
    /// The peer calls a method that streams.
    StreamInvocation(Invocation<'a, P>),
    /// The peer no longer wants what it called.
    CancelInvocation(Cow<'a, str>),
    /// A call has ended.
    Completed(T, Outcome<'a, P>),
    /// A stream item came for a call that is no stream; the call is over.
    UnexpectedItem(T),
    /// The peer closes the connection.
    Close {
        /// Why, if it is because of an error.
        error: Option<Cow<'a, str>>,
        /// Whether this side may reconnect by itself.
        allow_reconnect: bool,
    },
}

/// The pending calls of one connection.
#[derive(Debug)]
pub struct HubMachine<T> {
    /// By ascending number; a call that has ended leaves its place until half of the places are empty.
    calls: Vec<(u64, Option<T>)>,
    pending: usize,
    next_id: u64,
}

impl<T> Default for HubMachine<T> {
    fn default() -> Self {
        Self { calls: Vec::new(), pending: 0, next_id: 0 }
    }
}

impl<T> HubMachine<T> {
    /// Registers a call and returns the number that its messages carry, as decimal text. Numbers never repeat.
    pub fn begin(&mut self, call: T) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.calls.push((id, Some(call)));
        self.pending += 1;
        id
    }

    /// How many calls are pending.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// The caller no longer waits. Returns what was kept, or `None` if the call has ended already.
    pub fn abandon(&mut self, id: u64) -> Option<T> {
        let at = self.calls.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let call = self.calls.get_mut(at)?.1.take()?;
        self.pending -= 1;
        if self.pending <= self.calls.len() / 2 {
            self.calls.retain(|(_, call)| call.is_some());
        }
        Some(call)
    }

    /// Takes a message from the peer.
    pub fn handle_message<'a, P>(&mut self, message: HubMessage<'a, P>) -> HubEvent<'a, P, T> {
        match message {
            HubMessage::Invocation(call) => HubEvent::Invocation(call),
            HubMessage::StreamInvocation(call) => HubEvent::StreamInvocation(call),
            HubMessage::CancelInvocation { invocation_id, .. } => HubEvent::CancelInvocation(invocation_id),
            HubMessage::Completion { invocation_id, outcome, .. } => match self.take(&invocation_id) {
                // An empty error text is none.
                Some(call) => HubEvent::Completed(
                    call,
                    match outcome {
                        Outcome::Error(error) if error.is_empty() => Outcome::Void,
                        outcome => outcome,
                    },
                ),
                None => HubEvent::None,
            },
            HubMessage::StreamItem { invocation_id, .. } => match self.take(&invocation_id) {
                Some(call) => HubEvent::UnexpectedItem(call),
                None => HubEvent::None,
            },
            HubMessage::Close { error, allow_reconnect } => HubEvent::Close { error, allow_reconnect },
            HubMessage::Ping | HubMessage::Ack { .. } | HubMessage::Sequence { .. } => HubEvent::None,
        }
    }

    /// The connection has ended: every pending call, to be told so.
    pub fn close(&mut self) -> Vec<T> {
        self.pending = 0;
        std::mem::take(&mut self.calls).into_iter().filter_map(|(_, call)| call).collect()
    }

    fn take(&mut self, invocation_id: &str) -> Option<T> {
        // Ids of ours are plain decimal; "+1" or "01" would be somebody else's.
        if matches!(invocation_id.as_bytes(), [b'+', ..] | [b'0', _, ..]) {
            return None;
        }
        self.abandon(invocation_id.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion<'a>(id: &'a str, outcome: Outcome<'a, &'a str>) -> HubMessage<'a, &'a str> {
        HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome }
    }

    #[test]
    fn every_exit_of_a_call_hands_it_back_once() {
        let mut hub = HubMachine::default();
        let ids: Vec<_> = ["void", "value", "error", "item", "gone", "closed"].map(|c| hub.begin(c)).to_vec();
        let text: Vec<_> = ids.iter().map(u64::to_string).collect();
        for (n, outcome) in
            [Outcome::Void, Outcome::Value("null"), Outcome::Error("no".into())].into_iter().enumerate()
        {
            let call = ["void", "value", "error"][n];
            assert_eq!(
                hub.handle_message(completion(&text[n], outcome.clone())),
                HubEvent::Completed(call, outcome.clone())
            );
            assert_eq!(hub.handle_message(completion(&text[n], outcome)), HubEvent::None);
        }
        let item =
            HubMessage::StreamItem { headers: vec![], invocation_id: text[3].as_str().into(), item: "1" };
        assert_eq!(hub.handle_message(item), HubEvent::UnexpectedItem("item"));
        assert_eq!(hub.abandon(ids[4]), Some("gone"));
        assert_eq!(hub.abandon(ids[4]), None);
        assert_eq!(hub.close(), ["closed"]);
        assert_eq!(hub.pending(), 0);
    }

    #[test]
    fn foreign_ids_end_nothing() {
        let mut hub = HubMachine::default();
        assert_eq!(hub.begin(()), 0);
        for id in ["", "00", "+0", "-1", "1", "x", "18446744073709551616"] {
            assert_eq!(hub.handle_message(completion(id, Outcome::Void)), HubEvent::None, "{id}");
        }
        assert_eq!(hub.pending(), 1);
        assert_eq!(
            hub.handle_message(completion("0", Outcome::Error("".into()))),
            HubEvent::Completed((), Outcome::Void)
        );
    }
}

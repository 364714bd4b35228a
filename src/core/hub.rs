//! The calls of one connection: which are in progress, and what a message means for them.
//!
//! Both ends of a connection can call the other, so nothing here knows whether it is the client. What the owner keeps
//! for what is in progress:
//!
//! - `T` for a plain call of its own. It is handed back exactly once, when the call ends.
//! - `S` for a call of its own that streams. Each item hands out a clone; the end hands it back.
//! - `J` for a job that it does for the peer: an answer to an invocation, or an upload. It is dropped as soon as the
//!   job is no longer wanted, and so should be what stops the job, and no more.
//!
//! A call ends by
//!
//! - a completion for its id,
//! - a message that is none of its kind,
//! - [`abandon`](HubMachine::abandon), when its caller is gone,
//! - [`close`](HubMachine::close), when the connection is.
//!
//! Its uploads end with it. An answer ends when it [is given](HubMachine::end_answer), when the peer cancels it, and
//! with the connection.

use std::borrow::Cow;

use crate::core::message::{HubMessage, Invocation, Outcome};

/// What a message means to its receiver.
#[derive(Debug, PartialEq)]
pub enum HubEvent<'a, P, T, S> {
    /// Nothing to do: a ping, or a message for a call that is no longer in progress.
    None,
    /// The peer calls a method. With an id, it waits for a completion.
    Invocation(Invocation<'a, P>),
    /// The peer calls a method that streams.
    StreamInvocation(Invocation<'a, P>),
    /// The peer no longer wants the answer that was begun for this id. It still expects a completion.
    Cancelled(Cow<'a, str>),
    /// A plain call has ended.
    Completed(T, Outcome<'a, P>),
    /// A stream item came for a plain call, which is over now.
    UnexpectedItem(T),
    /// An item of a stream came.
    Item {
        /// The number of the call.
        id: u64,
        /// Where the item belongs.
        stream: S,
        /// The item.
        item: P,
    },
    /// A stream has ended. A value is against the protocol, and says nothing.
    StreamCompleted(S, Outcome<'a, P>),
    /// The peer closes the connection.
    Close {
        /// Why, if it is because of an error.
        error: Option<Cow<'a, str>>,
        /// Whether this side may reconnect by itself.
        allow_reconnect: bool,
    },
}

/// A call that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Pending<T, S> {
    /// It waits for one result.
    Call(T),
    /// It waits for items, and for their end.
    Stream(S),
}

/// A call whose caller is gone.
#[derive(Debug, PartialEq)]
pub struct Abandoned<T, S> {
    /// What was kept for it. A cancellation has to be sent.
    pub call: Pending<T, S>,
    /// Its uploads that were under way. A completion with an error has to be sent for each: a server may know no
    /// cancellation of plain calls, and would wait for the rest.
    pub uploads: Vec<u64>,
}

/// The calls of one connection.
#[derive(Debug)]
pub struct HubMachine<T, S, J> {
    /// By ascending number; a call that has ended leaves its place until half of the places are empty.
    calls: Vec<(u64, Option<Pending<T, S>>)>,
    pending: usize,
    pending_plain: usize,
    uploads: Vec<Upload<J>>,
    answers: Vec<Answer<J>>,
    next_id: u64,
    next_answer: u64,
}

#[derive(Debug)]
struct Upload<J> {
    id: u64,
    call: Option<u64>,
    _job: J,
}

#[derive(Debug)]
struct Answer<J> {
    number: u64,
    invocation_id: String,
    _job: J,
}

impl<T, S, J> Default for HubMachine<T, S, J> {
    fn default() -> Self {
        Self {
            calls: Vec::new(),
            pending: 0,
            pending_plain: 0,
            uploads: Vec::new(),
            answers: Vec::new(),
            next_id: 0,
            next_answer: 0,
        }
    }
}

impl<T, S: Clone, J> HubMachine<T, S, J> {
    /// Registers a call and returns the number that its messages carry, as decimal text. Numbers never repeat, not
    /// even on the next connection.
    pub fn begin(&mut self, call: Pending<T, S>) -> u64 {
        let id = self.number();
        self.pending += 1;
        self.pending_plain += usize::from(matches!(call, Pending::Call(_)));
        self.calls.push((id, Some(call)));
        id
    }

    /// The next number is this one, unless it was given already: for callers that choose their numbers themselves.
    pub fn skip_to(&mut self, id: u64) {
        self.next_id = self.next_id.max(id);
    }

    /// How many plain calls wait for their result.
    #[must_use]
    pub fn pending_calls(&self) -> usize {
        self.pending_plain
    }

    /// The caller no longer waits. `None` if the call has ended already.
    pub fn abandon(&mut self, id: u64) -> Option<Abandoned<T, S>> {
        let call = self.take(id)?;
        Some(Abandoned { call, uploads: self.end_uploads_of(id) })
    }

    /// Registers a stream that is uploaded with a call, or with an invocation that has no id and so no end. The
    /// number stands among the `stream_ids` of the invocation, and in the items.
    pub fn begin_upload(&mut self, call: Option<u64>, job: J) -> u64 {
        let id = self.number();
        self.uploads.push(Upload { id, call, _job: job });
        id
    }

    /// Whether the next item of an upload is still wanted.
    #[must_use]
    pub fn is_uploading(&self, id: u64) -> bool {
        self.uploads.iter().any(|upload| upload.id == id)
    }

    /// An upload has come to its end. Whether the peer has to hear of it.
    pub fn end_upload(&mut self, id: u64) -> bool {
        let at = self.uploads.iter().position(|upload| upload.id == id);
        at.map(|at| self.uploads.remove(at)).is_some()
    }

    /// Registers that an invocation of the peer's is being answered.
    pub fn begin_answer(&mut self, invocation_id: &str, job: J) -> u64 {
        let number = self.next_answer;
        self.next_answer += 1;
        self.answers.push(Answer { number, invocation_id: invocation_id.to_owned(), _job: job });
        number
    }

    /// The answer is there. Returns the id that its completion has to carry, or `None` when nobody waits for one.
    pub fn end_answer(&mut self, number: u64) -> Option<String> {
        let at = self.answers.binary_search_by_key(&number, |answer| answer.number).ok()?;
        Some(self.answers.remove(at).invocation_id)
    }

    /// Takes a message from the peer.
    pub fn handle_message<'a, P>(&mut self, message: HubMessage<'a, P>) -> HubEvent<'a, P, T, S> {
        match message {
            HubMessage::Invocation(call) => HubEvent::Invocation(call),
            HubMessage::StreamInvocation(call) => HubEvent::StreamInvocation(call),
            HubMessage::CancelInvocation { invocation_id, .. } => {
                let at = self.answers.iter().position(|answer| answer.invocation_id == invocation_id);
                match at.map(|at| self.answers.remove(at)) {
                    Some(_) => HubEvent::Cancelled(invocation_id),
                    None => HubEvent::None,
                }
            }
            HubMessage::Completion { invocation_id, outcome, .. } => {
                // An empty error text is none.
                let outcome = match outcome {
                    Outcome::Error(error) if error.is_empty() => Outcome::Void,
                    outcome => outcome,
                };
                match self.complete(&invocation_id) {
                    Some(Pending::Call(call)) => HubEvent::Completed(call, outcome),
                    Some(Pending::Stream(stream)) => HubEvent::StreamCompleted(stream, outcome),
                    None => HubEvent::None,
                }
            }
            HubMessage::StreamItem { invocation_id, item, .. } => self.item(&invocation_id, item),
            HubMessage::Close { error, allow_reconnect } => HubEvent::Close { error, allow_reconnect },
            HubMessage::Ping | HubMessage::Ack { .. } | HubMessage::Sequence { .. } => HubEvent::None,
        }
    }

    /// The connection has ended. Returns every pending call, to be told so; nothing else is in progress any more.
    pub fn close(&mut self) -> Vec<Pending<T, S>> {
        self.pending = 0;
        self.pending_plain = 0;
        self.uploads.clear();
        self.answers.clear();
        std::mem::take(&mut self.calls).into_iter().filter_map(|(_, call)| call).collect()
    }

    fn number(&mut self) -> u64 {
        let number = self.next_id;
        self.next_id += 1;
        number
    }

    fn item<'a, P>(&mut self, invocation_id: &str, item: P) -> HubEvent<'a, P, T, S> {
        let Some(id) = own_id(invocation_id) else { return HubEvent::None };
        let at = self.calls.binary_search_by_key(&id, |(id, _)| *id);
        if let Some((_, Some(Pending::Stream(stream)))) = at.ok().and_then(|at| self.calls.get(at)) {
            return HubEvent::Item { id, stream: stream.clone(), item };
        }
        match self.complete(invocation_id) {
            Some(Pending::Call(call)) => HubEvent::UnexpectedItem(call),
            _ => HubEvent::None,
        }
    }

    /// The peer has ended a call: it takes no more uploads for it either.
    fn complete(&mut self, invocation_id: &str) -> Option<Pending<T, S>> {
        let id = own_id(invocation_id)?;
        let call = self.take(id)?;
        self.end_uploads_of(id);
        Some(call)
    }

    fn take(&mut self, id: u64) -> Option<Pending<T, S>> {
        let at = self.calls.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let call = self.calls.get_mut(at)?.1.take()?;
        self.pending -= 1;
        self.pending_plain -= usize::from(matches!(call, Pending::Call(_)));
        if self.pending <= self.calls.len() / 2 {
            self.calls.retain(|(_, call)| call.is_some());
        }
        Some(call)
    }

    fn end_uploads_of(&mut self, call: u64) -> Vec<u64> {
        let mut ended = Vec::new();
        self.uploads.retain(|upload| {
            let ends = upload.call == Some(call);
            if ends {
                ended.push(upload.id);
            }
            !ends
        });
        ended
    }
}

/// Ids of ours are plain decimal; "+1" or "01" would be somebody else's.
fn own_id(invocation_id: &str) -> Option<u64> {
    match invocation_id.as_bytes() {
        [b'+', ..] | [b'0', _, ..] => None,
        _ => invocation_id.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::{Rc, Weak};

    type Machine = HubMachine<&'static str, &'static str, Rc<()>>;
    type Event<'a> = HubEvent<'a, &'a str, &'static str, &'static str>;

    fn completion<'a>(id: &'a str, outcome: Outcome<'a, &'a str>) -> HubMessage<'a, &'a str> {
        HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome }
    }

    fn item<'a>(id: &'a str, item: &'a str) -> HubMessage<'a, &'a str> {
        HubMessage::StreamItem { headers: Vec::new(), invocation_id: id.into(), item }
    }

    fn cancel(id: &str) -> HubMessage<'_, &str> {
        HubMessage::CancelInvocation { headers: Vec::new(), invocation_id: id.into() }
    }

    /// A job, and a way to see whether it was stopped.
    fn job() -> (Rc<()>, Weak<()>) {
        let job = Rc::new(());
        let seen = Rc::downgrade(&job);
        (job, seen)
    }

    #[test]
    fn every_exit_of_a_call_hands_it_back_once() {
        let mut hub = Machine::default();
        let calls = ["void", "value", "error", "item", "gone", "closed"];
        let ids = calls.map(|call| hub.begin(Pending::Call(call)));
        let text: Vec<_> = ids.iter().map(u64::to_string).collect();
        for (n, outcome) in
            [Outcome::Void, Outcome::Value("null"), Outcome::Error("no".into())].into_iter().enumerate()
        {
            assert_eq!(
                hub.handle_message(completion(&text[n], outcome.clone())),
                HubEvent::Completed(calls[n], outcome.clone())
            );
            assert_eq!(hub.handle_message(completion(&text[n], outcome)), Event::None);
        }
        assert_eq!(hub.handle_message(item(&text[3], "1")), HubEvent::UnexpectedItem("item"));
        assert_eq!(hub.handle_message(item(&text[3], "2")), Event::None);
        let gone = Abandoned { call: Pending::Call("gone"), uploads: vec![] };
        assert_eq!(hub.abandon(ids[4]), Some(gone));
        assert_eq!(hub.abandon(ids[4]), None);
        assert_eq!(hub.pending_calls(), 1);
        assert_eq!(hub.close(), [Pending::Call("closed")]);
        assert_eq!(hub.pending_calls(), 0);
    }

    #[test]
    fn a_stream_hands_out_items_until_its_end() {
        for outcome in [Outcome::Void, Outcome::Value("null"), Outcome::Error("no".into())] {
            let mut hub = Machine::default();
            let id = hub.begin(Pending::Stream("ticks"));
            for n in ["1", "2"] {
                assert_eq!(hub.handle_message(item("0", n)), HubEvent::Item { id, stream: "ticks", item: n });
            }
            assert_eq!(
                hub.handle_message(completion("0", outcome.clone())),
                HubEvent::StreamCompleted("ticks", outcome)
            );
            assert_eq!(hub.handle_message(item("0", "late")), Event::None);
            assert_eq!(hub.handle_message(completion("0", Outcome::Void)), Event::None);
            assert_eq!(hub.abandon(id), None);
        }
        let mut hub = Machine::default();
        let ids = ["gone", "closed"].map(|stream| hub.begin(Pending::Stream(stream)));
        assert_eq!(hub.pending_calls(), 0);
        assert_eq!(hub.abandon(ids[0]).map(|gone| gone.call), Some(Pending::Stream("gone")));
        assert_eq!(hub.handle_message(item("0", "late")), Event::None);
        assert_eq!(hub.close(), [Pending::Stream("closed")]);
    }

    #[test]
    fn uploads_end_with_their_call() {
        let mut hub = Machine::default();
        let call = hub.begin(Pending::Call("call"));
        let ((first, first_seen), (second, second_seen), (alone, alone_seen)) = (job(), job(), job());
        let ids = [
            hub.begin_upload(Some(call), first),
            hub.begin_upload(Some(call), second),
            hub.begin_upload(None, alone),
        ];
        assert_eq!(ids, [1, 2, 3], "one counter for all");
        assert!(hub.end_upload(ids[0]) && !hub.is_uploading(ids[0]) && !hub.end_upload(ids[0]));
        assert!(first_seen.upgrade().is_none());
        hub.handle_message(completion("0", Outcome::Void));
        assert!(!hub.is_uploading(ids[1]) && second_seen.upgrade().is_none());
        assert!(!hub.end_upload(ids[1]), "the peer has ended it itself");
        assert!(hub.is_uploading(ids[2]) && alone_seen.upgrade().is_some());

        let stream = hub.begin(Pending::Stream("stream"));
        let uploads = [(); 2].map(|()| hub.begin_upload(Some(stream), job().0));
        let gone = Abandoned { call: Pending::Stream("stream"), uploads: uploads.to_vec() };
        assert_eq!(hub.abandon(stream), Some(gone));
        assert!(uploads.iter().all(|id| !hub.is_uploading(*id)));
        hub.close();
        assert!(alone_seen.upgrade().is_none());
    }

    #[test]
    fn answers_end_once() {
        let mut hub = Machine::default();
        let ((given, given_seen), (cancelled, cancelled_seen), (late, late_seen)) = (job(), job(), job());
        let given = hub.begin_answer("a", given);
        let cancelled = hub.begin_answer("b", cancelled);
        let late = hub.begin_answer("c", late);
        assert_eq!(hub.end_answer(given).as_deref(), Some("a"));
        assert_eq!(hub.end_answer(given), None);
        assert!(given_seen.upgrade().is_none());
        assert_eq!(hub.handle_message(cancel("b")), HubEvent::Cancelled("b".into()));
        assert_eq!(hub.handle_message(cancel("b")), Event::None);
        assert_eq!(hub.handle_message(cancel("never heard of")), Event::None);
        assert!(cancelled_seen.upgrade().is_none());
        assert_eq!(hub.end_answer(cancelled), None);
        hub.close();
        assert!(late_seen.upgrade().is_none());
        // The peer's ids may begin again on the next connection: a late answer must not be taken for that one's.
        hub.begin_answer("c", job().0);
        assert_eq!(hub.end_answer(late), None);
    }

    #[test]
    fn foreign_ids_end_nothing() {
        let mut hub = Machine::default();
        assert_eq!(hub.begin(Pending::Call("call")), 0);
        assert_eq!(hub.begin(Pending::Stream("stream")), 1);
        for id in ["", "00", "+0", "-1", "01", "2", "x", "18446744073709551616"] {
            assert_eq!(hub.handle_message(completion(id, Outcome::Void)), Event::None, "{id}");
            assert_eq!(hub.handle_message(item(id, "1")), Event::None, "{id}");
        }
        assert_eq!(
            hub.handle_message(completion("0", Outcome::Error("".into()))),
            HubEvent::Completed("call", Outcome::Void)
        );
    }
}

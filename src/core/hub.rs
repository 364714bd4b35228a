//! The calls of one connection: which are in progress, and what a message means for them.
//!
//! Both ends of a connection can call the other, and both can upload streams with a call. So there are four tables, and
//! an id is looked up in the table that it belongs to:
//!
//! ```text
//!                      this end                        the peer
//!   own calls      ──  Invocation, StreamInvocation ─▶
//!                  ◀─  StreamItem, Completion       ──
//!   own uploads    ──  StreamItem, Completion       ─▶
//!   peer's calls   ◀─  Invocation, StreamInvocation ──
//!                  ──  StreamItem, Completion       ─▶
//!   peer's uploads ◀─  StreamItem, Completion       ──
//! ```
//!
//! The machine knows numbers. The owner knows who waits for each, and what has to stop when it ends.
//!
//! - An own call ends by a completion for its id, by a message of the wrong kind, by
//!   [`cancel`](HubMachine::cancel), and by [`close`](HubMachine::close). Its uploads end with it.
//! - A peer's call ends when it [is answered](HubMachine::end_answer), and with the connection. A cancellation is
//!   reported, and the answer still expected.
//! - A peer's upload ends by its completion, with the call that it came with, and with the connection.
//!
//! Ids are chosen by the caller. The client's are numbers; the server's begin with another character, as
//! ASP.NET Core's do (`s1`), so that they never meet. An id that the peer chose never ends an own call: where a peer's
//! upload and an own call have the same id, a message for it belongs to the upload, unless only a call can have
//! such a message.

use std::borrow::Cow;
use std::ops::Range;

use crate::core::ascii::decimal;
use crate::core::message::{Head, HubMessage, Invocation, Outcome};
use crate::core::table::Table;

/// How many peer's calls, and how many uploads with them, may be in progress at a time unless said otherwise.
pub const DEFAULT_PEER_LIMIT: usize = 4_096;

/// What a message means to its receiver.
#[derive(Debug, PartialEq)]
pub enum HubEvent<'a, P> {
    /// Nothing to do: a ping, or a message for something that is no longer in progress.
    None,
    /// The peer calls a method.
    Called {
        /// The number to [answer](HubMachine::end_answer) with; `None` where the peer expects no answer.
        call: Option<u64>,
        /// Whether it expects a stream.
        streams: bool,
        /// The call. The streams that it uploads are registered.
        invocation: Invocation<'a, P>,
    },
    /// The peer has more in progress than the limit, or has given an id that is in use: to be answered with an error.
    Refused {
        /// What the completion has to name; `None` where the peer expects none.
        invocation_id: Option<Cow<'a, str>>,
        /// Why.
        reason: &'static str,
    },
    /// The peer no longer wants the answer to a call. It still expects a completion.
    Cancelled {
        /// The number of the call.
        call: u64,
    },
    /// A plain call has ended.
    Completed {
        /// The number of the call.
        id: u64,
        /// How it ended.
        outcome: Outcome<'a, P>,
    },
    /// The peer answers a call that this end has not made: another server of the same hub may have. Only servers are told.
    ForeignCompletion {
        /// The id of the call.
        invocation_id: Cow<'a, str>,
        /// How it ended.
        outcome: Outcome<'a, P>,
    },
    /// A stream item came for a plain call, which is over now.
    UnexpectedItem {
        /// The number of the call.
        id: u64,
    },
    /// An item of a stream came.
    Item {
        /// The number of the call.
        id: u64,
        /// The item.
        item: P,
    },
    /// A stream has ended. A value is against the protocol, and to be ignored.
    StreamCompleted {
        /// The number of the call.
        id: u64,
        /// How it ended.
        outcome: Outcome<'a, P>,
    },
    /// An item of a peer's upload came.
    Uploaded {
        /// The id that the peer gave the upload.
        stream_id: Cow<'a, str>,
        /// The item.
        item: P,
    },
    /// A peer's upload has ended.
    UploadCompleted {
        /// The id that the peer gave the upload.
        stream_id: Cow<'a, str>,
        /// Why, if it failed.
        error: Option<Cow<'a, str>>,
    },
    /// The peer closes the connection.
    Close {
        /// Why, if it is because of an error.
        error: Option<Cow<'a, str>>,
        /// Whether this end may reconnect automatically.
        allow_reconnect: bool,
    },
}

/// What a message means, without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing to do.
    None,
    /// The peer calls a method: the number to answer with, where it expects an answer.
    Called(Option<u64>),
    /// A call that cannot be taken, and why.
    Refused(&'static str),
    /// The peer no longer wants the answer to this call.
    Cancelled(u64),
    /// This plain call has ended.
    Completed(u64),
    /// A stream item came for this plain call, which is over now.
    UnexpectedItem(u64),
    /// An item of this stream came.
    Item(u64),
    /// This stream has ended.
    StreamCompleted(u64),
    /// An item of a peer's upload came.
    Uploaded,
    /// A peer's upload has ended.
    UploadCompleted,
    /// The peer closes the connection.
    Close,
}

impl<'a, P> HubEvent<'a, P> {
    /// A message, with what it means.
    pub(crate) fn new(message: HubMessage<'a, P>, meaning: Meaning) -> Self {
        let streams = matches!(message, HubMessage::StreamInvocation(_));
        match (meaning, message) {
            (Meaning::Cancelled(call), _) => Self::Cancelled { call },
            (Meaning::UnexpectedItem(id), _) => Self::UnexpectedItem { id },
            (
                Meaning::Called(call),
                HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation),
            ) => Self::Called { call, streams, invocation },
            (
                Meaning::Refused(reason),
                HubMessage::Invocation(invocation) | HubMessage::StreamInvocation(invocation),
            ) => Self::Refused { invocation_id: invocation.invocation_id, reason },
            (Meaning::Completed(id), HubMessage::Completion { outcome, .. }) => {
                Self::Completed { id, outcome: outcome.without_empty_error() }
            }
            (Meaning::StreamCompleted(id), HubMessage::Completion { outcome, .. }) => {
                Self::StreamCompleted { id, outcome: outcome.without_empty_error() }
            }
            (Meaning::UploadCompleted, HubMessage::Completion { invocation_id, outcome, .. }) => {
                let error = match outcome.without_empty_error() {
                    Outcome::Error(error) => Some(error),
                    Outcome::Void | Outcome::Value(_) => None,
                };
                Self::UploadCompleted { stream_id: invocation_id, error }
            }
            (Meaning::Item(id), HubMessage::StreamItem { item, .. }) => Self::Item { id, item },
            (Meaning::Uploaded, HubMessage::StreamItem { invocation_id, item, .. }) => {
                Self::Uploaded { stream_id: invocation_id, item }
            }
            (Meaning::Close, HubMessage::Close { error, allow_reconnect }) => {
                Self::Close { error, allow_reconnect }
            }
            _ => Self::None,
        }
    }
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The one that connects.
    #[default]
    Client,
    /// The one that hosts the hub.
    Server,
}

impl Role {
    fn prefix(self) -> &'static str {
        match self {
            Self::Client => "",
            Self::Server => "s",
        }
    }
}

/// Whether a call waits for one result or for a stream of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// It waits for one result.
    Plain,
    /// It waits for items, and for their end.
    Stream,
}

/// The calls of one connection.
#[derive(Debug)]
pub struct HubMachine {
    role: Role,
    /// Own calls.
    calls: Table<CallKind>,
    pending_plain: usize,
    /// Own uploads, with the call that they belong to.
    uploads: Vec<(u64, Option<u64>)>,
    next_id: u64,
    /// The ids of the peer's calls.
    peer_calls: Table<Box<str>>,
    /// The peer's uploads by id, with the call that they belong to.
    peer_uploads: Vec<(Box<str>, Option<u64>)>,
    next_answer: u64,
    peer_limit: usize,
}

impl HubMachine {
    /// No call is in progress. Of the peer's calls and uploads, `peer_limit` may be in progress each.
    #[must_use]
    pub fn new(role: Role, peer_limit: usize) -> Self {
        Self {
            role,
            calls: Table::default(),
            pending_plain: 0,
            uploads: Vec::new(),
            next_id: 0,
            peer_calls: Table::default(),
            peer_uploads: Vec::new(),
            next_answer: 0,
            peer_limit,
        }
    }

    /// Registers a call and returns its number, [whose id](Self::id) its messages carry. Numbers never repeat, not even
    /// on the next connection.
    pub fn begin(&mut self, kind: CallKind) -> u64 {
        let id = self.number();
        self.pending_plain += usize::from(kind == CallKind::Plain);
        self.calls.push(id, kind);
        id
    }

    /// The id of an own call or upload, as messages carry it.
    #[must_use]
    pub fn id(&self, number: u64) -> Id {
        Id::new(self.role, number)
    }

    /// The next number is this one, unless it was given already: for callers that choose their numbers themselves. It
    /// never goes past 2^53, where the whole numbers of JavaScript end.
    pub fn skip_to(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.min(1 << 53));
    }

    /// How many plain calls wait for their result.
    #[must_use]
    pub fn pending_calls(&self) -> usize {
        self.pending_plain
    }

    /// Whether an own call is in progress.
    #[must_use]
    pub fn is_pending(&self, id: u64) -> bool {
        self.calls.get(id).is_some()
    }

    /// The caller no longer waits. Returns the uploads that ended with the call, or `None` if it has ended already.
    /// Otherwise a cancellation has to be sent, and a completion with an error for each upload: a server may know no
    /// cancellation of plain calls, and would wait for the rest.
    pub fn cancel(&mut self, id: u64) -> Option<Vec<u64>> {
        self.take(id)?;
        Some(self.end_uploads_of(id))
    }

    /// Registers streams that are uploaded with a call, or with an invocation that has no id and so no end. Their ids
    /// stand among the `stream_ids` of the invocation, and in the items.
    pub fn begin_uploads(&mut self, call: Option<u64>, count: usize) -> Range<u64> {
        let first = self.next_id;
        for _ in 0..count {
            let id = self.number();
            self.uploads.push((id, call));
        }
        first..self.next_id
    }

    /// Whether the next item of an upload is still wanted.
    #[must_use]
    pub fn is_uploading(&self, id: u64) -> bool {
        self.uploads.iter().any(|upload| upload.0 == id)
    }

    /// An upload has come to its end. Whether the peer has to be told.
    pub fn end_upload(&mut self, id: u64) -> bool {
        let at = self.uploads.iter().position(|upload| upload.0 == id);
        at.map(|at| self.uploads.remove(at)).is_some()
    }

    /// The id of a peer's call that is not answered yet.
    #[must_use]
    pub fn peer_call(&self, call: u64) -> Option<&str> {
        self.peer_calls.get(call).map(|id| &**id)
    }

    /// How many of the peer's calls are not answered yet.
    #[must_use]
    pub fn peer_calls(&self) -> usize {
        self.peer_calls.len()
    }

    /// How many of the peer's uploads are in progress.
    #[must_use]
    pub fn peer_uploads(&self) -> usize {
        self.peer_uploads.len()
    }

    /// A peer's call ends: returns the id that its completion has to carry, or `None` when no answer is
    /// expected any more. Its uploads end with it.
    pub fn end_answer(&mut self, call: u64) -> Option<Box<str>> {
        let id = self.peer_calls.take(call)?;
        self.peer_uploads.retain(|(_, of)| *of != Some(call));
        Some(id)
    }

    /// A peer's upload is no longer wanted; its later items are ignored.
    pub fn forget_upload(&mut self, stream_id: &str) {
        if let Ok(at) = self.find_upload(stream_id) {
            self.peer_uploads.remove(at);
        }
    }

    /// Takes a message from the peer.
    pub fn handle_message<'a, P>(&mut self, message: HubMessage<'a, P>) -> HubEvent<'a, P> {
        let meaning = self.handle_head(message.head());
        HubEvent::new(message, meaning)
    }

    /// Takes a message from the peer whose payload does not matter here.
    pub fn handle_head(&mut self, head: Head<'_>) -> Meaning {
        match head {
            Head::Call { id, uploads, .. } => self.called(id, uploads),
            Head::Cancellation { id } => {
                let call = self.peer_calls.iter().find(|(_, known)| ***known == *id);
                call.map_or(Meaning::None, |(call, _)| Meaning::Cancelled(call))
            }
            Head::End { id, has_value } => self.completed(id, has_value),
            Head::Item { id } => self.item(id),
            Head::Close { .. } => Meaning::Close,
            Head::Ping | Head::Ack { .. } | Head::Sequence { .. } => Meaning::None,
        }
    }

    /// The connection has ended: nothing is in progress any more. Numbers go on.
    pub fn close(&mut self) {
        self.pending_plain = 0;
        self.calls = Table::default();
        self.uploads.clear();
        self.peer_calls = Table::default();
        self.peer_uploads.clear();
    }

    fn number(&mut self) -> u64 {
        let number = self.next_id;
        self.next_id += 1;
        number
    }

    fn called(&mut self, id: Option<&str>, uploads: &[Cow<'_, str>]) -> Meaning {
        if let Err(reason) = self.admit(id, uploads) {
            return Meaning::Refused(reason);
        }
        let call = id.map(|id| {
            let number = self.next_answer;
            self.next_answer += 1;
            self.peer_calls.push(number, id.into());
            number
        });
        for id in uploads {
            if let Err(at) = self.find_upload(id) {
                self.peer_uploads.insert(at, (id.as_ref().into(), call));
            }
        }
        Meaning::Called(call)
    }

    fn admit(&self, id: Option<&str>, uploads: &[Cow<'_, str>]) -> Result<(), &'static str> {
        let (calls, count) = (&self.peer_calls, self.peer_uploads.len() + uploads.len());
        if id.is_some() && calls.len() >= self.peer_limit || count > self.peer_limit {
            return Err("Too many invocations or streams are in progress.");
        }
        if let Some(id) = id
            && calls.iter().any(|(_, known)| **known == *id)
        {
            return Err("The invocation ID is already in use.");
        }
        if uploads.iter().any(|id| self.find_upload(id).is_ok()) {
            return Err("The stream ID is already in use.");
        }
        Ok(())
    }

    fn find_upload(&self, stream_id: &str) -> Result<usize, usize> {
        self.peer_uploads.binary_search_by(|(known, _)| (**known).cmp(stream_id))
    }

    /// Whether an id of a completion is one that this end cannot have given, nor the peer to an upload.
    pub(crate) fn is_foreign(&self, id: &str) -> bool {
        self.own_id(id).is_none() && self.find_upload(id).is_err()
    }

    fn completed(&mut self, id: &str, has_value: bool) -> Meaning {
        let own = self.own_id(id).filter(|own| self.is_pending(*own));
        // Only a call ends with a value.
        if !(has_value && own.is_some())
            && let Ok(at) = self.find_upload(id)
        {
            self.peer_uploads.remove(at);
            return Meaning::UploadCompleted;
        }
        let Some(id) = own else { return Meaning::None };
        match self.complete(id) {
            Some(CallKind::Plain) => Meaning::Completed(id),
            Some(CallKind::Stream) => Meaning::StreamCompleted(id),
            None => Meaning::None,
        }
    }

    fn item(&mut self, id: &str) -> Meaning {
        if self.find_upload(id).is_ok() {
            return Meaning::Uploaded;
        }
        let Some(id) = self.own_id(id) else { return Meaning::None };
        match self.calls.get(id) {
            Some(CallKind::Stream) => Meaning::Item(id),
            Some(CallKind::Plain) => {
                self.complete(id);
                Meaning::UnexpectedItem(id)
            }
            None => Meaning::None,
        }
    }

    /// The peer has ended a call: it takes no more uploads for it either.
    fn complete(&mut self, id: u64) -> Option<CallKind> {
        let kind = self.take(id)?;
        self.end_uploads_of(id);
        Some(kind)
    }

    fn take(&mut self, id: u64) -> Option<CallKind> {
        let kind = self.calls.take(id)?;
        self.pending_plain -= usize::from(kind == CallKind::Plain);
        Some(kind)
    }

    fn end_uploads_of(&mut self, call: u64) -> Vec<u64> {
        let mut ended = Vec::new();
        self.uploads.retain(|(id, of)| {
            let ends = *of == Some(call);
            if ends {
                ended.push(*id);
            }
            !ends
        });
        ended
    }

    /// Own ids are the prefix and a plain decimal number; "+1" and "01" are not.
    fn own_id(&self, id: &str) -> Option<u64> {
        let number = id.strip_prefix(self.role.prefix())?;
        match number.as_bytes() {
            [b'0', _, ..] => None,
            _ => decimal(number).filter(|number| *number < u64::MAX),
        }
    }
}

/// The id of a call or an upload as messages carry it, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Id {
    /// At its end a prefix of one character and at most twenty digits.
    text: [u8; 21],
    start: usize,
}

impl Id {
    fn new(role: Role, mut number: u64) -> Self {
        let mut id = Self { text: [0; 21], start: 21 };
        loop {
            id.prepend(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        role.prefix().bytes().for_each(|byte| id.prepend(byte));
        id
    }

    /// There is room for every number.
    fn prepend(&mut self, byte: u8) {
        self.start = self.start.saturating_sub(1);
        if let Some(place) = self.text.get_mut(self.start) {
            *place = byte;
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.get(self.start..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;

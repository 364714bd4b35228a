//! The client's calls, uploads and answers.

use std::ops::Range;

use super::{ClientMachine, ConnectionError};
use crate::core::codec::Codec;
use crate::core::hub::CallKind;
use crate::core::message::{Headers, HubMessage, Invocation, Outcome};

/// How many bytes may wait for a server that does not read; past this, it gets no more refusals.
const UNREAD_ANSWERS: usize = 4 << 20;

/// The text of the official client for an upload whose call is cancelled.
const UPLOAD_CANCELLED: &str = "Stream canceled by client.";

/// A call that is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The number of the call.
    pub id: u64,
    /// The numbers of its uploads.
    pub uploads: Range<u64>,
}

/// What is called: a method of the hub, and the headers that go with the call, such as a trace context. A name alone
/// goes without headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Method<'a> {
    /// The name of the method.
    pub name: &'a str,
    /// Headers of the message.
    pub headers: Headers<'a>,
}

impl<'a> From<&'a str> for Method<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, headers: Vec::new() }
    }
}

impl<C: Codec> ClientMachine<C> {
    /// Whether so much is on its way that the next call, item or answer should wait. What is written nevertheless is
    /// sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.outgoing.is_full()
    }

    /// Calls a method. Its end is an event: [`HubEvent::Completed`](crate::core::hub::HubEvent::Completed) and the like,
    /// or [`Effect::Lost`](super::Effect::Lost) with the connection.
    ///
    /// # Errors
    /// [`ConnectionError::NotConnected`].
    pub fn invoke<'a>(
        &mut self,
        kind: CallKind,
        method: impl Into<Method<'a>>,
        arguments: C::Payload<'_>,
        uploads: usize,
    ) -> Result<Begun, ConnectionError> {
        if !self.is_connected() {
            return Err(ConnectionError::NotConnected);
        }
        let id = self.hub.begin(kind);
        let uploads = self.hub.begin_uploads(Some(id), uploads);
        self.write_invocation(Some((id, kind)), method.into(), arguments, &uploads);
        Ok(Begun { id, uploads })
    }

    /// Calls a method without asking for its end. Returns the numbers of its uploads.
    ///
    /// # Errors
    /// [`ConnectionError::NotConnected`].
    pub fn send<'a>(
        &mut self,
        method: impl Into<Method<'a>>,
        arguments: C::Payload<'_>,
        uploads: usize,
    ) -> Result<Range<u64>, ConnectionError> {
        if !self.is_connected() {
            return Err(ConnectionError::NotConnected);
        }
        let uploads = self.hub.begin_uploads(None, uploads);
        self.write_invocation(None, method.into(), arguments, &uploads);
        Ok(uploads)
    }

    /// The next call or upload gets this number or a later one: for callers that choose their numbers themselves.
    pub fn skip_to(&mut self, id: u64) {
        self.hub.skip_to(id);
    }

    /// The caller is gone, or wants no more: the server is told. Returns whether the call was still in progress.
    /// Servers before .NET 11 ignore the cancellation of a plain call.
    pub fn cancel(&mut self, id: u64) -> bool {
        let Some(uploads) = self.hub.cancel(id) else { return false };
        let text = self.hub.id(id);
        let invocation_id = text.as_str().into();
        self.write(&HubMessage::CancelInvocation { headers: Vec::new(), invocation_id });
        for upload in uploads {
            let id = self.hub.id(upload);
            self.complete(id.as_str(), Outcome::Error(UPLOAD_CANCELLED.into()));
        }
        true
    }

    /// Whether the next item of an upload is still wanted.
    #[must_use]
    pub fn is_uploading(&self, id: u64) -> bool {
        self.hub.is_uploading(id)
    }

    /// Sends an item of an upload. Returns whether it was still wanted.
    pub fn send_item(&mut self, id: u64, item: C::Payload<'_>) -> bool {
        if !self.hub.is_uploading(id) {
            return false;
        }
        let text = self.hub.id(id);
        let invocation_id = text.as_str().into();
        self.write(&HubMessage::StreamItem { headers: Vec::new(), invocation_id, item });
        true
    }

    /// Ends an upload, unless something else has.
    pub fn end_upload(&mut self, id: u64, error: Option<&str>) {
        if self.hub.end_upload(id) {
            let id = self.hub.id(id);
            self.complete(id.as_str(), error.map_or(Outcome::Void, |error| Outcome::Error(error.into())));
        }
    }

    /// Whether a server call still expects an answer.
    #[must_use]
    pub fn expects_answer(&self, call: u64) -> bool {
        self.hub.peer_call(call).is_some()
    }

    /// Answers a server call, if an answer is still expected.
    pub fn answer(&mut self, call: u64, outcome: Outcome<'_, C::Payload<'_>>) {
        if let Some(id) = self.hub.end_answer(call) {
            self.complete(&id, outcome);
        }
    }

    /// Says at once that a server call has failed; a server that keeps calling but does not read the
    /// answers is no longer told.
    pub fn refuse(&mut self, call: u64, error: &'static str) {
        if let Some(id) = self.hub.end_answer(call) {
            self.write_refusal(&id, error);
        }
    }

    pub(super) fn write_refusal(&mut self, invocation_id: &str, error: &'static str) {
        if self.outgoing.unsent() < UNREAD_ANSWERS {
            self.complete(invocation_id, Outcome::Error(error.into()));
        }
    }

    pub(super) fn complete(&mut self, invocation_id: &str, outcome: Outcome<'_, C::Payload<'_>>) {
        let invocation_id = invocation_id.into();
        self.write(&HubMessage::Completion { headers: Vec::new(), invocation_id, outcome });
    }

    fn write_invocation(
        &mut self,
        call: Option<(u64, CallKind)>,
        method: Method<'_>,
        arguments: C::Payload<'_>,
        uploads: &Range<u64>,
    ) {
        let id = call.filter(|_| C::NEEDS_IDS).map(|(id, _)| self.hub.id(id));
        let stream_id = |id| self.hub.id(id).as_str().to_owned().into();
        let invocation = Invocation {
            headers: method.headers,
            invocation_id: id.as_ref().map(|id| id.as_str().into()),
            target: method.name.into(),
            arguments,
            stream_ids: if C::NEEDS_IDS { uploads.clone().map(stream_id).collect() } else { Vec::new() },
        };
        self.write(&match call {
            Some((_, CallKind::Stream)) => HubMessage::StreamInvocation(invocation),
            _ => HubMessage::Invocation(invocation),
        });
    }
}

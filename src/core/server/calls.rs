//! Calls of the client's methods, answers to the client's calls, and messages that many clients get.

use super::{Phase, ServerMachine};
use crate::core::codec::Codec;
use crate::core::hub::CallKind;
use crate::core::message::{HubMessage, Invocation, Outcome};

/// There is no connection to call the client on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is not connected")]
pub struct NotConnected;

impl<C: Codec> ServerMachine<C> {
    /// Whether so much is on its way that the next message, item or answer should wait. What is written nevertheless is
    /// sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.outgoing.is_full())
    }

    /// Calls a method of the client and asks for its result, which is an event:
    /// [`HubEvent::Completed`](crate::core::hub::HubEvent::Completed). Returns the number of the call; the others end
    /// with the connection.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn invoke(&mut self, target: &str, arguments: C::Payload<'_>) -> Result<u64, NotConnected> {
        let call = self.begin_call()?;
        let id = self.live.as_ref().map(|live| live.hub.id(call));
        self.write_invocation(id.as_ref().map(crate::core::hub::Id::as_str), target, arguments);
        Ok(call)
    }

    /// Registers a call whose message the owner writes itself, with the [id](Self::call_id) of this number, and gives to
    /// [`send_encoded`](Self::send_encoded).
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn begin_call(&mut self) -> Result<u64, NotConnected> {
        if !self.is_connected() {
            return Err(NotConnected);
        }
        let live = self.live.as_mut().ok_or(NotConnected)?;
        Ok(live.hub.begin(CallKind::Plain))
    }

    /// The id of a call that the client is asked to answer.
    #[must_use]
    pub fn call_id(&self, call: u64) -> Option<String> {
        let live = self.live.as_ref()?;
        live.hub.is_pending(call).then(|| live.hub.id(call).as_str().to_owned())
    }

    /// Calls a method of the client without asking for its end.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn send(&mut self, target: &str, arguments: C::Payload<'_>) -> Result<(), NotConnected> {
        if !self.is_connected() {
            return Err(NotConnected);
        }
        self.write_invocation(None, target, arguments);
        Ok(())
    }

    /// Sends a message of a counted type (an invocation, an item, a completion) that is encoded already, such as one for
    /// many clients.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn send_encoded(&mut self, message: C::Out) -> Result<(), NotConnected> {
        if !self.is_connected() {
            return Err(NotConnected);
        }
        let has_transport = matches!(self.phase, Phase::Connected);
        self.live.as_mut().ok_or(NotConnected)?.outgoing.write_counted(message, has_transport);
        Ok(())
    }

    /// The result of a call is no longer waited for. The client is not told, since clients know no cancellation of a
    /// call. Returns whether the call had not ended.
    pub fn forget(&mut self, call: u64) -> bool {
        self.live.as_mut().is_some_and(|live| live.hub.cancel(call).is_some())
    }

    /// Whether a call of the client's still expects an answer.
    #[must_use]
    pub fn expects_answer(&self, call: u64) -> bool {
        self.live.as_ref().is_some_and(|live| live.hub.peer_call(call).is_some())
    }

    /// Answers a call of the client's, or ends the stream that it asked for. Returns whether an answer was expected.
    pub fn answer(&mut self, call: u64, outcome: Outcome<'_, C::Payload<'_>>) -> bool {
        let id = self.live.as_mut().and_then(|live| live.hub.end_answer(call));
        id.map(|id| self.complete(&id, outcome)).is_some()
    }

    /// Sends an item of a stream that the client asked for. Returns whether it was still expected.
    pub fn send_item(&mut self, call: u64, item: C::Payload<'_>) -> bool {
        let Some(id) = self.live.as_ref().and_then(|live| live.hub.peer_call(call)).map(str::to_owned) else {
            return false;
        };
        self.write(&HubMessage::StreamItem { headers: Vec::new(), invocation_id: id.into(), item });
        true
    }

    /// An upload of the client's is no longer wanted; what still comes of it is ignored.
    pub fn forget_upload(&mut self, stream_id: &str) {
        if let Some(live) = &mut self.live {
            live.hub.forget_upload(stream_id);
        }
    }

    pub(super) fn complete(&mut self, invocation_id: &str, outcome: Outcome<'_, C::Payload<'_>>) {
        let invocation_id = invocation_id.into();
        self.write(&HubMessage::Completion { headers: Vec::new(), invocation_id, outcome });
    }

    fn write_invocation(&mut self, id: Option<&str>, target: &str, arguments: C::Payload<'_>) {
        self.write(&HubMessage::Invocation(Invocation {
            headers: Vec::new(),
            invocation_id: id.map(Into::into),
            target: target.into(),
            arguments,
            stream_ids: Vec::new(),
        }));
    }

    fn write(&mut self, message: &HubMessage<'_, C::Payload<'_>>) {
        let has_transport = matches!(self.phase, Phase::Connected);
        if let Some(live) = &mut self.live {
            live.outgoing.write(message, has_transport);
        }
    }
}

//! Calls of a client's methods that wait for its answer.

use std::{collections::HashMap, fmt};

use tokio::sync::oneshot;

use crate::{
    core::{HubProtocol, codec::Payload, message::Outcome},
    server::message::Message,
};

/// What a client answers, with a value in its own protocol.
pub(crate) type Answer = Outcome<'static, Vec<u8>>;

/// An answer as its owner keeps it.
pub(crate) fn owned(outcome: Outcome<'_, Payload<'_>>) -> Answer {
    match outcome {
        Outcome::Void => Outcome::Void,
        Outcome::Value(value) => Outcome::Value(value.as_ref().to_vec()),
        Outcome::Error(error) => Outcome::Error(error.into_owned().into()),
    }
}

/// An answer as it is written.
pub(crate) fn borrowed(protocol: HubProtocol, answer: &Answer) -> Outcome<'_, Payload<'_>> {
    match answer {
        Outcome::Void => Outcome::Void,
        Outcome::Value(value) => Outcome::Value(Payload::new(protocol, value)),
        Outcome::Error(error) => Outcome::Error(error.as_ref().into()),
    }
}

/// A call that is to be made.
pub(crate) struct Call {
    message: Box<dyn FnOnce(&str) -> Message + Send + Sync>,
    answer: oneshot::Sender<Answer>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call(…)")
    }
}

/// The answer to a call that is waited for. Dropping it forgets the call.
#[derive(Debug)]
pub(crate) struct PendingCall {
    /// What a value of the answer is written in.
    pub(crate) protocol: HubProtocol,
    answer: oneshot::Receiver<Answer>,
}

impl Call {
    pub(crate) fn new(
        protocol: HubProtocol,
        message: impl FnOnce(&str) -> Message + Send + Sync + 'static,
    ) -> (Self, PendingCall) {
        let (sender, answer) = oneshot::channel();
        (Self { message: Box::new(message), answer: sender }, PendingCall { protocol, answer })
    }
}

impl PendingCall {
    /// The answer; `None` when the connection has ended.
    pub(crate) async fn answer(self) -> Option<Answer> {
        self.answer.await.ok()
    }
}

/// The calls of one connection that are made, by number. When it ends, so do they.
#[derive(Debug, Default)]
pub(crate) struct Calls(HashMap<u64, oneshot::Sender<Answer>>);

impl Calls {
    /// Whether somebody waits for an answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.values().any(|answer| !answer.is_closed())
    }

    /// Keeps a call until its answer is there, and writes its message.
    pub(crate) fn begin(&mut self, number: u64, id: &str, call: Call) -> Message {
        self.0.insert(number, call.answer);
        (call.message)(id)
    }

    /// The calls whose answer is no longer waited for, which are forgotten here.
    pub(crate) fn take_abandoned(&mut self) -> Vec<u64> {
        self.0.extract_if(|_, answer| answer.is_closed()).map(|(number, _)| number).collect()
    }

    /// Hands on what a client answers.
    pub(crate) fn end(&mut self, number: u64, answer: Answer) {
        if let Some(sender) = self.0.remove(&number) {
            let _ = sender.send(answer);
        }
    }
}

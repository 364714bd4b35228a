//! The answer to a server call.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Context;

use futures_channel::oneshot;

use crate::client::engine::connection::Connection;
use crate::core::codec::{Payload, RawCodec};
use crate::core::message::Outcome;
use crate::serialize::Encoding;

// The texts of the official clients, which servers may know.
pub(super) const NO_RESULT: &str = "Client didn't provide a result.";
pub(super) const BAD_ARGUMENTS: &str = "Client failed to parse argument(s).";

/// The completion that the server awaits after it has called with an id. Exactly one goes back, even when this is
/// dropped; none when the connection has ended, or the server has cancelled the call.
pub(super) struct Reply {
    connection: Weak<Connection<RawCodec>>,
    /// `None` once it is given.
    call: Option<u64>,
    encoding: Encoding,
    stopped: oneshot::Receiver<()>,
}

impl Reply {
    /// `None` when no answer is expected any more.
    pub(super) fn new(connection: &Arc<Connection<RawCodec>>, call: u64, encoding: Encoding) -> Option<Self> {
        let stopped = connection.begin_answer(call)?;
        Some(Self { connection: Arc::downgrade(connection), call: Some(call), encoding, stopped })
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether no answer is expected any more. If not, the task is woken when that has changed.
    pub(super) fn is_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.stopped).poll(cx).is_ready()
    }

    /// Waits while too much is on its way to the server already.
    pub(super) async fn give(mut self, result: Result<Vec<u8>, String>) {
        let (Some(connection), Some(call)) = (self.connection.upgrade(), self.call.take()) else { return };
        let outcome = match &result {
            Ok(value) => Outcome::Value(Payload::new(self.encoding.protocol, value)),
            Err(error) => Outcome::Error(error.into()),
        };
        connection.answer_when_room(call, outcome).await;
    }
}

impl Reply {
    /// Says at once that the call has failed.
    pub(super) fn refuse(mut self, error: &'static str) {
        if let (Some(connection), Some(call)) = (self.connection.upgrade(), self.call.take()) {
            connection.refuse(call, error);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let (Some(connection), Some(call)) = (self.connection.upgrade(), self.call.take()) {
            connection.answer(call, Outcome::Error(NO_RESULT.into()));
        }
    }
}

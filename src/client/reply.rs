use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Context;

use futures_channel::oneshot;

use crate::client::call::Full;
use crate::client::connection::Connection;
use crate::client::payload::Payload;
use crate::client::raw::Raw;
use crate::core::HubProtocol;
use crate::core::message::Outcome;

// The texts of the official clients, which servers may know.
pub(super) const NO_RESULT: &str = "Client didn't provide a result.";
pub(super) const BAD_ARGUMENTS: &str = "Client failed to parse argument(s).";

/// The completion that the server waits for after it has called with an id. Exactly one goes back, whatever becomes of
/// this; none when the connection has ended, or the server has cancelled the call.
pub(super) struct Reply {
    /// `None` once it is given.
    connection: Option<Weak<Connection<Raw>>>,
    number: u64,
    protocol: HubProtocol,
    stopped: oneshot::Receiver<()>,
}

impl Reply {
    /// `None` when the connection has ended.
    pub(super) fn new(
        connection: &Arc<Connection<Raw>>,
        invocation_id: &str,
        protocol: HubProtocol,
    ) -> Option<Self> {
        let (number, stopped) = connection.begin_answer(invocation_id)?;
        Some(Self { connection: Some(Arc::downgrade(connection)), number, protocol, stopped })
    }

    pub(super) fn protocol(&self) -> HubProtocol {
        self.protocol
    }

    /// Whether nobody waits for it any more. If not, the task is woken when that has changed.
    pub(super) fn is_stopped(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.stopped).poll(cx).is_ready()
    }

    /// Waits while too much is on its way to the server already.
    pub(super) async fn give(mut self, result: Result<Vec<u8>, String>) {
        let full = match result {
            Ok(value) => self.complete(Outcome::Value(Payload::new(self.protocol, &value))),
            Err(error) => self.complete(Outcome::Error(error.into())),
        };
        if let Some(full) = full {
            let _ = full.await;
        }
    }

    fn complete(&mut self, outcome: Outcome<'_, Payload<'_>>) -> Full {
        self.connection.take()?.upgrade()?.answer(self.number, outcome)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.complete(Outcome::Error(NO_RESULT.into()));
    }
}

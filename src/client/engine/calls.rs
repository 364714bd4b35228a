//! The calls of a connection: its machine gives them numbers; this table says who waits for each.

use std::ops::Range;
use std::sync::Arc;

use futures_channel::oneshot;

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{ClientCall, Connection, Job, Pending, Shared};
use crate::core::client::{Begun, ConnectionError, Method};
use crate::core::hub::CallKind;
use crate::core::message::Outcome;

impl<C: WireCodec> Connection<C> {
    /// Calls a method once there is room; the given receiver is told how it ends. The jobs are the uploads that go with
    /// it.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        method: Method<'_>,
        arguments: C::Payload<'_>,
        call: ClientCall<C>,
        uploads: Vec<Job>,
    ) -> Result<PendingCall<C>, ConnectionError> {
        let write = |shared: &mut Shared<C>| shared.invoke(method, arguments, call, uploads);
        let Begun { id, uploads } = self.write_when_room(write).await?;
        Ok(PendingCall { connection: Arc::clone(self), id, uploads })
    }

    /// Calls a method without asking for its end, once there is room. Returns the numbers of its uploads.
    pub(crate) async fn send(
        self: &Arc<Self>,
        method: Method<'_>,
        arguments: C::Payload<'_>,
        uploads: Vec<Job>,
    ) -> Result<Range<u64>, ConnectionError> {
        self.write_when_room(|shared| shared.send(method, arguments, uploads)).await
    }

    /// The caller is gone, or wants no more: the call is no longer awaited, and the server is told.
    pub(crate) fn cancel(&self, id: u64) {
        // It is dropped outside of the lock: it may own anything that belongs to the caller.
        let _cancelled = self.change(|shared| {
            shared.machine.cancel(id);
            shared.calls.take(id)
        });
    }

    /// Sends an item of an upload, once there is room. Returns whether it was still wanted.
    pub(crate) async fn upload(self: &Arc<Self>, id: u64, item: C::Payload<'_>) -> bool {
        self.write_when_room(|shared| shared.machine.send_item(id, item)).await
    }

    /// Ends an upload, unless something else has.
    pub(crate) fn end_upload(&self, id: u64, error: Option<&str>) {
        self.change(|shared| {
            shared.uploads.take(id);
            shared.machine.end_upload(id, error);
        });
    }

    /// A server call is being answered: returns a receiver that ends when no answer is wanted any more. `None` if that
    /// is so already.
    pub(crate) fn begin_answer(&self, call: u64) -> Option<oneshot::Receiver<()>> {
        let mut shared = self.lock();
        if !shared.machine.expects_answer(call) {
            return None;
        }
        let (job, stopped) = oneshot::channel();
        shared.answers.push(call, job);
        Some(stopped)
    }

    /// Answers at once, if an answer is still wanted.
    pub(crate) fn answer(&self, call: u64, outcome: Outcome<'_, C::Payload<'_>>) {
        self.change(|shared| shared.answer(call, outcome));
    }

    /// Answers once there is room, if an answer is still wanted then.
    pub(crate) async fn answer_when_room(self: &Arc<Self>, call: u64, outcome: Outcome<'_, C::Payload<'_>>) {
        self.write_when_room(|shared| shared.answer(call, outcome)).await;
    }

    /// Says at once that a server call has failed.
    pub(crate) fn refuse(&self, call: u64, error: &'static str) {
        self.change(|shared| shared.machine.refuse(call, error));
    }
}

impl<C: WireCodec> Shared<C> {
    fn invoke(
        &mut self,
        method: Method<'_>,
        arguments: C::Payload<'_>,
        call: ClientCall<C>,
        uploads: Vec<Job>,
    ) -> Result<Begun, ConnectionError> {
        let kind = match &call {
            ClientCall::Plain(_) => CallKind::Plain,
            ClientCall::Stream(_) => CallKind::Stream,
        };
        let begun = self.machine.invoke(kind, method, arguments, uploads.len())?;
        self.calls.push(begun.id, Pending { call, _uploads: uploads });
        Ok(begun)
    }

    fn send(
        &mut self,
        method: Method<'_>,
        arguments: C::Payload<'_>,
        uploads: Vec<Job>,
    ) -> Result<Range<u64>, ConnectionError> {
        let ids = self.machine.send(method, arguments, uploads.len())?;
        for (id, job) in ids.clone().zip(uploads) {
            self.uploads.push(id, job);
        }
        Ok(ids)
    }

    fn answer(&mut self, call: u64, outcome: Outcome<'_, C::Payload<'_>>) {
        self.answers.take(call);
        self.machine.answer(call, outcome);
    }
}

/// A call in flight. Dropping it cancels the call: it is no longer awaited, and the server is told. Servers
/// before .NET 11 ignore that, unless the call is a stream.
pub(crate) struct PendingCall<C: WireCodec> {
    connection: Arc<Connection<C>>,
    id: u64,
    /// The numbers of its uploads.
    pub(crate) uploads: Range<u64>,
}

impl<C: WireCodec> Drop for PendingCall<C> {
    fn drop(&mut self) {
        self.connection.cancel(self.id);
    }
}

//! The calls of a connection: its machine gives them numbers; this table says who waits for each.

use std::ops::Range;
use std::sync::Arc;

#[cfg(feature = "client")]
use futures_channel::oneshot;

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{ClientCall, Connection, Job, Pending, Shared};
use crate::core::client::{Begun, ConnectionError, Method};
use crate::core::hub::CallKind;
use crate::core::message::Outcome;

impl<C: WireCodec> Connection<C> {
    /// Calls a method once there is room; the given receiver is told how it ends. The jobs are the uploads that go with
    /// it.
    #[cfg(feature = "client")]
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

    /// As `invoke`, at once, for a caller that chooses its numbers and cancels its calls itself.
    #[cfg(all(browser, feature = "js"))]
    pub(crate) fn invoke_as(
        &self,
        id: u64,
        arguments: C::Payload<'_>,
        call: ClientCall<C>,
        uploads: Vec<Job>,
    ) -> Result<(), ConnectionError> {
        self.change(|shared| {
            shared.machine.skip_to(id);
            shared.invoke(Method::default(), arguments, call, uploads).map(drop)
        })
    }

    /// Calls a method without asking for its end, once there is room. Returns the numbers of its uploads.
    #[cfg(feature = "client")]
    pub(crate) async fn send(
        self: &Arc<Self>,
        method: Method<'_>,
        arguments: C::Payload<'_>,
        uploads: Vec<Job>,
    ) -> Result<Range<u64>, ConnectionError> {
        self.write_when_room(|shared| shared.send(method, arguments, uploads)).await
    }

    /// As `send`, at once, for a caller that chooses its numbers. Returns whether the next one should wait for room.
    #[cfg(all(browser, feature = "js"))]
    pub(crate) fn send_as(
        &self,
        id: u64,
        arguments: C::Payload<'_>,
        uploads: Vec<Job>,
    ) -> Result<bool, ConnectionError> {
        self.change(|shared| {
            shared.machine.skip_to(id);
            shared.send(Method::default(), arguments, uploads)?;
            Ok(shared.machine.is_full())
        })
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
    #[cfg(feature = "client")]
    pub(crate) async fn upload(self: &Arc<Self>, id: u64, item: C::Payload<'_>) -> bool {
        self.write_when_room(|shared| shared.machine.send_item(id, item)).await
    }

    /// As `upload`, at once. `None` when it is no longer wanted, else whether the next one should wait for room.
    #[cfg(all(browser, feature = "js"))]
    pub(crate) fn upload_now(&self, id: u64, item: C::Payload<'_>) -> Option<bool> {
        self.change(|shared| shared.machine.send_item(id, item).then(|| shared.machine.is_full()))
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
    #[cfg(feature = "client")]
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
    #[cfg(feature = "client")]
    pub(crate) async fn answer_when_room(self: &Arc<Self>, call: u64, outcome: Outcome<'_, C::Payload<'_>>) {
        self.write_when_room(|shared| shared.answer(call, outcome)).await;
    }

    /// Says at once that a server call has failed.
    #[cfg(feature = "client")]
    pub(crate) fn refuse(&self, call: u64, error: &'static str) {
        self.change(|shared| shared.machine.refuse(call, error));
    }

    /// Waits until there is room.
    #[cfg(all(browser, feature = "js"))]
    pub(crate) async fn room(self: Arc<Self>) -> Result<(), ConnectionError> {
        let is_up = self.write_when_room(|shared| shared.machine.is_connected()).await;
        if is_up { Ok(()) } else { Err(ConnectionError::NotConnected) }
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
#[cfg(feature = "client")]
pub(crate) struct PendingCall<C: WireCodec> {
    connection: Arc<Connection<C>>,
    id: u64,
    /// The numbers of its uploads.
    pub(crate) uploads: Range<u64>,
}

#[cfg(feature = "client")]
impl<C: WireCodec> Drop for PendingCall<C> {
    fn drop(&mut self) {
        self.connection.cancel(self.id);
    }
}

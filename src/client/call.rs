//! The calls of a connection, over any codec.

use std::sync::Arc;

use futures_channel::oneshot;

use crate::client::codec::Codec;
use crate::client::connection::{Connection, Shared};
use crate::core::hub::{Abandoned, Pending};
use crate::core::message::{HubMessage, Invocation, Outcome};
use crate::core::session::{ConnectionError, Effect, Session};
use crate::platform::{MaybeSend, MaybeSync, Runtime};

/// A send waits while more than this many bytes are on their way to the socket.
pub(super) const SEND_HIGH_WATER: usize = 256 * 1024;

/// How many bytes may wait for a server that does not read before it gets no more answers.
const UNREAD_ANSWERS: usize = 4 << 20;

/// How a call ended, to the one who made it.
pub(crate) enum CallEnd<'a, P> {
    Outcome(Outcome<'a, P>),
    UnexpectedItem,
    Closed(&'a ConnectionError),
}

/// Someone who waits for the end of a call.
pub(crate) trait Caller<C: Codec>: MaybeSend {
    fn end(self: Box<Self>, end: CallEnd<'_, C::Payload<'_>>);
}

/// Someone who takes the items of a stream.
pub(crate) trait Subscriber<C: Codec>: MaybeSend + MaybeSync {
    /// Takes an item. Returns whether more are wanted.
    fn item(&self, item: C::Payload<'_>) -> bool;

    fn end(&self, end: CallEnd<'_, C::Payload<'_>>);
}

/// Someone who is called by the server.
pub(crate) trait Callee<C: Codec>: MaybeSend + MaybeSync {
    /// A connection is started. Nothing of an earlier one counts any more.
    fn start(&self, runtime: &Runtime);

    /// Takes a call. Nothing that takes long, and nothing that can fail, may happen here.
    fn call(&self, connection: &Arc<Connection<C>>, call: Invocation<'_, C::Payload<'_>>);
}

/// A job that goes on until this is dropped.
pub(crate) type Job = oneshot::Sender<()>;

/// What a call of ours is kept as.
pub(crate) type ClientCall<C> = Pending<Box<dyn Caller<C>>, Arc<dyn Subscriber<C>>>;
pub(crate) type ClientSession<C> = Session<Box<dyn Caller<C>>, Arc<dyn Subscriber<C>>, Job>;
pub(crate) type ClientEffect<C> = Effect<Box<dyn Caller<C>>, Arc<dyn Subscriber<C>>>;

impl<C: Codec> ClientCall<C> {
    pub(super) fn end(self, end: CallEnd<'_, C::Payload<'_>>) {
        match self {
            Self::Call(caller) => caller.end(end),
            Self::Stream(subscriber) => subscriber.end(end),
        }
    }
}

impl<C: Codec> Connection<C> {
    /// Calls a method; what is kept of the call hears of its end. The jobs are uploads that go with it.
    #[cfg(feature = "client")]
    pub(crate) fn invoke(
        self: &Arc<Self>,
        target: &str,
        arguments: C::Payload<'_>,
        call: ClientCall<C>,
        uploads: Vec<Job>,
    ) -> Result<PendingCall<C>, ConnectionError> {
        let Begun { id, uploads, full } = self.begin(0, target, arguments, call, uploads)?;
        Ok(PendingCall { connection: Arc::clone(self), id, uploads, full })
    }

    /// As `invoke`, for a caller that cancels by itself. The call gets this number or a later one.
    pub(crate) fn begin(
        &self,
        id: u64,
        target: &str,
        arguments: C::Payload<'_>,
        call: ClientCall<C>,
        uploads: Vec<Job>,
    ) -> Result<Begun, ConnectionError> {
        self.change(|shared| {
            let calls = shared.session.calls().ok_or(ConnectionError::NotConnected)?;
            calls.skip_to(id);
            let streams = matches!(call, Pending::Stream(_));
            let id = calls.begin(call);
            let uploads: Vec<_> = uploads.into_iter().map(|job| calls.begin_upload(Some(id), job)).collect();
            let invocation = invocation(target, arguments, Some(id), &uploads);
            shared.write(&if streams {
                HubMessage::StreamInvocation(invocation)
            } else {
                HubMessage::Invocation(invocation)
            });
            Ok(Begun { id, uploads, full: shared.full() })
        })
    }

    /// Calls a method without asking for its end. Its uploads get this number or later ones.
    pub(crate) fn send(
        &self,
        id: u64,
        target: &str,
        arguments: C::Payload<'_>,
        uploads: Vec<Job>,
    ) -> Result<Sent, ConnectionError> {
        self.change(|shared| {
            let calls = shared.session.calls().ok_or(ConnectionError::NotConnected)?;
            calls.skip_to(id);
            let uploads: Vec<_> = uploads.into_iter().map(|job| calls.begin_upload(None, job)).collect();
            shared.write(&HubMessage::Invocation(invocation(target, arguments, None, &uploads)));
            Ok(Sent { uploads, full: shared.full() })
        })
    }

    /// The caller is gone, or wants no more: the call is no longer waited for, and the server is told.
    pub(crate) fn abandon(&self, id: u64) {
        // What was kept drops outside of the lock: it may own anything of the caller's.
        let _abandoned = self.change(|shared| {
            let Abandoned { call, uploads } = shared.session.calls()?.abandon(id)?;
            let invocation_id = id.to_string().into();
            shared.write(&HubMessage::CancelInvocation { headers: Vec::new(), invocation_id });
            for upload in uploads {
                shared.complete(upload.to_string(), Outcome::Error("Stream canceled by client.".into()));
            }
            Some(call)
        });
    }

    /// Sends an item of an upload. `None` when nobody wants it any more.
    pub(crate) fn upload(&self, id: u64, item: C::Payload<'_>) -> Option<Full> {
        self.change(|shared| {
            if !shared.session.calls()?.is_uploading(id) {
                return None;
            }
            let invocation_id = id.to_string().into();
            shared.write(&HubMessage::StreamItem { headers: Vec::new(), invocation_id, item });
            Some(shared.full())
        })
    }

    /// Ends an upload, unless something else has.
    pub(crate) fn end_upload(&self, id: u64, error: Option<String>) {
        self.change(|shared| {
            if shared.session.calls().is_some_and(|calls| calls.end_upload(id)) {
                shared.complete(
                    id.to_string(),
                    error.map_or(Outcome::Void, |error| Outcome::Error(error.into())),
                );
            }
        });
    }

    /// Registers that an invocation of the server's is being answered: a number for the answer, and a receiver that
    /// ends when no answer is wanted any more.
    pub(crate) fn begin_answer(&self, invocation_id: &str) -> Option<(u64, oneshot::Receiver<()>)> {
        let (job, stopped) = oneshot::channel();
        let number = self.lock().session.calls()?.begin_answer(invocation_id, job);
        Some((number, stopped))
    }

    /// Gives an answer, if it is still wanted.
    pub(crate) fn answer(&self, number: u64, outcome: Outcome<'_, C::Payload<'_>>) -> Full {
        self.change(|shared| {
            let id = shared.session.calls()?.end_answer(number)?;
            shared.complete(id, outcome);
            shared.full()
        })
    }

    /// Says at once that an invocation of the server's has failed; to a server that asks and asks but does not read
    /// the answers, no more.
    pub(super) fn refuse(&self, invocation_id: &str, error: &'static str) {
        self.change(|shared| {
            if shared.session.is_connected() && shared.unsent() < UNREAD_ANSWERS {
                shared.complete(invocation_id.to_owned(), Outcome::Error(error.into()));
            }
        });
    }
}

impl<C: Codec> Shared<C> {
    fn complete(&mut self, invocation_id: String, outcome: Outcome<'_, C::Payload<'_>>) {
        let invocation_id = invocation_id.into();
        self.write(&HubMessage::Completion { headers: Vec::new(), invocation_id, outcome });
    }

    /// Whether so much is on its way that the next message has to wait.
    fn full(&mut self) -> Full {
        self.is_full().then(|| {
            let (sender, receiver) = oneshot::channel();
            self.drained.push(sender);
            receiver
        })
    }
}

/// What to wait for when too much is on its way to the socket. It fails when the connection ends before.
pub(crate) type Full = Option<oneshot::Receiver<()>>;

/// A message that was handed over to the connection.
pub(crate) struct Sent {
    /// The numbers of its uploads.
    #[cfg_attr(not(feature = "client"), allow(dead_code, reason = "JavaScript chooses them"))]
    pub(crate) uploads: Vec<u64>,
    pub(crate) full: Full,
}

#[cfg(feature = "client")]
impl Sent {
    /// Waits while too much is on its way already.
    pub(crate) async fn taken(self) -> Result<(), ConnectionError> {
        match self.full {
            // The connection ended before the socket took the message.
            Some(full) => full.await.map_err(|_| ConnectionError::NotConnected),
            None => Ok(()),
        }
    }
}

fn invocation<'a, P>(target: &'a str, arguments: P, id: Option<u64>, uploads: &[u64]) -> Invocation<'a, P> {
    Invocation {
        headers: Vec::new(),
        invocation_id: id.map(|id| id.to_string().into()),
        target: target.into(),
        arguments,
        stream_ids: uploads.iter().map(|id| id.to_string().into()).collect(),
    }
}

/// A call that was handed over to the connection.
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "JavaScript chooses the numbers"))]
pub(crate) struct Begun {
    id: u64,
    uploads: Vec<u64>,
    full: Full,
}

/// A call in flight. Dropping it cancels the call: it is no longer waited for, and the server is told. Servers
/// before .NET 11 ignore that, unless the call is a stream.
#[cfg(feature = "client")]
pub(crate) struct PendingCall<C: Codec> {
    connection: Arc<Connection<C>>,
    id: u64,
    /// The numbers of its uploads.
    pub(crate) uploads: Vec<u64>,
    full: Full,
}

#[cfg(feature = "client")]
impl<C: Codec> PendingCall<C> {
    /// Waits while too much is on its way already. If the connection ends before, the call's end says so.
    pub(super) async fn taken(&mut self) {
        if let Some(full) = self.full.take() {
            let _ = full.await;
        }
    }
}

#[cfg(feature = "client")]
impl<C: Codec> Drop for PendingCall<C> {
    fn drop(&mut self) {
        self.connection.abandon(self.id);
    }
}

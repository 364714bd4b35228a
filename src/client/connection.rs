use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_channel::oneshot;

use crate::client::codec::Codec;
use crate::client::driver::Driver;
use crate::core::handshake::HandshakeRequest;
use crate::core::message::{HubMessage, Invocation, Outcome};
use crate::core::session::{ConnectionError, ConnectionInfo, Session, SessionOptions};
use crate::core::token::AccessToken;
use crate::platform::{self, BoxFuture, MaybeSend, MaybeSync};

/// A send waits while more than this many bytes are on their way to the socket.
const SEND_HIGH_WATER: usize = 256 * 1024;

/// The socket is not read while more calls than this wait for their handlers.
const HANDLER_HIGH_WATER: usize = 1024;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Not started, or ended.
    Disconnected,
    /// Negotiating, opening the transport, shaking hands.
    Connecting,
    /// Calls can be made.
    Connected,
    /// Stopping.
    Disconnecting,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

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

/// Someone who is called by the server.
pub(crate) trait Callee<C: Codec>: MaybeSend + MaybeSync {
    /// Takes a call. Nothing that takes long, and nothing that can fail, may happen here.
    fn call(&self, call: Invocation<'_, C::Payload<'_>>);
}

/// The caller's source of access tokens.
pub(crate) type TokenProvider = Arc<dyn ProvideToken>;

/// Asks for a token. No token means to go without.
pub(crate) trait ProvideToken: MaybeSend + MaybeSync {
    fn provide(&self) -> BoxFuture<Result<Option<AccessToken>, String>>;
}

impl<F: Fn() -> BoxFuture<Result<Option<AccessToken>, String>> + MaybeSend + MaybeSync> ProvideToken for F {
    fn provide(&self) -> BoxFuture<Result<Option<AccessToken>, String>> {
        self()
    }
}

/// What the platform needs to know, and the session machine does not.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    /// Headers of the user's for every HTTP request.
    pub(crate) headers: Vec<(String, String)>,
    /// Whether a browser sends cookies along to another origin.
    pub(crate) with_credentials: bool,
    pub(crate) token_provider: Option<TokenProvider>,
}

/// What a driver and the users' handles share.
pub(crate) struct Connection<C: Codec> {
    pub(super) callee: Box<dyn Callee<C>>,
    pub(super) settings: ConnectionSettings,
    pub(super) backlog: Arc<Backlog>,
    shared: Mutex<Shared<C>>,
}

pub(super) struct Shared<C: Codec> {
    pub(super) session: Session<Box<dyn Caller<C>>>,
    /// Writes; each driver reads with a clone of it.
    codec: C,
    pub(super) out: C::Out,
    pub(super) waker: Option<Waker>,
    pub(super) stop: bool,
    pub(super) state: ConnectionState,
    pub(super) info: Option<ConnectionInfo>,
    pub(super) started: Vec<oneshot::Sender<Result<(), Arc<ConnectionError>>>>,
    pub(super) ended: Vec<oneshot::Sender<Arc<ConnectionError>>>,
    /// Why the connection ended the last time.
    pub(super) last_end: Option<Arc<ConnectionError>>,
    pub(super) drained: Vec<oneshot::Sender<()>>,
}

impl<C: Codec> Connection<C> {
    pub(crate) fn new(
        mut options: SessionOptions,
        settings: ConnectionSettings,
        backlog: Arc<Backlog>,
        callee: Box<dyn Callee<C>>,
        codec: C,
    ) -> Arc<Self> {
        options.protocol = HandshakeRequest { protocol: codec.name().to_owned(), version: 1 };
        options.transports.format = codec.format();
        options.transports.available = platform::transports();
        options.has_token_provider = settings.token_provider.is_some();
        Arc::new(Self {
            callee,
            settings,
            backlog,
            shared: Mutex::new(Shared {
                session: Session::new(options),
                codec,
                out: C::Out::default(),
                waker: None,
                stop: false,
                state: ConnectionState::Disconnected,
                info: None,
                started: Vec::new(),
                ended: Vec::new(),
                last_end: None,
                drained: Vec::new(),
            }),
        })
    }

    /// No user's code runs while the lock is held, so a poisoned one is as good as any.
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared<C>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.lock().state
    }

    pub(crate) fn info(&self) -> Option<ConnectionInfo> {
        self.lock().info.clone()
    }

    /// Starts connecting, and waits until the connection is up or has failed.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Arc<ConnectionError>> {
        let (started, codec) = {
            let mut shared = self.lock();
            if shared.state != ConnectionState::Disconnected {
                return Err(Arc::new(ConnectionError::AlreadyStarted));
            }
            shared.session.start(platform::now());
            shared.state = ConnectionState::Connecting;
            shared.last_end = None;
            shared.stop = false;
            shared.out = C::Out::default();
            let (sender, receiver) = oneshot::channel();
            shared.started.push(sender);
            (receiver, shared.codec.clone())
        };
        // A driver that can't be spawned is dropped, and ends the connection as it does.
        if let Err(error) = platform::spawn(Driver::new(Arc::clone(self), codec).run()) {
            return Err(Arc::new(ConnectionError::Transport(error)));
        }
        started.await.unwrap_or_else(|_| Err(Arc::new(ConnectionError::Stopped)))
    }

    /// Asks the connection to stop; the driver does.
    pub(crate) fn request_stop(&self) {
        let waker = {
            let mut shared = self.lock();
            if shared.state == ConnectionState::Disconnected {
                return;
            }
            shared.stop = true;
            shared.state = ConnectionState::Disconnecting;
            shared.waker.take()
        };
        wake(waker);
    }

    /// Hears of the end of the connection. `None` when there is none.
    fn ended(&self) -> Option<oneshot::Receiver<Arc<ConnectionError>>> {
        let mut shared = self.lock();
        if shared.state == ConnectionState::Disconnected {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        shared.ended.push(sender);
        Some(receiver)
    }

    /// Waits for the end of the connection, and says why it ended; at once if it has. `None` if it never began.
    pub(crate) async fn closed(&self) -> Option<Arc<ConnectionError>> {
        let ended = self.ended();
        match ended {
            Some(ended) => ended.await.ok(),
            None => self.lock().last_end.clone(),
        }
    }

    /// Stops the connection and waits until it is down.
    pub(crate) async fn stop(&self) {
        let ended = self.ended();
        self.request_stop();
        if let Some(ended) = ended {
            // A sender that is gone is an end as well.
            let _ = ended.await;
        }
    }

    /// Calls a method; `caller` hears of the end.
    pub(crate) fn invoke(
        self: &Arc<Self>,
        target: &str,
        arguments: C::Payload<'_>,
        caller: Box<dyn Caller<C>>,
    ) -> PendingCall<C> {
        let mut shared = self.lock();
        let id = match shared.session.begin_call(caller) {
            Ok(id) => id,
            Err(caller) => {
                drop(shared);
                caller.end(CallEnd::Closed(&ConnectionError::NotConnected));
                return PendingCall { connection: None, id: 0 };
            }
        };
        let text = id.to_string();
        shared.write(&invocation(target, arguments, Some(&text)));
        let waker = shared.waker.take();
        drop(shared);
        wake(waker);
        PendingCall { connection: Some(Arc::clone(self)), id }
    }

    /// Calls a method without asking for its end. Waits while too much is on its way already.
    pub(crate) async fn send(&self, target: &str, arguments: C::Payload<'_>) -> Result<(), ConnectionError> {
        let (waker, full) = {
            let mut shared = self.lock();
            if !shared.session.is_connected() {
                return Err(ConnectionError::NotConnected);
            }
            shared.write(&invocation(target, arguments, None));
            let full = (C::waiting(&shared.out) > SEND_HIGH_WATER).then(|| {
                let (sender, receiver) = oneshot::channel();
                shared.drained.push(sender);
                receiver
            });
            (shared.waker.take(), full)
        };
        wake(waker);
        match full {
            // The connection ended before the socket took the message.
            Some(full) => full.await.map_err(|_| ConnectionError::NotConnected),
            None => Ok(()),
        }
    }
}

impl<C: Codec> Shared<C> {
    pub(super) fn write(&mut self, message: &HubMessage<'_, C::Payload<'_>>) {
        self.codec.write(&mut self.out, message);
    }

    /// Everything that waits to be sent.
    pub(super) fn take_out(&mut self) -> Option<C::Out> {
        if C::waiting(&self.out) == 0 {
            return None;
        }
        for drained in self.drained.drain(..) {
            let _ = drained.send(());
        }
        Some(mem::take(&mut self.out))
    }
}

fn invocation<'a, P>(target: &'a str, arguments: P, id: Option<&'a str>) -> HubMessage<'a, P> {
    HubMessage::Invocation(Invocation {
        headers: Vec::new(),
        invocation_id: id.map(Into::into),
        target: target.into(),
        arguments,
        stream_ids: Vec::new(),
    })
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A call in flight. Dropping it cancels the call: it is no longer waited for, and the server is told. Servers
/// before .NET 11 ignore that.
pub(crate) struct PendingCall<C: Codec> {
    connection: Option<Arc<Connection<C>>>,
    id: u64,
}

impl<C: Codec> Drop for PendingCall<C> {
    fn drop(&mut self) {
        let Some(connection) = &self.connection else { return };
        let mut shared = connection.lock();
        let abandoned = shared.session.abandon_call(self.id);
        if abandoned.is_some() {
            let id = self.id.to_string();
            shared.write(&HubMessage::CancelInvocation { headers: Vec::new(), invocation_id: id.into() });
            let waker = shared.waker.take();
            drop(shared);
            wake(waker);
        }
        // `abandoned` drops here, outside of the lock: it may own anything of the caller's.
    }
}

/// How many calls of the server wait for their handlers.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

#[cfg(feature = "client")]
impl Backlog {
    pub(crate) fn add(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == HANDLER_HIGH_WATER {
            wake(self.waker.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Backlog {
    /// Whether too many wait. If so, `waker` is woken when that has changed.
    pub(super) fn is_full(&self, waker: &Waker) -> bool {
        if self.waiting.load(Ordering::Acquire) < HANDLER_HIGH_WATER {
            return false;
        }
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        // A handler may have finished in between, and found no waker.
        self.waiting.load(Ordering::Acquire) >= HANDLER_HIGH_WATER
    }
}

/// Stops the connection when the last user's handle is gone.
pub(crate) struct StopOnDrop<C: Codec>(pub(crate) Arc<Connection<C>>);

impl<C: Codec> Drop for StopOnDrop<C> {
    fn drop(&mut self) {
        self.0.request_stop();
    }
}

impl<C: Codec> fmt::Debug for StopOnDrop<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.0.state()).finish_non_exhaustive()
    }
}

/// Polls one future of several kinds of input.
pub(super) fn poll_job<T>(
    job: &mut Option<BoxFuture<T>>,
    cx: &mut std::task::Context<'_>,
) -> std::task::Poll<T> {
    let Some(future) = job else { return std::task::Poll::Pending };
    let done = std::task::ready!(Pin::new(future).poll(cx));
    *job = None;
    std::task::Poll::Ready(done)
}

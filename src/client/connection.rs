use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_channel::oneshot;

use crate::client::backlog::Backlog;
use crate::client::call::{Callee, ClientSession};
use crate::client::codec::Codec;
use crate::client::driver::Driver;
use crate::core::handshake::HandshakeRequest;
use crate::core::message::HubMessage;
use crate::core::session::{ConnectionError, ConnectionInfo, Session, SessionOptions};
use crate::core::token::AccessToken;
use crate::platform::{self, BoxFuture, MaybeSend, MaybeSync, Runtime};

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
    pub(super) session: ClientSession<C>,
    /// Writes; each driver reads with a clone of it.
    codec: C,
    /// Where the driver runs.
    runtime: Option<Runtime>,
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
                runtime: None,
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

    /// Where the connection runs, once it was started.
    #[cfg(feature = "client")]
    pub(super) fn runtime(&self) -> Option<Runtime> {
        self.lock().runtime.clone()
    }

    pub(crate) fn info(&self) -> Option<ConnectionInfo> {
        self.lock().info.clone()
    }

    /// Starts connecting, and waits until the connection is up or has failed.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Arc<ConnectionError>> {
        let runtime = Runtime::current().map_err(|error| Arc::new(ConnectionError::Transport(error)))?;
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
            shared.runtime = Some(runtime.clone());
            let (sender, receiver) = oneshot::channel();
            shared.started.push(sender);
            (receiver, shared.codec.clone())
        };
        self.callee.start(&runtime);
        runtime.spawn(Driver::new(Arc::clone(self), codec).run());
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

    /// Changes what is shared, and wakes the driver if there is something to send.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Shared<C>) -> R) -> R {
        let (result, waker) = {
            let mut shared = self.lock();
            let result = change(&mut shared);
            let wakes = C::waiting(&shared.out) > 0;
            (result, wakes.then(|| shared.waker.take()).flatten())
        };
        wake(waker);
        result
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

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
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

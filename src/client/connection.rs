use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_channel::oneshot;

use crate::client::backlog::Backlog;
use crate::client::call::{Callee, ClientSession, SEND_HIGH_WATER};
use crate::client::codec::Codec;
use crate::client::driver::Driver;
use crate::client::events::{ConnectionEvent, Listen, Listeners};
#[cfg(feature = "client")]
use crate::client::events::{ConnectionEvents, EventCallback, call_back};
use crate::client::retry::RetryPolicy;
use crate::core::handshake::HandshakeRequest;
use crate::core::message::HubMessage;
use crate::core::refresh::{self, RefreshError, RefreshTimer};
use crate::core::session::{ConnectionError, ConnectionInfo, Session, SessionOptions};
use crate::core::stateful::{self, MessageBuffer};
use crate::core::token::AccessToken;
use crate::core::{Moment, ProtocolError};
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
    /// The connection was lost; there may be another soon.
    Reconnecting,
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
    /// Asked when the connection is lost, if the session's options say so.
    pub(crate) retry_policy: RetryPolicy,
    /// How many bytes wait for their acknowledgement, with stateful reconnect, before sending waits.
    pub(crate) stateful_buffer_size: usize,
    /// How long before their end the credentials are refreshed by themselves; `None` for not at all.
    pub(crate) refresh_lead: Option<Duration>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            with_credentials: true,
            token_provider: None,
            retry_policy: RetryPolicy::default(),
            stateful_buffer_size: stateful::DEFAULT_BUFFER_SIZE,
            refresh_lead: Some(refresh::DEFAULT_LEAD),
        }
    }
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
    pub(super) codec: C,
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
    /// What stateful reconnect remembers, while the connection is one of that kind.
    pub(super) buffer: Option<MessageBuffer<C::Out>>,
    /// Whether the connection was up before, since its start.
    pub(super) was_up: bool,
    pub(super) listeners: Listeners,
    /// Callbacks that begin to hear of events with the first start, since there may be no runtime before.
    #[cfg(feature = "client")]
    callbacks: Vec<(ConnectionEvents, EventCallback)>,
    /// The token of the transport's requests, and whether it came with a redirect.
    pub(super) link_token: (Option<AccessToken>, bool),
    /// Whether this attempt to connect has renewed that token already.
    pub(super) renewed: bool,
    pub(super) refresh: RefreshTimer,
    /// Who waits for a refresh of the authentication; the driver makes one when there is someone.
    pub(super) refreshed: Vec<oneshot::Sender<Refreshed>>,
}

/// Comes when a start has ended.
pub(crate) type Started = oneshot::Receiver<Result<(), Arc<ConnectionError>>>;

/// The new lifetime of the credentials, if the server told, or why they could not be renewed.
pub(super) type Refreshed = Result<Option<Duration>, RefreshError>;

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
        let refresh_lead = settings.refresh_lead.unwrap_or_default();
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
                buffer: None,
                was_up: false,
                listeners: Listeners::default(),
                #[cfg(feature = "client")]
                callbacks: Vec::new(),
                link_token: (None, false),
                renewed: false,
                refresh: RefreshTimer::new(refresh_lead),
                refreshed: Vec::new(),
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
    #[cfg(feature = "client")]
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Arc<ConnectionError>> {
        let started = self.begin_start()?;
        started.await.unwrap_or_else(|_| Err(Arc::new(ConnectionError::Stopped)))
    }

    /// Starts connecting. How that ended comes through the receiver, and as an event.
    pub(crate) fn begin_start(self: &Arc<Self>) -> Result<Started, Arc<ConnectionError>> {
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
            shared.was_up = false;
            shared.renewed = false;
            shared.tell(&ConnectionEvent::Connecting);
            shared.out = C::Out::default();
            shared.runtime = Some(runtime.clone());
            let (sender, receiver) = oneshot::channel();
            shared.started.push(sender);
            (receiver, shared.codec.clone())
        };
        #[cfg(feature = "client")]
        for (events, callback) in mem::take(&mut self.lock().callbacks) {
            runtime.spawn(call_back(events, callback));
        }
        self.callee.start(&runtime);
        runtime.spawn(Driver::new(Arc::clone(self), codec).run());
        Ok(started)
    }

    /// Has a listener hear of what happens from now on.
    pub(crate) fn listen(&self, listener: Box<dyn Listen>) {
        self.lock().listeners.add(listener);
    }

    /// What happens from now on.
    #[cfg(feature = "client")]
    pub(crate) fn events(&self) -> ConnectionEvents {
        let (listener, events) = ConnectionEvents::new();
        self.listen(listener);
        events
    }

    /// Tells a callback what happens from now on.
    #[cfg(feature = "client")]
    pub(super) fn on_event(&self, callback: EventCallback) {
        let events = self.events();
        let mut shared = self.lock();
        match &shared.runtime {
            Some(runtime) => runtime.spawn(call_back(events, callback)),
            None => shared.callbacks.push((events, callback)),
        }
    }

    /// Gets a new token and has the server take it.
    pub(crate) async fn refresh(&self) -> Refreshed {
        let (refreshed, waker) = {
            let mut shared = self.lock();
            if shared.session.connection_token().is_none() {
                return Err(RefreshError::NotConnected);
            }
            if self.settings.token_provider.is_none() {
                return Err(RefreshError::NoProvider);
            }
            let (sender, receiver) = oneshot::channel();
            shared.refreshed.push(sender);
            (receiver, shared.waker.take())
        };
        wake(waker);
        refreshed.await.unwrap_or(Err(RefreshError::NotConnected))
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
    #[cfg(feature = "client")]
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
    #[cfg(feature = "client")]
    pub(crate) async fn closed(&self) -> Option<Arc<ConnectionError>> {
        let ended = self.ended();
        match ended {
            Some(ended) => ended.await.ok(),
            None => self.lock().last_end.clone(),
        }
    }

    /// Stops the connection and waits until it is down.
    #[cfg(feature = "client")]
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

#[cfg(all(browser, feature = "js"))]
impl<C: Codec> Connection<C> {
    /// Has later attempts to connect go to another URL.
    pub(crate) fn set_url(&self, url: crate::core::url::HubUrl) {
        self.lock().session.set_url(url);
    }
}

impl<C: Codec> Shared<C> {
    pub(super) fn write(&mut self, message: &HubMessage<'_, C::Payload<'_>>) {
        match &mut self.buffer {
            None => self.codec.write(&mut self.out, message),
            Some(buffer) if MessageBuffer::<C::Out>::counts(message) => {
                let mut one = C::Out::default();
                self.codec.write(&mut one, message);
                C::append(&mut self.out, &one);
                let size = C::waiting(&one);
                buffer.handle_sent(one, size);
            }
            // What is not counted has no meaning for a later socket.
            Some(_) if self.session.can_send() => self.codec.write(&mut self.out, message),
            Some(_) => {}
        }
    }

    /// There is a new socket for the same connection: what the server may not have got goes out again.
    pub(super) fn resume(&mut self) {
        self.out = C::Out::default();
        if let Some(buffer) = &mut self.buffer {
            let (sequence_id, kept) = buffer.resume();
            self.codec.write(&mut self.out, &HubMessage::Sequence { sequence_id });
            for message in kept {
                C::append(&mut self.out, message);
            }
        }
    }

    /// Whether a message that came is to be processed.
    pub(super) fn is_news(
        &mut self,
        now: Moment,
        message: &HubMessage<'_, C::Payload<'_>>,
    ) -> Result<bool, ProtocolError> {
        let Some(buffer) = &mut self.buffer else { return Ok(true) };
        let news = buffer.handle_message(now, message)?;
        self.release_senders();
        Ok(news)
    }

    /// The server has taken a new token: its own answer, or else the one that was sent to it.
    pub(super) fn accept(&mut self, now: Moment, given: Option<&AccessToken>, sent: Option<&AccessToken>) {
        // What was sent is the provider's, which means nothing to the server that a redirect led to.
        let token = match self.link_token {
            (_, true) if given.is_none() => return,
            _ => given.or(sent),
        };
        self.link_token.0 = token.cloned();
        self.session.handle_renewed_token(now, platform::unix_now(), token);
    }

    /// How much the server has not read, or not acknowledged.
    pub(super) fn unsent(&self) -> usize {
        C::waiting(&self.out) + self.buffer.as_ref().map_or(0, MessageBuffer::size)
    }

    pub(super) fn is_full(&self) -> bool {
        C::waiting(&self.out) > SEND_HIGH_WATER || self.buffer.as_ref().is_some_and(MessageBuffer::is_full)
    }

    /// Everything that waits to be sent.
    pub(super) fn take_out(&mut self) -> Option<C::Out> {
        if C::waiting(&self.out) == 0 {
            return None;
        }
        let out = mem::take(&mut self.out);
        self.release_senders();
        Some(out)
    }

    /// Those who wait may go on when there is room again.
    pub(super) fn release_senders(&mut self) {
        if !self.is_full() {
            for drained in self.drained.drain(..) {
                let _ = drained.send(());
            }
        }
    }

    pub(super) fn tell(&mut self, event: &ConnectionEvent) {
        self.listeners.tell(event);
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
pub(super) fn poll_job<T>(job: &mut Option<BoxFuture<T>>, cx: &mut Context<'_>) -> Poll<T> {
    let Some(future) = job else { return Poll::Pending };
    let done = ready!(Pin::new(future).poll(cx));
    *job = None;
    Poll::Ready(done)
}

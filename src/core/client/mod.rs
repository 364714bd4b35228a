//! The client's machine: every decision over one connection, from `start` to its end.
//!
//! ```text
//! Disconnected ──▶ FetchingToken ──▶ Negotiating ──▶ Opening ──▶ Handshaking ──▶ Connected
//!                        ▲  ▲            │  ▲          │ the next transport          │
//!                        │  └── 401 ─────┘  └──────────┘                             │ the socket is lost
//!                        │                                    stateful: Resuming ◀───┤
//!                        │                                         │       └────────▶│
//!                  WaitingToRetry ◀── AskingRetryPolicy ◀──────────┴─────────────────┘
//!                                          │
//!                                          └─▶ Disconnected
//! ```
//!
//! | part | what it decides |
//! | --- | --- |
//! | `connect` | token, negotiate, transport, handshake |
//! | `recover` | what a failure means: resume, reconnect, or the end |
//! | `receive` | frames and messages from the server, its silence, and when it is not read |
//! | `calls` | the client's calls, uploads and answers |
//! | `authentication` | renewal and refresh of the token |
//!
//! A driver has a transport and a clock, and decides nothing. Order of calls: [`start`](ClientMachine::start); then again
//! and again
//!
//! 1. perform what [`poll_effect`](ClientMachine::poll_effect) gives, until it gives `None`. Effects that were due before
//!    a [`stop`](ClientMachine::stop) still come. After [`Effect::Disconnected`] this driver has ended, and does not call
//!    the machine again until the next `start`: another driver may have started it.
//! 2. While the transport can take a frame, give it what [`poll_transmit`](ClientMachine::poll_transmit) has.
//! 3. Ask [`may_read`](ClientMachine::may_read), and wait for the first of: the result of an effect, a frame if it may be
//!    read, the transport's end, [`poll_timeout`](ClientMachine::poll_timeout), and a call of the owner's, which has to be
//!    able to wake the driver. Hand in what happened by the `handle_…` method of that name.
//!
//! Calls and [`stop`](ClientMachine::stop) may come at any time. An input that does not fit the state is late, and is
//! refused: it changes nothing. The machine knows calls by number; the owner knows who waits for each.
//!
//! ```
//! # #[cfg(feature = "unstable-machines")]
//! # mod example {
//! use hubwire::core::Moment;
//! use hubwire::core::client::{ClientMachine, ClientOptions, Effect, Transmit};
//! use hubwire::core::codec::{Frame, Payload, RawCodec};
//! use hubwire::core::hub::{CallKind, HubEvent};
//! use hubwire::core::message::Outcome;
//! use hubwire::core::url::HubUrl;
//!
//! # pub fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = ClientOptions::new(HubUrl::parse("https://example.com/chat")?);
//! options.skip_negotiation = true; // else Effect::Negotiate comes first
//! let mut machine = ClientMachine::new(options, RawCodec::default());
//! let now = Moment::ZERO; // of the driver's own clock
//!
//! machine.start(now)?;
//! let Some(Effect::Open { url, .. }) = machine.poll_effect() else { return Err("no effect".into()) };
//! // Here the driver opens a WebSocket at `url`, and then says so.
//! machine.handle_open(now, Ok(()));
//! assert!(matches!(machine.poll_transmit(now), Some(Transmit::Handshake(_)))); // goes out as text
//! let mut spare = Vec::new(); // a new one for each frame will do
//! machine.handle_frame(now, Frame::Text("{}\u{1e}"), &mut spare); // the server's answer
//! assert!(matches!(machine.poll_effect(), Some(Effect::Connected { .. })));
//!
//! // Arguments are one JSON array.
//! let call = machine.invoke(CallKind::Plain, "Add", Payload::Json("[1,2]"), 0)?;
//! let Some(Transmit::Messages(bytes)) = machine.poll_transmit(now) else { return Err("no call".into()) };
//! # assert!(String::from_utf8(bytes)?.ends_with("\"arguments\":[1,2]}\u{1e}"));
//! let frame = Frame::Text("{\"type\":3,\"invocationId\":\"0\",\"result\":3}\u{1e}");
//! let mut spare = Vec::new();
//! let mut messages = machine.handle_frame(now, frame, &mut spare).ok_or("no messages")?;
//! while let Some(event) = machine.next_event(now, &mut messages) {
//!     assert_eq!(event, HubEvent::Completed { id: call.id, outcome: Outcome::Value(Payload::Json("3")) });
//! }
//! # Ok(())
//! # }
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     #[cfg(feature = "unstable-machines")]
//! #     example::main()?;
//! #     Ok(())
//! # }
//! ```

mod authentication;
mod calls;
mod connect;
mod error;
mod hold;
mod link;
mod options;
mod receive;
mod recover;
mod retry;
#[cfg(test)]
mod tests;
mod tokens;

pub use self::authentication::{RefreshRequest, Renewal};
pub use self::calls::{Begun, Method};
pub use self::error::ConnectionError;
pub use self::hold::Load;
pub use self::link::ConnectionInfo;
pub use self::options::{ClientOptions, DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_REQUEST_TIMEOUT};
pub use self::retry::{DEFAULT_RETRY_DELAYS, RetryContext};
pub use crate::core::TransportError;
pub use crate::core::outgoing::Transmit;

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use self::authentication::Authentication;
use self::hold::Hold;
use self::link::{Link, Live};
use self::tokens::TokenCache;
use crate::core::codec::Codec;
use crate::core::handshake::HandshakeBuffer;
use crate::core::http::value_fault;
use crate::core::hub::{DEFAULT_PEER_LIMIT, HubMachine, Role};
use crate::core::keepalive::{Due, KeepAlive};
use crate::core::message::HubMessage;
use crate::core::negotiate::{
    AvailableTransport, NegotiateRequest, Negotiation, SkippedTransport, Transport,
};
use crate::core::outgoing::Outgoing;
use crate::core::refresh::RefreshError;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, Moment};

/// What a connection is doing, as far as its owner was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Not started, or ended.
    #[default]
    Disconnected,
    /// Negotiating, opening the transport, shaking hands.
    Connecting,
    /// Calls can be made.
    Connected,
    /// The connection was lost; another may replace it soon.
    Reconnecting,
    /// Stopping.
    Disconnecting,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the driver has to do.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Ask the access token provider, then call [`ClientMachine::handle_token`].
    FetchToken,
    /// Ask the access token provider, then call [`ClientMachine::handle_refresh_token`].
    FetchRefreshToken,
    /// POST, then call [`ClientMachine::handle_negotiate`].
    Negotiate(NegotiateRequest),
    /// POST, then call [`ClientMachine::handle_refresh`].
    Refresh(RefreshRequest),
    /// Open a transport, then call [`ClientMachine::handle_open`]. Its requests carry
    /// [`ClientMachine::link_token`] in a header, or where that cannot be done, in the query.
    Open {
        /// Which.
        transport: Transport,
        /// Where, with its `http` or `https` scheme and without the token.
        url: HubUrl,
    },
    /// Close the transport if there is one, drop every request for connecting that is under way (a token, negotiate,
    /// opening, the retry policy), and wait until that is done before the next effect. What still comes of them must not be
    /// handed in. A refresh goes on.
    CloseTransport {
        /// Whether to drop it without a close frame, which the peer would take as the end of a connection that
        /// goes on. Otherwise send what [`ClientMachine::poll_transmit`] still has first.
        abort: bool,
    },
    /// The connection is up.
    Connected {
        /// What was agreed on.
        info: Box<ConnectionInfo>,
        /// Whether it was up before, since the start.
        again: bool,
    },
    /// The socket of a stateful connection was replaced.
    Resumed,
    /// A connection that was up is down, and every call with it.
    Lost(Arc<ConnectionError>),
    /// Ask the retry policy, then call [`ClientMachine::handle_retry_delay`].
    AskRetryPolicy(RetryContext),
    /// The policy wants to go on after the loss of a connection that was up.
    Reconnecting(Arc<ConnectionError>),
    /// A refresh of the authentication has ended: the new lifetime of the credentials, if the server told it.
    Refreshed(Result<Option<Duration>, RefreshError>),
    /// There is no connection, and there will be none: the last effect.
    Disconnected(Arc<ConnectionError>),
}

#[derive(Debug)]
enum Phase {
    Disconnected,
    FetchingToken,
    Negotiating(Box<Negotiation>),
    /// Without a negotiation when that is skipped.
    Opening(Option<Box<Negotiation>>, Box<Link>),
    Handshaking(Box<Link>, HandshakeBuffer),
    Connected(Live),
    /// A stateful connection whose socket is gone: a new one is being opened, with the provider's token if that
    /// has to be fetched first.
    Resuming {
        live: Live,
        fetching_token: bool,
        cause: Arc<ConnectionError>,
    },
    AskingRetryPolicy(Arc<ConnectionError>),
    WaitingToRetry,
}

/// The attempts since a connection that was up was lost, or since the first connect failed.
#[derive(Debug)]
struct Retry {
    failed: u32,
    since: Moment,
    /// How long the connection was lost before that, in another machine.
    before: Duration,
}

impl Retry {
    fn elapsed(&self, now: Moment) -> Duration {
        self.before + now.since(self.since)
    }
}

/// One client's connection.
pub struct ClientMachine<C: Codec> {
    options: ClientOptions,
    phase: Phase,
    /// When the present step, other than `Connected`, has to be done.
    deadline: Moment,
    /// What the effects so far have told.
    state: ConnectionState,
    /// Whether the connection was up before, since its start.
    was_up: bool,
    tokens: TokenCache,
    /// The token of the transport that was used last, which may still have to say goodbye.
    last_link_token: Option<AccessToken>,
    /// Whether this attempt has asked for a new token after a 401 already.
    renewed: bool,
    authentication: Authentication,
    /// The transports that this attempt can still fall back to, once the server has named them.
    offers: Option<VecDeque<AvailableTransport>>,
    skipped: Vec<SkippedTransport>,
    retry: Option<Retry>,
    hub: HubMachine,
    decoder: C::Decoder,
    outgoing: Outgoing<C>,
    hold: Hold,
    effects: VecDeque<Effect>,
}

impl<C: Codec> ClientMachine<C> {
    /// A connection that is not started.
    #[must_use]
    pub fn new(mut options: ClientOptions, codec: C) -> Self {
        options.transports.format = codec.format();
        let decoder = codec.decoder(options.message_limit);
        Self {
            authentication: Authentication::new(options.refresh_lead),
            options,
            phase: Phase::Disconnected,
            deadline: Moment::MAX,
            state: ConnectionState::Disconnected,
            was_up: false,
            tokens: TokenCache::default(),
            last_link_token: None,
            renewed: false,
            offers: None,
            skipped: Vec::new(),
            retry: None,
            hub: HubMachine::new(Role::Client, DEFAULT_PEER_LIMIT),
            decoder,
            outgoing: Outgoing::new(codec),
            hold: Hold::default(),
            effects: VecDeque::new(),
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// The codec it was made with.
    #[must_use]
    pub fn codec(&self) -> &C {
        self.outgoing.codec()
    }

    /// Has later attempts to connect, of a start or a reconnect, go to another URL.
    pub fn set_url(&mut self, url: HubUrl) {
        self.options.url = url;
    }

    /// Has other limits hold for silence, from the next message on.
    pub fn set_limits(&mut self, keep_alive_interval: Duration, server_timeout: Duration) {
        self.options.keep_alive_interval = keep_alive_interval;
        self.options.server_timeout = server_timeout;
        if let Phase::Connected(Live { keep_alive: Some(keep_alive), .. }) = &mut self.phase {
            keep_alive.set_limits(keep_alive_interval, server_timeout);
        }
    }

    /// The transports that the present attempt has passed over so far, and why.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedTransport] {
        &self.skipped
    }

    /// What the owner was told so far.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.state
    }

    /// What was agreed on, while connected as far as the owner was told.
    #[must_use]
    pub fn info(&self) -> Option<&ConnectionInfo> {
        matches!(self.state, ConnectionState::Connected | ConnectionState::Disconnecting)
            .then(|| self.live().map(|live| &live.link.info))?
    }

    /// Whether calls can be made. While a stateful connection gets a new socket they can, and wait for it. It is true
    /// from the handshake on, and so before [`Effect::Connected`] was polled, which [`state`](Self::state) and
    /// [`info`](Self::info) wait for.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.live().is_some()
    }

    /// Whether there is a transport to send hub messages on.
    #[must_use]
    pub fn has_transport(&self) -> bool {
        matches!(self.phase, Phase::Connected(_))
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front()?;
        let told = match &effect {
            Effect::Connected { .. } => ConnectionState::Connected,
            Effect::Lost(_) => ConnectionState::Reconnecting,
            Effect::Disconnected(_) => ConnectionState::Disconnected,
            _ => return Some(effect),
        };
        if self.state != ConnectionState::Disconnecting || told == ConnectionState::Disconnected {
            self.state = told;
        }
        Some(effect)
    }

    /// Whether [`poll_effect`](Self::poll_effect) has something.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        !self.effects.is_empty()
    }

    /// What the transport has to send next, as one frame. To be asked for when it can take one: what is written in the
    /// meantime goes out together.
    pub fn poll_transmit(&mut self, now: Moment) -> Option<Transmit<C::Out>> {
        let transmit = self.outgoing.take()?;
        if let Phase::Connected(Live { keep_alive: Some(keep_alive), .. }) = &mut self.phase {
            keep_alive.handle_sent(now);
        }
        Some(transmit)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something.
    #[must_use]
    pub fn has_transmit(&self) -> bool {
        self.outgoing.is_waiting()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        let step = match &self.phase {
            Phase::Disconnected => None,
            Phase::Connected(live) => {
                let keep_alive = live.keep_alive.as_ref().map(KeepAlive::poll_timeout);
                earliest(earliest(keep_alive, self.outgoing.poll_timeout()), self.hold.poll_timeout())
            }
            _ => Some(self.deadline),
        };
        earliest(step, self.authentication.poll_timeout())
    }

    /// Connects. The access token provider is asked, whatever token was used before: the user may be another by now.
    ///
    /// # Errors
    /// [`ConnectionError::AlreadyStarted`] unless the state is [`ConnectionState::Disconnected`].
    pub fn start(&mut self, now: Moment) -> Result<(), ConnectionError> {
        self.begin(ConnectionState::Connecting)?;
        self.attempt(now);
        Ok(())
    }

    /// Starts as after the loss of a connection that was up: another machine had it, which is gone with its process or its
    /// worker. `failed` attempts to get it back were made there in `elapsed`. With 0 the loss is told; with more the owner
    /// knows that the connection is [reconnecting](ConnectionState::Reconnecting).
    ///
    /// # Errors
    /// [`ConnectionError::AlreadyStarted`] unless the state is [`ConnectionState::Disconnected`].
    pub fn start_lost(
        &mut self,
        now: Moment,
        error: TransportError,
        failed: u32,
        elapsed: Duration,
    ) -> Result<(), ConnectionError> {
        self.begin(ConnectionState::Reconnecting)?;
        self.was_up = true;
        let error = Arc::new(ConnectionError::Transport(error));
        if failed == 0 {
            self.effects.push_back(Effect::Lost(Arc::clone(&error)));
        }
        self.lost(now, Retry { failed, since: now, before: elapsed }, error);
        Ok(())
    }

    fn begin(&mut self, state: ConnectionState) -> Result<(), ConnectionError> {
        if self.state != ConnectionState::Disconnected {
            return Err(ConnectionError::AlreadyStarted);
        }
        self.state = state;
        self.was_up = false;
        self.tokens.clear();
        self.retry = None;
        Ok(())
    }

    /// Stops the connection, whatever it is doing. Returns whether there is one that will end.
    pub fn stop(&mut self, now: Moment) -> bool {
        if self.state == ConnectionState::Disconnected {
            return false;
        }
        self.state = ConnectionState::Disconnecting;
        if !matches!(self.phase, Phase::Disconnected) {
            if self.has_transport() {
                self.write(&HubMessage::Close { error: None, allow_reconnect: false });
            }
            let error = Arc::new(ConnectionError::Stopped);
            self.close(now, &error);
            self.disconnect(error);
        }
        true
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.refresh_timeout(now);
        let due = now >= self.deadline;
        let (step, limit) = match &mut self.phase {
            Phase::Connected(_) => return self.connected_timeout(now),
            _ if !due => return,
            Phase::Disconnected => return,
            Phase::WaitingToRetry => return self.attempt(now),
            Phase::Resuming { .. } => return self.resume_failed(now),
            Phase::AskingRetryPolicy(_) => return self.handle_retry_delay(now, None),
            Phase::Opening(Some(_), _) => {
                let error = TransportError::new("it took too long to open");
                return self.handle_open(now, Err(error));
            }
            Phase::FetchingToken => ("the access token provider", self.options.request_timeout),
            Phase::Negotiating(_) => ("the answer to negotiate", self.options.request_timeout),
            Phase::Opening(None, _) => ("opening the transport", self.options.request_timeout),
            Phase::Handshaking(..) => ("the answer to the handshake", self.options.handshake_timeout),
        };
        self.fail(now, ConnectionError::Timeout { step, limit });
    }

    /// Acknowledgements, pings, and the server's silence.
    fn connected_timeout(&mut self, now: Moment) {
        self.outgoing.handle_timeout(now);
        self.hold.handle_timeout(now);
        let Phase::Connected(Live { keep_alive: Some(keep_alive), .. }) = &mut self.phase else { return };
        match keep_alive.handle_timeout(now) {
            None => {}
            Some(Due::Ping) => self.write(&HubMessage::Ping),
            // What is not read cannot show whether the server is there.
            Some(Due::PeerTimeout) if self.hold.look() => {
                keep_alive.wait(now);
                // A ping may be due as well.
                if keep_alive.handle_timeout(now) == Some(Due::Ping) {
                    self.write(&HubMessage::Ping);
                }
            }
            Some(Due::PeerTimeout) => {
                let limit = keep_alive.timeout();
                self.fail(now, ConnectionError::ServerTimeout { limit });
            }
        }
    }

    fn live(&self) -> Option<&Live> {
        match &self.phase {
            Phase::Connected(live) | Phase::Resuming { live, .. } => Some(live),
            _ => None,
        }
    }

    fn link(&self) -> Option<&Link> {
        match &self.phase {
            Phase::Opening(_, link) | Phase::Handshaking(link, _) => Some(link),
            _ => self.live().map(|live| &*live.link),
        }
    }

    fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Opening(_, link)
            | Phase::Handshaking(link, _)
            | Phase::Connected(Live { link, .. })
            | Phase::Resuming { live: Live { link, .. }, .. } => Some(link),
            _ => None,
        }
    }

    fn write(&mut self, message: &HubMessage<'_, C::Payload<'_>>) {
        let has_transport = self.has_transport();
        self.outgoing.write(message, has_transport);
    }

    fn enter(&mut self, now: Moment, phase: Phase, effect: Effect) {
        self.phase = phase;
        self.deadline = now + self.options.request_timeout;
        self.effects.push_back(effect);
    }

    fn leave(&mut self) -> Phase {
        if let Some(link) = self.link() {
            self.last_link_token = link.info.token.clone();
        }
        mem::replace(&mut self.phase, Phase::Disconnected)
    }
}

impl<C: Codec> fmt::Debug for ClientMachine<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientMachine")
            .field("state", &self.state)
            .field("url", &self.options.url)
            .finish_non_exhaustive()
    }
}

fn earliest(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Why a token cannot be sent. The standard library's error for a text has code for every character that it may
/// have to escape.
struct UnfitToken(&'static str);

impl fmt::Display for UnfitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the access token ")?;
        f.write_str(self.0)
    }
}

impl fmt::Debug for UnfitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for UnfitToken {}

/// What the access token provider has returned. An empty token means no token.
fn provided(token: Result<Option<AccessToken>, Cause>) -> Result<Option<AccessToken>, Cause> {
    let token = token?.filter(|token| !token.secret().is_empty());
    match token.as_ref().and_then(|token| value_fault(token.secret())) {
        Some(fault) => Err(Cause::of(UnfitToken(fault))),
        None => Ok(token),
    }
}

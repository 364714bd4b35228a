//! A client's connection: negotiate, open a transport, shake hands, stay alive, come back, end.
//!
//! ```text
//!            ┌───────────────────────── renew once after a 401 ──┐
//! start ─▶ FetchToken ─▶ Negotiate ─▶ Open ─▶ SendHandshake ─▶ Connected ─▶ (pings) ─▶ Lost
//!            ▲      redirect ▲ │       │ next transport           ▲   │ Open (stateful)   │
//!            │               └─┘◀──────┘                          └───┘                   │
//!            └──────────────────── AskRetryPolicy, delay ◀────────────────────────────────┘
//!                                         └─▶ Disconnected
//! ```
//!
//! Order of calls: [`start`](Session::start); perform what [`poll_effect`](Session::poll_effect) gives until it
//! gives `None`; then wait for the first of: the effect's result, bytes, the transport's end,
//! [`poll_timeout`](Session::poll_timeout), a wish to stop; hand it in by the `handle_…` method of that name; and
//! so on until [`Effect::Disconnected`], after which the session can be started again.
//!
//! Every input that does not fit the state is late, and ignored.

mod connect;
mod error;
mod options;
mod recover;
mod retry;
#[cfg(test)]
mod tests;
mod tokens;

pub use self::error::ConnectionError;
pub use self::options::{DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_REQUEST_TIMEOUT, SessionOptions};
pub use self::retry::{DEFAULT_RETRY_DELAYS, RetryContext};
pub use crate::core::TransportError;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use self::tokens::TokenCache;
use crate::core::handshake::HandshakeBuffer;
use crate::core::hub::{HubEvent, HubMachine, Pending};
use crate::core::keepalive::{Due, KeepAlive};
use crate::core::message::HubMessage;
use crate::core::negotiate::{
    AvailableTransport, NegotiateRequest, Negotiation, SkippedTransport, Transport,
};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Moment, ProtocolError};

/// What was agreed on in negotiate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Which transport carries the connection.
    pub transport: Transport,
    /// The server that hosts it: the hub's URL, or where it redirected to.
    pub url: HubUrl,
    /// The connection's public id; `None` when negotiate was skipped.
    pub connection_id: Option<String>,
    /// The version of negotiate that was agreed on.
    pub negotiate_version: i64,
    /// The token that opened the connection. `Debug` does not show it.
    pub token: Option<AccessToken>,
    /// Whether the connection survives the loss of its socket (stateful reconnect).
    pub stateful: bool,
    /// How long the credentials are good for, if the server told.
    pub token_lifetime: Option<Duration>,
}

/// What the driver has to do.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect<T, S> {
    /// Ask the access token provider, then call [`Session::handle_token`].
    FetchToken,
    /// POST, then call [`Session::handle_negotiate`].
    Negotiate(NegotiateRequest),
    /// Open a transport, then call [`Session::handle_open`].
    Open {
        /// Which.
        transport: Transport,
        /// Where, with its `http` or `https` scheme and without the token.
        url: HubUrl,
        /// The token to send along: in a header, or where that can't be done, in the query.
        token: Option<AccessToken>,
        /// Whether the token came with a redirect, so that the provider has no newer one.
        redirected_token: bool,
    },
    /// Send this as text, whatever the protocol.
    SendHandshake(Vec<u8>),
    /// The connection is up, for the first time or again.
    Connected(ConnectionInfo),
    /// The socket of a stateful connection was replaced: send a Sequence message and what is not acknowledged yet.
    Resumed,
    /// Send a ping.
    SendPing,
    /// Send a Close message, if that is still possible.
    SendClose,
    /// Flush what was sent, close the transport, and drop it. No more inputs of it count.
    CloseTransport,
    /// A connection that was up is down. Tell the calls that were pending.
    Lost {
        /// Why.
        error: ConnectionError,
        /// The calls that were pending.
        calls: Vec<Pending<T, S>>,
    },
    /// Ask the retry policy, then call [`Session::handle_retry_delay`].
    AskRetryPolicy(RetryContext),
    /// The policy wants to go on after the loss of a connection that was up.
    Reconnecting(ConnectionError),
    /// There is no connection, and there will be none: the last effect.
    Disconnected(ConnectionError),
}

/// A transport that is open or about to be, and all it takes to open it again.
#[derive(Debug)]
struct Link {
    info: ConnectionInfo,
    url: HubUrl,
    connection_token: Option<AccessToken>,
    redirected_token: bool,
}

#[derive(Debug)]
struct Live {
    link: Link,
    /// `None` where the transport keeps itself alive.
    keep_alive: Option<KeepAlive>,
    /// How often the socket was replaced since the server's last byte.
    fruitless_resumes: u8,
}

#[derive(Debug)]
enum Phase {
    Disconnected,
    FetchingToken,
    Negotiating(Negotiation),
    /// Without a negotiation when that is skipped.
    Opening(Option<Negotiation>, Link),
    Handshaking(Link, HandshakeBuffer),
    Connected(Live),
    /// A stateful connection whose socket is gone: a new one is being opened, with the provider's token if that
    /// has to be fetched first.
    Resuming {
        live: Live,
        fetching_token: bool,
        cause: ConnectionError,
    },
    AskingRetryPolicy(ConnectionError),
    WaitingToRetry,
}

/// The attempts since the connection was lost, or since the first connect failed.
#[derive(Debug)]
struct Retry {
    failed: u32,
    since: Moment,
    was_connected: bool,
}

/// One client's connection. What `T`, `S` and `J` are, [`HubMachine`] tells.
#[derive(Debug)]
pub struct Session<T, S, J> {
    options: SessionOptions,
    phase: Box<Phase>,
    /// When the present step, other than `Connected`, has to be done.
    deadline: Moment,
    tokens: TokenCache,
    /// Whether this attempt has asked for a new token after a 401 already.
    renewed: bool,
    /// The transports that this attempt can still fall back to, once the server has named them.
    offers: Option<VecDeque<AvailableTransport>>,
    skipped: Vec<SkippedTransport>,
    retry: Option<Retry>,
    hub: HubMachine<T, S, J>,
    effects: VecDeque<Effect<T, S>>,
}

impl<T, S: Clone, J> Session<T, S, J> {
    /// A session that is not started.
    #[must_use]
    pub fn new(options: SessionOptions) -> Self {
        Self {
            options,
            phase: Box::new(Phase::Disconnected),
            deadline: Moment::MAX,
            tokens: TokenCache::default(),
            renewed: false,
            offers: None,
            skipped: Vec::new(),
            retry: None,
            hub: HubMachine::default(),
            effects: VecDeque::new(),
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Has later attempts to connect, of a start or a reconnect, go to another URL.
    pub fn set_url(&mut self, url: HubUrl) {
        self.options.url = url;
    }

    /// Whether calls can be made. While a stateful connection gets a new socket they can, and wait for it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(*self.phase, Phase::Connected(_) | Phase::Resuming { .. })
    }

    /// Whether there is a transport to send hub messages on.
    #[must_use]
    pub fn can_send(&self) -> bool {
        matches!(*self.phase, Phase::Connected(_))
    }

    /// Whether the next bytes belong to the handshake: hand them to
    /// [`handle_handshake`](Self::handle_handshake), not to the protocol.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        matches!(*self.phase, Phase::Handshaking(..))
    }

    /// What was agreed on, while connected.
    #[must_use]
    pub fn info(&self) -> Option<&ConnectionInfo> {
        self.live().map(|live| &live.link.info)
    }

    /// The secret id of the connection, while connected.
    #[must_use]
    pub fn connection_token(&self) -> Option<&AccessToken> {
        self.live()?.link.connection_token.as_ref()
    }

    fn live(&self) -> Option<&Live> {
        match &*self.phase {
            Phase::Connected(live) | Phase::Resuming { live, .. } => Some(live),
            _ => None,
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect<T, S>> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        match &*self.phase {
            Phase::Disconnected => None,
            Phase::Connected(live) => live.keep_alive.as_ref().map(KeepAlive::poll_timeout),
            _ => Some(self.deadline),
        }
    }

    /// Connects. Does nothing unless disconnected. The access token provider is asked, whatever token was used
    /// before: the user may be another by now.
    pub fn start(&mut self, now: Moment) {
        if matches!(*self.phase, Phase::Disconnected) {
            self.tokens.clear();
            self.retry = None;
            self.attempt(now);
        }
    }

    /// The token was renewed on a request of the transport's, or refreshed: later sockets use it, and reconnects as
    /// well, unless it stands for a redirect's token.
    pub fn handle_renewed_token(&mut self, now: Moment, unix_now: Duration, token: Option<&AccessToken>) {
        let token = token.filter(|token| !token.secret().is_empty());
        let mut redirected = false;
        if let Phase::Opening(_, link)
        | Phase::Handshaking(link, _)
        | Phase::Connected(Live { link, .. })
        | Phase::Resuming { live: Live { link, .. }, .. } = &mut *self.phase
        {
            link.info.token = token.cloned();
            redirected = link.redirected_token;
        }
        if !redirected {
            self.tokens.store(now, unix_now, token);
        }
    }

    /// The calls of the connection, while there is one to make them on. Only messages from the server go through
    /// [`handle_message`](Self::handle_message) instead.
    pub fn calls(&mut self) -> Option<&mut HubMachine<T, S, J>> {
        if self.is_connected() { Some(&mut self.hub) } else { None }
    }

    /// Messages were sent.
    pub fn handle_sent(&mut self, now: Moment) {
        if let Phase::Connected(Live { keep_alive: Some(keep_alive), .. }) = &mut *self.phase {
            keep_alive.handle_sent(now);
        }
    }

    /// Bytes came, of whatever kind.
    pub fn handle_received(&mut self, now: Moment) {
        if let Phase::Connected(live) = &mut *self.phase {
            live.fruitless_resumes = 0;
            if let Some(keep_alive) = &mut live.keep_alive {
                keep_alive.handle_received(now);
            }
        }
    }

    /// A message came. Close is dealt with here and never returned.
    pub fn handle_message<'a, P>(
        &mut self,
        now: Moment,
        message: HubMessage<'a, P>,
    ) -> HubEvent<'a, P, T, S> {
        if !self.can_send() {
            return HubEvent::None;
        }
        match self.hub.handle_message(message) {
            HubEvent::Close { error, allow_reconnect } => {
                let error = ConnectionError::ServerClosed {
                    error: error.filter(|text| !text.is_empty()).map(|text| text.into_owned()),
                    allow_reconnect,
                };
                self.fail(now, error);
                HubEvent::None
            }
            event => event,
        }
    }

    /// The protocol was broken.
    pub fn handle_protocol_error(&mut self, now: Moment, error: ProtocolError) {
        if matches!(*self.phase, Phase::Connected(_) | Phase::Handshaking(..)) {
            self.fail(now, ConnectionError::Protocol(error));
        }
    }

    /// More of the server's messages wait for this side than it can hold.
    pub fn handle_slow_consumer(&mut self, now: Moment) {
        if self.can_send() {
            self.fail(now, ConnectionError::SlowConsumer);
        }
    }

    /// The transport has ended, though nobody asked it to.
    pub fn handle_transport_closed(&mut self, now: Moment, error: TransportError) {
        // While something else is under way there is no transport that could have ended.
        if matches!(*self.phase, Phase::Connected(_) | Phase::Handshaking(..)) {
            self.fail(now, ConnectionError::Transport(error));
        }
    }

    /// The network or the page is back: a retry that waits is made now, and a connection shows whether it lives.
    pub fn handle_wake(&mut self, now: Moment) {
        match &mut *self.phase {
            Phase::WaitingToRetry => self.attempt(now),
            Phase::Connected(Live { keep_alive: Some(keep_alive), .. }) => {
                keep_alive.handle_sent(now);
                self.effects.push_back(Effect::SendPing);
            }
            _ => {}
        }
    }

    /// Stops the connection, whatever it is doing.
    pub fn stop(&mut self) {
        if matches!(*self.phase, Phase::Disconnected) {
            return;
        }
        if self.can_send() {
            self.effects.push_back(Effect::SendClose);
        }
        self.close(&ConnectionError::Stopped);
        self.disconnect(ConnectionError::Stopped);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        let due = now >= self.deadline;
        let (step, limit) = match &mut *self.phase {
            Phase::Connected(Live { keep_alive: Some(keep_alive), .. }) => {
                match keep_alive.handle_timeout(now) {
                    None => {}
                    Some(Due::Ping) => self.effects.push_back(Effect::SendPing),
                    Some(Due::PeerTimeout) => {
                        let limit = keep_alive.timeout();
                        self.fail(now, ConnectionError::ServerTimeout { limit });
                    }
                }
                return;
            }
            _ if !due => return,
            Phase::Disconnected | Phase::Connected(_) => return,
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

    fn enter(&mut self, now: Moment, phase: Phase, effect: Effect<T, S>) {
        *self.phase = phase;
        self.deadline = now.saturating_add(self.options.request_timeout);
        self.effects.push_back(effect);
    }

    fn leave(&mut self) -> Phase {
        mem::replace(&mut self.phase, Phase::Disconnected)
    }
}

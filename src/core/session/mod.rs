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

mod error;
mod options;
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
use crate::core::handshake::{HandshakeBuffer, HandshakeResponse};
use crate::core::hub::{HubEvent, HubMachine, Pending};
use crate::core::keepalive::{Due, KeepAlive};
use crate::core::message::HubMessage;
use crate::core::negotiate::{
    AvailableTransport, NegotiateAnswer, NegotiateRequest, NegotiateResponse, Negotiated, Negotiation,
    SkipReason, SkippedTransport, Transport,
};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Moment, ProtocolError};

/// How often in a row resuming a connection is tried without a byte from the server in between.
const FRUITLESS_RESUMES: u8 = 3;

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

    fn attempt(&mut self, now: Moment) {
        self.renewed = false;
        self.skipped.clear();
        if !self.options.is_allowed(&self.options.url) {
            let error = ConnectionError::InsecureUrl(self.options.url.clone());
            return self.fail(now, error);
        }
        self.authorize(now);
    }

    /// Begins at the hub's own URL, with a token of the provider's.
    fn authorize(&mut self, now: Moment) {
        self.offers = None;
        match self.tokens.valid(now).cloned() {
            Some(token) => self.negotiate(now, Some(token)),
            None if self.options.has_token_provider => {
                self.enter(now, Phase::FetchingToken, Effect::FetchToken);
            }
            None => self.negotiate(now, None),
        }
    }

    /// The access token provider has answered. No token, or an empty one, means to go without. `unix_now` is the
    /// wall clock, which the token's `exp` counts by: the time since 1970.
    pub fn handle_token(
        &mut self,
        now: Moment,
        unix_now: Duration,
        token: Result<Option<AccessToken>, String>,
    ) {
        match &mut *self.phase {
            Phase::FetchingToken => match token.map(not_empty) {
                Ok(token) => {
                    self.tokens.store(now, unix_now, token.as_ref());
                    self.negotiate(now, token);
                }
                Err(reason) => self.fail(now, ConnectionError::AccessToken(reason)),
            },
            Phase::Resuming { live, fetching_token: fetching @ true, .. } => match token.map(not_empty) {
                Ok(token) => {
                    *fetching = false;
                    live.link.info.token.clone_from(&token);
                    let open = open(&live.link);
                    self.tokens.store(now, unix_now, token.as_ref());
                    self.effects.push_back(open);
                }
                Err(_) => self.resume_failed(now),
            },
            _ => {}
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

    fn negotiate(&mut self, now: Moment, token: Option<AccessToken>) {
        let url = self.options.url.clone();
        if self.options.skip_negotiation {
            // There is nobody to say which transports the server has, so it can only be this one.
            let offer = AvailableTransport {
                transport: Transport::WebSockets.name().to_owned(),
                transfer_formats: vec![self.options.transports.format.name().to_owned()],
            };
            if let Err(reason) = self.options.transports.judge(&offer) {
                let skipped = vec![SkippedTransport { transport: offer.transport, reason }];
                return self.fail(now, ConnectionError::NoTransport { skipped });
            }
            let info = ConnectionInfo {
                transport: Transport::WebSockets,
                url: url.clone(),
                connection_id: None,
                negotiate_version: 0,
                token,
                stateful: false,
                token_lifetime: None,
            };
            let link = Link { info, url, connection_token: None, redirected_token: false };
            return self.open(now, None, link);
        }
        self.ask(now, Negotiation::new(url, token, self.options.use_stateful_reconnect));
    }

    fn ask(&mut self, now: Moment, negotiation: Negotiation) {
        let request = negotiation.request();
        self.enter(now, Phase::Negotiating(negotiation), Effect::Negotiate(request));
    }

    /// Negotiate was answered, or failed.
    pub fn handle_negotiate(&mut self, now: Moment, answer: Result<NegotiateAnswer<'_>, TransportError>) {
        let mut negotiation = match self.leave() {
            Phase::Negotiating(negotiation) => negotiation,
            other => return *self.phase = other,
        };
        let url = negotiation.url().clone();
        let answer = match answer {
            Ok(answer) => answer,
            Err(source) => return self.fail(now, ConnectionError::NegotiateRequest { url, source }),
        };
        // The provider may have a better token, but nothing to do with a redirect's.
        let provided = self.options.has_token_provider && !negotiation.has_redirected_token();
        if answer.status == 401 && provided && !self.renewed {
            self.renewed = true;
            self.tokens.clear();
            return self.authorize(now);
        }
        match negotiation.handle_answer(answer) {
            Err(source) => self.fail(now, ConnectionError::Negotiate { url, source }),
            Ok(Negotiated::Redirect) if !self.options.is_allowed(negotiation.url()) => {
                self.fail(now, ConnectionError::InsecureUrl(negotiation.url().clone()));
            }
            Ok(Negotiated::Redirect) => self.ask(now, negotiation),
            Ok(Negotiated::Done(response)) => self.choose_transport(now, negotiation, response),
        }
    }

    fn choose_transport(&mut self, now: Moment, negotiation: Negotiation, mut response: NegotiateResponse) {
        // The server's first answer decides the order; a later one only brings a new connection.
        let offered = mem::take(&mut response.available_transports);
        self.offers.get_or_insert_with(|| offered.into());
        let Some(transport) = self.next_transport() else {
            let skipped = mem::take(&mut self.skipped);
            return self.fail(now, ConnectionError::NoTransport { skipped });
        };
        let url = negotiation.connect_url(&response);
        let stateful = response.use_stateful_reconnect && transport == Transport::WebSockets;
        let info = ConnectionInfo {
            transport,
            url: negotiation.url().clone(),
            connection_id: response.connection_id,
            negotiate_version: response.negotiate_version,
            token: negotiation.token().cloned(),
            stateful,
            token_lifetime: negotiation.token_lifetime(),
        };
        let redirected_token = negotiation.has_redirected_token();
        let link = Link { info, url, connection_token: response.connection_token, redirected_token };
        self.open(now, Some(negotiation), link);
    }

    /// The next of the server's transports that can be used. It stays the first offer until it has failed.
    fn next_transport(&mut self) -> Option<Transport> {
        let offers = self.offers.as_mut()?;
        while let Some(offer) = offers.front() {
            match self.options.transports.judge(offer) {
                Ok(transport) => return Some(transport),
                Err(reason) => {
                    let transport = offer.transport.clone();
                    self.skipped.push(SkippedTransport { transport, reason });
                    offers.pop_front();
                }
            }
        }
        None
    }

    fn open(&mut self, now: Moment, negotiation: Option<Negotiation>, link: Link) {
        let effect = open(&link);
        self.enter(now, Phase::Opening(negotiation, link), effect);
    }

    /// The transport is open, or could not be opened.
    pub fn handle_open(&mut self, now: Moment, opened: Result<(), TransportError>) {
        match (self.leave(), opened) {
            (Phase::Opening(_, link), Ok(())) => {
                let mut protocol = self.options.protocol.clone();
                if link.info.stateful {
                    protocol.version = 2;
                }
                let mut request = Vec::new();
                protocol.write(&mut request);
                let phase = Phase::Handshaking(link, HandshakeBuffer::default());
                self.enter(now, phase, Effect::SendHandshake(request));
                self.deadline = now.saturating_add(self.options.handshake_timeout);
            }
            (Phase::Opening(negotiation, link), Err(error)) => {
                self.open_failed(now, negotiation, &link, error);
            }
            // No handshake on the new socket: the connection is the old one.
            (Phase::Resuming { mut live, fetching_token: false, .. }, Ok(())) => {
                live.keep_alive = self.keep_alive(now, live.link.info.transport);
                live.fruitless_resumes += 1;
                *self.phase = Phase::Connected(live);
                self.effects.push_back(Effect::Resumed);
                self.effects.push_back(Effect::SendPing);
            }
            (Phase::Resuming { mut live, fetching_token: false, cause }, Err(error)) => {
                // A refusal is final. A network that fails once more may be just the rest of the same trouble, and a
                // conflict (409) says that the server has not noticed the end of the old socket.
                let again = error.status.is_none_or(|status| status == 409)
                    && live.fruitless_resumes < FRUITLESS_RESUMES;
                live.fruitless_resumes += 1;
                if again {
                    return self.resume(now, live, cause);
                }
                *self.phase = Phase::Resuming { live, fetching_token: false, cause };
                self.resume_failed(now);
            }
            (phase, _) => *self.phase = phase,
        }
    }

    fn open_failed(
        &mut self,
        now: Moment,
        negotiation: Option<Negotiation>,
        link: &Link,
        error: TransportError,
    ) {
        let Some(negotiation) = negotiation else {
            return self.fail(now, ConnectionError::Transport(error));
        };
        let failed = self.offers.as_mut().and_then(VecDeque::pop_front);
        self.skipped.push(SkippedTransport {
            transport: failed.map_or_else(|| link.info.transport.name().to_owned(), |offer| offer.transport),
            reason: SkipReason::Failed(error),
        });
        if self.next_transport().is_none() {
            let skipped = mem::take(&mut self.skipped);
            return self.fail(now, ConnectionError::NoTransport { skipped });
        }
        // The connection's id is spent.
        self.effects.push_back(Effect::CloseTransport);
        self.ask(now, negotiation);
    }

    /// Bytes came while [`is_handshaking`](Self::is_handshaking). Returns what follows the handshake in the same
    /// chunk: hub messages.
    pub fn handle_handshake<'c>(&mut self, now: Moment, chunk: &'c [u8]) -> &'c [u8] {
        let Phase::Handshaking(_, buffer) = &mut *self.phase else { return chunk };
        let error = match buffer.feed(chunk) {
            Ok(None) => return &[],
            Ok(Some((record, rest))) => match HandshakeResponse::parse(&record) {
                Ok(HandshakeResponse { error: None }) => {
                    self.connected(now);
                    return rest;
                }
                Ok(HandshakeResponse { error: Some(error) }) => ConnectionError::Handshake(error),
                Err(error) => ConnectionError::Protocol(error),
            },
            Err(error) => ConnectionError::Protocol(error),
        };
        self.fail(now, error);
        &[]
    }

    fn connected(&mut self, now: Moment) {
        if let Phase::Handshaking(link, _) = self.leave() {
            self.retry = None;
            self.effects.push_back(Effect::Connected(link.info.clone()));
            let keep_alive = self.keep_alive(now, link.info.transport);
            if keep_alive.is_some() {
                // A server arms its own timeout at the client's first ping.
                self.effects.push_back(Effect::SendPing);
            }
            *self.phase = Phase::Connected(Live { link, keep_alive, fruitless_resumes: 0 });
        }
    }

    /// Long polling always has a request under way, which tells soon enough that the server is gone.
    fn keep_alive(&self, now: Moment, transport: Transport) -> Option<KeepAlive> {
        (transport != Transport::LongPolling)
            .then(|| KeepAlive::new(now, self.options.keep_alive_interval, self.options.server_timeout))
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

    /// The retry policy has answered: after which delay to try again, or `None` to give up.
    pub fn handle_retry_delay(&mut self, now: Moment, delay: Option<Duration>) {
        let reason = match self.leave() {
            Phase::AskingRetryPolicy(reason) => reason,
            other => return *self.phase = other,
        };
        match (delay, &self.retry) {
            (Some(delay), Some(retry)) => {
                if retry.was_connected && retry.failed == 0 {
                    self.effects.push_back(Effect::Reconnecting(reason));
                }
                *self.phase = Phase::WaitingToRetry;
                self.deadline = now.saturating_add(delay);
                if delay.is_zero() {
                    self.attempt(now);
                }
            }
            (None, Some(Retry { failed: attempts @ 1.., since, .. })) => {
                let elapsed = now.saturating_sub(*since);
                let last = Box::new(reason);
                self.disconnect(ConnectionError::RetriesExhausted { attempts: *attempts, elapsed, last });
            }
            _ => self.disconnect(reason),
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

    /// Something has failed. What it means depends on how far the connection was.
    fn fail(&mut self, now: Moment, error: ConnectionError) {
        let may_resume =
            matches!(error, ConnectionError::Transport(_) | ConnectionError::ServerTimeout { .. });
        match self.leave() {
            Phase::Connected(live)
                if may_resume && live.link.info.stateful && live.fruitless_resumes < FRUITLESS_RESUMES =>
            {
                self.effects.push_back(Effect::CloseTransport);
                self.resume(now, live, error);
            }
            phase @ (Phase::Connected(_) | Phase::Resuming { .. }) => {
                *self.phase = phase;
                self.close(&error);
                let retry = Retry { failed: 0, since: now, was_connected: true };
                if self.options.automatic_reconnect && error.allows_reconnect() {
                    self.ask_retry_policy(now, retry, error);
                } else {
                    self.disconnect(error);
                }
            }
            _ => {
                self.close(&error);
                match self.retry.take() {
                    Some(retry) => {
                        self.ask_retry_policy(now, Retry { failed: retry.failed + 1, ..retry }, error);
                    }
                    None if self.options.retry_first_connect && error.is_retryable() => {
                        self.ask_retry_policy(
                            now,
                            Retry { failed: 0, since: now, was_connected: false },
                            error,
                        );
                    }
                    None => self.disconnect(error),
                }
            }
        }
    }

    fn ask_retry_policy(&mut self, now: Moment, retry: Retry, reason: ConnectionError) {
        let context = RetryContext {
            previous_retry_count: retry.failed,
            elapsed: now.saturating_sub(retry.since),
            reason: reason.clone(),
        };
        self.retry = Some(retry);
        self.enter(now, Phase::AskingRetryPolicy(reason), Effect::AskRetryPolicy(context));
    }

    /// The same connection on a new socket: the same URL, and no delay.
    fn resume(&mut self, now: Moment, mut live: Live, cause: ConnectionError) {
        let provided = self.options.has_token_provider && !live.link.redirected_token;
        let token = self.tokens.valid(now).cloned();
        let fetching_token = provided && token.is_none();
        if provided && token.is_some() {
            live.link.info.token = token;
        }
        let effect = if fetching_token { Effect::FetchToken } else { open(&live.link) };
        self.enter(now, Phase::Resuming { live, fetching_token, cause }, effect);
        // A server forgets the connection sooner than a request times out.
        self.deadline = now.saturating_add(self.options.server_timeout.min(self.options.request_timeout));
    }

    fn resume_failed(&mut self, now: Moment) {
        if let Phase::Resuming { cause, .. } = &*self.phase {
            let cause = cause.clone();
            self.fail(now, cause);
        }
    }

    /// The end of a transport, and of a connection that was up.
    fn close(&mut self, error: &ConnectionError) {
        self.effects.push_back(Effect::CloseTransport);
        if self.is_connected() {
            let calls = self.hub.close();
            self.effects.push_back(Effect::Lost { error: error.clone(), calls });
        }
        *self.phase = Phase::Disconnected;
    }

    /// The one exit.
    fn disconnect(&mut self, error: ConnectionError) {
        *self.phase = Phase::Disconnected;
        self.retry = None;
        self.effects.push_back(Effect::Disconnected(error));
    }
}

fn open<T, S>(link: &Link) -> Effect<T, S> {
    Effect::Open {
        transport: link.info.transport,
        url: link.url.clone(),
        token: link.info.token.clone(),
        redirected_token: link.redirected_token,
    }
}

fn not_empty(token: Option<AccessToken>) -> Option<AccessToken> {
    token.filter(|token| !token.secret().is_empty())
}

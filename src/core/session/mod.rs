//! A client's connection: negotiate, open a transport, shake hands, stay alive, end.
//!
//! ```text
//! start ─▶ FetchToken ─▶ Negotiate ─▶ … ─▶ Open ─▶ SendHandshake ─▶ Connected ─▶ (pings) ─▶ Disconnected
//!                            ▲ redirect │
//!                            └──────────┘
//! ```
//!
//! Order of calls: [`start`](Session::start); perform what [`poll_effect`](Session::poll_effect) gives until it
//! gives `None`; then wait for the first of: the effect's result, bytes, the transport's end,
//! [`poll_timeout`](Session::poll_timeout), a wish to stop; hand it in by the `handle_…` method of that name; and
//! so on until [`Effect::Disconnected`], after which the session can be started again.
//!
//! Every input that does not fit the state is late, and ignored.

mod error;
#[cfg(test)]
mod tests;

pub use self::error::{ConnectionError, TransportError};

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::handshake::{HandshakeBuffer, HandshakeRequest, HandshakeResponse};
use crate::core::hub::{HubEvent, HubMachine, Pending};
use crate::core::keepalive::{self, Due, KeepAlive};
use crate::core::message::HubMessage;
use crate::core::negotiate::{
    NegotiateAnswer, NegotiateRequest, NegotiateResponse, Negotiated, Negotiation, TransferFormat, Transport,
    TransportChoice, Transports,
};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Moment, ProtocolError};

/// How long a token, an HTTP answer or an open socket is waited for. The official clients' `timeout`.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(100);

/// How long the answer to the handshake is waited for.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// What a session needs to know. Times are of the official clients unless set.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The hub.
    pub url: HubUrl,
    /// The hub protocol's name and version.
    pub protocol: HandshakeRequest,
    /// Which transports can carry the connection.
    pub transports: TransportChoice,
    /// Open a WebSocket at the hub's URL without negotiate. There is no connection id then, and no redirect.
    pub skip_negotiation: bool,
    /// Whether to ask for stateful reconnect.
    pub use_stateful_reconnect: bool,
    /// Whether there is an access token provider to ask.
    pub has_token_provider: bool,
    /// Whether plain http to other machines is allowed.
    pub insecure_http: bool,
    /// A ping is sent after so long without another message.
    pub keep_alive_interval: Duration,
    /// The connection ends after so long without a byte from the server.
    pub server_timeout: Duration,
    /// See [`DEFAULT_HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// See [`DEFAULT_REQUEST_TIMEOUT`].
    pub request_timeout: Duration,
}

impl SessionOptions {
    /// JSON over WebSockets, with the default times.
    #[must_use]
    pub fn new(url: HubUrl) -> Self {
        Self {
            url,
            protocol: HandshakeRequest { protocol: "json".into(), version: 1 },
            transports: TransportChoice {
                allowed: Transports::ALL,
                available: Transport::WebSockets.into(),
                format: TransferFormat::Text,
            },
            skip_negotiation: false,
            use_stateful_reconnect: false,
            has_token_provider: false,
            insecure_http: false,
            keep_alive_interval: keepalive::DEFAULT_INTERVAL,
            server_timeout: keepalive::DEFAULT_TIMEOUT,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
        }
    }
}

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
    },
    /// Send this as text, whatever the protocol.
    SendHandshake(Vec<u8>),
    /// The connection is up.
    Connected(ConnectionInfo),
    /// Send a ping.
    SendPing,
    /// Send a Close message, if that is still possible.
    SendClose,
    /// Flush what was sent, close the transport, and drop it. No more inputs of it count.
    CloseTransport,
    /// The connection is down, or never came up: the last effect. Tell the calls that were pending.
    Disconnected {
        /// Why.
        error: ConnectionError,
        /// The calls that were pending.
        calls: Vec<Pending<T, S>>,
    },
}

#[derive(Debug)]
enum Phase {
    Disconnected,
    FetchingToken,
    Negotiating(Negotiation),
    Opening(ConnectionInfo),
    Handshaking(ConnectionInfo, HandshakeBuffer),
    Connected(KeepAlive),
}

/// One client's connection. What `T`, `S` and `J` are, [`HubMachine`] tells.
#[derive(Debug)]
pub struct Session<T, S, J> {
    options: SessionOptions,
    phase: Phase,
    /// When the step before `Connected` has to be done.
    deadline: Moment,
    hub: HubMachine<T, S, J>,
    effects: VecDeque<Effect<T, S>>,
}

impl<T, S: Clone, J> Session<T, S, J> {
    /// A session that is not started.
    #[must_use]
    pub fn new(options: SessionOptions) -> Self {
        Self {
            options,
            phase: Phase::Disconnected,
            deadline: Moment::MAX,
            hub: HubMachine::default(),
            effects: VecDeque::new(),
        }
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Whether calls can be made.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected(_))
    }

    /// Whether the next bytes belong to the handshake: hand them to
    /// [`handle_handshake`](Self::handle_handshake), not to the protocol.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Handshaking(..))
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect<T, S>> {
        self.effects.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Disconnected => None,
            Phase::Connected(keep_alive) => Some(keep_alive.poll_timeout()),
            _ => Some(self.deadline),
        }
    }

    /// Connects. Does nothing unless disconnected.
    pub fn start(&mut self, now: Moment) {
        if !matches!(self.phase, Phase::Disconnected) {
            return;
        }
        if !self.is_allowed(&self.options.url) {
            self.fail(ConnectionError::InsecureUrl(self.options.url.clone()));
        } else if self.options.has_token_provider {
            self.enter(now, Phase::FetchingToken, Effect::FetchToken);
        } else {
            self.negotiate(now, None);
        }
    }

    /// The access token provider has answered. No token, or an empty one, means to go without.
    pub fn handle_token(&mut self, now: Moment, token: Result<Option<AccessToken>, String>) {
        if matches!(self.phase, Phase::FetchingToken) {
            match token {
                Ok(token) => self.negotiate(now, token.filter(|token| !token.secret().is_empty())),
                Err(reason) => self.fail(ConnectionError::AccessToken(reason)),
            }
        }
    }

    fn negotiate(&mut self, now: Moment, token: Option<AccessToken>) {
        let url = self.options.url.clone();
        if self.options.skip_negotiation {
            let info = ConnectionInfo {
                transport: Transport::WebSockets,
                url: url.clone(),
                connection_id: None,
                negotiate_version: 0,
                token,
            };
            return self.open(now, info, url);
        }
        let negotiation = Negotiation::new(url, token, self.options.use_stateful_reconnect);
        let request = negotiation.request();
        self.enter(now, Phase::Negotiating(negotiation), Effect::Negotiate(request));
    }

    /// Negotiate was answered, or failed.
    pub fn handle_negotiate(&mut self, now: Moment, answer: Result<NegotiateAnswer<'_>, TransportError>) {
        if !matches!(self.phase, Phase::Negotiating(_)) {
            return;
        }
        let Phase::Negotiating(mut negotiation) = std::mem::replace(&mut self.phase, Phase::Disconnected)
        else {
            return;
        };
        let url = negotiation.url().clone();
        let answer = match answer {
            Ok(answer) => answer,
            Err(source) => return self.fail(ConnectionError::NegotiateRequest { url, source }),
        };
        match negotiation.handle_answer(answer) {
            Err(source) => self.fail(ConnectionError::Negotiate { url, source }),
            Ok(Negotiated::Redirect) if !self.is_allowed(negotiation.url()) => {
                self.fail(ConnectionError::InsecureUrl(negotiation.url().clone()));
            }
            Ok(Negotiated::Redirect) => {
                let request = negotiation.request();
                self.enter(now, Phase::Negotiating(negotiation), Effect::Negotiate(request));
            }
            Ok(Negotiated::Done(response)) => self.choose_transport(now, &negotiation, response),
        }
    }

    fn choose_transport(&mut self, now: Moment, negotiation: &Negotiation, mut response: NegotiateResponse) {
        let mut skipped = Vec::new();
        let offers = std::mem::take(&mut response.available_transports);
        let Some(transport) = self.options.transports.choose(offers, &mut skipped) else {
            return self.fail(ConnectionError::NoTransport { skipped });
        };
        let url = negotiation.connect_url(&response);
        let info = ConnectionInfo {
            transport,
            url: negotiation.url().clone(),
            connection_id: response.connection_id,
            negotiate_version: response.negotiate_version,
            token: negotiation.token().cloned(),
        };
        self.open(now, info, url);
    }

    fn open(&mut self, now: Moment, info: ConnectionInfo, url: HubUrl) {
        let effect = Effect::Open { transport: info.transport, url, token: info.token.clone() };
        self.enter(now, Phase::Opening(info), effect);
    }

    /// The transport is open, or could not be opened.
    pub fn handle_open(&mut self, now: Moment, opened: Result<(), TransportError>) {
        if !matches!(self.phase, Phase::Opening(_)) {
            return;
        }
        let Phase::Opening(info) = std::mem::replace(&mut self.phase, Phase::Disconnected) else { return };
        if let Err(error) = opened {
            return self.fail(ConnectionError::Transport(error));
        }
        let mut request = Vec::new();
        self.options.protocol.write(&mut request);
        self.enter(now, Phase::Handshaking(info, HandshakeBuffer::default()), Effect::SendHandshake(request));
        self.deadline = now.saturating_add(self.options.handshake_timeout);
    }

    /// Bytes came while [`is_handshaking`](Self::is_handshaking). Returns what follows the handshake in the same
    /// chunk: hub messages.
    pub fn handle_handshake<'c>(&mut self, now: Moment, chunk: &'c [u8]) -> &'c [u8] {
        let Phase::Handshaking(_, buffer) = &mut self.phase else { return chunk };
        match buffer.feed(chunk) {
            Ok(None) => &[],
            Ok(Some((record, rest))) => {
                match HandshakeResponse::parse(&record) {
                    Err(error) => self.handle_protocol_error(error),
                    Ok(HandshakeResponse { error: Some(error) }) => {
                        self.fail(ConnectionError::Handshake(error))
                    }
                    Ok(HandshakeResponse { error: None }) => self.connected(now),
                }
                rest
            }
            Err(error) => {
                self.handle_protocol_error(error);
                &[]
            }
        }
    }

    fn connected(&mut self, now: Moment) {
        let options = &self.options;
        let keep_alive = KeepAlive::new(now, options.keep_alive_interval, options.server_timeout);
        if let Phase::Handshaking(info, _) = std::mem::replace(&mut self.phase, Phase::Connected(keep_alive))
        {
            self.effects.push_back(Effect::Connected(info));
            // A server arms its own timeout at the client's first ping.
            self.effects.push_back(Effect::SendPing);
        }
    }

    /// The calls of the connection, while there is one to make them on. Only messages from the server go through
    /// [`handle_message`](Self::handle_message) instead.
    pub fn calls(&mut self) -> Option<&mut HubMachine<T, S, J>> {
        if self.is_connected() { Some(&mut self.hub) } else { None }
    }

    /// Messages were sent.
    pub fn handle_sent(&mut self, now: Moment) {
        if let Phase::Connected(keep_alive) = &mut self.phase {
            keep_alive.handle_sent(now);
        }
    }

    /// Bytes came, of whatever kind.
    pub fn handle_received(&mut self, now: Moment) {
        if let Phase::Connected(keep_alive) = &mut self.phase {
            keep_alive.handle_received(now);
        }
    }

    /// A message came. Close is dealt with here and never returned.
    pub fn handle_message<'a, P>(&mut self, message: HubMessage<'a, P>) -> HubEvent<'a, P, T, S> {
        if !self.is_connected() {
            return HubEvent::None;
        }
        match self.hub.handle_message(message) {
            HubEvent::Close { error, allow_reconnect } => {
                self.fail(ConnectionError::ServerClosed {
                    error: error.filter(|text| !text.is_empty()).map(|text| text.into_owned()),
                    allow_reconnect,
                });
                HubEvent::None
            }
            event => event,
        }
    }

    /// The protocol was broken.
    pub fn handle_protocol_error(&mut self, error: ProtocolError) {
        self.end(ConnectionError::Protocol(error));
    }

    /// More of the server's messages wait for this side than it can hold.
    pub fn handle_slow_consumer(&mut self) {
        self.end(ConnectionError::SlowConsumer);
    }

    /// The transport has ended, though nobody asked it to.
    pub fn handle_transport_closed(&mut self, error: TransportError) {
        self.end(ConnectionError::Transport(error));
    }

    /// Stops the connection, whatever it is doing.
    pub fn stop(&mut self) {
        if self.is_connected() {
            self.effects.push_back(Effect::SendClose);
        }
        self.end(ConnectionError::Stopped);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        let (step, limit) = match &mut self.phase {
            Phase::Disconnected => return,
            Phase::Connected(keep_alive) => {
                match keep_alive.handle_timeout(now) {
                    None => {}
                    Some(Due::Ping) => self.effects.push_back(Effect::SendPing),
                    Some(Due::PeerTimeout) => {
                        let limit = keep_alive.timeout();
                        self.fail(ConnectionError::ServerTimeout { limit });
                    }
                }
                return;
            }
            Phase::FetchingToken => ("the access token provider", self.options.request_timeout),
            Phase::Negotiating(_) => ("the answer to negotiate", self.options.request_timeout),
            Phase::Opening(_) => ("opening the transport", self.options.request_timeout),
            Phase::Handshaking(..) => ("the answer to the handshake", self.options.handshake_timeout),
        };
        if now >= self.deadline {
            self.fail(ConnectionError::Timeout { step, limit });
        }
    }

    fn is_allowed(&self, url: &HubUrl) -> bool {
        url.is_https() || url.is_loopback() || self.options.insecure_http
    }

    fn enter(&mut self, now: Moment, phase: Phase, effect: Effect<T, S>) {
        self.phase = phase;
        self.deadline = now.saturating_add(self.options.request_timeout);
        self.effects.push_back(effect);
    }

    fn end(&mut self, error: ConnectionError) {
        if !matches!(self.phase, Phase::Disconnected) {
            self.fail(error);
        }
    }

    /// The one exit.
    fn fail(&mut self, error: ConnectionError) {
        self.phase = Phase::Disconnected;
        self.effects.push_back(Effect::CloseTransport);
        self.effects.push_back(Effect::Disconnected { error, calls: self.hub.close() });
    }
}

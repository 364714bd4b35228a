//! Connecting: token, negotiate, transport, handshake.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::link::{ConnectionInfo, FRUITLESS_RESUMES, Link, Live};
use super::{ClientMachine, ConnectionError, Effect, Phase, TransportError, provided};
use crate::core::codec::Codec;
use crate::core::handshake::{HandshakeBuffer, HandshakeRequest, HandshakeResponse};
use crate::core::keepalive::KeepAlive;
use crate::core::message::HubMessage;
use crate::core::negotiate::{
    AvailableTransport, NegotiateAnswer, NegotiateResponse, Negotiated, Negotiation, SkipReason,
    SkippedTransport, Transport,
};
use crate::core::text::clipped;
use crate::core::token::AccessToken;
use crate::core::{Cause, Moment};

impl<C: Codec> ClientMachine<C> {
    pub(super) fn attempt(&mut self, now: Moment) {
        self.renewed = false;
        self.skipped.clear();
        if !self.options.is_allowed(&self.options.url) {
            let error = ConnectionError::InsecureUrl(self.options.url.clone());
            return self.fail(now, error);
        }
        self.authorize(now);
    }

    /// Begins at the hub's own URL, with a token from the provider.
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

    /// The access token provider has answered. No token, or an empty one, means to connect without one. `unix_now` is the
    /// wall clock, which the token's `exp` counts by: the time since 1970.
    pub fn handle_token(
        &mut self,
        now: Moment,
        unix_now: Duration,
        token: Result<Option<AccessToken>, Cause>,
    ) {
        match &mut self.phase {
            Phase::FetchingToken => match provided(token) {
                Ok(token) => {
                    self.tokens.store(now, unix_now, token.as_ref());
                    self.negotiate(now, token);
                }
                Err(cause) => self.fail(now, ConnectionError::AccessToken(cause)),
            },
            Phase::Resuming { live, fetching_token: fetching @ true, .. } => match provided(token) {
                Ok(token) => {
                    *fetching = false;
                    live.link.info.token.clone_from(&token);
                    let open = live.link.open();
                    self.tokens.store(now, unix_now, token.as_ref());
                    self.effects.push_back(open);
                }
                Err(_) => self.resume_failed(now),
            },
            _ => {}
        }
    }

    fn negotiate(&mut self, now: Moment, token: Option<AccessToken>) {
        let url = self.options.url.clone();
        if self.options.skip_negotiation {
            // Without negotiate nothing names the server's transports, so it can only be this one.
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
        let negotiation = Negotiation::new(url, token, self.options.use_stateful_reconnect);
        self.ask(now, Box::new(negotiation));
    }

    fn ask(&mut self, now: Moment, negotiation: Box<Negotiation>) {
        let request = negotiation.request();
        self.enter(now, Phase::Negotiating(negotiation), Effect::Negotiate(request));
    }

    /// Negotiate was answered, or failed.
    pub fn handle_negotiate(&mut self, now: Moment, answer: Result<NegotiateAnswer<'_>, TransportError>) {
        let mut negotiation = match self.leave() {
            Phase::Negotiating(negotiation) => negotiation,
            other => return self.phase = other,
        };
        let url = negotiation.url().clone();
        let answer = match answer {
            Ok(answer) => answer,
            Err(source) => return self.fail(now, ConnectionError::NegotiateRequest { url, source }),
        };
        // The provider may have a better token, unless the token came with a redirect.
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

    fn choose_transport(
        &mut self,
        now: Moment,
        negotiation: Box<Negotiation>,
        mut response: NegotiateResponse,
    ) {
        // The server's first answer decides the order; a later one only brings a new connection.
        let offered = mem::take(&mut response.available_transports);
        self.offers.get_or_insert_with(|| offered.into());
        let custom = self.options.custom_transport;
        let transport = if custom { Some(Transport::WebSockets) } else { self.next_transport() };
        let Some(transport) = transport else {
            let skipped = mem::take(&mut self.skipped);
            return self.fail(now, ConnectionError::NoTransport { skipped });
        };
        let url = negotiation.connect_url(&response);
        let stateful = response.use_stateful_reconnect && transport == Transport::WebSockets && !custom;
        let info = ConnectionInfo {
            transport,
            url: negotiation.url().clone(),
            connection_id: response.connection_id.take(),
            negotiate_version: response.negotiate_version,
            token: negotiation.token().cloned(),
            stateful,
            token_lifetime: negotiation.token_lifetime(),
        };
        let redirected_token = negotiation.has_redirected_token();
        let link = Link { info, url, connection_token: response.connection_token.take(), redirected_token };
        // There is nothing to fall back to from the driver's own.
        self.open(now, Some(negotiation).filter(|_| !custom), link);
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

    fn open(&mut self, now: Moment, negotiation: Option<Box<Negotiation>>, link: Link) {
        let effect = link.open();
        self.enter(now, Phase::Opening(negotiation, Box::new(link)), effect);
    }

    /// The transport is open, or could not be opened.
    pub fn handle_open(&mut self, now: Moment, opened: Result<(), TransportError>) {
        match (self.leave(), opened) {
            (Phase::Opening(_, link), Ok(())) => {
                let protocol = self.codec().name().to_owned();
                let version = if link.info.stateful { 2 } else { 1 };
                let mut request = Vec::new();
                HandshakeRequest { protocol, version }.write(&mut request);
                self.outgoing.begin(request);
                self.phase = Phase::Handshaking(link, HandshakeBuffer::default());
                self.deadline = now + self.options.handshake_timeout;
                self.begin_transport();
            }
            (Phase::Opening(negotiation, link), Err(error)) => {
                self.open_failed(now, negotiation, &link, error);
            }
            // No handshake on the new socket: the connection is the old one.
            (Phase::Resuming { mut live, fetching_token: false, .. }, Ok(())) => {
                live.keep_alive = self.keep_alive(now, live.link.info.transport);
                live.fruitless_resumes += 1;
                self.phase = Phase::Connected(live);
                self.outgoing.resume(now);
                self.begin_transport();
                self.effects.push_back(Effect::Resumed);
                self.write(&HubMessage::Ping);
            }
            (Phase::Resuming { mut live, fetching_token: false, cause }, Err(error)) => {
                // A refusal is final. Another network failure may be part of the same outage, and a
                // conflict (409) says that the server has not noticed the end of the old socket.
                let again = error.status.is_none_or(|status| status == 409)
                    && live.fruitless_resumes < FRUITLESS_RESUMES;
                live.fruitless_resumes += 1;
                if again {
                    return self.reopen(now, live, cause);
                }
                self.phase = Phase::Resuming { live, fetching_token: false, cause };
                self.resume_failed(now);
            }
            (phase, _) => self.phase = phase,
        }
    }

    /// A message that the last transport left half received does not continue on the next.
    fn begin_transport(&mut self) {
        self.decoder = self.codec().decoder(self.options.message_limit);
        self.hold.reset();
    }

    fn open_failed(
        &mut self,
        now: Moment,
        negotiation: Option<Box<Negotiation>>,
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
        // The connection's id can be used only once.
        self.effects.push_back(Effect::CloseTransport { abort: false });
        self.ask(now, negotiation);
    }

    /// Takes bytes of the server's answer to the handshake. Returns how many of them belong to it, once it is whole.
    pub(super) fn shake_hands(&mut self, now: Moment, chunk: &[u8]) -> Option<usize> {
        let Phase::Handshaking(_, buffer) = &mut self.phase else { return None };
        let error = match buffer.feed(chunk) {
            Ok(None) => return None,
            Ok(Some((record, rest))) => match HandshakeResponse::parse(&record) {
                Ok(HandshakeResponse { error: None }) => {
                    self.connected(now);
                    return Some(chunk.len() - rest.len());
                }
                Ok(HandshakeResponse { error: Some(error) }) => ConnectionError::Handshake(clipped(&error)),
                Err(error) => ConnectionError::Protocol(error),
            },
            Err(error) => ConnectionError::Protocol(error),
        };
        self.fail(now, error);
        None
    }

    fn connected(&mut self, now: Moment) {
        if let Phase::Handshaking(link, _) = self.leave() {
            self.retry = None;
            self.renewed = false;
            if link.info.stateful {
                // The rest of the frame already holds hub messages.
                self.outgoing.keep(self.options.stateful_buffer_size);
            }
            if self.options.has_token_provider {
                self.authentication.arm(now, link.info.token_lifetime);
            }
            let again = mem::replace(&mut self.was_up, true);
            self.effects.push_back(Effect::Connected { info: Box::new(link.info.clone()), again });
            let keep_alive = self.keep_alive(now, link.info.transport);
            let pings = keep_alive.is_some();
            self.phase = Phase::Connected(Live { link, keep_alive, fruitless_resumes: 0 });
            if pings {
                // A server arms its own timeout at the client's first ping.
                self.write(&HubMessage::Ping);
            }
        }
    }

    /// Long polling always has a request under way, which soon shows that the server is gone.
    fn keep_alive(&self, now: Moment, transport: Transport) -> Option<KeepAlive> {
        (transport != Transport::LongPolling)
            .then(|| KeepAlive::new(now, self.options.keep_alive_interval, self.options.server_timeout))
    }
}

//! The token of an open connection: renewed when a transport request is rejected, refreshed before it expires.

use std::time::Duration;

use super::{ClientMachine, Effect, TransportError, provided};
use crate::core::codec::Codec;
use crate::core::negotiate::refresh_url;
use crate::core::refresh::{RefreshAnswer, RefreshError, RefreshTimer};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, Moment};

/// What to POST for a refresh. There is no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshRequest {
    /// The URL, on the hub's own server even when negotiate was redirected.
    pub url: HubUrl,
    /// The new bearer token, if there is one.
    pub token: Option<AccessToken>,
    /// The value of the header [`CONNECTION_TOKEN_HEADER`](crate::core::refresh::CONNECTION_TOKEN_HEADER).
    pub connection_token: AccessToken,
}

/// What to do after a server has rejected the token of a transport request (401).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// Another request has already renewed it: use this one.
    Use(Option<AccessToken>),
    /// Ask the access token provider, and call [`ClientMachine::handle_renewed_token`].
    Ask,
    /// No token could be obtained.
    Refused,
}

#[derive(Debug)]
pub(super) struct Authentication {
    /// `None` where nothing is refreshed automatically.
    timer: Option<RefreshTimer>,
    refreshing: Option<Refreshing>,
}

/// A refresh that is under way.
#[derive(Debug)]
struct Refreshing {
    deadline: Moment,
    /// The provider's token, once it was sent.
    sent: Option<Option<AccessToken>>,
}

impl Authentication {
    pub(super) fn new(lead: Option<Duration>) -> Self {
        Self { timer: lead.map(RefreshTimer::new), refreshing: None }
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match &self.refreshing {
            Some(refreshing) => Some(refreshing.deadline),
            None => self.timer.as_ref()?.poll_timeout(),
        }
    }

    pub(super) fn arm(&mut self, now: Moment, lifetime: Option<Duration>) {
        if let Some(timer) = &mut self.timer {
            timer.arm(now, lifetime);
        }
    }
}

impl<C: Codec> ClientMachine<C> {
    /// The token for a transport request that is made now. A transport that closes still has it.
    #[must_use]
    pub fn link_token(&self) -> Option<&AccessToken> {
        match self.link() {
            Some(link) => link.info.token.as_ref(),
            None => self.last_link_token.as_ref(),
        }
    }

    /// The server has rejected this token on a transport request. Another one may be fetched once for every attempt
    /// to connect, and whenever it is needed later.
    pub fn handle_rejected_token(&mut self, rejected: Option<&AccessToken>) -> Renewal {
        let Some(link) = self.link() else { return Renewal::Refused };
        if link.info.token.as_ref() != rejected {
            return Renewal::Use(link.info.token.clone());
        }
        if link.redirected_token || !self.options.has_token_provider || (self.renewed && !self.is_connected())
        {
            return Renewal::Refused;
        }
        self.renewed = true;
        Renewal::Ask
    }

    /// The provider has answered [`Renewal::Ask`]: later sockets and reconnects use its token. Returns the one for the
    /// request; there is none where it came too late. `unix_now` is the wall clock, which the token's
    /// `exp` counts by: the time since 1970.
    ///
    /// # Errors
    /// The provider's, or what is wrong with its token.
    pub fn handle_renewed_token(
        &mut self,
        now: Moment,
        unix_now: Duration,
        token: Result<Option<AccessToken>, Cause>,
    ) -> Result<Option<AccessToken>, Cause> {
        // The request may have been one of an earlier connection. The present one's token came with a redirect, and the
        // provider's is for another server.
        if self.link().is_none_or(|link| link.redirected_token) {
            return Ok(None);
        }
        let token = provided(token)?;
        self.use_token(now, unix_now, token.clone());
        Ok(token)
    }

    fn use_token(&mut self, now: Moment, unix_now: Duration, token: Option<AccessToken>) {
        let Some(link) = self.link_mut() else { return };
        link.info.token.clone_from(&token);
        if !link.redirected_token {
            self.tokens.store(now, unix_now, token.as_ref());
        }
    }

    /// Gets a new token and gives it to the server. It ends with [`Effect::Refreshed`]; a refresh that is under way is
    /// joined.
    ///
    /// # Errors
    /// [`RefreshError::NotConnected`], [`RefreshError::NoProvider`].
    pub fn refresh(&mut self, now: Moment) -> Result<(), RefreshError> {
        if self.live().is_none_or(|live| live.link.connection_token.is_none()) {
            return Err(RefreshError::NotConnected);
        }
        if !self.options.has_token_provider {
            return Err(RefreshError::NoProvider);
        }
        if self.authentication.refreshing.is_none() {
            let deadline = now + self.options.request_timeout;
            self.authentication.refreshing = Some(Refreshing { deadline, sent: None });
            self.effects.push_back(Effect::FetchRefreshToken);
        }
        Ok(())
    }

    /// The access token provider has answered [`Effect::FetchRefreshToken`].
    pub fn handle_refresh_token(&mut self, now: Moment, token: Result<Option<AccessToken>, Cause>) {
        let connection_token = self.live().and_then(|live| live.link.connection_token.clone());
        let (Some(refreshing), Some(connection_token)) =
            (&mut self.authentication.refreshing, connection_token)
        else {
            return;
        };
        if refreshing.sent.is_some() {
            return;
        }
        match provided(token) {
            Ok(token) => {
                refreshing.sent = Some(token.clone());
                let url = refresh_url(&self.options.url);
                self.effects.push_back(Effect::Refresh(RefreshRequest { url, token, connection_token }));
            }
            Err(cause) => self.refreshed(now, Err(RefreshError::AccessToken(cause))),
        }
    }

    /// The server has answered a refresh: the status and the body, of which
    /// [`RESPONSE_LIMIT`](crate::core::negotiate::RESPONSE_LIMIT) bytes are enough.
    pub fn handle_refresh(
        &mut self,
        now: Moment,
        unix_now: Duration,
        answer: Result<(u16, &[u8]), TransportError>,
    ) {
        let Some(Refreshing { sent: Some(sent), .. }) = &self.authentication.refreshing else { return };
        let sent = sent.clone();
        let answer =
            answer.map_err(RefreshError::Request).and_then(|(s, body)| RefreshAnswer::parse(s, body));
        let lifetime = match answer {
            Ok(answer) => {
                // The token that was sent means nothing to the server that a redirect led to.
                let redirected = self.link().is_some_and(|link| link.redirected_token);
                if answer.access_token.is_some() || !redirected {
                    self.use_token(now, unix_now, answer.access_token.or(sent));
                }
                Ok(answer.token_lifetime)
            }
            Err(error) => Err(error),
        };
        self.refreshed(now, lifetime);
    }

    pub(super) fn refresh_timeout(&mut self, now: Moment) {
        if let Some(refreshing) = &self.authentication.refreshing {
            if now >= refreshing.deadline {
                let error = TransportError::new("the answer took too long");
                self.refreshed(now, Err(RefreshError::Request(error)));
            }
        } else if self.authentication.timer.as_mut().is_some_and(|timer| timer.handle_timeout(now)) {
            // There is a connection and a provider: the timer is armed for nothing else.
            let _ = self.refresh(now);
        }
    }

    fn refreshed(&mut self, now: Moment, result: Result<Option<Duration>, RefreshError>) {
        self.authentication.refreshing = None;
        if let Some(timer) = &mut self.authentication.timer {
            match &result {
                Ok(lifetime) => timer.arm(now, *lifetime),
                Err(_) => timer.handle_failure(now),
            }
        }
        self.effects.push_back(Effect::Refreshed(result));
    }

    /// The connection whose authentication could be refreshed is gone.
    pub(super) fn end_authentication(&mut self, now: Moment) {
        if self.authentication.refreshing.is_some() {
            self.refreshed(now, Err(RefreshError::NotConnected));
        }
        if let Some(timer) = &mut self.authentication.timer {
            timer.disarm();
        }
    }
}

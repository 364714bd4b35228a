use std::mem;
use std::sync::Arc;

use super::Driver;
use crate::client::call::{CallEnd, ClientCall};
use crate::client::codec::Codec;
use crate::client::connection::{ConnectionState, Refreshed};
use crate::client::events::ConnectionEvent;
use crate::client::tokens::{self, Accepted};
use crate::core::Moment;
use crate::core::refresh::RefreshError;
use crate::core::session::{ConnectionError, ConnectionInfo};
use crate::platform;

impl<C: Codec> Driver<C> {
    pub(super) fn connected(&mut self, info: ConnectionInfo) {
        tracing::Span::current().record("connection_id", info.connection_id.as_deref());
        tracing::info!(connection_id = info.connection_id, url = %info.url, transport = %info.transport, "connected");
        // Nothing more will be requested, and an idle pool costs memory.
        self.http = None;
        let mut shared = self.connection.lock();
        shared.renewed = false;
        if self.connection.settings.refresh_lead.is_some()
            && self.connection.settings.token_provider.is_some()
        {
            shared.refresh.arm(platform::now(), info.token_lifetime);
        }
        let connection_id = info.connection_id.clone();
        shared.info = Some(info);
        // A wish to stop that came in between stays visible.
        if shared.state != ConnectionState::Disconnecting {
            shared.state = ConnectionState::Connected;
        }
        let event = match mem::replace(&mut shared.was_up, true) {
            false => ConnectionEvent::Connected { connection_id },
            true => ConnectionEvent::Reconnected { connection_id },
        };
        shared.tell(&event);
        for started in mem::take(&mut shared.started) {
            let _ = started.send(Ok(()));
        }
    }

    /// A connection that was up is down; there may be another.
    pub(super) fn lost(&mut self, error: &ConnectionError, calls: Vec<ClientCall<C>>) {
        self.refresh = None;
        let refreshed = {
            let mut shared = self.connection.lock();
            if shared.state == ConnectionState::Connected {
                shared.state = ConnectionState::Reconnecting;
            }
            shared.info = None;
            shared.out = C::Out::default();
            shared.buffer = None;
            shared.drained.clear();
            shared.refresh.disarm();
            mem::take(&mut shared.refreshed)
        };
        for call in calls {
            call.end(CallEnd::Closed(error));
        }
        for refreshed in refreshed {
            let _ = refreshed.send(Err(RefreshError::NotConnected));
        }
    }

    /// The one end of a start, for everyone who waits.
    pub(super) fn disconnected(&mut self, error: ConnectionError) {
        self.ended = true;
        let error = Arc::new(error);
        let (started, ended) = {
            let mut shared = self.connection.lock();
            match &*error {
                ConnectionError::Stopped => tracing::info!("disconnected: the connection was stopped"),
                error => tracing::error!(reason = %error, "disconnected"),
            }
            shared.state = ConnectionState::Disconnected;
            shared.waker = None;
            shared.last_end = Some(Arc::clone(&error));
            shared.tell(&ConnectionEvent::Disconnected { error: (*error).clone() });
            (mem::take(&mut shared.started), mem::take(&mut shared.ended))
        };
        for started in started {
            let _ = started.send(Err(Arc::clone(&error)));
        }
        for ended in ended {
            let _ = ended.send(Arc::clone(&error));
        }
    }

    pub(super) fn start_refresh(&mut self) {
        if self.refresh.is_some() {
            return;
        }
        let (http, headers) = (self.http(), self.headers());
        let connection = &self.connection;
        let shared = connection.lock();
        let Some(token) = shared.session.connection_token().cloned() else { return };
        let options = shared.session.options();
        let provider = connection.settings.token_provider.clone();
        let refresh = tokens::refresh(http, options.url.clone(), token, provider, headers);
        self.refresh = Some(Box::pin(tokens::limited(options.request_timeout, refresh)));
    }

    pub(super) fn refreshed(&mut self, now: Moment, result: Result<Accepted, RefreshError>) {
        let mut shared = self.connection.lock();
        let result: Refreshed = match result {
            Ok((answer, sent)) => {
                shared.accept(now, answer.access_token.as_ref(), sent.as_ref());
                if self.connection.settings.refresh_lead.is_some() {
                    shared.refresh.arm(now, answer.token_lifetime);
                }
                Ok(answer.token_lifetime)
            }
            Err(error) => {
                shared.refresh.handle_failure(now);
                Err(error)
            }
        };
        let event = match &result {
            Ok(lifetime) => {
                tracing::info!(?lifetime, "refreshed the authentication");
                ConnectionEvent::AuthenticationRefreshed { lifetime: *lifetime }
            }
            Err(error) => {
                tracing::warn!(%error, "refreshing the authentication failed");
                ConnectionEvent::AuthenticationRefreshFailed { error: error.clone() }
            }
        };
        shared.tell(&event);
        let waiting = mem::take(&mut shared.refreshed);
        drop(shared);
        for refreshed in waiting {
            let _ = refreshed.send(result.clone());
        }
        self.http = None;
    }
}

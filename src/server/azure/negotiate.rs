//! Where a client of a hub behind Azure SignalR Service goes, and the token that it gets for that.

use std::time::Duration;

use axum::{
    Json,
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, request::Parts};
use serde_json::json;
use tokio::time;

use super::{Azure, ServerStickyMode, refresh};
use crate::{
    core::{ErrorChain, negotiate::Transports, server::DEFAULT_HANDSHAKE_TIMEOUT},
    server::{HubRequest, Identity, Rejection, host::state::Hub},
    service::{ClientAccess, NegotiateOptions, ServiceError, app_server, negotiate::EntraStrategy},
};

/// How long a client waits for the first server connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a client that has not negotiated, or connects here.
const NEGOTIATE_FIRST: &str = "Clients of this hub connect to Azure SignalR Service; negotiate first.";

const NOT_CONNECTED: &str = "Azure SignalR Service is not connected yet, please try again later.";

/// Answers a request of a client whose identity is known.
pub(in crate::server) async fn answer(
    azure: &Azure,
    hub: &Hub,
    parts: &Parts,
    identity: Identity,
) -> Result<Response, Rejection> {
    let path = parts.uri.path().trim_end_matches('/');
    if path.ends_with("/refresh") {
        return Ok(refresh::answer(azure, hub, parts, identity).await);
    }
    match (&parts.method, path.ends_with("/negotiate")) {
        (&Method::POST, true) => azure.negotiate(hub, parts, &identity).await,
        (_, true) => Err(Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "")),
        _ => Err(not_here()),
    }
}

/// The answer to a client that connects here.
pub(in crate::server) fn not_here() -> Rejection {
    Rejection::new(StatusCode::BAD_REQUEST, NEGOTIATE_FIRST)
}

impl Azure {
    async fn negotiate(&self, hub: &Hub, parts: &Parts, identity: &Identity) -> Result<Response, Rejection> {
        let options = self.token_options(hub, parts, identity);
        let mut tried = Vec::new();
        let access = loop {
            let Some(endpoint) = self.choose(&tried) else {
                // Before the first server connection is up, it may be a matter of moments.
                if tried.is_empty() && time::timeout(PATIENCE, self.ready()).await.is_ok() {
                    continue;
                }
                return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, NOT_CONNECTED));
            };
            let Some(access) = self.access(endpoint) else { continue };
            match access.client_access(self.connections.hub(), &options).await {
                Ok(access) => break access,
                Err(error)
                    if app_server::is_of_endpoint(&error)
                        && tried.len() + 1 < self.connections.endpoints().len() =>
                {
                    let (label, error) = (access.label(), ErrorChain::new(&error).to_string());
                    tracing::warn!(endpoint = label, error, "the endpoint gives no access");
                    tried.push(endpoint);
                }
                Err(error) => return Err(refused(&error)),
            }
        };
        let ClientAccess { url, access_token, expires_in } = access;
        let mut body = json!({
            "negotiateVersion": 0,
            "url": url,
            "accessToken": access_token,
            "availableTransports": [],
        });
        if hub.front.refreshes && *identity != Identity::anonymous() {
            body["tokenLifetimeSeconds"] = expires_in.as_secs().into();
        }
        Ok(Json(body).into_response())
    }

    /// What a client's token says.
    pub(super) fn token_options(&self, hub: &Hub, parts: &Parts, identity: &Identity) -> NegotiateOptions {
        let mut options = match &identity.user_id {
            Some(user) => NegotiateOptions::for_user(user),
            None => NegotiateOptions::anonymous(),
        };
        let claims = match &self.rules.claims {
            Some(provider) => provider(&HubRequest::new(parts), identity),
            None => identity.claims.clone(),
        };
        for (name, value) in claims {
            options = options.claim(name, value);
        }
        // In default mode no upstream reads claims, and the signing key is the server's.
        options = options.allow_ambiguous_claims().entra_strategy(EntraStrategy::AccessKey);
        options = options.lifetime(self.rules.token_lifetime);
        options =
            options.endpoint_count(u32::try_from(self.connections.endpoints().len()).unwrap_or(u32::MAX));
        if let Some(at) = hub.front.expiry(identity) {
            options = options.authentication_expiry(at);
        }
        if hub.front.end(identity).is_some() {
            options = options.close_on_expiry();
        }
        if hub.detailed_errors {
            options = options.detailed_errors();
        }
        if hub.transports != Transports::ALL {
            options = options.transports(hub.transports);
        }
        if let Some(interval) = self.rules.long_poll_interval {
            options = options.long_poll_interval(interval);
        }
        let handshake = hub.room.options.handshake_timeout;
        let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(30));
        if handshake != DEFAULT_HANDSHAKE_TIMEOUT {
            options = options.handshake_timeout(handshake.clamp(shortest, longest));
        }
        let sticky = match self.rules.sticky {
            ServerStickyMode::Disabled => None,
            ServerStickyMode::Preferred => Some("Preferred"),
            ServerStickyMode::Required => Some("Required"),
        };
        if let Some(mode) = sticky {
            options = options.sticky(self.connections.server_id(), mode);
        }
        // A router takes its own part of the path away.
        let uri = parts.extensions.get().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8_lossy();
        options.original_request(path, uri.query().unwrap_or_default())
    }

    /// An endpoint that is online and was not tried: at random among the primary ones, by how many clients each has room
    /// for, or by their weights; a secondary one while no primary one is online.
    fn choose(&self, tried: &[usize]) -> Option<usize> {
        let status = self.connections.status();
        let online = |primary: bool| -> Vec<usize> {
            let all = self.connections.endpoints().zip(&status).enumerate();
            let online = all.filter(|(at, (access, status))| {
                status.is_online && access.is_primary() == primary && !tried.contains(at)
            });
            online.map(|(at, _)| at).collect()
        };
        let mut able = online(true);
        if able.is_empty() {
            able = online(false);
        }
        let room: Option<Vec<u64>> = able
            .iter()
            .map(|&at| {
                let status = status.get(at)?;
                Some(status.capacity?.saturating_sub(status.client_count.unwrap_or(0)).max(1))
            })
            .collect();
        let weight = |at: usize| self.access(at).map_or(0, |access| access.endpoint().weight());
        let even = able.iter().all(|&at| weight(at) == 0);
        let weights = room.unwrap_or_else(|| able.iter().map(|_| 1).collect());
        let weighted: Vec<u64> = able
            .iter()
            .zip(weights)
            .map(|(&at, room)| room.saturating_mul(if even { 1 } else { weight(at).into() }))
            .collect();
        let total = weighted.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        let mut at = app_server::random().checked_rem(total)?;
        for (endpoint, weight) in able.into_iter().zip(weighted) {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return Some(endpoint),
            }
        }
        None
    }
}

fn refused(error: &ServiceError) -> Rejection {
    let text = ErrorChain::new(error).to_string();
    tracing::warn!(error = text, "a client gets no access to Azure SignalR Service");
    match error {
        ServiceError::TokenTooLong { .. } => Rejection::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The claims of the client do not fit into a token of 4096 characters.",
        ),
        ServiceError::AuthenticationExpired => Rejection::unauthorized(),
        // A client is told nothing about the service's faults.
        _ => Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}

//! New authentications for clients that stay connected: the service is told of them, and tells the server of the client.
//!
//! The contract is that of the official SDK 1.34 on .NET 11, except that the hub's
//! [`authenticate`](crate::server::HubServerBuilder::authenticate) may turn a request away before.

use std::{sync::Arc, time::UNIX_EPOCH};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, request::Parts};
use serde_json::json;

use super::{Azure, connections::AskError, opening, questions::Ack};
use crate::{
    core::{
        ErrorChain,
        refresh::CONNECTION_TOKEN_HEADER,
        service_protocol::{
            Claims, Extensions, InstantUtc, ServiceMessage,
            codes::outcome::{FORBIDDEN, NOT_FOUND, OK},
            read_claims,
        },
    },
    server::{
        Identity,
        host::{
            AuthenticationRefresh,
            refresh::{self, refused},
            state::Hub,
        },
    },
    service::app_server,
};

/// Why there is no new authentication.
enum Refused {
    Unknown,
    Rule,
    Failed,
}

impl Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => refused(StatusCode::NOT_FOUND, "connection_not_found"),
            Self::Rule => refused(StatusCode::FORBIDDEN, "permission_change_rejected"),
            Self::Failed => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error"),
        }
    }
}

impl From<AskError> for Refused {
    fn from(error: AskError) -> Self {
        tracing::warn!(%error, "an authentication is not refreshed");
        Self::Failed
    }
}

/// Answers a request for another authentication, by a client that has one.
pub(super) async fn answer(azure: &Azure, hub: &Hub, parts: &Parts, identity: Identity) -> Response {
    if parts.method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if !hub.front.refreshes {
        return refused(StatusCode::NOT_FOUND, "refresh_disabled");
    }
    let token = parts.headers.get(CONNECTION_TOKEN_HEADER).and_then(|token| token.to_str().ok());
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return refused(StatusCode::BAD_REQUEST, "missing_connection_token");
    };
    if identity == Identity::anonymous() {
        return refused(StatusCode::UNAUTHORIZED, "invalid_token");
    }
    match azure.refresh(hub, parts, token, identity).await {
        Ok((access_token, seconds)) => {
            Json(json!({ "accessToken": access_token, "tokenLifetimeSeconds": seconds })).into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

impl Azure {
    /// Gives a connection another authentication. A token for the client, and for how many seconds it holds.
    async fn refresh(
        &self,
        hub: &Hub,
        parts: &Parts,
        token: &str,
        identity: Identity,
    ) -> Result<(String, u64), Refused> {
        let options = self.token_options(hub, parts, &identity);
        let claims = app_server::claims_of(&options).map_err(|error| {
            tracing::warn!(error = %ErrorChain::new(&error), "an authentication is not refreshed");
            Refused::Failed
        })?;
        let mut owner = None;
        if hub.front.on_refresh.is_some() {
            let ack = self.claims_of(token).await?;
            let previous = opening::identity(&claims_in(&ack)?);
            owner = Some(ack.endpoint);
            // The service does not tell which connection a token is of.
            let (previous, new) = (Arc::new(previous), Arc::new(identity.clone()));
            let refresh = AuthenticationRefresh::new(String::new(), previous, new);
            if !refresh::is_allowed(hub, refresh).await {
                return Err(Refused::Rule);
            }
        }
        let ends = hub.front.expiry(&identity).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let expire_time = ends.map_or(InstantUtc::MAX, |since| InstantUtc {
            unix_seconds: since.as_secs().cast_signed(),
            nanoseconds: since.subsec_nanos() / 100 * 100,
        });
        let claims: Claims<'_> =
            claims.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        let ask = |ack_id| ServiceMessage::RefreshAuth {
            connection_token: token.into(),
            claims: claims.clone(),
            expire_time,
            ack_id,
            extensions: Extensions::default(),
        };
        let ack = match owner {
            Some(endpoint) => self.connections.ask_at(endpoint, None, ask).await?,
            None => self.connections.ask(None, None, ask).await?,
        };
        let claims = claims_in(&ack)?;
        if claims.is_empty() {
            tracing::warn!("Azure SignalR Service has not said which claims a refreshed connection has");
            return Err(Refused::Failed);
        }
        let access = self.access(ack.endpoint).ok_or(Refused::Failed)?;
        let claims = claims.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
        let signed = access.token_of(self.connections.hub(), claims.collect(), &options).await;
        let (token, expires_in) = signed.map_err(|error| {
            tracing::warn!(error = %ErrorChain::new(&error), "there is no token for a refreshed connection");
            Refused::Failed
        })?;
        Ok((token, expires_in.as_secs()))
    }

    /// Which claims a connection has by now.
    async fn claims_of(&self, token: &str) -> Result<Ack, Refused> {
        let ask = |ack_id| ServiceMessage::GetConnectionClaims {
            connection_token: token.into(),
            ack_id,
            extensions: Extensions::default(),
        };
        Ok(self.connections.ask(None, None, ask).await?)
    }
}

/// The claims in an answer.
fn claims_in(ack: &Ack) -> Result<Claims<'_>, Refused> {
    match ack.status {
        OK => read_claims(ack.payload.as_deref().unwrap_or(&[0xc0])).map_err(|_| Refused::Failed),
        NOT_FOUND => Err(Refused::Unknown),
        FORBIDDEN => Err(Refused::Rule),
        _ => Err(Refused::Failed),
    }
}

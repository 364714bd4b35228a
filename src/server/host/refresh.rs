//! New authentications for clients that stay connected.
//!
//! The contract is that of ASP.NET Core 11, whose answers are in a test beside ours.

use std::{marker::PhantomData, sync::Arc};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{
    caller::{Caller, Connection},
    cancel::Cancel,
    identity::Identity,
    lifetime::HUB,
    refreshable::AuthenticationRefresh,
    state::Hub,
};
use crate::{client::guarded, core::refresh::CONNECTION_TOKEN_HEADER, server::negotiated::RefreshError};

/// A refusal by the name that clients know it by.
pub(in crate::server) fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// The answer to a poll with the authentication of another user.
pub(super) fn required() -> Response {
    refused(StatusCode::CONFLICT, "authentication_refresh_required")
}

/// Answers a request for another authentication, by a client that has one.
pub(super) async fn answer(
    hub: &Arc<Hub>,
    method: &Method,
    headers: &HeaderMap,
    identity: Identity,
) -> Response {
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let token = headers.get(CONNECTION_TOKEN_HEADER).and_then(|token| token.to_str().ok());
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return refused(StatusCode::BAD_REQUEST, "missing_connection_token");
    };
    match refresh(hub, token, identity).await {
        Ok(lifetime) => {
            let lifetime = lifetime.map(|seconds| ("tokenLifetimeSeconds".to_owned(), seconds.into()));
            Json(Value::Object(lifetime.into_iter().collect())).into_response()
        }
        Err(Refused::Unknown) => refused(StatusCode::NOT_FOUND, "connection_not_found"),
        Err(Refused::OtherUser) => refused(StatusCode::FORBIDDEN, "user_changed"),
        Err(Refused::Rule) => refused(StatusCode::FORBIDDEN, "permission_change_rejected"),
    }
}

enum Refused {
    Unknown,
    OtherUser,
    Rule,
}

impl From<RefreshError> for Refused {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Unknown => Self::Unknown,
            RefreshError::OtherUser => Self::OtherUser,
        }
    }
}

/// Gives a connection another authentication, and says how many seconds it lasts.
async fn refresh(hub: &Arc<Hub>, token: &str, identity: Identity) -> Result<Option<u64>, Refused> {
    let (id, user) = hub.room.negotiated.owner(token, HUB).ok_or(Refused::Unknown)?;
    if user != identity.user_id {
        return Err(Refused::OtherUser);
    }
    let (connection, closed) = hub.refreshable.get(&id).ok_or(Refused::Unknown)?;
    let (previous, new) = (connection.current.get(), Arc::new(identity));
    let refresh = AuthenticationRefresh::new(id, previous, new.clone());
    if !is_allowed(hub, refresh).await {
        return Err(Refused::Rule);
    }
    hub.room.negotiated.reauthenticate(token, HUB, user.as_deref(), hub.front.end(&new))?;
    let lifetime = hub.front.lifetime(&new);
    renew(hub, connection, closed, new);
    Ok(lifetime)
}

/// Whether the hub's rule, if there is one, allows it.
pub(in crate::server) async fn is_allowed(hub: &Hub, refresh: AuthenticationRefresh) -> bool {
    match &hub.front.on_refresh {
        // A rule that panics allows nothing.
        Some(allows) => guarded(allows(refresh)).await == Some(true),
        None => true,
    }
}

fn renew(hub: &Arc<Hub>, connection: Arc<Connection>, closed: Arc<Cancel>, new: Arc<Identity>) {
    connection.current.set(new.clone());
    if let Some(refreshed) = &hub.front.on_refreshed {
        let caller = Caller {
            sender: hub.sender.clone(),
            connection,
            identity: new,
            cancelled: closed,
            types: PhantomData,
        };
        tokio::spawn(guarded(refreshed(caller)));
    }
}

/// A client has another authentication, which was checked elsewhere.
#[cfg(feature = "service")]
pub(in crate::server) fn renewed(hub: &Arc<Hub>, connection_id: &str, identity: Identity) {
    if let Some((connection, closed)) = hub.refreshable.get(connection_id) {
        renew(hub, connection, closed, Arc::new(identity));
    }
}

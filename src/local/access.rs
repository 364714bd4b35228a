//! What opens the service: who a client is by its token, who calls the REST API or opens server connections, and what they
//! may do.

use std::sync::Arc;

use axum::http::HeaderMap;

use crate::{
    local::{
        api_error::ApiError,
        entra::{application::EntraApplication, authority::Authority},
        guard::Guard,
        keys::{KeyError, KeyRing},
        roles::{Action, Role},
        token::{bearer, is_client_audience, is_rest_audience, is_server_audience},
    },
    server::claims::Claims,
    service::unix_now,
};

/// What tokens are checked by: the names of the service, its keys and its authority.
#[derive(Debug)]
pub(super) struct Access {
    /// The address of the service, as it calls itself.
    pub(super) origin: String,
    pub(super) guard: Guard,
    pub(super) keys: Arc<KeyRing>,
    pub(super) entra: Arc<Authority>,
}

impl Access {
    /// The claims of a client token for this hub. `now` is in seconds since 1970.
    pub(super) fn client_claims(&self, token: &str, hub: &str, now: u64) -> Result<Claims, KeyError> {
        self.keys.verify(token, now, |audience| is_client_audience(&self.guard, audience, hub))
    }
}

/// Who calls the REST API, or opens a server connection.
#[derive(Debug)]
pub(super) enum Caller {
    /// Somebody with an access key, who may do everything.
    KeyHolder,
    /// An Entra application, which may do what its roles allow.
    Application(Arc<EntraApplication>),
}

impl Caller {
    /// Finds out who calls by the bearer token. `path` is the request's, as it was sent.
    pub(super) fn identify(access: &Access, headers: &HeaderMap, path: &str) -> Result<Self, ApiError> {
        Self::identify_by(access, headers, path, |audience| is_rest_audience(&access.guard, audience, path))
    }

    /// Finds out whose server connection it is, by the bearer token.
    pub(super) fn identify_server(access: &Access, headers: &HeaderMap, hub: &str) -> Result<Self, ApiError> {
        let target = format!("/server/?hub={hub}");
        Self::identify_by(access, headers, &target, |audience| {
            is_server_audience(&access.guard, audience, hub)
        })
    }

    /// Whether somebody with this Entra token may have an access key. The error says why not.
    pub(super) fn may_have_key(access: &Access, token: &str) -> Result<(), String> {
        let application = access.entra.verify(token, unix_now());
        let application = application.map_err(|error| format!("The Entra token was refused: {error}."))?;
        Self::Application(application).authorize(Action::KeyIssue).map_err(|error| error.to_string())
    }

    fn identify_by(
        access: &Access,
        headers: &HeaderMap,
        target: &str,
        accepts_audience: impl Fn(&str) -> bool,
    ) -> Result<Self, ApiError> {
        let token = bearer(headers).ok_or_else(|| {
            ApiError::unauthorized("The request has no bearer token in its Authorization header.")
        })?;
        if access.entra.has_issued(token) {
            let application = access.entra.verify(token, unix_now());
            return application
                .map(Self::Application)
                .map_err(|error| ApiError::unauthorized(format!("The Entra token was refused: {error}.")));
        }
        match access.keys.verify(token, unix_now(), accepts_audience) {
            Ok(_) => Ok(Self::KeyHolder),
            Err(error) => Err(ApiError::unauthorized(format!(
                "The token was refused: {error}. The audience of this request is {}{target}.",
                access.origin
            ))),
        }
    }

    /// Lets through who may do this.
    pub(super) fn authorize(&self, action: Action) -> Result<(), ApiError> {
        let Self::Application(application) = self else { return Ok(()) };
        if application.roles.iter().any(|role| role.allows(action)) {
            return Ok(());
        }
        let quoted = |roles: &mut dyn Iterator<Item = Role>, or: &str| {
            roles.map(|role| format!("\"{role}\"")).collect::<Vec<_>>().join(or)
        };
        let needed = quoted(&mut Role::ALL.into_iter().filter(|role| role.allows(action)), " or ");
        let held = quoted(&mut application.roles.iter().copied(), ", ");
        Err(ApiError::forbidden(format!(
            "The application {} may not perform Microsoft.SignalRService/SignalR/{}. Assign it the role {needed}. \
             Its roles: {}.",
            application.client_id,
            action.name(),
            if held.is_empty() { "none" } else { &held },
        )))
    }
}

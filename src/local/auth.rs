//! Who may do what: roles and their data actions, and the audiences that tokens have to be made for.
//!
//! Source: [Azure built-in roles](https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/web-and-mobile).

use std::{borrow::Cow, fmt, sync::Arc};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;

use crate::{
    core::url::HubUrl,
    local::{Service, entra::EntraApplication, error::ApiError, query::Query},
    service::unix_now,
};

/// A built-in Azure role that gives an application access to Azure SignalR Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// "SignalR App Server": exchange of an Entra token for an access key, and closing client connections.
    SignalRAppServer,
    /// "SignalR REST API Owner": the whole REST API, but not the exchange of an Entra token for an access key.
    RestApiOwner,
    /// "SignalR REST API Reader": the parts of the REST API that ask whether something exists.
    RestApiReader,
    /// "SignalR Service Owner": everything.
    ServiceOwner,
}

impl Role {
    const ALL: [Self; 4] =
        [Self::SignalRAppServer, Self::RestApiOwner, Self::RestApiReader, Self::ServiceOwner];

    /// The name of the role in Azure.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SignalRAppServer => "SignalR App Server",
            Self::RestApiOwner => "SignalR REST API Owner",
            Self::RestApiReader => "SignalR REST API Reader",
            Self::ServiceOwner => "SignalR Service Owner",
        }
    }

    fn allows(self, action: Action) -> bool {
        use Action::{
            ClientTokenIssue, ConnectionRead, ConnectionSend, ConnectionWrite, GroupRead, GroupSend,
            GroupWrite, HubSend, KeyIssue, UserRead, UserSend, UserWrite,
        };
        match self {
            Self::SignalRAppServer => matches!(action, KeyIssue | ConnectionWrite),
            Self::RestApiOwner => match action {
                ClientTokenIssue | HubSend | GroupSend | GroupRead | GroupWrite | ConnectionSend
                | ConnectionRead | ConnectionWrite | UserSend | UserRead | UserWrite => true,
                KeyIssue => false,
            },
            Self::RestApiReader => matches!(action, GroupRead | ConnectionRead | UserRead),
            Self::ServiceOwner => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What roles are made of: Azure's data actions, as far as this service has a use for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    KeyIssue,
    ClientTokenIssue,
    HubSend,
    GroupSend,
    GroupRead,
    GroupWrite,
    UserSend,
    UserRead,
    UserWrite,
    ConnectionSend,
    ConnectionRead,
    ConnectionWrite,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::KeyIssue => "auth/accessKey/action",
            Self::ClientTokenIssue => "auth/clientToken/action",
            Self::HubSend => "hub/send/action",
            Self::GroupSend => "group/send/action",
            Self::GroupRead => "group/read",
            Self::GroupWrite => "group/write",
            Self::UserSend => "user/send/action",
            Self::UserRead => "user/read",
            Self::UserWrite => "user/write",
            Self::ConnectionSend => "clientConnection/send/action",
            Self::ConnectionRead => "clientConnection/read",
            Self::ConnectionWrite => "clientConnection/write",
        }
    }
}

/// Who calls the REST API.
#[derive(Debug)]
pub(super) enum Caller {
    /// Somebody with an access key, who may do everything.
    KeyHolder,
    /// An Entra application, which may do what its roles allow.
    Application(Arc<EntraApplication>),
}

impl Caller {
    /// Finds out who calls by the bearer token. `path` is the request's, as it was sent.
    pub(super) fn identify(service: &Service, headers: &HeaderMap, path: &str) -> Result<Self, ApiError> {
        let token = bearer(headers).ok_or_else(|| {
            ApiError::unauthorized("The request has no bearer token in its Authorization header.")
        })?;
        if service.entra.has_issued(token) {
            let application = service.entra.verify(token, unix_now());
            return application
                .map(Self::Application)
                .map_err(|error| ApiError::unauthorized(format!("The Entra token was refused: {error}.")));
        }
        match service.keys.verify(token, unix_now(), |audience| is_rest_audience(audience, path)) {
            Ok(_) => Ok(Self::KeyHolder),
            Err(error) => Err(ApiError::unauthorized(format!(
                "The token was refused: {error}. The audience of this request is {}{path}.",
                service.origin
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

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a client token with this audience opens the hub. The official SDK writes the host without its port, some
/// others with it, so the port does not matter; the hub has to be in lower case.
pub(super) fn is_client_audience(audience: &str, hub: &str) -> bool {
    let Some(url) = local_url(audience) else { return false };
    url.path().trim_end_matches('/') == "/client" && Query::parse(Some(url.query())).first("hub") == Some(hub)
}

/// Whether a REST token with this audience is for a request to this path. SDKs differ in port, query and
/// percent-encoding, and an address with a path in front of the service adds one to the audience.
fn is_rest_audience(audience: &str, path: &str) -> bool {
    let Some(url) = local_url(audience) else { return false };
    let (audience, path) = (decoded(url.path()), decoded(path));
    audience.trim_end_matches('/').ends_with(path.trim_end_matches('/'))
}

/// An audience, if its host is this service's.
fn local_url(audience: &str) -> Option<HubUrl> {
    HubUrl::parse(audience).ok().filter(|url| !url.is_https() && url.is_loopback())
}

fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_audiences() {
        for good in [
            "http://127.0.0.1/client/?hub=chat",
            "http://127.0.0.1:5000/client/?hub=chat",
            "http://LOCALHOST/client?hub=chat",
            "http://localhost/client/?asrs.op=%2Fx&hub=chat",
        ] {
            assert!(is_client_audience(good, "chat"), "{good}");
        }
        for bad in [
            "http://127.0.0.1/client/?hub=Chat",
            "http://127.0.0.1/client/?hub=other",
            "http://127.0.0.1/client/",
            "http://127.0.0.1/server/?hub=chat",
            "http://example.com/client/?hub=chat",
            "http://localhost.example.com/client/?hub=chat",
            "https://127.0.0.1/client/?hub=chat",
            "chat",
            "",
        ] {
            assert!(!is_client_audience(bad, "chat"), "{bad}");
        }
    }

    #[test]
    fn rest_audiences() {
        let path = "/api/hubs/chat/users/a%20b/:send";
        for good in [
            "http://127.0.0.1/api/hubs/chat/users/a%20b/:send",
            "http://localhost:8888/api/hubs/chat/users/a%20b/:send?api-version=2022-06-01",
            "http://127.0.0.1/base/api/hubs/chat/users/a%20b/%3Asend/",
        ] {
            assert!(is_rest_audience(good, path), "{good}");
        }
        for bad in [
            "http://127.0.0.1/api/hubs/chat/users/b/:send",
            "http://127.0.0.1/api/hubs/chat/:send",
            "http://127.0.0.1/",
            "http://example.com/api/hubs/chat/users/a%20b/:send",
            "https://signalr.azure.com",
        ] {
            assert!(!is_rest_audience(bad, path), "{bad}");
        }
    }

    #[test]
    fn roles_allow_what_azure_says() {
        let allows = |action| Role::ALL.map(|role| role.allows(action));
        assert_eq!(allows(Action::KeyIssue), [true, false, false, true]);
        assert_eq!(allows(Action::ClientTokenIssue), [false, true, false, true]);
        assert_eq!(allows(Action::HubSend), [false, true, false, true]);
        assert_eq!(allows(Action::ConnectionRead), [false, true, true, true]);
        assert_eq!(allows(Action::ConnectionWrite), [true, true, false, true]);
        assert_eq!(allows(Action::UserWrite), [false, true, false, true]);
    }
}

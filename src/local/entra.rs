//! A Microsoft Entra authority: client-credential tokens for registered applications.
//!
//! Sources: [client credentials](https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow),
//! [error codes](https://learn.microsoft.com/entra/identity-platform/reference-error-codes).

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::{
    local::{LocalError, Service, auth::Role, keys, query::Query},
    service::{
        jwt::{
            Key, Validity,
            verify::{self, TokenError},
        },
        secret::Secret,
        unix_now,
    },
};

const SCOPE: &str = "https://signalr.azure.com/.default";
const AUDIENCE: &str = "https://signalr.azure.com";

/// An application that the local Entra authority knows, with its client secret and its roles at the service.
#[derive(Debug, Clone)]
#[must_use = "an application has to be given to the builder of the service"]
pub struct EntraApplication {
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    pub(super) roles: Vec<Role>,
}

impl EntraApplication {
    /// An application without roles: it gets tokens, and the service refuses them with 403. The ids may be any
    /// text; Azure's are GUIDs.
    pub fn new(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            client_id: client_id.into(),
            client_secret: Secret::new(client_secret),
            roles: Vec::new(),
        }
    }

    /// Assigns a role. It can be called for several.
    pub fn with_role(mut self, role: Role) -> Self {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
        self
    }

    fn is(&self, tenant_id: &str, client_id: &str) -> bool {
        self.tenant_id.eq_ignore_ascii_case(tenant_id) && self.client_id.eq_ignore_ascii_case(client_id)
    }
}

/// Why an Entra token is refused by the service.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntraTokenError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("its application is not registered")]
    UnknownApplication,
}

#[derive(Debug)]
pub(super) struct Authority {
    applications: Vec<Arc<EntraApplication>>,
    token_lifetime: Duration,
    /// Real tokens are signed with RSA; what one instance issues, only the same instance has to understand.
    key: Key,
    key_id: String,
}

impl Authority {
    pub(super) fn new(
        applications: Vec<EntraApplication>,
        token_lifetime: Duration,
    ) -> Result<Self, LocalError> {
        for (n, application) in applications.iter().enumerate() {
            let (tenant_id, client_id) = (&application.tenant_id, &application.client_id);
            if applications.iter().skip(n + 1).any(|other| other.is(tenant_id, client_id)) {
                return Err(LocalError::DuplicateApplication { client_id: client_id.clone() });
            }
        }
        let key_id = keys::random_text()?;
        let key = Key::new(Secret::new(keys::random_text()?).expose(), Some(&key_id));
        let applications = applications.into_iter().map(Arc::new).collect();
        Ok(Self { applications, token_lifetime, key, key_id })
    }

    /// Whether a token claims to come from this authority; nothing is verified by that.
    pub(super) fn has_issued(&self, token: &str) -> bool {
        verify::key_id(token).is_ok_and(|id| id.as_deref() == Some(&self.key_id))
    }

    /// Verifies a token and finds its application.
    pub(super) fn verify(&self, token: &str, now: u64) -> Result<Arc<EntraApplication>, EntraTokenError> {
        let claims = self.key.verify(token, now, |audience| audience == AUDIENCE)?;
        let claim = |name| claims.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (tenant_id, client_id) = (claim("tid"), claim("appid"));
        let application = self.applications.iter().find(|a| a.is(tenant_id, client_id));
        application.cloned().ok_or(EntraTokenError::UnknownApplication)
    }

    fn issue(&self, tenant: &str, form: &Query, origin: &str, now: u64) -> Result<String, OAuthError> {
        let parameter = |name| form.first(name).filter(|v| !v.is_empty()).ok_or(OAuthError::Missing(name));
        if !self.applications.iter().any(|a| a.tenant_id.eq_ignore_ascii_case(tenant)) {
            return Err(OAuthError::UnknownTenant(tenant.to_owned()));
        }
        let grant = parameter("grant_type")?;
        if grant != "client_credentials" {
            return Err(OAuthError::UnsupportedGrant(grant.to_owned()));
        }
        let client_id = parameter("client_id")?;
        let Some(application) = self.applications.iter().find(|a| a.is(tenant, client_id)) else {
            let (client_id, tenant) = (client_id.to_owned(), tenant.to_owned());
            return Err(OAuthError::UnknownApplication { client_id, tenant });
        };
        let secret = parameter("client_secret").map_err(|_| OAuthError::NoClientSecret)?;
        let right = secret.as_bytes().ct_eq(application.client_secret.expose().as_bytes());
        if !bool::from(right) {
            return Err(OAuthError::WrongClientSecret(application.client_id.clone()));
        }
        let scope = parameter("scope")?;
        if scope != SCOPE {
            return Err(OAuthError::WrongScope(scope.to_owned()));
        }
        let issuer = format!("{origin}/{}/", application.tenant_id);
        let claims = [
            ("iss", issuer.as_str()),
            ("appid", &application.client_id),
            ("idtyp", "app"),
            // In Azure the object id of the enterprise application, another GUID.
            ("oid", &application.client_id),
            ("sub", &application.client_id),
            ("tid", &application.tenant_id),
            ("ver", "1.0"),
        ];
        let validity =
            Validity { issued_at: now, expires_at: now.saturating_add(self.token_lifetime.as_secs()) };
        Ok(self.key.sign(claims, validity, AUDIENCE))
    }
}

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router.route("/{tenant}/oauth2/v2.0/token", post(token))
}

async fn token(State(service): State<Arc<Service>>, Path(tenant): Path<String>, form: Bytes) -> Response {
    // The body may be no UTF-8; what can't be read is a missing parameter.
    let form = Query::parse(std::str::from_utf8(&form).ok());
    let lifetime = service.entra.token_lifetime.as_secs();
    match service.entra.issue(&tenant, &form, &service.origin, unix_now()) {
        Ok(token) => (
            [(CACHE_CONTROL, "no-store, no-cache")],
            Json(json!({
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            })),
        )
            .into_response(),
        Err(error) => error.into_response(),
    }
}

/// The errors of the token endpoint, in Entra's words.
#[derive(Debug, thiserror::Error)]
enum OAuthError {
    #[error("The request body must contain the following parameter: '{0}'.")]
    Missing(&'static str),
    #[error("Tenant '{0}' not found. Check to make sure you have the correct tenant ID.")]
    UnknownTenant(String),
    #[error("The app requested an unsupported grant type '{0}'.")]
    UnsupportedGrant(String),
    #[error("Application with identifier '{client_id}' was not found in the directory '{tenant}'.")]
    UnknownApplication { client_id: String, tenant: String },
    #[error("The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")]
    NoClientSecret,
    #[error(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
         not the client secret ID, for a secret added to app '{0}'."
    )]
    WrongClientSecret(String),
    #[error(
        "The provided value for the input parameter 'scope' is not valid. The scope '{0}' must be {SCOPE}."
    )]
    WrongScope(String),
}

impl OAuthError {
    /// The number after `AADSTS`, and the name that OAuth 2.0 gives to the error.
    fn code(&self) -> (u32, &'static str) {
        match self {
            Self::Missing(_) => (900_144, "invalid_request"),
            Self::UnknownTenant(_) => (90_002, "invalid_request"),
            Self::UnsupportedGrant(_) => (70_003, "unsupported_grant_type"),
            Self::UnknownApplication { .. } => (700_016, "unauthorized_client"),
            Self::NoClientSecret => (7_000_218, "invalid_client"),
            Self::WrongClientSecret(_) => (7_000_215, "invalid_client"),
            Self::WrongScope(_) => (70_011, "invalid_scope"),
        }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let (code, error) = self.code();
        let status =
            if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        tracing::debug!(%status, code, "the local Entra authority refused a token");
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{code}: {self}"),
            "error_codes": [code],
        });
        (status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_client_secret() {
        let application = EntraApplication::new("t", "c", "hush").with_role(Role::ServiceOwner);
        let shown = format!("{application:?}");
        assert!(shown.contains("ServiceOwner") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn applications_are_registered_once() {
        let apps = |other| vec![EntraApplication::new("t", "c", "s"), other];
        let twice = Authority::new(apps(EntraApplication::new("T", "C", "x")), Duration::ZERO);
        assert!(matches!(twice, Err(LocalError::DuplicateApplication { .. })));
        assert!(Authority::new(apps(EntraApplication::new("u", "c", "s")), Duration::ZERO).is_ok());
    }
}

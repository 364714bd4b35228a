//! A Microsoft Entra authority: client-credential tokens for registered applications, and for the managed identities
//! of the machine.
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
    local::{
        LocalError, LocalManagedIdentity, Service,
        assertion::{self, Assertion, AssertionError, PublicCertificate, TrustedIssuer},
        auth::Role,
        keys,
        query::Query,
    },
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

/// An application that the local Entra authority knows, with its credentials and its roles at the service.
///
/// ```
/// use hubwire::local::{EntraApplication, Role};
///
/// # let certificate_pem = String::new();
/// let with_secret = EntraApplication::new("tenant-id", "client-id", "secret").with_role(Role::ServiceOwner);
/// let with_certificate = EntraApplication::without_secret("tenant-id", "client-id").with_certificate(certificate_pem);
/// let trusting =
///     EntraApplication::without_secret("tenant-id", "client-id").with_trusted_managed_identity("identity-client-id");
/// ```
#[derive(Debug, Clone)]
#[must_use = "an application has to be given to the builder of the service"]
pub struct EntraApplication {
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    client_secret: Option<Secret>,
    certificates: Vec<PublicCertificate>,
    issuers: Vec<TrustedIssuer>,
    /// One of the certificates is none; the builder of the service says so.
    has_invalid_certificate: bool,
    trusted_identities: Vec<String>,
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
        Self { client_secret: Some(Secret::new(client_secret)), ..Self::without_secret(tenant_id, client_id) }
    }

    /// An application without roles that has no client secret.
    pub fn without_secret(tenant_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            client_id: client_id.into(),
            client_secret: None,
            certificates: Vec::new(),
            issuers: Vec::new(),
            has_invalid_certificate: false,
            trusted_identities: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// Registers a certificate, as a PEM text: the application may prove itself with assertions that its key signs.
    /// It can be called for several.
    pub fn with_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        match PublicCertificate::from_pem(pem.as_ref()) {
            Some(certificate) => self.certificates.push(certificate),
            None => self.has_invalid_certificate = true,
        }
        self
    }

    /// Trusts an identity outside of Entra: the application may prove itself with tokens of this issuer and subject,
    /// which the key of the certificate signs. It can be called for several.
    ///
    /// Entra itself gets the keys from the issuer; here they are given, so that everything works offline.
    pub fn with_federated_credential(
        mut self,
        issuer: impl Into<String>,
        subject: impl Into<String>,
        certificate_pem: impl AsRef<[u8]>,
    ) -> Self {
        match PublicCertificate::from_pem(certificate_pem.as_ref()) {
            Some(certificate) => {
                self.issuers.push(TrustedIssuer {
                    issuer: issuer.into(),
                    subject: subject.into(),
                    certificate,
                });
            }
            None => self.has_invalid_certificate = true,
        }
        self
    }

    /// Trusts a [managed identity](super::LocalManagedIdentity) of the same local service, of any tenant, by its
    /// client id: the application may prove itself with tokens that it gets for `api://AzureADTokenExchange`, or for
    /// that audience's counterpart in another cloud.
    pub fn with_trusted_managed_identity(mut self, client_id: impl Into<String>) -> Self {
        self.trusted_identities.push(client_id.into());
        self
    }

    /// Assigns a role. It can be called for several.
    pub fn with_role(mut self, role: Role) -> Self {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
        self
    }

    fn trusts(&self, identity: &LocalManagedIdentity) -> bool {
        let id = &identity.application.client_id;
        self.trusted_identities.iter().any(|trusted| trusted.eq_ignore_ascii_case(id))
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
    pub(super) identities: Vec<LocalManagedIdentity>,
    pub(super) token_lifetime: Duration,
    /// Real tokens are signed with RSA; what one instance issues, only the same instance has to understand.
    key: Key,
    key_id: String,
}

impl Authority {
    pub(super) fn new(
        mut applications: Vec<EntraApplication>,
        identities: Vec<LocalManagedIdentity>,
        token_lifetime: Duration,
    ) -> Result<Self, LocalError> {
        applications.extend(identities.iter().map(|identity| identity.application.clone()));
        for (n, application) in applications.iter().enumerate() {
            if application.has_invalid_certificate {
                return Err(LocalError::InvalidCertificate { client_id: application.client_id.clone() });
            }
            let (tenant_id, client_id) = (&application.tenant_id, &application.client_id);
            if applications.iter().skip(n + 1).any(|other| other.is(tenant_id, client_id)) {
                return Err(LocalError::DuplicateApplication { client_id: client_id.clone() });
            }
        }
        let key_id = keys::random_text()?;
        let key = Key::new(Secret::new(keys::random_text()?).expose(), Some(&key_id));
        let applications = applications.into_iter().map(Arc::new).collect();
        Ok(Self { applications, identities, token_lifetime, key, key_id })
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
        if let Ok(assertion) = parameter("client_assertion") {
            if parameter("client_assertion_type")? != assertion::TYPE {
                return Err(AssertionError::Malformed("the client_assertion_type is not supported").into());
            }
            self.check_assertion(application, assertion, tenant, origin, now)?;
        } else {
            let secret = parameter("client_secret").map_err(|_| OAuthError::NoClientSecret)?;
            let right = application.client_secret.as_ref();
            let right = right.map(|right| secret.as_bytes().ct_eq(right.expose().as_bytes()));
            if !right.is_some_and(bool::from) {
                return Err(OAuthError::WrongClientSecret(application.client_id.clone()));
            }
        }
        let scope = parameter("scope")?;
        if scope != SCOPE {
            return Err(OAuthError::WrongScope(scope.to_owned()));
        }
        let issuer = format!("{origin}/{}/", application.tenant_id);
        // In Azure the object id of the enterprise application, another GUID.
        Ok(self.sign(application, &issuer, &application.client_id, AUDIENCE, now))
    }

    /// A token for a managed identity: for the service, or to be another application's assertion.
    pub(super) fn issue_to_identity(
        &self,
        identity: &LocalManagedIdentity,
        resource: &str,
        origin: &str,
        now: u64,
    ) -> Option<String> {
        let application = &identity.application;
        let resource = resource.trim_end_matches('/');
        let issuer = match resource {
            AUDIENCE => format!("{origin}/{}/", application.tenant_id),
            _ if assertion::is_exchange_audience(resource) => identity_issuer(origin, identity),
            _ => return None,
        };
        Some(self.sign(application, &issuer, &identity.object_id, resource, now))
    }

    fn sign(
        &self,
        application: &EntraApplication,
        issuer: &str,
        object_id: &str,
        audience: &str,
        now: u64,
    ) -> String {
        let claims = [
            ("iss", issuer),
            ("appid", &application.client_id),
            ("idtyp", "app"),
            ("oid", object_id),
            ("sub", object_id),
            ("tid", &application.tenant_id),
            ("ver", "1.0"),
        ];
        let validity =
            Validity { issued_at: now, expires_at: now.saturating_add(self.token_lifetime.as_secs()) };
        self.key.sign(claims, validity, audience)
    }

    fn check_assertion(
        &self,
        application: &EntraApplication,
        text: &str,
        tenant: &str,
        origin: &str,
        now: u64,
    ) -> Result<(), AssertionError> {
        let assertion = Assertion::parse(text)?;
        if self.has_issued(text) {
            self.key.verify(text, now, assertion::is_exchange_audience)?;
            let trusted = self.identities.iter().filter(|identity| application.trusts(identity));
            let of_issuer = |identity: &&_| identity_issuer(origin, identity) == assertion.issuer();
            let mut trusted = trusted.filter(of_issuer).peekable();
            if trusted.peek().is_none() {
                return Err(AssertionError::Issuer);
            }
            let of_subject = |identity: &LocalManagedIdentity| identity.object_id == assertion.subject();
            return if trusted.any(of_subject) { Ok(()) } else { Err(AssertionError::Subject) };
        }
        if application.issuers.iter().any(|trust| trust.issuer == assertion.issuer()) {
            return assertion.check_federated(&application.issuers, now);
        }
        // The tenant may be written in any case, and the application signs what it writes.
        let token_url = format!("{origin}/{tenant}/oauth2/v2.0/token");
        assertion.check_own(&application.client_id, &application.certificates, &token_url, now)
    }
}

/// Who gives a managed identity the tokens that it may pass on as an assertion.
fn identity_issuer(origin: &str, identity: &LocalManagedIdentity) -> String {
    format!("{origin}/{}/v2.0", identity.application.tenant_id)
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
    #[error(transparent)]
    Assertion(#[from] AssertionError),
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
            Self::Assertion(error) => (error.code(), "invalid_client"),
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
        let none = Vec::new;
        let twice = Authority::new(apps(EntraApplication::new("T", "C", "x")), none(), Duration::ZERO);
        assert!(matches!(twice, Err(LocalError::DuplicateApplication { .. })));
        assert!(Authority::new(apps(EntraApplication::new("u", "c", "s")), none(), Duration::ZERO).is_ok());
    }
}

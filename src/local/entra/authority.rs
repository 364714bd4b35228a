//! A Microsoft Entra authority: client-credential tokens for registered applications, and for the managed identities
//! of the machine.
//!
//! Sources: [client credentials](https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow),
//! [error codes](https://learn.microsoft.com/entra/identity-platform/reference-error-codes).

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::{
    local::{
        entra::{
            application::EntraApplication,
            assertion::{self, Assertion, AssertionError},
            identity::LocalManagedIdentity,
            signer::Signer,
        },
        error::LocalError,
    },
    server::query::Query,
    service::{
        DEFAULT_SCOPE,
        jwt::{
            Validity,
            verify::{self, TokenError},
        },
        secret::Secret,
    },
};

/// The tenant where nothing says another, and the service's own identity there.
const DEFAULT_TENANT: &str = "00000000-0000-4000-8000-000000000001";
const SERVICE_IDENTITY: &str = "00000000-0000-4000-8000-000000000002";

/// What tokens of [`DEFAULT_SCOPE`] are for.
const AUDIENCE: &str = "https://signalr.azure.com";

/// Why an Entra token is refused by the service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntraTokenError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("its application is not registered")]
    UnknownApplication,
}

#[derive(Debug)]
pub(crate) struct Authority {
    applications: Vec<Arc<EntraApplication>>,
    pub(crate) identities: Vec<LocalManagedIdentity>,
    /// Who the service itself is when it calls an upstream.
    pub(crate) service: LocalManagedIdentity,
    pub(crate) token_lifetime: Duration,
    /// Of the metadata service, which gives tokens to managed identities.
    origin: String,
    /// What the signer is derived from, once it is needed.
    access_key: Secret,
    signer: OnceLock<Arc<Signer>>,
}

impl Authority {
    pub(crate) fn new(
        mut applications: Vec<EntraApplication>,
        identities: Vec<LocalManagedIdentity>,
        service: Option<LocalManagedIdentity>,
        token_lifetime: Duration,
        access_key: Secret,
        origin: &str,
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
        let service = service.unwrap_or_else(|| {
            let tenant = applications.first().map_or(DEFAULT_TENANT, |application| &application.tenant_id);
            LocalManagedIdentity::system_assigned(tenant, SERVICE_IDENTITY)
        });
        let applications = applications.into_iter().map(Arc::new).collect();
        let (origin, signer) = (origin.to_owned(), OnceLock::new());
        Ok(Self { applications, identities, service, token_lifetime, origin, access_key, signer })
    }

    /// Makes the key that signs tokens, if somebody is going to get any. It can take a while.
    pub(crate) fn prepare(&self, is_needed: bool) {
        if is_needed || !self.applications.is_empty() {
            self.signer();
        }
    }

    fn signer(&self) -> &Signer {
        self.signer.get_or_init(|| Signer::of(&self.access_key))
    }

    /// All applications, those of managed identities among them.
    #[cfg(feature = "dashboard")]
    pub(crate) fn applications(&self) -> impl Iterator<Item = &EntraApplication> + Clone {
        self.applications.iter().map(|application| &**application)
    }

    /// Whether a token claims to come from this authority; nothing is verified by that.
    pub(crate) fn has_issued(&self, token: &str) -> bool {
        let signer = self.signer.get();
        signer.is_some_and(|signer| verify::key_id(token).is_ok_and(|id| id.as_deref() == Some(signer.id())))
    }

    /// The tenant as it was registered, if it was.
    pub(crate) fn tenant(&self, id: &str) -> Option<&str> {
        let service = &self.service.application.tenant_id;
        let applications = self.applications.iter().map(|application| &application.tenant_id);
        applications.chain([service]).find(|tenant| tenant.eq_ignore_ascii_case(id)).map(String::as_str)
    }

    /// The public keys that verify every token of the authority, as a JWK set.
    pub(crate) fn keys(&self) -> Value {
        json!({ "keys": [self.signer().jwk()] })
    }

    /// Verifies a token and finds its application.
    pub(crate) fn verify(&self, token: &str, now: u64) -> Result<Arc<EntraApplication>, EntraTokenError> {
        let claims = self.signer().verify(token, now, |audience| audience == AUDIENCE)?;
        let claim = |name| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let (tenant_id, client_id) = (claim("tid"), claim("appid"));
        let application = self.applications.iter().find(|a| a.is(tenant_id, client_id));
        application.cloned().ok_or(EntraTokenError::UnknownApplication)
    }

    /// A token for what the form of a token request proves and asks for. `origin` is where the request has come in.
    pub(crate) fn issue(
        &self,
        tenant: &str,
        form: &Query,
        origin: &str,
        now: u64,
    ) -> Result<String, OAuthError> {
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
        if scope != DEFAULT_SCOPE {
            return Err(OAuthError::WrongScope(scope.to_owned()));
        }
        let issuer = issuer_of_v1(&application.tenant_id);
        // In Azure the object id of the enterprise application, another GUID.
        Ok(self.sign(application, &issuer, &application.client_id, AUDIENCE, now))
    }

    /// A token for a managed identity: for the service, or to be another application's assertion.
    pub(crate) fn issue_to_identity(
        &self,
        identity: &LocalManagedIdentity,
        resource: &str,
        now: u64,
    ) -> Option<String> {
        let application = &identity.application;
        let resource = resource.trim_end_matches('/');
        let issuer = match resource {
            AUDIENCE => issuer_of_v1(&application.tenant_id),
            _ if assertion::is_exchange_audience(resource) => self.identity_issuer(identity),
            _ => return None,
        };
        Some(self.sign(application, &issuer, &identity.object_id, resource, now))
    }

    /// A token of the service's own identity, for an upstream.
    pub(crate) fn issue_to_service(&self, resource: &str, now: u64) -> String {
        let LocalManagedIdentity { application, object_id, .. } = &self.service;
        self.sign(application, &issuer_of_v1(&application.tenant_id), object_id, resource, now)
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
            ("appid", application.client_id.as_str()),
            ("idtyp", "app"),
            ("oid", object_id),
            ("sub", object_id),
            ("tid", &application.tenant_id),
            ("ver", if issuer.ends_with("/v2.0") { "2.0" } else { "1.0" }),
        ];
        let validity =
            Validity { issued_at: now, expires_at: now.saturating_add(self.token_lifetime.as_secs()) };
        self.signer().sign(issuer, &claims, validity, audience)
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
            self.signer().verify(text, now, assertion::is_exchange_audience)?;
            let trusted =
                self.identities.iter().filter(|identity| application.trusts(&identity.application.client_id));
            let of_issuer = |identity: &&_| self.identity_issuer(identity) == assertion.issuer();
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

    /// Who gives a managed identity the tokens that it may pass on as an assertion.
    fn identity_issuer(&self, identity: &LocalManagedIdentity) -> String {
        issuer_of_v2(&self.origin, &identity.application.tenant_id)
    }
}

/// Who issues tokens of version 1.0 in a tenant. It is an address of Entra, of which nothing is fetched.
pub(crate) fn issuer_of_v1(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// Who issues tokens of version 2.0 in a tenant.
pub(crate) fn issuer_of_v2(origin: &str, tenant: &str) -> String {
    format!("{origin}/{tenant}/v2.0")
}

/// The errors of the token endpoint, in Entra's words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OAuthError {
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
        "The provided value for the input parameter 'scope' is not valid. The scope '{0}' must be {DEFAULT_SCOPE}."
    )]
    WrongScope(String),
    #[error(transparent)]
    Assertion(#[from] AssertionError),
}

impl OAuthError {
    /// The number after `AADSTS`, and the name that OAuth 2.0 gives to the error.
    pub(crate) fn code(&self) -> (u32, &'static str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_are_registered_once() {
        let with = |other| {
            let applications = vec![EntraApplication::new("t", "c", "s"), other];
            Authority::new(
                applications,
                Vec::new(),
                None,
                Duration::ZERO,
                Secret::new("key"),
                "http://127.0.0.1",
            )
        };
        let twice = with(EntraApplication::new("T", "C", "x"));
        assert!(matches!(twice, Err(LocalError::DuplicateApplication { .. })));
        let authority = with(EntraApplication::new("u", "c", "s")).expect("two applications");
        assert_eq!(["T", "u", "v"].map(|tenant| authority.tenant(tenant)), [Some("t"), Some("u"), None]);
    }
}

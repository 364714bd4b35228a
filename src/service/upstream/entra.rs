//! Tokens of the service's managed identity, checked with the keys of the authority.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use http::{HeaderMap, StatusCode};
use reqwest::Url;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    core::{Cause, ErrorChain, http::bearer_token},
    lock::lock,
    platform::Network,
    service::{
        clock::unix_now,
        credentials::{
            cache::{Cache, Fresh},
            cloud::Cloud,
            error::CredentialError,
        },
        http::{
            body::read_body,
            url::{is_secure, parse_url},
        },
        jwt::Token,
        random,
        upstream::request::Refusal,
    },
};

/// Entra rotates its keys every few weeks and announces them days before.
const REFRESH_AFTER: Duration = Duration::from_secs(24 * 3600);
const USABLE_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// An unknown key id may be that of a new key, or invented; the keys are fetched at most this often because of one.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_KEYS: usize = 256 * 1024;
/// How far clocks may be apart.
const LEEWAY: u64 = 300;

/// Why an [`EntraTokenValidator`] cannot be built.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorError {
    /// Issuers of tokens are named by the tenant's id, not by its domain.
    #[error("the tenant must be its id, such as 72f988bf-86f1-41af-91ab-2d7cd011db47")]
    InvalidTenant,
    /// The audience is what is set as the resource of the upstream's managed identity; it cannot be empty.
    #[error("the audience must be the resource that the upstream settings name")]
    NoAudience,
    /// Any application of a tenant can get a token for an audience, so those that may call have to be named.
    #[error("name the identity that may call with allow_identity(): its object id or its application id")]
    NoIdentity,
    /// The authority is not the origin of an https URL, such as `https://login.microsoftonline.com`.
    #[error("the authority must be an address such as https://login.microsoftonline.com")]
    InvalidAuthority,
    /// The HTTP client could not be set up; most likely the system has no root certificates.
    #[error("the HTTP client could not be set up; check that the system has root certificates")]
    HttpClient(#[source] Cause),
}

/// Checks the token that Azure SignalR Service sends to an upstream whose settings have a managed identity.
///
/// Signature (RS256, with the keys that the authority publishes), expiry, issuer, audience, tenant and the identity
/// itself have to be right. Keys are fetched with the first token, kept for a day, and fetched again when a token
/// names one that is not known.
///
/// Source: [Secure upstream with managed identity](https://learn.microsoft.com/azure/azure-signalr/howto-use-managed-identity).
///
/// ```
/// use hubwire::service::upstream::{EntraTokenValidator, UpstreamRouter};
///
/// # fn router() -> Result<UpstreamRouter, hubwire::service::upstream::ValidatorError> {
/// let validator = EntraTokenValidator::builder("72f988bf-86f1-41af-91ab-2d7cd011db47", "api://my-upstream")
///     .allow_identity("11111111-2222-3333-4444-555555555555")
///     .build()?;
/// let upstream = UpstreamRouter::new().entra(validator);
/// # Ok(upstream)
/// # }
/// ```
#[derive(Clone)]
pub struct EntraTokenValidator(Arc<Inner>);

struct Inner {
    tenant: String,
    audience: String,
    issuers: Vec<String>,
    identities: Vec<String>,
    keys: Cache<Arc<Vec<Key>>, CredentialError>,
    renewed_at: Mutex<Option<Instant>>,
}

/// Describes an [`EntraTokenValidator`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct EntraTokenValidatorBuilder {
    tenant: String,
    audience: String,
    authority: String,
    identities: Vec<String>,
}

impl EntraTokenValidatorBuilder {
    /// Lets an identity in, by its object id or its application (client) id. At least one.
    pub fn allow_identity(mut self, id: impl Into<String>) -> Self {
        self.identities.push(id.into());
        self
    }

    /// The authority of another cloud than the public one, such as `https://login.microsoftonline.us`.
    pub fn authority(self, url: impl Into<String>) -> Self {
        Self { authority: url.into(), ..self }
    }

    /// Builds the validator. Nothing is fetched yet.
    ///
    /// # Errors
    /// See [`ValidatorError`].
    pub fn build(self) -> Result<EntraTokenValidator, ValidatorError> {
        let Self { tenant, audience, authority, identities } = self;
        // As the authority writes it.
        let tenant = tenant.to_ascii_lowercase();
        if tenant.is_empty() || !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ValidatorError::InvalidTenant);
        }
        if audience.is_empty() {
            return Err(ValidatorError::NoAudience);
        }
        if identities.iter().all(String::is_empty) {
            return Err(ValidatorError::NoIdentity);
        }
        let url =
            parse_url(authority.trim_end_matches('/')).filter(|url| is_secure(url) && url.path() == "/");
        let url = url.ok_or(ValidatorError::InvalidAuthority)?;
        let origin = url.origin().ascii_serialization();
        let issuers = issuers(&url, &tenant);

        let unavailable = ValidatorError::HttpClient;
        let builder =
            Network::default().http_client_builder().map_err(|error| unavailable(Cause::new(error)))?;
        let client = builder.build().map_err(|error| unavailable(Cause::new(error)))?;
        let keys_url = format!("{origin}/{tenant}/discovery/v2.0/keys");
        let keys = Cache::new("keys of the Entra authority", move || fetch(client.clone(), keys_url.clone()));
        Ok(EntraTokenValidator(Arc::new(Inner {
            tenant,
            audience,
            issuers,
            identities,
            keys,
            renewed_at: Mutex::default(),
        })))
    }
}

impl EntraTokenValidator {
    /// Starts a validator for tokens of a tenant, by its id, with this audience: the resource that the upstream
    /// settings name.
    pub fn builder(tenant_id: impl Into<String>, audience: impl Into<String>) -> EntraTokenValidatorBuilder {
        EntraTokenValidatorBuilder {
            tenant: tenant_id.into(),
            audience: audience.into(),
            authority: Cloud::Public.authority().to_owned(),
            identities: Vec::new(),
        }
    }

    /// The documentation names the header `Authentication` in one place.
    pub(crate) async fn check_headers(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let value = headers.get("authorization").or_else(|| headers.get("authentication"));
        let token = value.and_then(|value| bearer_token(value.to_str().ok()?));
        match self.check(token.unwrap_or_default()).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Refusal(StatusCode::UNAUTHORIZED, "The token is not one of the service's identity."))
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain::new(&error), "no keys to check tokens with");
                Err(Refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Tokens cannot be checked now. Try again later.",
                ))
            }
        }
    }

    async fn check(&self, token: &str) -> Result<bool, CredentialError> {
        let Some(token) = Token::parse(token) else { return Ok(false) };
        if token.header_text("alg") != Some("RS256") {
            return Ok(false);
        }
        let Some(id) = token.header_text("kid") else { return Ok(false) };
        // The claims are checked first: keys are fetched only for a token whose claims are right.
        if let Err(reason) = self.0.check_claims(&token.claims, unix_now()) {
            tracing::debug!(reason, "refused an upstream token");
            return Ok(false);
        }
        let lease = self.0.keys.lease().await?;
        if let Some(key) = lease.value.iter().find(|key| key.id == id) {
            return Ok(key.verify(&token));
        }
        if !self.0.may_renew() {
            return Ok(false);
        }
        let renewed = self.0.keys.renew(&lease).await?;
        Ok(renewed.value.iter().find(|key| key.id == id).is_some_and(|key| key.verify(&token)))
    }
}

impl Inner {
    fn check_claims(&self, claims: &Map<String, Value>, now: u64) -> Result<(), &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        if time("exp").is_none_or(|end| end.saturating_add(LEEWAY) <= now) {
            return Err("it has expired");
        }
        if time("nbf").is_some_and(|start| start > now.saturating_add(LEEWAY)) {
            return Err("it is not valid yet");
        }
        if text("aud") != self.audience {
            return Err("it is for another audience");
        }
        if !self.issuers.iter().any(|issuer| issuer == text("iss")) || text("tid") != self.tenant {
            return Err("it is of another tenant");
        }
        let allowed =
            |name| self.identities.iter().any(|id| !id.is_empty() && id.eq_ignore_ascii_case(text(name)));
        if ["oid", "appid", "azp"].into_iter().any(allowed) {
            Ok(())
        } else {
            Err("it is of another identity")
        }
    }

    fn may_renew(&self) -> bool {
        let mut renewed_at = lock(&self.renewed_at);
        let may = renewed_at.is_none_or(|at| at.elapsed() >= UNKNOWN_KEY_INTERVAL);
        if may {
            *renewed_at = Some(Instant::now());
        }
        may
    }
}

impl fmt::Debug for EntraTokenValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraTokenValidator")
            .field("tenant", &self.0.tenant)
            .field("audience", &self.0.audience)
            .field("identities", &self.0.identities)
            .finish_non_exhaustive()
    }
}

/// Who issues the tokens of a tenant, by the name for tokens of version 1.0 and by that for 2.0.
///
/// Source: [Token issuers of the national clouds](https://learn.microsoft.com/answers/questions/1190472/what-are-the-token-issuers-for-the-sovereign-cloud).
fn issuers(authority: &Url, tenant: &str) -> Vec<String> {
    let origin = authority.origin().ascii_serialization();
    let chinese = authority.host_str().is_some_and(|host| host.ends_with(".cn"));
    let sts = if chinese { "https://sts.chinacloudapi.cn" } else { "https://sts.windows.net" };
    let mut issuers = vec![format!("{sts}/{tenant}/"), format!("{origin}/{tenant}/v2.0")];
    if chinese {
        // The authority there has two names, and issues tokens in the newer one's.
        issuers.push(format!("https://login.partner.microsoftonline.cn/{tenant}/v2.0"));
    }
    issuers
}

/// A public key of the authority.
#[derive(Debug)]
struct Key {
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Key {
    fn verify(&self, token: &Token<'_>) -> bool {
        RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent }
            .verify(&RSA_PKCS1_2048_8192_SHA256, token.signed.as_bytes(), &token.signature)
            .is_ok()
    }
}

async fn fetch(client: reqwest::Client, url: String) -> Result<Fresh<Arc<Vec<Key>>>, CredentialError> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Value>,
    }
    #[derive(Deserialize)]
    struct Jwk {
        kid: String,
        n: String,
        e: String,
    }
    let connection = |error: reqwest::Error| CredentialError::Connection(Cause::new(error.without_url()));
    let response = client.get(url).timeout(FETCH_TIMEOUT).send().await.map_err(connection)?;
    if !response.status().is_success() {
        return Err(CredentialError::Unavailable { status: response.status().as_u16() });
    }
    let body =
        read_body(response, MAX_KEYS).await.map_err(|error| CredentialError::Connection(error.into()))?;
    let set: KeySet =
        serde_json::from_slice(&body).map_err(|error| CredentialError::Other(Cause::new(error)))?;
    // Keys of other kinds may stand beside those for RS256.
    let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys = keys.filter_map(|Jwk { kid, n, e }| {
        Some(Key { id: kid, modulus: BASE64.decode(n).ok()?, exponent: BASE64.decode(e).ok()? })
    });
    Ok(Fresh {
        value: Arc::new(keys.collect()),
        refresh_after: REFRESH_AFTER + random::up_to(REFRESH_AFTER / 10),
        usable_for: USABLE_FOR,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_every_cloud_have_its_issuers() {
        let of = |authority: &str| issuers(&Url::parse(authority).unwrap(), "t");
        let public = ["https://sts.windows.net/t/", "https://login.microsoftonline.com/t/v2.0"];
        assert_eq!(of(Cloud::Public.authority()), public);
        let government = ["https://sts.windows.net/t/", "https://login.microsoftonline.us/t/v2.0"];
        assert_eq!(of(Cloud::UsGovernment.authority()), government);
        for authority in [Cloud::China.authority(), "https://login.partner.microsoftonline.cn"] {
            let all = of(authority);
            for issuer in
                ["https://sts.chinacloudapi.cn/t/", "https://login.partner.microsoftonline.cn/t/v2.0"]
            {
                assert!(all.iter().any(|known| known == issuer), "{authority}: {all:?}");
            }
        }
    }
}

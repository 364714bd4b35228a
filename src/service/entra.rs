//! Tokens of Microsoft Entra ID for an application with a client secret.
//!
//! `azure_identity` makes the token request; the transport under it is ours, for three reasons:
//!
//! 1. It has the connection pool and the TLS of everything else here.
//! 2. It notes status and error codes of a refusal. `azure_identity` loses both when Entra's description of the
//!    error contains a JSON escape, which it usually does.
//! 3. `azure_identity` takes https authorities only. For a test authority on this machine that speaks plain http, it
//!    gets the https form, and the transport turns exactly that origin back.
//!
//! A credential of `azure_identity` gives out the same token until five minutes before its end and cannot be told
//! to forget it, so each fetch makes a new one. The cache is ours.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use azure_core::{
    Bytes, Error,
    cloud::{CloudConfiguration, CustomConfiguration},
    credentials::{AccessToken, Secret as AzureSecret, TokenCredential},
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions,
        StatusCode, Transport, Url,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use serde::Deserialize;

use super::{
    connection_string::parse_url,
    endpoint::{EndpointError, is_secure},
    error::{Cause, CredentialError},
    http::read_body,
    secret::Secret,
};

const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com";
/// One attempt. A token request takes well under a second when all is well.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Retries after a connection failure or a status of 408, 429, 500, 502, 503 or 504. A refusal is not retried.
const MAX_RETRIES: u32 = 2;
const MAX_ANSWER: usize = 64 * 1024;

/// The credential of an Entra application: its tenant, its client id and a client secret.
///
/// The tenant is the one that the SignalR resource belongs to. For another cloud than the public one, set its
/// [`authority`](Self::authority). The variable `AZURE_AUTHORITY_HOST` is not read.
///
/// ```
/// use hubwire::service::{ClientSecret, ServiceEndpoint};
///
/// # let secret = "from a key vault".to_owned();
/// let credential = ClientSecret::new("contoso.onmicrosoft.com", "11111111-2222-3333-4444-555555555555", secret)
///     .authority("https://login.microsoftonline.us");
/// let endpoint = ServiceEndpoint::new("https://contoso.signalr.azure.us", credential)?;
/// # Ok::<(), hubwire::service::EndpointError>(())
/// ```
///
/// Source: [Authorize requests with Microsoft Entra applications](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application).
#[derive(Clone)]
pub struct ClientSecret {
    tenant_id: String,
    client_id: String,
    secret: Secret,
    authority: String,
}

impl ClientSecret {
    /// Takes the directory (tenant) id, the application (client) id, and the *value* of a client secret.
    #[must_use]
    pub fn new(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            client_id: client_id.into(),
            secret: Secret::new(secret),
            authority: PUBLIC_CLOUD.to_owned(),
        }
    }

    /// The address of the authority, `https://login.microsoftonline.com` by default. Plain http is possible on this
    /// machine only. [`ServiceEndpoint::new`](super::ServiceEndpoint::new) checks it.
    #[must_use]
    pub fn authority(self, url: impl Into<String>) -> Self {
        Self { authority: url.into(), ..self }
    }

    /// The directory (tenant) id.
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        &self.tenant_id
    }

    /// The application (client) id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The client secret's value. Keep it out of logs.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.secret.expose()
    }

    pub(super) fn authority_url(&self) -> Result<Url, EndpointError> {
        let url = parse_url(&self.authority).filter(|url| url.path() == "/");
        let url = url.ok_or(EndpointError::InvalidAuthority)?;
        if is_secure(&url) { Ok(url) } else { Err(EndpointError::InsecureUrl { what: "authority" }) }
    }

    pub(super) fn check(&self) -> Result<(), EndpointError> {
        self.authority_url()?;
        let tenant = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        for (what, valid) in [
            ("tenant id", !self.tenant_id.is_empty() && self.tenant_id.chars().all(tenant)),
            ("client id", !self.client_id.trim().is_empty()),
            ("client secret", !self.secret.is_empty()),
        ] {
            if !valid {
                return Err(EndpointError::InvalidCredential { what });
            }
        }
        Ok(())
    }

    /// Requests a token. Ends by itself only if the authority answers; the cache limits the time.
    pub(super) async fn fetch(
        &self,
        client: &reqwest::Client,
        scope: &str,
    ) -> Result<AccessToken, CredentialError> {
        let http = Arc::new(EntraHttp {
            client: client.clone(),
            plain: self.authority_url().ok().filter(|url| url.scheme() == "http"),
            last: Mutex::new(None),
        });
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = match self.authority.split_once("://") {
            Some((_, host)) => format!("https://{host}"),
            None => self.authority.clone(),
        };
        let options = ClientSecretCredentialOptions {
            client_options: ClientOptions {
                cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
                transport: Some(Transport::new(Arc::clone(&http) as Arc<dyn HttpClient>)),
                retry: RetryOptions::exponential(ExponentialRetryOptions {
                    max_retries: MAX_RETRIES,
                    ..ExponentialRetryOptions::default()
                }),
                ..ClientOptions::default()
            },
        };
        let secret = AzureSecret::new(self.secret.expose().to_owned());
        let credential =
            ClientSecretCredential::new(&self.tenant_id, self.client_id.clone(), secret, Some(options))
                .map_err(|error| CredentialError::Other(Arc::new(error)))?;
        let result = credential.get_token(&[scope], None).await;
        result.map_err(|error| match http.take_last() {
            Some(Outcome::Refused(answer)) => answer.into_error(&self.client_id),
            Some(Outcome::Unreachable(cause)) => CredentialError::Connection(cause),
            Some(Outcome::Answered) => CredentialError::UnusableToken,
            None => CredentialError::Other(Arc::new(error)),
        })
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret")
            .field("tenant_id", &self.tenant_id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// What became of the last attempt.
enum Outcome {
    Answered,
    Refused(EntraRefusal),
    Unreachable(Cause),
}

/// The transport under `azure_identity`.
struct EntraHttp {
    client: reqwest::Client,
    /// The authority's address, if it speaks plain http.
    plain: Option<Url>,
    last: Mutex<Option<Outcome>>,
}

impl EntraHttp {
    fn take_last(&self) -> Option<Outcome> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, outcome: Outcome) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// Where the request really goes: the same address, unless it is the https form of a plain authority.
    fn target(&self, url: &Url) -> Url {
        let Some(plain) = &self.plain else { return url.clone() };
        let mut target = url.clone();
        // An explicit port 443 is dropped by parsing, hence no comparison of the ports as they are written.
        let https = plain.as_str().replacen("http", "https", 1);
        let same = Url::parse(&https).is_ok_and(|https| https.origin() == url.origin());
        if same && target.set_scheme("http").is_ok() && target.set_port(plain.port()).is_ok() {
            return target;
        }
        url.clone()
    }

    async fn send(
        &self,
        request: &Request,
    ) -> Result<(u16, Headers, Vec<u8>), Box<dyn StdError + Send + Sync>> {
        let Body::Bytes(body) = request.body().clone() else {
            return Err("a token request has a body of known size".into());
        };
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())?;
        let mut outgoing =
            self.client.request(method, self.target(request.url())).timeout(ATTEMPT_TIMEOUT).body(body);
        for (name, value) in request.headers().iter() {
            outgoing = outgoing.header(name.as_str(), value.as_str());
        }
        let response = outgoing.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status().as_u16();
        let headers: Vec<_> = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut copied = Headers::new();
        for (name, value) in headers {
            copied.insert(HeaderName::from(name), HeaderValue::from(value));
        }
        Ok((status, copied, read_body(response, MAX_ANSWER).await?))
    }
}

impl fmt::Debug for EntraHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntraHttp")
    }
}

#[async_trait::async_trait]
impl HttpClient for EntraHttp {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        match self.send(request).await {
            Ok((status, headers, body)) => {
                tracing::debug!(status, "Entra answered the token request");
                self.note(match status {
                    200..300 => Outcome::Answered,
                    _ => Outcome::Refused(EntraRefusal::read(status, &body)),
                });
                Ok(AsyncRawResponse::from_bytes(StatusCode::from(status), headers, Bytes::from(body)))
            }
            Err(cause) => {
                self.note(Outcome::Unreachable(cause.into()));
                Err(Error::with_message(ErrorKind::Io, "the token request failed"))
            }
        }
    }
}

/// What matters of an error answer: neither its description nor its trace ids.
struct EntraRefusal {
    status: u16,
    error: Option<String>,
    code: Option<String>,
}

impl EntraRefusal {
    fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Answer {
            error: Option<String>,
            error_codes: Vec<u64>,
            error_description: Option<String>,
        }
        let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let described = answer.error_description.unwrap_or_default();
        let digits =
            described.split_once("AADSTS").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()));
        let digits = digits.and_then(|mut parts| parts.next()).filter(|d| (1..=10).contains(&d.len()));
        let code = answer.error_codes.first().map(u64::to_string).or_else(|| digits.map(str::to_owned));
        Self {
            status,
            error: answer.error.filter(|e| (1..=64).contains(&e.len()) && e.chars().all(is_word)),
            code: code.map(|digits| format!("AADSTS{digits}")),
        }
    }

    fn into_error(self, client_id: &str) -> CredentialError {
        let Self { status, error, code } = self;
        let client_id = client_id.to_owned();
        // Wrong, expired and missing secrets.
        let secret = matches!(code.as_deref(), Some("AADSTS7000215" | "AADSTS7000222" | "AADSTS7000218"));
        if secret || (code.is_none() && error.as_deref() == Some("invalid_client")) {
            return CredentialError::InvalidClientSecret { client_id, error, code };
        }
        if status >= 500 || status == 429 || status == 408 {
            return CredentialError::Unavailable { status };
        }
        CredentialError::Refused { client_id, status, error, code }
    }
}

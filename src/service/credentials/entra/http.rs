//! The transport of token requests.
//!
//! `azure_identity` makes the token request; the transport under it is ours, for three reasons:
//!
//! 1. It has the connection pool and the TLS of everything else here.
//! 2. It notes status and error codes of a refusal. `azure_identity` loses both when Entra's description of the
//!    error contains a JSON escape, which it usually does.
//! 3. `azure_identity` takes https authorities only. For a test authority on this machine that speaks plain http, it
//!    gets the https form, and the transport turns exactly that origin back.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use azure_core::{
    Bytes, Error,
    cloud::{CloudConfiguration, CustomConfiguration},
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions,
        StatusCode, Transport, Url,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use serde::Deserialize;

use crate::{
    lock::lock,
    service::{
        credentials::{
            error::{Cause, CredentialError},
            source::cause,
        },
        http::{body::read_body, clients::HttpClients},
    },
};

/// One attempt. A token request takes well under a second when all is well.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Retries after a connection failure or a status of 408, 429, 500, 502, 503 or 504. A refusal is not retried.
const MAX_RETRIES: u32 = 2;
const MAX_ANSWER: usize = 64 * 1024;

/// Wrong, expired and missing secrets.
const SECRET_CODES: [&str; 3] = ["AADSTS7000215", "AADSTS7000222", "AADSTS7000218"];
/// Assertions of an unknown certificate or issuer, for another audience or application, at the wrong time.
const ASSERTION_CODES: [&str; 10] = [
    "AADSTS50027",
    "AADSTS70021",
    "AADSTS700021",
    "AADSTS700023",
    "AADSTS700024",
    "AADSTS700027",
    "AADSTS700211",
    "AADSTS700212",
    "AADSTS700213",
    "AADSTS1000502",
];

/// What became of the last attempt.
enum Outcome {
    Answered,
    Refused(EntraRefusal),
    Unreachable(Cause),
}

/// The transport under `azure_identity`.
pub(super) struct EntraHttp {
    client: reqwest::Client,
    /// The authority's address, if it speaks plain http.
    plain: Option<Url>,
    last: Mutex<Option<Outcome>>,
}

impl EntraHttp {
    pub(super) fn new(http: &HttpClients, authority: &Url) -> Arc<Self> {
        let plain = (authority.scheme() == "http").then(|| authority.clone());
        Arc::new(Self { client: http.for_url(authority).clone(), plain, last: Mutex::new(None) })
    }

    /// What `azure_identity` needs to know to ask this authority over this transport.
    pub(super) fn client_options(this: &Arc<Self>, authority: &Url) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = match authority.as_str().split_once("://") {
            Some((_, host)) => format!("https://{host}"),
            None => authority.to_string(),
        };
        ClientOptions {
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            transport: Some(Transport::new(Arc::clone(this) as Arc<dyn HttpClient>)),
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                max_retries: MAX_RETRIES,
                ..ExponentialRetryOptions::default()
            }),
            ..ClientOptions::default()
        }
    }

    /// Why there is no token: what the transport saw, rather than what `azure_identity` made of it.
    pub(super) fn explain(&self, error: Error, client_id: &str, is_assertion: bool) -> CredentialError {
        match self.take_last() {
            Some(Outcome::Refused(answer)) => answer.into_error(client_id, is_assertion),
            Some(Outcome::Unreachable(cause)) => CredentialError::Connection(cause),
            Some(Outcome::Answered) => CredentialError::UnusableToken,
            None => CredentialError::Other(cause(error)),
        }
    }

    fn take_last(&self) -> Option<Outcome> {
        lock(&self.last).take()
    }

    fn note(&self, outcome: Outcome) {
        *lock(&self.last) = Some(outcome);
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

    fn into_error(self, client_id: &str, is_assertion: bool) -> CredentialError {
        let Self { status, error, code } = self;
        let client_id = client_id.to_owned();
        let of_client = error.as_deref() == Some("invalid_client");
        let has_code = |codes: &[&str]| code.as_deref().is_some_and(|code| codes.contains(&code));
        if is_assertion && (of_client || has_code(&ASSERTION_CODES)) {
            return CredentialError::InvalidClientAssertion { client_id, error, code };
        }
        if !is_assertion && ((of_client && code.is_none()) || has_code(&SECRET_CODES)) {
            return CredentialError::InvalidClientSecret { client_id, error, code };
        }
        if status >= 500 || status == 429 || status == 408 {
            return CredentialError::Unavailable { status };
        }
        CredentialError::Refused { client_id, status, error, code }
    }
}

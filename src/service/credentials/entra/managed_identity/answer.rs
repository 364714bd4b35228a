//! What the endpoint of a managed identity answers, and what it means.

use azure_core::credentials::{AccessToken, Secret as AzureSecret};
use reqwest::header::WWW_AUTHENTICATE;
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::host::{Host, unreachable};
use crate::service::{
    credentials::{
        entra::expiry,
        error::{Cause, CredentialError},
        source::cause,
    },
    http::body::read_body,
    secret::Secret,
};

const MAX_ANSWER: usize = 64 * 1024;
const MAX_MESSAGE: usize = 300;

pub(super) struct Answer {
    status: u16,
    challenge: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

/// Why there is no token, and whether it may be there soon.
pub(super) struct Failure {
    pub(super) error: CredentialError,
    pub(super) may_pass: bool,
}

impl Failure {
    pub(super) fn last(error: CredentialError) -> Self {
        Self { error, may_pass: false }
    }
}

impl Answer {
    pub(super) async fn of(request: reqwest::RequestBuilder, host: &Host) -> Result<Self, Failure> {
        let response = request.send().await.map_err(|error| Failure {
            // Containers start it late.
            may_pass: error.is_connect() && !host.is_guessed(),
            error: unreachable(cause(error.without_url())),
        })?;
        let status = response.status().as_u16();
        let challenge = response.headers().get(WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = read_body(response, MAX_ANSWER).await;
        let body = body.map_err(|error| Failure::last(unreachable(error.into())))?;
        tracing::debug!(status, "the managed identity's endpoint answered");
        Ok(Self { status, challenge, body: Zeroizing::new(body) })
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// What the server wants a proof of (`WWW-Authenticate`).
    pub(super) fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    /// The token in it. What was sent is kept out of the error.
    pub(super) fn token(&self, host: &Host, sent: Option<&Secret>) -> Result<AccessToken, Failure> {
        if let Some(stranger) = self.stranger(host) {
            return Err(Failure::last(CredentialError::NoManagedIdentity(stranger)));
        }
        match self.status {
            200..300 => read_token(&self.body).ok_or(Failure::last(CredentialError::UnusableToken)),
            // 404 and 410 come while the identity is being set up.
            status @ (404 | 410) => Err(Failure { error: self.refused(status, sent), may_pass: true }),
            status @ (429 | 500..) => {
                Err(Failure { error: CredentialError::Unavailable { status }, may_pass: true })
            }
            status => Err(Failure::last(self.refused(status, sent))),
        }
    }

    /// What answers in place of the metadata service, if it is something else: a proxy, a captive portal, a router. The
    /// service answers in JSON, if it says anything, and is never behind a gateway.
    fn stranger(&self, host: &Host) -> Option<Cause> {
        let status = self.status;
        let json = serde_json::from_slice::<Map<String, Value>>(&self.body).ok();
        let is_json = json.is_some();
        let what = match status {
            200..300 if self.is_blank() => "nothing",
            200..300 if !is_json => "something that is not JSON",
            200..300 if host.is_guessed() && json.is_some_and(|json| !json.contains_key("access_token")) => {
                "something without a token"
            }
            300..400 | 407 | 502 | 504 | 511 if host.is_guessed() => "as a proxy or a router does",
            _ if host.is_guessed() && !self.is_blank() && !is_json => "something that is not JSON",
            _ => return None,
        };
        Some(Cause::new(format!("what is there is not Azure's, it answers {what} (status {status})")))
    }

    fn is_blank(&self) -> bool {
        self.body.trim_ascii().is_empty()
    }

    fn refused(&self, status: u16, sent: Option<&Secret>) -> CredentialError {
        CredentialError::ManagedIdentityRefused { status, message: self.message(sent) }
    }

    /// The endpoint's own words: `error_description` on virtual machines, `message` elsewhere.
    fn message(&self, sent: Option<&Secret>) -> Option<String> {
        let json: Value = serde_json::from_slice(&self.body).ok()?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let error = json.get("error");
        let message = text(json.get("error_description"))
            .or_else(|| text(json.get("message")))
            .or_else(|| text(error.and_then(|error| error.get("message"))))
            .or_else(|| text(error))?;
        // Something in between may echo the request.
        if sent.is_some_and(|secret| message.contains(secret.expose())) {
            return None;
        }
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let message: String = message.trim().chars().take(MAX_MESSAGE).map(printable).collect();
        (!message.is_empty()).then_some(message)
    }
}

fn read_token(body: &[u8]) -> Option<AccessToken> {
    #[derive(Deserialize)]
    struct Token {
        access_token: Secret,
        expires_on: Value,
    }
    let token: Token = serde_json::from_slice(body).ok()?;
    let expires_on = expiry::parse(&token.expires_on)?;
    Some(AccessToken::new(AzureSecret::new(token.access_token.expose().to_owned()), expires_on))
}

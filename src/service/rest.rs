//! The REST API of Azure SignalR Service.
//!
//! Source: [REST API reference](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api)
//! and the [definition](https://github.com/Azure/azure-signalr/tree/dev/docs/swagger) of version 2024-12-01.

use std::{error::Error, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder, Response, Url, header};
use serde::Deserialize;

use super::{
    cache::Cache,
    error::{Operation, Refusal, ServiceError},
    http::read_body,
    jwt::{self, Validity},
    secret::Secret,
    unix_now,
};
use crate::core::url::encode_data;

/// The newest version that is generally available.
pub(super) const API_VERSION: &str = "2024-12-01";

/// The longest answer that is read.
const MAX_ANSWER: usize = 256 * 1024;
const MAX_MESSAGE: usize = 300;
const MAX_NAME: usize = 1024;
/// How long the token of one request is valid, as with the official SDK.
const TOKEN_LIFETIME: u64 = 3600;

/// What authenticates REST requests. A temporary access key does not: it is for client tokens.
#[derive(Debug, Clone)]
pub(super) enum RestCredential {
    Key(Arc<jwt::Key>),
    Entra(Cache<Arc<Secret>>),
}

#[derive(Debug, Clone)]
pub(super) struct RestClient {
    pub(super) client: reqwest::Client,
    /// Where requests go; ends in a slash.
    pub(super) base: String,
    /// What audiences start with; ends in a slash.
    pub(super) audience_base: String,
    pub(super) application: Option<String>,
    pub(super) credential: RestCredential,
    pub(super) timeout: Duration,
    /// Names this process to the service.
    pub(super) server_name: String,
}

impl RestClient {
    /// Makes a request whose answer says nothing but that it was carried out. `path` is encoded and has no slash in
    /// front.
    pub(super) async fn call(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(), ServiceError> {
        let application = self.application.as_ref().map(|name| format!("application={name}&"));
        let query = format!("{}api-version={API_VERSION}", application.as_deref().unwrap_or_default());
        let response = self.request(operation, method, path, &query, body).await?;
        // A connection is used again only when its answer has been read.
        let _ = read_body(response, MAX_ANSWER).await;
        Ok(())
    }

    /// Makes a request and gives the body of its answer. `query` is encoded and names the version.
    pub(super) async fn fetch(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        query: &str,
        body: Option<String>,
    ) -> Result<Vec<u8>, ServiceError> {
        let response = self.request(operation, method, path, query, body).await?;
        read(response, operation, self.timeout).await
    }

    /// A 401 with Entra is answered with a fresh token, once: a request that was not authenticated was not carried
    /// out.
    async fn request(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        query: &str,
        body: Option<String>,
    ) -> Result<Response, ServiceError> {
        let target = format!("{path}?{query}");
        let url = Url::parse(&format!("{}{target}", self.base)).ok();
        // Whatever a URL parser makes of the path, it must not become another resource's.
        let url = url.filter(|url| url.path().ends_with(&format!("/{path}")));
        let url =
            url.ok_or(ServiceError::InvalidName { what: "target", reason: "it does not fit into a path" })?;
        let request = || {
            let request = self.client.request(method.clone(), url.clone());
            match &body {
                Some(body) => {
                    request.header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(body.clone())
                }
                None => request,
            }
        };
        match &self.credential {
            RestCredential::Key(key) => {
                let now = unix_now();
                let validity = Validity { issued_at: now, expires_at: now + TOKEN_LIFETIME };
                let audience = format!("{}{target}", self.audience_base);
                let token = Secret::new(key.sign([("nameid", &self.server_name)], validity, &audience));
                send(request(), operation, token.expose(), self.timeout).await
            }
            RestCredential::Entra(tokens) => {
                let token = tokens.lease().await?;
                match send(request(), operation, token.value.expose(), self.timeout).await {
                    Err(ServiceError::Unauthorized(_)) => {
                        let token = tokens.renew(&token).await?;
                        send(request(), operation, token.value.expose(), self.timeout).await
                    }
                    other => other,
                }
            }
        }
    }
}

/// A name as one segment of a path. `.` and `..` have no encoded form: parsers resolve `%2E%2E` too, and a message
/// to the group `..` would become a broadcast.
pub(super) fn segment(what: &'static str, name: &str) -> Result<String, ServiceError> {
    let reason = match name {
        "." | ".." => "it would be resolved as a step in the path",
        _ if name.trim().is_empty() => "it is empty",
        _ if name.chars().count() > MAX_NAME => "it is longer than 1024 characters",
        _ => return Ok(encode_data(name)),
    };
    Err(ServiceError::InvalidName { what, reason })
}

/// Sends a request with a bearer token. Any status outside 2xx is an error; redirects are not followed.
pub(super) async fn send(
    request: RequestBuilder,
    operation: Operation,
    token: &str,
    timeout: Duration,
) -> Result<Response, ServiceError> {
    let request = request.bearer_auth(token).timeout(timeout);
    let response = request.send().await.map_err(|error| transport_error(operation, timeout, error.into()))?;
    tracing::debug!(%operation, status = response.status().as_u16(), "Azure SignalR Service answered");
    if response.status().is_success() {
        return Ok(response);
    }
    Err(refusal(response, operation, token).await.into())
}

/// Reads an answer, within the time limit that its request was sent with.
pub(super) async fn read(
    response: Response,
    operation: Operation,
    timeout: Duration,
) -> Result<Vec<u8>, ServiceError> {
    read_body(response, MAX_ANSWER).await.map_err(|error| transport_error(operation, timeout, error))
}

fn transport_error(
    operation: Operation,
    after: Duration,
    error: Box<dyn Error + Send + Sync>,
) -> ServiceError {
    match error.downcast::<reqwest::Error>() {
        Ok(error) if error.is_timeout() => ServiceError::Timeout { operation, after },
        Ok(error) => ServiceError::Connection { operation, source: Arc::new(error.without_url()) },
        Err(error) => ServiceError::Connection { operation, source: error.into() },
    }
}

async fn refusal(response: Response, operation: Operation, token: &str) -> Refusal {
    #[derive(Deserialize)]
    struct Answer {
        message: String,
    }
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let error_code = text("x-ms-error-code").filter(|code| code.len() <= 100).map(str::to_owned);
    let retry_after = text("retry-after").and_then(|s| s.trim().parse().ok()).map(Duration::from_secs);
    let status = response.status().as_u16();
    let answer = read_body(response, MAX_ANSWER).await.unwrap_or_default();
    let message = serde_json::from_slice::<Answer>(&answer).ok().map(|answer| answer.message);
    // Something in between may echo the request.
    let message = message.filter(|message| !message.is_empty() && !message.contains(token));
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let message = message.map(|message| message.chars().take(MAX_MESSAGE).map(printable).collect());
    Refusal { operation, status, error_code, message, retry_after }
}

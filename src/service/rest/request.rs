//! The REST API of Azure SignalR Service.
//!
//! Source: [REST API reference](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api)
//! and the [definition](https://github.com/Azure/azure-signalr/tree/dev/docs/swagger) of version 2024-12-01.

use std::{pin::pin, sync::Arc, time::Duration};

use reqwest::{Method, Response, StatusCode, Url, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::{
    core::{ErrorChain, url::encode_data},
    service::{
        clock::unix_now,
        credentials::token_cache::TokenCache,
        endpoints::health::{Health, Watched},
        error::{Operation, ServiceError},
        http::body::read_body,
        jwt::{self, Validity},
        limits, random,
        rest::{
            exchange::{MAX_ANSWER, send, transport_error},
            payload::Payload,
            retry::RetryOptions,
            scope::{Name, Scope},
        },
        secret::Secret,
    },
};

/// The newest version that is generally available.
pub(in crate::service) const API_VERSION: &str = "2024-12-01";

/// The longest answer to a question: a client's result may have some megabytes.
const MAX_RESULT: usize = 16 * 1024 * 1024;
const TRACING_ID: &str = "x-asrs-message-tracing-id";
/// How long the token of one request is valid, as with the official SDK.
const TOKEN_LIFETIME: u64 = 3600;

/// What authenticates REST requests. A temporary access key does not: it is for client tokens.
#[derive(Debug, Clone)]
pub(in crate::service) enum RestCredential {
    Key(Arc<jwt::Key>),
    Entra(TokenCache),
}

#[derive(Debug, Clone)]
pub(in crate::service) struct RestClient {
    pub(in crate::service) client: reqwest::Client,
    /// Learns from what goes wrong.
    pub(in crate::service) health: Arc<Health>,
    /// Where requests go; ends in a slash.
    pub(in crate::service) base: String,
    /// What audiences start with; ends in a slash.
    pub(in crate::service) audience_base: String,
    pub(in crate::service) application: Option<String>,
    pub(in crate::service) credential: RestCredential,
    pub(in crate::service) timeout: Duration,
    pub(in crate::service) retry: RetryOptions,
    /// One for each request that may be under way.
    pub(in crate::service) permits: Arc<Semaphore>,
    /// Names this process to the service.
    pub(in crate::service) server_name: String,
    /// Whether requests about hubs have an id, which the service's messaging logs name.
    pub(in crate::service) message_tracing: bool,
}

/// What is asked of the service.
#[derive(Debug, Clone)]
pub(in crate::service) struct Request {
    operation: Operation,
    method: Method,
    /// What of the hub it addresses.
    scope: Scope,
    /// The hub's name, encoded. Empty for what is not about a hub.
    hub: String,
    /// Encoded, without a slash in front; behind the hub, if there is one.
    path: String,
    /// Encoded, each parameter with its `&` in front.
    query: String,
    /// How much of the query each parameter takes, by name.
    lengths: Vec<(&'static str, usize)>,
    version: &'static str,
    application: Application,
    payload: Option<Payload>,
}

/// Where a request has the application's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Application {
    /// Nowhere: it is not about a hub.
    Nowhere,
    /// In the parameter `application`.
    Query,
    /// In front of the hub's name, for calls that have no parameter for it.
    Hub,
}

impl Request {
    /// A request that is not about a hub.
    pub(in crate::service) fn new(operation: Operation, method: Method, path: String) -> Self {
        Self {
            operation,
            method,
            scope: Scope::Hub,
            hub: String::new(),
            path,
            query: String::new(),
            lengths: Vec::new(),
            version: API_VERSION,
            application: Application::Nowhere,
            payload: None,
        }
    }

    /// A request to something of a hub.
    pub(in crate::service) fn to_hub(
        operation: Operation,
        method: Method,
        hub: &str,
        scope: Scope,
        action: &str,
    ) -> Result<Self, ServiceError> {
        let (hub, path) = (Name::new("hub", hub)?.encoded(), scope.path(action));
        let application = Application::Query;
        Ok(Self { scope, hub, application, ..Self::new(operation, method, path) })
    }

    /// A request that has no parameter for the application, so that its name stands in front of the hub's.
    pub(in crate::service) fn to_prefixed_hub(
        operation: Operation,
        method: Method,
        hub: &str,
        action: &str,
    ) -> Result<Self, ServiceError> {
        let request = Self::to_hub(operation, method, hub, Scope::Hub, action)?;
        Ok(Self { application: Application::Hub, ..request })
    }

    pub(in crate::service) fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    /// The whole path, without a slash in front.
    fn path(&self, application: Option<&str>) -> String {
        let Self { hub, path, .. } = self;
        match application {
            _ if hub.is_empty() => path.clone(),
            Some(name) if self.application == Application::Hub => format!("api/hubs/{name}_{hub}/{path}"),
            _ => format!("api/hubs/{hub}/{path}"),
        }
    }

    /// Refuses what the service would not read, and the HTTP client not send: it takes URLs of up to 65 534 bytes.
    fn check_line(&self, url: &Url) -> Result<(), ServiceError> {
        let target = url.path().len() + url.query().map_or(0, |query| 1 + query.len());
        let length = self.method.as_str().len() + " ".len() + target + " HTTP/1.1\r\n".len();
        if length <= limits::REQUEST_LINE {
            return Ok(());
        }
        let longest = self.lengths.iter().copied().max_by_key(|(_, length)| *length);
        let longest = longest.filter(|(_, length)| *length > url.path().len());
        // What else is long is the name of what it addresses.
        let parameter = longest.map_or("name", |(name, _)| name);
        Err(ServiceError::ParameterTooLong { operation: self.operation, parameter, length })
    }

    pub(in crate::service) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Adds a parameter.
    pub(in crate::service) fn query(mut self, name: &'static str, value: &str) -> Self {
        let before = self.query.len();
        self.query.extend(["&", name, "=", &encode_data(value)]);
        let length = self.query.len() - before;
        match self.lengths.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known += length,
            None => self.lengths.push((name, length)),
        }
        self
    }

    /// Adds a parameter for each value.
    pub(in crate::service) fn queries<'v>(
        self,
        name: &'static str,
        values: impl IntoIterator<Item = &'v String>,
    ) -> Self {
        values.into_iter().fold(self, |request, value| request.query(name, value))
    }

    /// Gives it a body, of a size that the service takes.
    pub(in crate::service) fn payload(self, payload: Payload) -> Result<Self, ServiceError> {
        match payload.body.len() {
            ..=limits::BODY => Ok(Self { payload: Some(payload), ..self }),
            length => Err(ServiceError::MessageTooLarge { length }),
        }
    }
}

impl RestClient {
    /// Makes a request of whose answer only the status matters.
    pub(in crate::service) async fn call(&self, request: &Request) -> Result<StatusCode, ServiceError> {
        // Most operations are accepted without a word, and those that are not, in JSON. Anything else is a page of something
        // in between: a portal that wants a sign-in answers every request with 200.
        let accepted = |status, body: &[u8]| {
            let said = body.trim_ascii();
            (said.is_empty() || serde_json::from_slice::<IgnoredAny>(said).is_ok()).then_some(status)
        };
        self.repeat(request, false, accepted).await
    }

    /// Makes a request that is answered in JSON.
    pub(in crate::service) async fn json<T: DeserializeOwned>(
        &self,
        request: &Request,
    ) -> Result<T, ServiceError> {
        self.repeat(request, true, |_, body| serde_json::from_slice(body).ok()).await
    }

    /// Makes a request and reads its answer, again if that is safe and may help. Each attempt takes a permit; the
    /// pauses between them do not. What `read` does not recognize is not the service's answer.
    async fn repeat<T>(
        &self,
        request: &Request,
        wanted: bool,
        read: impl Fn(StatusCode, &[u8]) -> Option<T>,
    ) -> Result<T, ServiceError> {
        let operation = request.operation;
        let tracing_id = (self.message_tracing && !request.hub.is_empty()).then(random::number);
        if let Some(tracing_id) = tracing_id {
            tracing::debug!(%operation, tracing_id, "a request with an id for the service's messaging logs");
        }
        let mut attempt = 0;
        loop {
            let online = self.health.is_online();
            // An error would mean that the semaphore is closed, which never happens.
            let permit = self.permits.acquire().await.ok();
            // Those that wait in line would find out one after the other.
            if online && let Some(lost) = self.health.reason_if_offline() {
                return Err(lost);
            }
            let answer = pin!(async {
                let response = self.attempt(request, tracing_id).await?;
                let status = response.status();
                let limit = if wanted { MAX_RESULT } else { MAX_ANSWER };
                let body = match read_body(response, limit).await {
                    Ok(body) => body,
                    // What was accepted is accepted, even if the connection breaks off in the middle of the answer.
                    Err(error) if !wanted && error.is::<reqwest::Error>() => Vec::new(),
                    Err(error) if !error.is::<reqwest::Error>() => {
                        return Err(ServiceError::InvalidResponse { operation, reason: "it is too long" });
                    }
                    Err(error) => return Err(transport_error(operation, self.timeout, error)),
                };
                // It may be a token.
                let body = Zeroizing::new(body);
                let reason =
                    if wanted { "it is not the JSON that was expected" } else { "its body is not JSON" };
                read(status, &body).ok_or(ServiceError::InvalidResponse { operation, reason })
            });
            let watched = self.health.watch(answer).await;
            drop(permit);
            let error = match watched {
                Watched::Done(Ok(answer)) => return Ok(answer),
                Watched::Done(Err(error)) => error,
                Watched::Lost(error) => return Err(error),
            };
            // QUERY asks and changes nothing (RFC 10008); the `http` crate does not know it.
            let repeatable = request.method.is_idempotent() || request.method.as_str() == "QUERY";
            let pause = self.retry.pause(attempt, &error, repeatable);
            let Some(pause) = pause else { return Err(error) };
            tracing::debug!(%operation, error = %ErrorChain::new(&error), ?pause, "the request is made again");
            // Another endpoint serves the clients of one that is lost: nobody is there to wait for.
            if self.health.is_lost_within(pause).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Makes a request. A 401 with Entra is answered with a fresh token, once: a request that was not authenticated
    /// was not carried out.
    async fn attempt(&self, request: &Request, tracing_id: Option<u64>) -> Result<Response, ServiceError> {
        let Request { operation, method, query, version, payload, .. } = request;
        let path = request.path(self.application.as_deref());
        let application = self.application.as_ref().filter(|_| request.application == Application::Query);
        let application = application.map(|name| format!("application={name}&")).unwrap_or_default();
        let url = format!("{}{path}?{application}api-version={version}{query}", self.base);
        let url = Url::parse(&url).ok();
        // Whatever a URL parser makes of the path, it must not become another resource's.
        let url = url.filter(|url| url.path().ends_with(&format!("/{path}")));
        let url =
            url.ok_or(ServiceError::InvalidName { what: "target", reason: "it does not fit into a path" })?;
        request.check_line(&url)?;
        let outgoing = || {
            let mut outgoing = self.client.request(method.clone(), url.clone());
            if let Some(id) = tracing_id {
                outgoing = outgoing.header(TRACING_ID, id);
            }
            match payload {
                Some(Payload { content_type, body }) => {
                    outgoing.header(header::CONTENT_TYPE, *content_type).body(body.clone())
                }
                None => outgoing,
            }
        };
        match &self.credential {
            RestCredential::Key(key) => {
                let now = unix_now();
                let validity = Validity { issued_at: now, expires_at: now + TOKEN_LIFETIME };
                // Older SDKs of Microsoft's had the query in it, the documentation and newer ones do not.
                let audience = format!("{}{path}", self.audience_base);
                let token = Secret::new(key.sign([("nameid", &self.server_name)], validity, &audience));
                send(outgoing(), *operation, token.expose(), self.timeout).await
            }
            RestCredential::Entra(tokens) => {
                let token = tokens.lease().await?;
                match send(outgoing(), *operation, token.value.expose(), self.timeout).await {
                    Err(ServiceError::Unauthorized(_)) => {
                        let token = tokens.renew(&token).await?;
                        send(outgoing(), *operation, token.value.expose(), self.timeout).await
                    }
                    other => other,
                }
            }
        }
    }
}

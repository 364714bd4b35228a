//! Handlers by hub and event.

use std::{
    collections::HashMap,
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use tower_service::Service;

use crate::{
    core::ErrorChain,
    lock::lock,
    serialize::serialize,
    service::{
        credentials::{access_key::AccessKey, error::InvalidCredential},
        http::body::within,
        upstream::{
            entra::EntraTokenValidator,
            event::{UpstreamClient, UpstreamError, UpstreamMessage},
            request::{Head, Refusal, answer, completion, disconnect_reason},
            signature::{Signatures, UpstreamKeys},
        },
    },
};

/// Messages of clients have up to 1 MB.
pub(crate) const MAX_BODY: usize = 4 * 1024 * 1024;
/// How often a refusal with one cause is told.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type OnConnected = dyn Fn(UpstreamClient) -> BoxFuture<Result<(), UpstreamError>> + Send + Sync;
type OnDisconnected = dyn Fn(UpstreamClient, Option<String>) -> BoxFuture<()> + Send + Sync;
type OnMessage = dyn Fn(UpstreamMessage) -> BoxFuture<Result<Vec<u8>, UpstreamError>> + Send + Sync;

/// What a hub's events lead to. Names are in lower case: neither the service nor clients mind the case.
#[derive(Clone, Default)]
struct Hub {
    connected: Option<Arc<OnConnected>>,
    disconnected: Option<Arc<OnDisconnected>>,
    messages: HashMap<String, Arc<OnMessage>>,
}

/// The upstream endpoint of a service in serverless mode, as a `tower` service: handlers for clients that connect,
/// disconnect and call methods of the hub.
///
/// Accepts requests that an [access key](Self::access_key) has signed, or that carry an
/// [Entra token](Self::entra), or both where both are set; with neither set every request is refused, unless
/// [`allow_unsigned`](Self::allow_unsigned) says that something else protects the endpoint.
///
/// | status | when |
/// | --- | --- |
/// | 200 | the handler ran; what a failed call's caller gets is an error in its completion |
/// | 400 | headers or body are not those of an upstream request |
/// | 401 | neither signature nor token are good |
/// | 403 | the handler for connecting clients returned an error |
/// | 404 | there is no handler for this event |
/// | 405, 408, 413, 415, 503 | method, slow or large body, content type; no keys from the authority |
///
/// A 401 is a line in the log at level `warn`, once a minute for each cause; other refusals are at level `debug`.
///
/// ```
/// use hubwire::service::{
///     credentials::{AccessKey, InvalidCredential},
///     upstream::{UpstreamError, UpstreamRouter},
/// };
///
/// fn app(key: AccessKey) -> Result<axum::Router, InvalidCredential> {
///     let upstream = UpstreamRouter::new()
///         .access_key(&key)?
///         .on_connected("chat", |client| async move {
///             println!("{} is here", client.user_id().unwrap_or("an anonymous user"));
///             Ok(())
///         })
///         .on_message("chat", "Divide", |message| async move {
///             let (a, b): (u32, u32) = message.arguments()?;
///             a.checked_div(b).ok_or_else(|| UpstreamError::new("Division by zero."))
///         })
///         .on_disconnected("chat", |client, reason| async move {
///             let user = client.user_id().unwrap_or("an anonymous user");
///             println!("{user} is gone: {}", reason.as_deref().unwrap_or("closed"));
///         });
///     Ok(axum::Router::new().route_service("/upstream", upstream))
/// }
/// ```
#[derive(Clone, Default)]
#[must_use = "a router does nothing until it is mounted"]
pub struct UpstreamRouter {
    inner: Arc<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    signatures: Option<Signatures>,
    /// Keys that others may replace.
    shared_keys: Vec<UpstreamKeys>,
    entra: Option<EntraTokenValidator>,
    unsigned: bool,
    hubs: HashMap<String, Hub>,
    warned: Arc<Warned>,
}

/// When a refusal was last logged, by its text: requests that are refused must not fill the log.
#[derive(Default)]
struct Warned(Mutex<Vec<(&'static str, Instant)>>);

impl Warned {
    fn tell(&self, text: &'static str) {
        let (now, mut told) = (Instant::now(), lock(&self.0));
        told.retain(|(_, at)| now.duration_since(*at) < WARNING_INTERVAL);
        if told.iter().all(|(known, _)| *known != text) {
            told.push((text, now));
            drop(told);
            tracing::warn!(
                text,
                "upstream requests are refused with status 401; check the keys and the validator of the router"
            );
        }
    }
}

impl UpstreamRouter {
    /// A router that lets nothing in and handles nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes requests that this access key of the service has signed. Give both keys of the resource, so that one can
    /// be rotated.
    ///
    /// A signature covers the connection id and nothing else, so anyone who sees a request can send another: use https,
    /// and an Entra token where it matters.
    ///
    /// # Errors
    /// [`InvalidCredential::Part`] when the key is empty: anyone could sign with it.
    pub fn access_key(mut self, key: &AccessKey) -> Result<Self, InvalidCredential> {
        Arc::make_mut(&mut self.inner).signatures.get_or_insert_default().add(key)?;
        Ok(self)
    }

    /// Takes requests that one of these keys has signed, which can be replaced while the router serves. May be called
    /// several times, also together with [`access_key`](Self::access_key): a request needs one good signature.
    pub fn access_keys(self, keys: &UpstreamKeys) -> Self {
        self.with(|inner| {
            inner.signatures.get_or_insert_default();
            inner.shared_keys.push(keys.clone());
        })
    }

    /// Takes requests with a token of the service's managed identity.
    pub fn entra(self, validator: EntraTokenValidator) -> Self {
        self.with(|inner| inner.entra = Some(validator))
    }

    /// Accepts requests without authentication: only where something else authenticates them, such as a function
    /// key in the URL that a gateway checks.
    pub fn allow_unsigned(self) -> Self {
        self.with(|inner| inner.unsigned = true)
    }

    /// Calls a handler when a client has connected. With an error the answer is 403; whether the service then closes
    /// the connection is not documented, so do not decide here who may connect.
    pub fn on_connected<F, R>(self, hub: &str, handler: F) -> Self
    where
        F: Fn(UpstreamClient) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), UpstreamError>> + Send + 'static,
    {
        self.with(|inner| {
            inner.hub(hub).connected =
                Some(Arc::new(move |client| -> BoxFuture<_> { Box::pin(handler(client)) }));
        })
    }

    /// Calls a handler when a client has disconnected, with the reason if it was an error.
    pub fn on_disconnected<F, R>(self, hub: &str, handler: F) -> Self
    where
        F: Fn(UpstreamClient, Option<String>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.with(|inner| {
            inner.hub(hub).disconnected =
                Some(Arc::new(move |client, reason| -> BoxFuture<_> { Box::pin(handler(client, reason)) }));
        })
    }

    /// Calls a handler when a client calls a method of the hub. What it returns, anything that serde can write, is the
    /// result of an `invoke`, in the client's own protocol; an error is the call's error. A `send` has no result.
    pub fn on_message<F, R, T>(self, hub: &str, method: &str, handler: F) -> Self
    where
        F: Fn(UpstreamMessage) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, UpstreamError>> + Send + 'static,
        T: Serialize + Send,
    {
        self.with(|inner| {
            let handler: Arc<OnMessage> = Arc::new(move |message: UpstreamMessage| -> BoxFuture<_> {
                let protocol = message.protocol;
                let running = handler(message);
                Box::pin(async move {
                    let (value, mut bytes) = (running.await?, Vec::new());
                    serialize(protocol, &mut bytes, &value).map_err(|error| {
                        tracing::error!(error = %ErrorChain::new(&error), "an upstream handler's result does not serialize");
                        UpstreamError::new("The result does not serialize.")
                    })?;
                    Ok(bytes)
                })
            });
            inner.hub(hub).messages.insert(method.to_lowercase(), handler);
        })
    }

    /// Lets a request in by its head, or gives the answer to one that is refused: for frameworks whose bodies are not
    /// those of `http_body`.
    #[cfg(feature = "actix")]
    pub(in crate::service) async fn admit(&self, parts: &Parts) -> Result<Admitted, Response<Vec<u8>>> {
        self.inner.admit(parts).await.map_err(Refusal::into_response)
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }
}

impl fmt::Debug for UpstreamRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { signatures, shared_keys, entra, unsigned, hubs, warned: _ } = &*self.inner;
        f.debug_struct("UpstreamRouter")
            .field("signatures", signatures)
            .field("shared_keys", shared_keys)
            .field("entra", entra)
            .field("unsigned", unsigned)
            .field("hubs", &hubs.keys())
            .finish()
    }
}

/// The handler of an event.
enum Handler {
    Connected(Arc<OnConnected>),
    Disconnected(Arc<OnDisconnected>),
    Message(Arc<OnMessage>),
}

impl Inner {
    fn hub(&mut self, name: &str) -> &mut Hub {
        self.hubs.entry(name.to_lowercase()).or_default()
    }

    async fn authenticate(&self, parts: &Parts, head: &Head) -> Result<(), Refusal> {
        let refusal = |text| Refusal(StatusCode::UNAUTHORIZED, text);
        if self.signatures.is_none() && self.entra.is_none() && !self.unsigned {
            return Err(refusal("This endpoint has neither access keys nor a token validator."));
        }
        if let Some(signatures) = &self.signatures {
            let header = parts.headers.get("x-asrs-signature").and_then(|value| value.to_str().ok());
            let (id, header) = (&head.client.connection_id, header.unwrap_or_default());
            let accepted = signatures.accept(id, header);
            if !self.shared_keys.iter().fold(accepted, |accepted, keys| keys.accept(id, header) | accepted) {
                return Err(refusal(match header {
                    "" => "The signature is missing.",
                    _ => "The signature is not one of this service's access keys.",
                }));
            }
        }
        if let Some(entra) = &self.entra {
            entra.check_headers(&parts.headers).await?;
        }
        Ok(())
    }

    fn handler(&self, head: &Head) -> Result<Handler, Refusal> {
        let hub = self.hubs.get(&head.client.hub.to_lowercase());
        let handler = hub.and_then(|hub| match (head.category.as_str(), head.event.as_str()) {
            ("connections", "connected") => hub.connected.clone().map(Handler::Connected),
            ("connections", "disconnected") => hub.disconnected.clone().map(Handler::Disconnected),
            ("messages", method) => hub.messages.get(&method.to_lowercase()).cloned().map(Handler::Message),
            _ => None,
        });
        handler.ok_or(Refusal(StatusCode::NOT_FOUND, "There is no handler for this event."))
    }

    /// Whether the head of a request lets it in. Nothing of its body is read before.
    async fn admit(&self, parts: &Parts) -> Result<Admitted, Refusal> {
        let head = Head::read(parts)?;
        let authenticated = self.authenticate(parts, &head).await;
        authenticated.inspect_err(|Refusal(status, text)| {
            if *status == StatusCode::UNAUTHORIZED {
                self.warned.tell(text);
            }
        })?;
        let handler = self.handler(&head)?;
        Ok(Admitted { head, handler })
    }
}

/// A request that is let in, by its head.
pub(in crate::service) struct Admitted {
    head: Head,
    handler: Handler,
}

impl Admitted {
    /// The answer, once the body is there; or to a body that is not.
    pub(in crate::service) async fn answer(self, body: Result<Vec<u8>, BodyError>) -> Response<Vec<u8>> {
        let answered = match body {
            Ok(body) => self.handle(&body).await,
            Err(error) => Err(error.refusal()),
        };
        answered.unwrap_or_else(Refusal::into_response)
    }

    async fn handle(self, body: &[u8]) -> Result<Response<Vec<u8>>, Refusal> {
        let Self { head, handler } = self;
        let done = || answer(StatusCode::OK, "", Vec::new());
        match handler {
            Handler::Connected(handler) => match handler(head.client).await {
                Ok(()) => Ok(done()),
                Err(error) => {
                    tracing::debug!(error = %ErrorChain::new(&error), "a client that connects was refused");
                    Err(Refusal(StatusCode::FORBIDDEN, "The client was refused."))
                }
            },
            Handler::Disconnected(handler) => {
                let reason = disconnect_reason(body)?;
                handler(head.client, reason).await;
                Ok(done())
            }
            Handler::Message(handler) => {
                let message = head.message(body)?;
                let (protocol, id) = (message.protocol, message.invocation_id.clone());
                Ok(completion(protocol, id.as_deref(), handler(message).await))
            }
        }
    }
}

/// Why a body could not be read.
pub(in crate::service) enum BodyError {
    TooLarge,
    Broken,
    Late,
}

impl BodyError {
    fn refusal(self) -> Refusal {
        match self {
            Self::TooLarge => Refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 4 MB."),
            Self::Broken => Refusal(StatusCode::BAD_REQUEST, "The body could not be read."),
            Self::Late => Refusal(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time."),
        }
    }
}

async fn read<B>(body: B) -> Result<Vec<u8>, BodyError>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let read = async {
        match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
            Err(_) => Err(BodyError::Broken),
        }
    };
    within(READ_TIMEOUT, read, || BodyError::Late).await
}

impl<B> Service<Request<B>> for UpstreamRouter
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<http_body_util::Full<azure_core::Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        let (parts, body) = request.into_parts();
        Box::pin(async move {
            let response = match inner.admit(&parts).await {
                Ok(admitted) => admitted.answer(read(body).await).await,
                Err(refusal) => refusal.into_response(),
            };
            Ok(response.map(|body| http_body_util::Full::new(body.into())))
        })
    }
}

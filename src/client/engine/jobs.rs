//! The requests that the machine asks for, each a future whose result is an input for the driver.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{Connection, TokenProvider};
use crate::client::engine::guard::guarded;
#[cfg(all(native, feature = "server"))]
use crate::client::engine::transport::in_memory::PipeLink;
use crate::client::engine::transport::{Authorization, Link};
use crate::client::engine::wire::Wire;
use crate::core::client::{ClientMachine, RefreshRequest, Renewal, RetryContext, TransportError};
use crate::core::codec::Codec;
use crate::core::negotiate::{NegotiateAnswer, NegotiateRequest, RESPONSE_LIMIT, Transport, user_agent};
use crate::core::refresh::{CONNECTION_TOKEN_HEADER, RefreshError};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, ErrorChain, Moment};
use crate::platform::{self, BoxFuture, Cookies, HttpClient, HttpResponse};

/// How a job has ended.
pub(super) enum Done {
    Token(Result<Option<AccessToken>, Cause>),
    RefreshToken(Result<Option<AccessToken>, Cause>),
    Negotiated(Result<HttpResponse, TransportError>),
    Refreshed(Result<HttpResponse, TransportError>),
    Opened(Result<Link, TransportError>),
    RetryDelay(Option<Duration>),
}

impl Done {
    /// Tells the machine of it. What was opened is the wire's from here on.
    pub(super) fn tell<C: Codec>(
        self,
        machine: &mut ClientMachine<C>,
        wire: &mut Wire,
        now: Moment,
        unix_now: Duration,
    ) {
        match self {
            Self::Token(token) => machine.handle_token(now, unix_now, token),
            Self::RefreshToken(token) => machine.handle_refresh_token(now, token),
            Self::Negotiated(Ok(HttpResponse { head, body })) => {
                let answer = NegotiateAnswer {
                    status: head.status,
                    retry_after: head.retry_after,
                    content_type: head.content_type.as_deref(),
                    location: head.location.as_deref(),
                    body: &body,
                };
                machine.handle_negotiate(now, Ok(answer));
            }
            Self::Negotiated(Err(error)) => machine.handle_negotiate(now, Err(error)),
            Self::Refreshed(answer) => {
                let answer = answer.as_ref().map(|a| (a.head.status, &*a.body)).map_err(Clone::clone);
                machine.handle_refresh(now, unix_now, answer);
            }
            Self::Opened(opened) => machine.handle_open(now, opened.map(|link| wire.open(link))),
            Self::RetryDelay(delay) => machine.handle_retry_delay(now, delay),
        }
    }
}

pub(super) type Job = BoxFuture<Done>;

/// Asks the provider. A panic counts as a failure.
async fn fetch(provider: Option<TokenProvider>) -> Result<Option<AccessToken>, Cause> {
    let Some(provider) = provider else { return Ok(None) };
    guarded(async move { provider.provide().await }).await.unwrap_or_else(|| Err(Cause::new("it panicked")))
}

/// Makes the jobs of one connection.
pub(super) struct Jobs<C: WireCodec> {
    connection: Arc<Connection<C>>,
    http: Option<HttpClient>,
    /// From the start to the end that follows.
    cookies: Cookies,
}

impl<C: WireCodec> Jobs<C> {
    pub(super) fn new(connection: Arc<Connection<C>>) -> Self {
        let cookies = connection.settings.cookies();
        Self { connection, http: None, cookies }
    }

    /// Nothing more will be requested soon, and an idle pool costs memory.
    pub(super) fn rest(&mut self) {
        self.http = None;
    }

    pub(super) fn token(&self) -> Job {
        let provider = self.connection.settings.token_provider.clone();
        Box::pin(async move { Done::Token(fetch(provider).await) })
    }

    pub(super) fn refresh_token(&self) -> Job {
        let provider = self.connection.settings.token_provider.clone();
        Box::pin(async move { Done::RefreshToken(fetch(provider).await) })
    }

    pub(super) fn negotiate(&mut self, request: NegotiateRequest) -> Job {
        tracing::debug!(url = %request.url, "negotiating");
        let posted = self.post(request.url, request.token, None);
        Box::pin(async move { Done::Negotiated(posted.await) })
    }

    pub(super) fn refresh(&mut self, request: RefreshRequest) -> Job {
        let posted = self.post(request.url, request.token, Some(request.connection_token));
        Box::pin(async move { Done::Refreshed(posted.await) })
    }

    pub(super) fn open(&mut self, transport: Transport, url: HubUrl) -> Job {
        tracing::debug!(%transport, %url, "opening the transport");
        let options = self.connection.lock().machine.options().clone();
        let (format, timeout) = (options.transports.format, options.request_timeout);
        #[cfg(all(native, feature = "server"))]
        if let Some(server) = &self.connection.settings.in_memory {
            let opened = server.open(url.clone(), self.headers(&url));
            let open = move |pipe| Link::InMemory(PipeLink { pipe, format });
            return Box::pin(async move { Done::Opened(opened.await.map(open)) });
        }
        let (http, headers) = (self.http(), self.headers(&url));
        let authorization = Arc::new(LinkTokens(Arc::downgrade(&self.connection)));
        Box::pin(async move {
            Done::Opened(match http {
                Ok(http) => Link::open(transport, format, http, url, authorization, headers, timeout).await,
                Err(error) => Err(error),
            })
        })
    }

    pub(super) fn retry_delay(&self, context: RetryContext) -> Job {
        if context.previous_retry_count > 0 {
            tracing::info!(attempt = context.previous_retry_count, reason = %ErrorChain::new(&*context.reason), "an attempt to connect failed");
        }
        let policy = self.connection.settings.retry_policy.clone();
        Box::pin(async move { Done::RetryDelay(guarded(policy.decide(context)).await.flatten()) })
    }

    fn post(
        &mut self,
        url: HubUrl,
        token: Option<AccessToken>,
        connection_token: Option<AccessToken>,
    ) -> BoxFuture<Result<HttpResponse, TransportError>> {
        let mut headers = self.headers(&url);
        let id = connection_token.map(|id| (CONNECTION_TOKEN_HEADER.to_owned(), id.secret().to_owned()));
        headers.extend(id);
        #[cfg(all(native, feature = "server"))]
        if let Some(server) = &self.connection.settings.in_memory {
            return server.post(url, headers);
        }
        let http = self.http();
        Box::pin(async move { http?.post(url, token, headers, RESPONSE_LIMIT).await })
    }

    fn http(&mut self) -> Result<HttpClient, TransportError> {
        let http = match self.http.take() {
            Some(http) => http,
            None => HttpClient::new(self.cookies.clone(), &self.connection.settings.network)?,
        };
        self.http = Some(http.clone());
        Ok(http)
    }

    /// The user's headers come last, so that they replace the client's own. Credentials among them are not for the server
    /// that negotiate redirects to.
    fn headers(&self, url: &HubUrl) -> Vec<(String, String)> {
        let is_own = self.connection.lock().machine.options().url.has_same_origin(url);
        let is_credential =
            |name: &str| ["Authorization", "Cookie"].iter().any(|other| other.eq_ignore_ascii_case(name));
        let agent = user_agent("hubwire", env!("CARGO_PKG_VERSION"), platform::OS, platform::RUNTIME, "");
        let ours = [(platform::USER_AGENT_HEADER, agent), ("X-Requested-With", "XMLHttpRequest".to_owned())];
        let theirs = &self.connection.settings.headers;
        ours.into_iter()
            .filter(|(name, _)| !theirs.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.to_owned(), value))
            .chain(theirs.iter().filter(|(name, _)| is_own || !is_credential(name)).cloned())
            .collect()
    }
}

/// The token of a transport's requests, kept by the machine.
struct LinkTokens<C: WireCodec>(Weak<Connection<C>>);

impl<C: WireCodec> Authorization for LinkTokens<C> {
    fn current(&self) -> Option<AccessToken> {
        self.0.upgrade()?.lock().machine.link_token().cloned()
    }

    fn renew(&self, rejected: Option<AccessToken>) -> BoxFuture<Result<Option<AccessToken>, Cause>> {
        let connection = self.0.clone();
        Box::pin(async move {
            let Some(connection) = connection.upgrade() else { return Ok(None) };
            let renewal = connection.lock().machine.handle_rejected_token(rejected.as_ref());
            match renewal {
                Renewal::Use(token) => Ok(token),
                Renewal::Refused => Ok(None),
                Renewal::Ask => {
                    let token = fetch(connection.settings.token_provider.clone()).await;
                    let (now, unix_now) = (platform::now(), platform::unix_now());
                    connection.lock().machine.handle_renewed_token(now, unix_now, token)
                }
            }
        })
    }

    fn refresh(&self) -> BoxFuture<Result<(), TransportError>> {
        let connection = self.0.clone();
        Box::pin(async move {
            let refreshed = match connection.upgrade() {
                Some(connection) => connection.refresh().await,
                None => Err(RefreshError::NotConnected),
            };
            match refreshed {
                Ok(_) => Ok(()),
                Err(error) => {
                    Err(TransportError::because_of("the authentication was not refreshed", Cause::new(error)))
                }
            }
        })
    }
}

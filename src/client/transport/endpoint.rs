use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Authorization, within};
use crate::core::session::TransportError;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::platform::{BoxFuture, Frame, HttpAnswer, HttpClient, HttpRequest, Method};

/// How long what is left may take to go out when a connection closes.
const LAST_POSTS_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer to a POST says nothing but its status; it is read so that its connection can be used again.
const POST_ANSWER_LIMIT: usize = 4096;

/// Browsers refuse requests that outlive their page with more than 64 KiB between them.
const OUTLIVES_PAGE_LIMIT: usize = 16 * 1024;

/// What the requests of one connection have in common.
pub(super) struct Endpoint {
    pub(super) http: HttpClient,
    pub(super) url: HubUrl,
    pub(super) authorization: Arc<dyn Authorization>,
    pub(super) headers: Vec<(String, String)>,
    /// For sending one message, or for reading one.
    pub(super) timeout: Duration,
}

impl Endpoint {
    pub(super) fn request(&self, method: Method) -> HttpRequest<'_> {
        HttpRequest { headers: &self.headers, ..HttpRequest::new(method, &self.url) }
    }

    /// Sends a request with the token of the moment. When the server refuses the token, it is renewed and the
    /// request sent again, once.
    pub(super) async fn send(&self, request: HttpRequest<'_>) -> Result<HttpAnswer, TransportError> {
        let token = self.authorization.current();
        let answer = self.http.send(HttpRequest { token: token.as_ref(), ..request.clone() }).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        match renew(&*self.authorization, token).await? {
            Some(token) => self.http.send(HttpRequest { token: Some(&token), ..request }).await,
            None => Ok(answer),
        }
    }

    async fn post(self: Arc<Self>, frame: Frame, outlives_page: bool) -> Result<(), TransportError> {
        let request = HttpRequest { body: Some(&frame), outlives_page, ..self.request(Method::POST) };
        let sent = async {
            let mut answer = self.send(request).await?;
            // The status has said everything.
            let _ = answer.body.read(POST_ANSWER_LIMIT).await;
            Ok(answer.status)
        };
        match within(self.timeout, sent).await {
            Some(Ok(200..=299)) => Ok(()),
            Some(Ok(status)) => Err(refused("the server refused to take a message", status)),
            Some(Err(error)) => Err(error),
            None => Err(TransportError::new("the server took too long to take a message")),
        }
    }
}

/// Another token, after a server refused this one.
pub(super) async fn renew(
    authorization: &dyn Authorization,
    rejected: Option<AccessToken>,
) -> Result<Option<AccessToken>, TransportError> {
    authorization
        .renew(rejected)
        .await
        .map_err(|reason| refused(&["the access token could not be renewed: ", &reason].concat(), 401))
}

pub(super) fn refused(message: &str, status: u16) -> TransportError {
    TransportError { status: Some(status), ..TransportError::new(message) }
}

/// Sends messages as POSTs, one at a time: a server takes no second one meanwhile, and they would get out of order.
pub(super) struct Posts {
    endpoint: Arc<Endpoint>,
    sending: Option<BoxFuture<Result<(), TransportError>>>,
}

impl Posts {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, sending: None }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(sent)
    }

    /// To be called when it is ready.
    pub(super) fn start_send(&mut self, frame: Frame) {
        self.sending = Some(Box::pin(Arc::clone(&self.endpoint).post(frame, false)));
    }

    /// Sends what is left, as far as it can be sent in a second.
    pub(super) async fn close(mut self, left: VecDeque<Frame>) {
        let last = async {
            poll_fn(|cx| self.poll_ready(cx)).await?;
            for frame in left {
                let outlives_page = frame.length() <= OUTLIVES_PAGE_LIMIT;
                Arc::clone(&self.endpoint).post(frame, outlives_page).await?;
            }
            Ok::<_, TransportError>(())
        };
        // A connection that is broken already has nothing more to say.
        let _ = within(LAST_POSTS_TIMEOUT, last).await;
    }
}

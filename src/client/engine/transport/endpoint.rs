//! Where the requests of one connection go, and by which token.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::Authorization;
use crate::core::TransportError;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::http::Head;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::platform::{self, BoxFuture, HttpAnswer, HttpClient, HttpRequest, HttpResponse, Method};

/// What the requests of one connection have in common.
pub(super) struct Endpoint {
    pub(super) http: HttpClient,
    pub(super) url: HubUrl,
    pub(super) authorization: Arc<dyn Authorization>,
    pub(super) headers: Arc<[(String, String)]>,
    /// For sending one message, or for reading one.
    pub(super) timeout: Duration,
}

/// `None`: there was no answer in time.
pub(super) type Exchange<T> = BoxFuture<Result<Option<T>, TransportError>>;

impl Endpoint {
    pub(super) fn request(&self, method: Method) -> HttpRequest {
        HttpRequest::new(method, self.url.clone(), Arc::clone(&self.headers))
    }

    /// Sends a request with the current token, and waits for the head of the answer. When the server rejects the token,
    /// it is renewed and the request sent again, once.
    pub(super) fn send(
        self: Arc<Self>,
        request: HttpRequest,
    ) -> BoxFuture<Result<HttpAnswer, TransportError>> {
        Box::pin(async move {
            let mut token = self.authorization.current();
            let mut renewed = false;
            loop {
                let answer = self.http.send(&request, token.as_ref()).await?;
                if answer.head.status != 401 || renewed {
                    return Ok(answer);
                }
                token = match renew(&*self.authorization, token).await? {
                    Some(token) => Some(token),
                    None => return Ok(answer),
                };
                renewed = true;
            }
        })
    }

    /// Sends a request and reads the answer. `limit` is for its head: after that a message may be on its way, which
    /// would be lost with the answer.
    pub(super) fn exchange(self: Arc<Self>, request: HttpRequest, limit: Duration) -> Exchange<HttpResponse> {
        Box::pin(async move {
            let timeout = self.timeout;
            let Some(answer) = within(limit, self.send(request)).await else { return Ok(None) };
            match within(timeout, answer?.read(DEFAULT_MESSAGE_LIMIT)).await {
                Some(response) => response.map(Some),
                None => Err(TransportError::new("the server stopped in the middle of an answer")),
            }
        })
    }

    /// Sends a request of whose answer the head says everything: its body is not waited for.
    pub(super) fn deliver(self: Arc<Self>, request: HttpRequest, limit: Duration) -> Exchange<Head> {
        Box::pin(async move {
            let answer = within(limit, self.send(request)).await.transpose()?;
            Ok(answer.map(|answer| answer.head))
        })
    }
}

/// Another token, after a server rejected this one.
pub(super) async fn renew(
    authorization: &dyn Authorization,
    rejected: Option<AccessToken>,
) -> Result<Option<AccessToken>, TransportError> {
    authorization.renew(rejected).await.map_err(|cause| TransportError {
        status: Some(401),
        cause: Some(cause),
        ..TransportError::new("the access token could not be renewed")
    })
}

/// `None` when the time is over first.
async fn within<T>(limit: Duration, mut future: BoxFuture<T>) -> Option<T> {
    let mut sleep = platform::sleep(limit);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

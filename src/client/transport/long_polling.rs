use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::endpoint::{Endpoint, Posts, refused};
use super::within;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::json::reader::{Reader, as_string};
use crate::core::negotiate::TransferFormat;
use crate::core::session::TransportError;
use crate::core::url::HubUrl;
use crate::platform::{self, BoxFuture, Frame, HttpRequest, Method};

/// A poll that nothing answers for so long is given up for a new one. Servers answer after 90 s at the latest,
/// unless they are told to wait longer.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_secs(110);

/// How long the goodbye may take when a connection closes.
const DELETE_TIMEOUT: Duration = Duration::from_secs(1);

/// Messages come as the answers to one GET after the other, and go as POSTs.
pub(crate) struct LongPolling {
    posts: Posts,
    format: TransferFormat,
    poll: Option<BoxFuture<Result<Frame, TransportError>>>,
}

impl LongPolling {
    /// The first poll is answered at once, and without a message.
    pub(super) async fn open(
        endpoint: Arc<Endpoint>,
        format: TransferFormat,
    ) -> Result<Self, TransportError> {
        let url = poll_url(&endpoint.url);
        let mut answer = endpoint.send(HttpRequest { url: &url, ..endpoint.request(Method::GET) }).await?;
        if answer.status != 200 {
            return Err(refused("the server refused to be polled", answer.status));
        }
        let early = answer.body.read(DEFAULT_MESSAGE_LIMIT).await?;
        let poll: Option<BoxFuture<_>> =
            (!early.is_empty()).then(|| Box::pin(std::future::ready(frame(format, early))) as _);
        Ok(Self { posts: Posts::new(endpoint), format, poll })
    }

    pub(super) fn posts(&mut self) -> &mut Posts {
        &mut self.posts
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        let (endpoint, format) = (self.posts.endpoint(), self.format);
        let poll = self.poll.get_or_insert_with(|| Box::pin(next(Arc::clone(endpoint), format)));
        let polled = ready!(poll.as_mut().poll(cx));
        self.poll = None;
        Poll::Ready(polled)
    }

    /// Sends what is left, gives up the poll that is under way, and tells the server that this is the end.
    pub(super) async fn close(self, left: VecDeque<Frame>) {
        let endpoint = Arc::clone(self.posts.endpoint());
        self.posts.close(left).await;
        drop(self.poll);
        let delete = HttpRequest { outlives_page: true, ..endpoint.request(Method::DELETE) };
        // A server that does not know the connection any more has ended it by itself.
        let _ = within(DELETE_TIMEOUT, endpoint.send(delete)).await;
    }
}

/// Polls until there is a message.
async fn next(endpoint: Arc<Endpoint>, format: TransferFormat) -> Result<Frame, TransportError> {
    let mut refreshed = false;
    loop {
        let url = poll_url(&endpoint.url);
        let poll = HttpRequest { url: &url, ..endpoint.request(Method::GET) };
        let Some(answer) = within(POLL_TIMEOUT, endpoint.send(poll)).await else {
            refreshed = false;
            continue;
        };
        let mut answer = answer?;
        // From here on a message may be on its way, and giving up would lose it.
        let Some(body) = within(endpoint.timeout, answer.body.read(DEFAULT_MESSAGE_LIMIT)).await else {
            return Err(TransportError::new("the answer to a poll stopped in the middle"));
        };
        let body = body?;
        match answer.status {
            200 if body.is_empty() => refreshed = false,
            200 => return frame(format, body),
            204 => return Err(TransportError::new("the server ended the long polling connection")),
            409 if !refreshed && asks_for_refresh(&body) => {
                let Some(done) = within(endpoint.timeout, endpoint.authorization.refresh()).await else {
                    return Err(TransportError::new("refreshing the authentication took too long"));
                };
                done?;
                refreshed = true;
            }
            status => return Err(refused("the server refused to be polled", status)),
        }
    }
}

/// No cache on the way may answer in the server's place.
fn poll_url(url: &HubUrl) -> HubUrl {
    url.with_parameter("_", &platform::unix_now().as_millis().to_string())
}

fn frame(format: TransferFormat, body: Vec<u8>) -> Result<Frame, TransportError> {
    if body.len() > DEFAULT_MESSAGE_LIMIT {
        return Err(TransportError::new("the server sent a message that is longer than 32 MiB"));
    }
    match format {
        TransferFormat::Text => String::from_utf8(body)
            .map(Frame::from)
            .map_err(|_| TransportError::new("the server sent a text that is not UTF-8")),
        TransferFormat::Binary => Ok(Frame::binary(body)),
    }
}

/// .NET 11: `{"error":"authentication_refresh_required"}`.
fn asks_for_refresh(body: &[u8]) -> bool {
    let mut asks = false;
    if let Ok(text) = std::str::from_utf8(body) {
        // What is no object asks for nothing.
        let _ = Reader::new(text).object(|name, value| {
            if name == "error" {
                asks = as_string(value)?.is_some_and(|error| error == "authentication_refresh_required");
            }
            Ok(())
        });
    }
    asks
}

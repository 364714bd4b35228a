//! Long polling: messages come as the answers to one GET after the other.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::endpoint::{Endpoint, Exchange};
use crate::core::TransportError;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::http::Head;
use crate::core::json::reader::{Reader, as_string};
use crate::core::negotiate::TransferFormat;
use crate::platform::{self, BoxFuture, Frame, HttpRequest, HttpResponse, Method};

/// A poll that nothing answers for so long is given up for a new one. Servers answer after 90 s at the latest,
/// unless they are told to wait longer.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_secs(110);

/// Messages come as the answers to one GET after the other.
pub(super) struct LongPolling {
    format: TransferFormat,
    /// The answer to the first poll.
    first: Option<HttpResponse>,
    poll: Option<Exchange<HttpResponse>>,
    refresh: Option<BoxFuture<Result<(), TransportError>>>,
    /// Whether the last answer has led to a refresh.
    refreshed: bool,
}

impl LongPolling {
    /// The server answers the first poll at once, and without a message.
    pub(super) async fn open(
        endpoint: &Arc<Endpoint>,
        format: TransferFormat,
    ) -> Result<Self, TransportError> {
        let first = poll(endpoint).await?;
        match first {
            Some(HttpResponse { head, .. }) if head.status != 200 || head.is_web_page() => {
                Err(not_polled(&head))
            }
            Some(_) => Ok(Self { format, first, poll: None, refresh: None, refreshed: false }),
            None => Err(TransportError::new("the server did not answer the first poll")),
        }
    }

    pub(super) fn poll_next(
        &mut self,
        endpoint: &Arc<Endpoint>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Frame, TransportError>> {
        loop {
            if let Some(refresh) = &mut self.refresh {
                let done = ready!(refresh.as_mut().poll(cx));
                self.refresh = None;
                done?;
            }
            let response = match self.first.take() {
                Some(first) => Some(first),
                None => {
                    let polled = ready!(self.poll.get_or_insert_with(|| poll(endpoint)).as_mut().poll(cx));
                    self.poll = None;
                    polled?
                }
            };
            let may_refresh = !std::mem::take(&mut self.refreshed);
            let Some(HttpResponse { head, body }) = response else { continue };
            match head.status {
                200 if body.is_empty() => {}
                200 if !head.is_web_page() => return Poll::Ready(frame(self.format, body)),
                204 => {
                    let end = TransportError::new("the server ended the long polling connection");
                    return Poll::Ready(Err(end));
                }
                409 if may_refresh && asks_for_refresh(&body) => {
                    self.refresh = Some(endpoint.authorization.refresh());
                    self.refreshed = true;
                }
                _ => return Poll::Ready(Err(not_polled(&head))),
            }
        }
    }
}

fn poll(endpoint: &Arc<Endpoint>) -> Exchange<HttpResponse> {
    let mut request: HttpRequest = endpoint.request(Method::Get);
    // No cache on the way may answer in the server's place.
    #[allow(clippy::cast_possible_truncation, reason = "64 bits are enough for milliseconds")]
    let stamp = platform::unix_now().as_millis() as u64;
    request.url = request.url.with_parameter("_", &stamp.to_string());
    Arc::clone(endpoint).exchange(request, POLL_TIMEOUT)
}

fn not_polled(head: &Head) -> TransportError {
    head.refusal("the server refused to be polled")
}

fn frame(format: TransferFormat, body: Vec<u8>) -> Result<Frame, TransportError> {
    if body.len() > DEFAULT_MESSAGE_LIMIT {
        return Err(TransportError::new("the server sent a message that is longer than 32 MiB"));
    }
    match format {
        TransferFormat::Text => match std::str::from_utf8(&body) {
            Ok(text) => Ok(Frame::from(text)),
            Err(_) => Err(TransportError::new("the server sent a text that is not UTF-8")),
        },
        TransferFormat::Binary => Ok(Frame::binary(body)),
    }
}

/// .NET 11: `{"error":"authentication_refresh_required"}`.
fn asks_for_refresh(body: &[u8]) -> bool {
    let mut asks = false;
    if let Ok(text) = std::str::from_utf8(body) {
        // What is not an object asks for nothing.
        let _ = Reader::new(text).object(|name, value| {
            if name == "error" {
                asks = as_string(value)?.is_some_and(|error| error == "authentication_refresh_required");
            }
            Ok(())
        });
    }
    asks
}

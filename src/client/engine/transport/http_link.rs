//! What Server-Sent Events and long polling have in common: messages go out as POSTs.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::endpoint::{Endpoint, Exchange};
use super::long_polling::LongPolling;
use super::server_sent_events::ServerSentEvents;
use crate::core::TransportError;
use crate::core::http::Head;
use crate::platform::{self, Frame, HttpRequest, Method};

/// How long the remaining messages may take to go out when a connection closes, and how long the DELETE after them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Browsers refuse requests that outlive their page with more than 64 KiB between them.
const OUTLIVES_PAGE_LIMIT: usize = 16 * 1024;

/// Messages go as POSTs, one at a time: a server takes no second one meanwhile, and they would get out of order. How
/// they come differs.
pub(crate) struct HttpLink {
    endpoint: Arc<Endpoint>,
    sending: Option<Exchange<Head>>,
    receiving: Receiving,
}

pub(super) enum Receiving {
    Events(ServerSentEvents),
    Polls(LongPolling),
}

impl HttpLink {
    pub(super) fn new(endpoint: Arc<Endpoint>, receiving: Receiving) -> Self {
        Self { endpoint, sending: None, receiving }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        match &mut self.receiving {
            Receiving::Events(events) => events.poll_next(cx),
            Receiving::Polls(polls) => polls.poll_next(&self.endpoint, cx),
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(match sent? {
            // A page says that somebody else has taken the message.
            Some(head) if matches!(head.status, 200..=299) && !head.is_web_page() => Ok(()),
            Some(head) => Err(head.refusal("the server refused to take a message")),
            None => Err(TransportError::new("the server took too long to take a message")),
        })
    }

    /// To be called when it is ready.
    pub(super) fn start_send(&mut self, frame: Frame) {
        self.post(frame, false);
    }

    fn post(&mut self, frame: Frame, outlives_page: bool) {
        let endpoint = Arc::clone(&self.endpoint);
        let timeout = endpoint.timeout;
        let request = HttpRequest { body: Some(frame), outlives_page, ..endpoint.request(Method::Post) };
        self.sending = Some(endpoint.deliver(request, timeout));
    }

    /// Sends what is left, then drops the request that it receives by, and sends a DELETE if the server would not notice
    /// the end otherwise.
    pub(super) async fn close(mut self, mut left: VecDeque<Frame>) {
        let mut sleep = platform::sleep(CLOSE_TIMEOUT);
        poll_fn(|cx| {
            loop {
                match self.poll_ready(cx) {
                    Poll::Pending => return sleep.as_mut().poll(cx),
                    // A broken connection cannot send anything more.
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(())) => {}
                }
                let Some(frame) = left.pop_front() else { return Poll::Ready(()) };
                let outlives_page = frame.length() <= OUTLIVES_PAGE_LIMIT;
                self.post(frame, outlives_page);
            }
        })
        .await;
        let Self { endpoint, receiving, .. } = self;
        if let Receiving::Polls(polls) = receiving {
            drop(polls);
            let goodbye = HttpRequest { outlives_page: true, ..endpoint.request(Method::Delete) };
            // A server that no longer knows the connection has already ended it.
            let _ = endpoint.deliver(goodbye, CLOSE_TIMEOUT).await;
        }
    }
}

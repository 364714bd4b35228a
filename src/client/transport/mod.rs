//! The transports, the same lines on both platforms: one socket, or requests over HTTP.
//!
//! Server-Sent Events and long polling are made of plain requests whose answers are read as they come. In a browser
//! that is `fetch`, not `EventSource`: the token goes into the `Authorization` header, where no log has it, as no
//! query does; it works in service workers and in Node; and nothing reconnects by itself, so that the end of a stream,
//! for whatever reason, is the end of the connection, at once.

mod endpoint;
mod long_polling;
mod server_sent_events;
native_only! {
    #[cfg(test)]
    mod tests;
}

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use self::endpoint::{Endpoint, renew};
use self::long_polling::LongPolling;
use self::server_sent_events::ServerSentEvents;
use crate::core::negotiate::{TransferFormat, Transport};
use crate::core::session::TransportError;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::platform::{self, BoxFuture, Frame, HttpClient, MaybeSend, MaybeSync, WebSocket};

/// Where the requests of a connection get their token from.
pub(crate) trait Authorization: MaybeSend + MaybeSync {
    /// The token for a request that is made now.
    fn current(&self) -> Option<AccessToken>;

    /// A server refused this token (401). Another one to try with, or `None` when there is none to be had.
    fn renew(&self, rejected: Option<AccessToken>) -> BoxFuture<Result<Option<AccessToken>, String>>;

    /// The server wants the connection's authentication refreshed before it goes on.
    fn refresh(&self) -> BoxFuture<Result<(), TransportError>>;
}

/// An open transport. Dropping it aborts whatever of it is under way.
pub(crate) enum Link {
    WebSocket(Box<WebSocket>),
    ServerSentEvents(Box<ServerSentEvents>),
    LongPolling(Box<LongPolling>),
}

impl Link {
    /// Opens a transport. How long that may take is the caller's to say; `timeout` is for each message sent later.
    pub(crate) async fn open(
        transport: Transport,
        format: TransferFormat,
        http: HttpClient,
        url: HubUrl,
        authorization: Arc<dyn Authorization>,
        headers: Vec<(String, String)>,
        timeout: Duration,
    ) -> Result<Self, TransportError> {
        let endpoint = Endpoint { http, url, authorization, headers, timeout };
        Ok(match transport {
            Transport::WebSockets => Self::WebSocket(Box::new(open_web_socket(&endpoint).await?)),
            Transport::ServerSentEvents => {
                Self::ServerSentEvents(Box::new(ServerSentEvents::open(Arc::new(endpoint)).await?))
            }
            Transport::LongPolling => {
                Self::LongPolling(Box::new(LongPolling::open(Arc::new(endpoint), format).await?))
            }
        })
    }

    /// The next message; an error once the transport has ended, whoever ended it. An empty one only tells that the
    /// peer is there.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        match self {
            Self::WebSocket(link) => link.poll_next(cx),
            Self::ServerSentEvents(link) => link.poll_next(cx),
            Self::LongPolling(link) => link.poll_next(cx),
        }
    }

    /// Whether the next message can go out. Over HTTP one goes at a time, and what is written meanwhile makes up
    /// the next.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self {
            Self::WebSocket(link) => link.poll_ready(cx),
            Self::ServerSentEvents(link) => link.posts().poll_ready(cx),
            Self::LongPolling(link) => link.posts().poll_ready(cx),
        }
    }

    pub(crate) fn start_send(&mut self, frame: Frame) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(link) => return link.start_send(frame),
            Self::ServerSentEvents(link) => link.posts().start_send(frame),
            Self::LongPolling(link) => link.posts().start_send(frame),
        }
        Ok(())
    }

    /// Whether everything has gone out.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self {
            Self::WebSocket(link) => link.poll_flush(cx),
            Self::ServerSentEvents(link) => link.posts().poll_ready(cx),
            Self::LongPolling(link) => link.posts().poll_ready(cx),
        }
    }

    /// Sends what is left and ends the transport, with a limit of two seconds.
    pub(crate) async fn close(self, left: VecDeque<Frame>) {
        match self {
            Self::WebSocket(link) => link.close(left).await,
            Self::ServerSentEvents(link) => link.close(left).await,
            Self::LongPolling(link) => link.close(left).await,
        }
    }
}

/// Browsers do not tell why a socket could not be opened, so that a token is renewed natively only.
async fn open_web_socket(endpoint: &Endpoint) -> Result<WebSocket, TransportError> {
    let open =
        |token| WebSocket::open(endpoint.http.clone(), endpoint.url.clone(), token, endpoint.headers.clone());
    let token = endpoint.authorization.current();
    match open(token.clone()).await {
        Err(error) if error.status == Some(401) => match renew(&*endpoint.authorization, token).await? {
            Some(token) => open(Some(token)).await,
            None => Err(error),
        },
        opened => opened,
    }
}

/// `None` when the time is over first.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = platform::sleep(limit);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

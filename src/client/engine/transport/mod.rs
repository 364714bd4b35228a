//! The transports, the same lines on both platforms: one socket, or requests over HTTP.
//!
//! Server-Sent Events and long polling are made of plain requests whose answers are read as they come. In a browser
//! that is `fetch`, not `EventSource`: the token goes into the `Authorization` header, where no log has it, as no
//! query does; it works in service workers and in Node; and nothing reconnects automatically, so that the end of a
//! stream, for whatever reason, is the end of the connection, at once.

mod endpoint;
mod http_link;
#[cfg(all(native, feature = "server"))]
pub(crate) mod in_memory;
mod long_polling;
mod server_sent_events;
#[cfg(all(native, test))]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use self::endpoint::{Endpoint, renew};
use self::http_link::{HttpLink, Receiving};
use self::long_polling::LongPolling;
use self::server_sent_events::ServerSentEvents;
use crate::core::negotiate::{TransferFormat, Transport};
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, TransportError};
use crate::platform::{BoxFuture, Frame, HttpClient, MaybeSend, MaybeSync, WebSocket};

/// Where the requests of a connection get their token from.
pub(crate) trait Authorization: MaybeSend + MaybeSync {
    /// The token for a request that is made now.
    fn current(&self) -> Option<AccessToken>;

    /// A server rejected this token (401). Returns another one to try, or `None` when none could be obtained.
    fn renew(&self, rejected: Option<AccessToken>) -> BoxFuture<Result<Option<AccessToken>, Cause>>;

    /// The server wants the connection's authentication refreshed before it goes on.
    fn refresh(&self) -> BoxFuture<Result<(), TransportError>>;
}

/// An open transport. Dropping it aborts whatever of it is under way.
pub(crate) enum Link {
    WebSocket(Box<WebSocket>),
    Http(Box<HttpLink>),
    #[cfg(all(native, feature = "server"))]
    InMemory(in_memory::PipeLink),
}

impl Link {
    /// Opens a transport. The caller limits how long that may take; `timeout` is for each message sent later.
    pub(crate) async fn open(
        transport: Transport,
        format: TransferFormat,
        http: HttpClient,
        url: HubUrl,
        authorization: Arc<dyn Authorization>,
        headers: Vec<(String, String)>,
        timeout: Duration,
    ) -> Result<Self, TransportError> {
        if transport == Transport::WebSockets {
            let socket = open_web_socket(http, url, &*authorization, headers).await?;
            return Ok(Self::WebSocket(Box::new(socket)));
        }
        let endpoint = Arc::new(Endpoint { http, url, authorization, headers: headers.into(), timeout });
        let receiving = if transport == Transport::ServerSentEvents {
            Receiving::Events(ServerSentEvents::open(&endpoint).await?)
        } else {
            Receiving::Polls(LongPolling::open(&endpoint, format).await?)
        };
        Ok(Self::Http(Box::new(HttpLink::new(endpoint, receiving))))
    }

    /// The next message; an error once the transport has ended, whichever end closed it. An empty one only tells that the
    /// peer is there.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        match self {
            Self::WebSocket(link) => link.poll_next(cx),
            Self::Http(link) => link.poll_next(cx),
            #[cfg(all(native, feature = "server"))]
            Self::InMemory(link) => link.poll_next(cx),
        }
    }

    /// Whether more has come than can wait while the driver does not read: the link has ended then. Only a browser's
    /// WebSocket cannot be held back; an answer over HTTP is pulled, piece by piece, by
    /// [`poll_next`](Self::poll_next).
    pub(crate) fn poll_overflow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::WebSocket(link) => link.poll_overflow(cx),
            Self::Http(_) => Poll::Pending,
            #[cfg(all(native, feature = "server"))]
            Self::InMemory(_) => Poll::Pending,
        }
    }

    /// Whether the next message can go out. Over HTTP one goes at a time, and what is written meanwhile makes up
    /// the next.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self {
            Self::WebSocket(link) => link.poll_ready(cx),
            Self::Http(link) => link.poll_ready(cx),
            #[cfg(all(native, feature = "server"))]
            Self::InMemory(link) => link.poll_ready(cx),
        }
    }

    pub(crate) fn start_send(&mut self, frame: Frame) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(link) => link.start_send(frame),
            Self::Http(link) => {
                link.start_send(frame);
                Ok(())
            }
            #[cfg(all(native, feature = "server"))]
            Self::InMemory(link) => link.start_send(frame),
        }
    }

    /// Whether everything has gone out.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self {
            Self::WebSocket(link) => link.poll_flush(cx),
            Self::Http(link) => link.poll_ready(cx),
            // What is sent is in the server's hands.
            #[cfg(all(native, feature = "server"))]
            Self::InMemory(_) => Poll::Ready(Ok(())),
        }
    }

    /// Sends what is left and ends the transport, with a limit of two seconds.
    pub(crate) async fn close(self, left: VecDeque<Frame>) {
        match self {
            Self::WebSocket(link) => link.close(left).await,
            Self::Http(link) => link.close(left).await,
            #[cfg(all(native, feature = "server"))]
            Self::InMemory(link) => link.close(left).await,
        }
    }
}

/// Browsers do not tell why a socket could not be opened, so that a token is renewed natively only.
async fn open_web_socket(
    http: HttpClient,
    url: HubUrl,
    authorization: &dyn Authorization,
    headers: Vec<(String, String)>,
) -> Result<WebSocket, TransportError> {
    let mut token = authorization.current();
    let mut renewed = false;
    loop {
        let opened = WebSocket::open(http.clone(), url.clone(), token.clone(), headers.clone()).await;
        let Err(error) = opened else { return opened };
        if error.status != Some(401) || renewed {
            return Err(error);
        }
        token = match renew(authorization, token).await? {
            Some(token) => Some(token),
            None => return Err(error),
        };
        renewed = true;
    }
}

//! A WebSocket by tungstenite, on a connection that the HTTP client has upgraded.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::frame::Frame;
use super::http::HttpClient;
use super::read_ahead::ReadAhead;
use super::request_error::describe;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::negotiate::Transports;
use crate::core::text::clip;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::core::{Cause, TransportError};

/// What tungstenite holds for each connection.
const READ_BUFFER: usize = 2 * 1024;

/// How long a last flush may take when the connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A peer that sends so many pings and takes nothing meanwhile is not read any further until it does. Each pong takes up
/// to 131 bytes of the write buffer, which has no limit of its own. Honest peers send one ping in some seconds.
const PING_LIMIT: u32 = 1024;

/// What this platform can open.
pub(crate) fn transports() -> Transports {
    Transports::ALL
}

/// A WebSocket whose upgrade the HTTP client makes, so that one configuration of TLS, proxy and headers serves every
/// request of a connection, and the answer to a refused upgrade can be read.
pub(crate) struct WebSocket<S = reqwest::Upgraded> {
    stream: WebSocketStream<ReadAhead<S>>,
    /// How many pings have come since everything had gone out.
    pings: u32,
}

impl WebSocket {
    pub(crate) async fn open(
        client: HttpClient,
        url: HubUrl,
        token: Option<AccessToken>,
        headers: Vec<(String, String)>,
    ) -> Result<Self, TransportError> {
        let key = generate_key();
        let request = client
            .request(reqwest::Method::GET, &url, token.as_ref(), &headers)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", &key);
        let response = client.upgrade(request).await?;
        let head = client.head(&url, &response);
        if head.status != 101 {
            return Err(head.refusal("the server refused to open a WebSocket"));
        }
        let accept = response.headers().get("Sec-WebSocket-Accept").map(|value| value.as_bytes());
        if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(TransportError::new(
                "the server's answer is not a WebSocket handshake (RFC 6455, 4.1)",
            ));
        }
        let upgraded = response.upgrade().await.map_err(describe)?;
        Ok(Self::over(upgraded).await)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The client's end of a connection that has been upgraded.
    async fn over(connection: S) -> Self {
        // tungstenite's `max_write_buffer_size` stays unset: it would refuse a large own message as well.
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(DEFAULT_MESSAGE_LIMIT))
            .max_frame_size(Some(DEFAULT_MESSAGE_LIMIT));
        Self {
            stream: WebSocketStream::from_raw_socket(ReadAhead::new(connection), Role::Client, Some(config))
                .await,
            pings: 0,
        }
    }

    /// The next message; an error once the socket is closed, whichever end closed it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        loop {
            if self.pings >= PING_LIMIT {
                ready!(self.poll_flush(cx))?;
            }
            return Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Ok(Frame::Text(text)),
                Some(Ok(Message::Binary(bytes))) => Ok(Frame::Binary(bytes)),
                Some(Ok(Message::Close(Some(close)))) => Err(TransportError {
                    close_code: Some(close.code.into()),
                    ..TransportError::new(match close.reason.as_str() {
                        "" => "the server closed the WebSocket".to_owned(),
                        reason => format!("the server closed the WebSocket: {}", clip(reason)),
                    })
                }),
                Some(Ok(Message::Close(None))) | None => {
                    Err(TransportError::new("the server closed the WebSocket"))
                }
                // tungstenite puts the pong behind what waits to be written.
                Some(Ok(Message::Ping(_))) => {
                    self.pings += 1;
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(from_tungstenite(error)),
            });
        }
    }

    /// Whether more has come than can wait while the driver does not read. Never: the peer is held back by then.
    #[allow(clippy::unused_self, reason = "a browser's socket cannot be held back")]
    pub(crate) fn poll_overflow(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.stream).poll_ready(cx).map_err(from_tungstenite)
    }

    pub(crate) fn start_send(&mut self, frame: Frame) -> Result<(), TransportError> {
        let message = match frame {
            Frame::Text(text) => Message::Text(text),
            Frame::Binary(bytes) => Message::Binary(bytes),
        };
        Pin::new(&mut self.stream).start_send(message).map_err(from_tungstenite)
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(from_tungstenite)?;
        self.pings = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends what is left and a close frame. The peer's answer is not awaited, and a peer that no longer reads
    /// cannot hold this up for long.
    pub(crate) async fn close(mut self, left: impl IntoIterator<Item = Frame>) {
        let last = async {
            for frame in left {
                std::future::poll_fn(|cx| self.poll_ready(cx)).await?;
                self.start_send(frame)?;
            }
            std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_close(cx))
                .await
                .map_err(from_tungstenite)
        };
        // A broken socket cannot send anything more.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, last).await;
    }
}

fn from_tungstenite(error: Error) -> TransportError {
    TransportError::because_of("the WebSocket failed", Cause::new(error))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::{SinkExt as _, StreamExt as _, poll};
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::Bytes;

    use super::*;

    async fn server(connection: DuplexStream) -> WebSocketStream<DuplexStream> {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await
    }

    #[tokio::test]
    async fn a_peer_that_sends_pings_and_does_not_read_is_held_back() {
        let ping = [&[0x89, 125][..], &[b'p'; 125]].concat();
        // Room for whole pings only, so that none is written in part.
        let (ours, mut theirs) = duplex(32 * ping.len());
        let mut socket = WebSocket::over(ours).await;
        let mut pings = 0;
        // Otherwise tokio's cooperative budget would now and then let neither end make progress.
        tokio::task::unconstrained(async {
            loop {
                assert!(poll!(poll_fn(|cx| socket.poll_next(cx))).is_pending());
                let Poll::Ready(written) = poll!(Box::pin(theirs.write(&ping))) else { break };
                assert_eq!(written.unwrap(), ping.len());
                pings += 1;
                assert!(pings < 10 * PING_LIMIT, "it is read without end");
            }
        })
        .await;
        assert!(pings >= PING_LIMIT);

        // Nothing is lost once it reads: neither the pongs nor the messages of either end.
        poll_fn(|cx| socket.poll_ready(cx)).await.unwrap();
        socket.start_send(Frame::from("from the client")).unwrap();
        let client = async {
            let (mut flushed, mut received) = (false, None);
            poll_fn(|cx| {
                flushed = flushed || socket.poll_flush(cx).map(Result::unwrap).is_ready();
                if received.is_none()
                    && let Poll::Ready(frame) = socket.poll_next(cx)
                {
                    received = Some(frame.unwrap());
                }
                if flushed && received.is_some() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            received.unwrap()
        };
        let peer = async {
            let mut peer = server(theirs).await;
            let mut pongs = 0;
            let text = loop {
                match peer.next().await.unwrap().unwrap() {
                    Message::Pong(payload) => {
                        assert_eq!(payload, ping[2..]);
                        pongs += 1;
                    }
                    Message::Text(text) => break text,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(text, "from the client");
            assert!((PING_LIMIT / 2..=pings + 1).contains(&pongs), "{pongs} of {pings}");
            peer.send(Message::text("from the server")).await.unwrap();
            peer
        };
        let (received, _peer) = tokio::join!(client, peer);
        assert_eq!(&*received.bytes(), b"from the server");
    }

    #[tokio::test]
    async fn pings_of_a_peer_that_reads_do_not_stop_anything() {
        let (ours, theirs) = duplex(4096);
        let mut socket = WebSocket::over(ours).await;
        let mut peer = server(theirs).await;
        let peer = async {
            for _ in 0..3 * PING_LIMIT {
                peer.send(Message::Ping(Bytes::new())).await.unwrap();
                assert!(matches!(peer.next().await, Some(Ok(Message::Pong(_)))));
            }
            peer.send(Message::text("done")).await.unwrap();
            peer
        };
        let (frame, _peer) = tokio::join!(poll_fn(|cx| socket.poll_next(cx)), peer);
        assert_eq!(&*frame.unwrap().bytes(), b"done");
    }

    #[tokio::test]
    async fn a_message_may_be_longer_than_any_buffer() {
        let (ours, theirs) = duplex(1 << 20);
        let mut socket = WebSocket::over(ours).await;
        let mut peer = server(theirs).await;
        let long = vec![7; DEFAULT_MESSAGE_LIMIT + 1];
        poll_fn(|cx| socket.poll_ready(cx)).await.unwrap();
        socket.start_send(Frame::binary(long.clone())).unwrap();
        let (flushed, received) = tokio::join!(poll_fn(|cx| socket.poll_flush(cx)), peer.next());
        flushed.unwrap();
        assert!(received.unwrap().unwrap().into_data() == long);
    }
}

//! A WebSocket by tungstenite, on a connection that reqwest has upgraded.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::http::{HttpClient, describe};
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;
use crate::core::negotiate::Transports;
use crate::core::session::TransportError;
use crate::core::text::clip;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;

/// How long a last flush may take when the connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What this platform can open.
pub(crate) fn transports() -> Transports {
    Transports::ALL
}

/// One WebSocket message.
#[derive(Debug)]
pub(crate) enum Frame {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl Frame {
    /// A text frame. Bytes that are not UTF-8, which no codec writes, are replaced.
    pub(crate) fn text(bytes: Vec<u8>) -> Self {
        let text =
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Self::Text(text.into())
    }

    pub(crate) fn binary(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// In bytes.
    pub(crate) fn length(&self) -> usize {
        self.bytes().len()
    }

    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        })
    }
}

impl Frame {
    pub(super) fn shared_bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Binary(bytes) => bytes.clone(),
        }
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A WebSocket whose upgrade reqwest makes, so that one configuration of TLS, proxy and headers serves every
/// request of a connection, and the answer to a refused upgrade can be read.
pub(crate) struct WebSocket {
    stream: WebSocketStream<reqwest::Upgraded>,
}

impl WebSocket {
    pub(crate) async fn open(
        client: HttpClient,
        url: HubUrl,
        token: Option<AccessToken>,
        headers: Vec<(String, String)>,
    ) -> Result<Self, TransportError> {
        let key = generate_key();
        let response = client
            .request(reqwest::Method::GET, &url, token.as_ref(), &headers)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", &key)
            .send()
            .await
            .map_err(describe)?;
        let status = response.status().as_u16();
        if status != 101 {
            let error = TransportError::new("the server refused to open a WebSocket");
            return Err(TransportError { status: Some(status), ..error });
        }
        let accept = response.headers().get("Sec-WebSocket-Accept").map(|value| value.as_bytes());
        if accept != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(TransportError::new(
                "the server's answer is not a WebSocket handshake (RFC 6455, 4.1)",
            ));
        }
        let upgraded = response.upgrade().await.map_err(describe)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_message_size(Some(DEFAULT_MESSAGE_LIMIT))
            .max_frame_size(Some(DEFAULT_MESSAGE_LIMIT));
        Ok(Self { stream: WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await })
    }

    /// The next message; an error once the socket is closed, whoever closed it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        loop {
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
                // tungstenite answers WebSocket pings by itself.
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(TransportError::new(error.to_string())),
            });
        }
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
        Pin::new(&mut self.stream).poll_flush(cx).map_err(from_tungstenite)
    }

    /// Sends what is left and a close frame. The peer's answer is not waited for, and a peer that no longer reads
    /// can't hold this up for long.
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
        // A socket that is broken already has nothing more to say.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, last).await;
    }
}

fn from_tungstenite(error: Error) -> TransportError {
    TransportError::new(error.to_string())
}

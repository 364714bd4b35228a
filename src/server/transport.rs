//! What carries a connection: a WebSocket, HTTP requests, or a pipe within the program.

use std::{future::poll_fn, pin::Pin};

use axum::extract::ws::{self, WebSocket, WebSocketUpgrade};
use futures_sink::Sink;
use futures_util::FutureExt as _;
use tokio::time::Instant;

#[cfg(feature = "service")]
use crate::server::azure::client::ServiceTransport;
use crate::{
    core::{ErrorChain, negotiate::Transport as Kind},
    platform::{Gone, Pipe, PipeFrame},
    server::{
        exchange::{Closed, HttpTransport},
        message::Frame,
        outbox,
    },
};

/// A thousand idle connections should not take more memory than they have to; the default is 128 kB each.
const READ_BUFFER: usize = 4 * 1024;

/// So much is collected before it is written; it takes no memory while nothing waits.
const WRITE_BUFFER: usize = 64 * 1024;

/// No frame is larger than what may wait for a client. The default has no limit.
const MAX_WRITE_BUFFER: usize = outbox::LIMIT + 2 * WRITE_BUFFER;

/// The largest WebSocket message. It may carry several hub messages.
pub(crate) const MAX_FRAME: usize = 4 * 1024 * 1024;

/// Bounds what a client can make a WebSocket keep in memory.
pub(crate) fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
}

/// One client's transport.
#[derive(Debug)]
pub(crate) enum Transport {
    WebSocket(Box<WebSocket>),
    Http(HttpTransport),
    /// The client is connected to Azure SignalR Service.
    #[cfg(feature = "service")]
    Service(Box<ServiceTransport>),
    /// The client is in this program, or somebody else has its socket. What holds for a WebSocket holds for it.
    Pipe(Pipe),
}

/// Why nothing more comes of a transport, unless the client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client sent something that its transport cannot carry.
    Malformed,
    /// The client sent more in one message than a transport takes.
    TooLong,
    /// The client, or the network, is gone without a word.
    Lost,
}

impl Transport {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::WebSocket(_) | Self::Pipe(_) => Kind::WebSockets,
            // Whichever it is, it carries bytes.
            #[cfg(feature = "service")]
            Self::Service(_) => Kind::WebSockets,
            Self::Http(http) if http.is_polled() => Kind::LongPolling,
            Self::Http(_) => Kind::ServerSentEvents,
        }
    }

    /// When the client was last there, of transports that show it without pings.
    pub(crate) fn last_seen(&self) -> Option<Instant> {
        match self {
            Self::WebSocket(_) | Self::Pipe(_) => None,
            #[cfg(feature = "service")]
            Self::Service(service) => service.last_seen(),
            Self::Http(http) => http.last_seen(),
        }
    }

    /// The next frame, `None` when the client has left. It can be abandoned at any time without losing any.
    pub(crate) async fn receive(&mut self) -> Result<Option<Frame>, Broken> {
        self.receive_after(&mut false).await
    }

    /// As [`receive`](Self::receive). `is_flushing` is true while it waits for something to be sent first.
    pub(crate) async fn receive_after(&mut self, is_flushing: &mut bool) -> Result<Option<Frame>, Broken> {
        let socket = match self {
            Self::WebSocket(socket) => socket,
            Self::Http(http) => return Ok(http.receive().await.map(Frame::Binary)),
            #[cfg(feature = "service")]
            Self::Service(service) => return Ok(service.receive().await.map(Frame::Binary)),
            Self::Pipe(pipe) => {
                let received = pipe.receiver.receive().await.map_err(|Gone| Broken::Lost)?;
                return match received {
                    Some(frame) if frame.bytes.len() > MAX_FRAME => Err(Broken::TooLong),
                    received => Ok(received.map(|frame| Frame::Binary(frame.bytes))),
                };
            }
        };
        loop {
            // The answer to a ping waits in the write buffer. Nothing more is read before it has left, so a client that
            // sends pings and does not read cannot fill the buffer.
            *is_flushing = true;
            if flush(socket).await.is_err() {
                return Err(Broken::Lost);
            }
            *is_flushing = false;
            match socket.recv().await {
                Some(Ok(ws::Message::Text(text))) => return Ok(Some(Frame::Text(text))),
                Some(Ok(ws::Message::Binary(bytes))) => return Ok(Some(Frame::Binary(bytes))),
                Some(Ok(ws::Message::Ping(_) | ws::Message::Pong(_))) => {}
                Some(Ok(ws::Message::Close(close))) => {
                    // The answer waits in the write buffer. Nothing is to be read behind it, so nothing is waited for.
                    let _ = flush(socket).now_or_never();
                    return if close.as_ref().is_none_or(is_goodbye) { Ok(None) } else { Err(Broken::Lost) };
                }
                None => return Err(Broken::Lost),
                Some(Err(error)) => {
                    tracing::debug!(error = %ErrorChain::new(&error), "a client's WebSocket failed");
                    return Err(broken(&error));
                }
            }
        }
    }

    /// Writes, and waits until the client has room for more.
    pub(crate) async fn write(&mut self, frames: Vec<Frame>) -> Result<(), Closed> {
        match self {
            Self::WebSocket(socket) => {
                for frame in frames {
                    let mut socket = Pin::new(&mut **socket);
                    poll_fn(|cx| socket.as_mut().poll_ready(cx)).await.map_err(|_| Closed)?;
                    socket.start_send(frame.into()).map_err(|_| Closed)?;
                }
                flush(socket).await
            }
            Self::Http(http) => http.write(frames).await,
            #[cfg(feature = "service")]
            Self::Service(service) => service.write(frames).await,
            Self::Pipe(pipe) => {
                for frame in frames {
                    let is_text = matches!(frame, Frame::Text(_));
                    pipe.sender
                        .send(PipeFrame { is_text, bytes: frame.into() })
                        .await
                        .map_err(|Gone| Closed)?;
                }
                Ok(())
            }
        }
    }

    /// Says goodbye, after the last messages if there are any. Reading a WebSocket until the client has closed its side,
    /// too, keeps the last message from being lost to a reset.
    pub(crate) async fn close(mut self, last: Vec<Frame>) {
        if self.write(last).await.is_err() {
            return;
        }
        let mut socket = match self {
            Self::WebSocket(socket) => socket,
            Self::Http(http) => return http.close().await,
            #[cfg(feature = "service")]
            Self::Service(_) => return,
            Self::Pipe(pipe) => return pipe.sender.leave().await,
        };
        if socket.send(goodbye()).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    }
}

async fn flush(socket: &mut WebSocket) -> Result<(), Closed> {
    poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await.map_err(|_| Closed)
}

/// What closes a socket in good order, as ASP.NET Core does, whatever the Close message before it says.
pub(crate) fn goodbye() -> ws::Message {
    ws::Message::Close(Some(ws::CloseFrame {
        code: ws::close_code::NORMAL,
        reason: ws::Utf8Bytes::default(),
    }))
}

/// Whether the client itself closes its socket. Proxies that are restarted, and pages that are left, say something else.
fn is_goodbye(close: &ws::CloseFrame) -> bool {
    close.code == ws::close_code::NORMAL
}

/// axum does not show the errors of its tungstenite, which is not this crate's: what is left is their texts.
fn broken(error: &axum::Error) -> Broken {
    let text = ErrorChain::new(error).to_string();
    if text.contains("Space limit exceeded") {
        Broken::TooLong
    } else if text.contains("UTF-8") || text.contains("protocol error") && !text.contains("without closing") {
        Broken::Malformed
    } else {
        Broken::Lost
    }
}

impl From<Frame> for ws::Message {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Text(text) => Self::Text(text),
            Frame::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

//! A server in this program, in place of one on the network.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::core::TransportError;
use crate::core::negotiate::TransferFormat;
use crate::core::url::HubUrl;
use crate::platform::{BoxFuture, Frame, Gone, HttpResponse, Pipe};

/// How long the last frames may take when the connection closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What answers in the network's place.
pub(crate) trait InMemory: Send + Sync {
    /// Answers a POST: negotiate, or a refresh of the authentication.
    fn post(
        &self,
        url: HubUrl,
        headers: Vec<(String, String)>,
    ) -> BoxFuture<Result<HttpResponse, TransportError>>;

    /// Opens a connection: what would be a WebSocket.
    fn open(&self, url: HubUrl, headers: Vec<(String, String)>) -> BoxFuture<Result<Pipe, TransportError>>;
}

/// The client's end of a pipe.
pub(crate) struct PipeLink {
    pub(crate) pipe: Pipe,
    /// What the server's frames are.
    pub(crate) format: TransferFormat,
}

fn lost(_: Gone) -> TransportError {
    TransportError::new("the server is gone")
}

impl PipeLink {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, TransportError>> {
        let received = ready!(self.pipe.receiver.poll_next(cx)).map_err(lost)?;
        let closed = || TransportError::new("the server closed the connection");
        let bytes = received.ok_or_else(closed)?.bytes;
        Poll::Ready(Ok(match self.format {
            TransferFormat::Text => Frame::text(bytes.into()),
            TransferFormat::Binary => Frame::Binary(bytes),
        }))
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.pipe.sender.poll_ready(cx).map_err(lost)
    }

    pub(super) fn start_send(&mut self, frame: Frame) -> Result<(), TransportError> {
        self.pipe.sender.start_send(frame.into_bytes().into()).map_err(lost)
    }

    pub(super) async fn close(mut self, left: VecDeque<Frame>) {
        let last = async {
            for frame in left {
                self.pipe.sender.send(frame.into_bytes().into()).await?;
            }
            self.pipe.sender.leave().await;
            Ok::<_, Gone>(())
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, last).await;
    }
}

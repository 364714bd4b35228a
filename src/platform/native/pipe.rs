//! A transport within the program: frames both ways, with room for some of them in each.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_core::Stream as _;
use tokio_tungstenite::tungstenite::Bytes;

/// How many frames wait for the other end. What one has to say while they do waits with it, as one frame.
const ROOM: usize = 4;

/// One end. When it is dropped without having [left](PipeSender::leave), the other end has lost its transport.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) sender: PipeSender,
    pub(crate) receiver: PipeReceiver,
}

#[derive(Debug)]
pub(crate) struct PipeSender(Sender<Option<PipeFrame>>);

#[derive(Debug)]
pub(crate) struct PipeReceiver(Receiver<Option<PipeFrame>>);

/// What one end sends at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PipeFrame {
    /// What kind of WebSocket message it would be. Only the other end may know, or need not know.
    pub(crate) is_text: bool,
    pub(crate) bytes: Bytes,
}

impl From<Bytes> for PipeFrame {
    fn from(bytes: Bytes) -> Self {
        Self { is_text: false, bytes }
    }
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Pipe {
    /// Both ends.
    pub(crate) fn pair() -> (Self, Self) {
        let ((up, above), (down, below)) = (mpsc::channel(ROOM), mpsc::channel(ROOM));
        let end = |sender, receiver| Self { sender: PipeSender(sender), receiver: PipeReceiver(receiver) };
        (end(up, below), end(down, above))
    }
}

impl PipeReceiver {
    /// The next frame, `None` when the other end has left in good order.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<PipeFrame>, Gone>> {
        Pin::new(&mut self.0).poll_next(cx).map(|frame| frame.ok_or(Gone))
    }

    /// The next frame, as by [`poll_next`](Self::poll_next). It can be abandoned at any time.
    pub(crate) async fn receive(&mut self) -> Result<Option<PipeFrame>, Gone> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl PipeSender {
    /// Whether there is room for a frame.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.0.poll_ready(cx).map_err(|_| Gone)
    }

    /// Sends a frame that there is room for.
    pub(crate) fn start_send(&mut self, frame: PipeFrame) -> Result<(), Gone> {
        self.0.start_send(Some(frame)).map_err(|_| Gone)
    }

    /// Sends a frame when there is room for it.
    pub(crate) async fn send(&mut self, frame: PipeFrame) -> Result<(), Gone> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(frame)
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        if poll_fn(|cx| self.poll_ready(cx)).await.is_ok() {
            let _ = self.0.start_send(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt as _, poll};

    use super::*;

    fn frame(text: &'static str) -> PipeFrame {
        PipeFrame { is_text: true, bytes: text.into() }
    }

    #[tokio::test]
    async fn frames_go_both_ways_and_wait_for_room() {
        let (mut one, mut other) = Pipe::pair();
        other.sender.send(frame("back")).await.unwrap();
        let mut sent = 0;
        while one.sender.send(Bytes::from(vec![sent]).into()).now_or_never().is_some() {
            sent += 1;
        }
        assert!((1..=8).contains(&sent), "{sent} frames wait");
        {
            let mut waiting = pin!(one.sender.send(frame("waits")));
            assert!(poll!(&mut waiting).is_pending());
            assert_eq!(other.receiver.receive().await, Ok(Some(Bytes::from(vec![0]).into())));
            assert_eq!(waiting.await, Ok(()));
        }
        assert_eq!(one.receiver.receive().await, Ok(Some(frame("back"))));
        for n in 1..sent {
            assert_eq!(other.receiver.receive().await, Ok(Some(Bytes::from(vec![n]).into())));
        }
        assert_eq!(other.receiver.receive().await, Ok(Some(frame("waits"))));
    }

    #[tokio::test]
    async fn an_end_that_leaves_is_not_lost() {
        let (one, mut other) = Pipe::pair();
        one.sender.leave().await;
        drop(one.receiver);
        assert_eq!(other.receiver.receive().await, Ok(None));
        assert_eq!(other.sender.send(frame("x")).await, Err(Gone));
        let (one, mut other) = Pipe::pair();
        drop(one);
        assert_eq!(other.receiver.receive().await, Err(Gone));
    }
}

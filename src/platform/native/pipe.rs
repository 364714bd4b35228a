//! A transport within the program: frames both ways, with room for some of them in each.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_core::Stream as _;
use tokio_tungstenite::tungstenite::Bytes;

/// How many frames wait for the other end. What one has to say while they do waits with it, as one frame.
const ROOM: usize = 4;

/// One end. When it is dropped without having [left](Self::leave), the other end has lost its transport.
#[derive(Debug)]
pub(crate) struct Pipe {
    outgoing: Sender<Option<Bytes>>,
    incoming: Receiver<Option<Bytes>>,
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Pipe {
    /// Both ends.
    pub(crate) fn pair() -> (Self, Self) {
        let ((up, above), (down, below)) = (mpsc::channel(ROOM), mpsc::channel(ROOM));
        (Self { outgoing: up, incoming: below }, Self { outgoing: down, incoming: above })
    }

    /// The next frame, `None` when the other end has left in good order.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Gone>> {
        std::pin::Pin::new(&mut self.incoming).poll_next(cx).map(|frame| frame.ok_or(Gone))
    }

    /// Whether there is room for a frame.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.outgoing.poll_ready(cx).map_err(|_| Gone)
    }

    /// Sends a frame that there is room for.
    pub(crate) fn start_send(&mut self, frame: Bytes) -> Result<(), Gone> {
        self.outgoing.start_send(Some(frame)).map_err(|_| Gone)
    }

    /// The next frame, as by [`poll_next`](Self::poll_next). It can be abandoned at any time.
    pub(crate) async fn receive(&mut self) -> Result<Option<Bytes>, Gone> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends a frame when there is room for it.
    pub(crate) async fn send(&mut self, frame: Bytes) -> Result<(), Gone> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(frame)
    }

    /// Says goodbye.
    pub(crate) async fn leave(mut self) {
        if poll_fn(|cx| self.poll_ready(cx)).await.is_ok() {
            let _ = self.outgoing.start_send(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn frames_go_both_ways_and_wait_for_room() {
        let (mut one, mut other) = Pipe::pair();
        other.send("back".into()).await.unwrap();
        let mut sent = 0;
        while one.send(vec![sent].into()).now_or_never().is_some() {
            sent += 1;
        }
        assert!((1..=8).contains(&sent), "{sent} frames wait");
        {
            let mut waiting = pin!(one.send("waits".into()));
            assert!(poll!(&mut waiting).is_pending());
            assert_eq!(other.receive().await, Ok(Some(vec![0].into())));
            assert_eq!(waiting.await, Ok(()));
        }
        assert_eq!(one.receive().await, Ok(Some("back".into())));
        for n in 1..sent {
            assert_eq!(other.receive().await, Ok(Some(vec![n].into())));
        }
        assert_eq!(other.receive().await, Ok(Some("waits".into())));
    }

    #[tokio::test]
    async fn an_end_that_leaves_is_not_lost() {
        let (one, mut other) = Pipe::pair();
        one.leave().await;
        assert_eq!(other.receive().await, Ok(None));
        assert_eq!(other.send("x".into()).await, Err(Gone));
        let (one, mut other) = Pipe::pair();
        drop(one);
        assert_eq!(other.receive().await, Err(Gone));
    }
}

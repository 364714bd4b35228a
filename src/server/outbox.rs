//! What waits to be sent to one client.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use tokio::sync::Notify;

use crate::{
    core::{HubProtocol, message::Outcome},
    server::{
        calls::{Answer, Call, PendingCall},
        message::{Frame, Message},
        queue::{Receiver, Sender, queue},
    },
};

/// How many bytes may wait for one client. A client that falls further behind is cut off.
pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

/// Items of streams wait while so many bytes do.
const HIGH_WATER: usize = 64 * 1024;

/// What a queued message costs besides its bytes.
const OVERHEAD: usize = 64;

/// One thing for the connection's task to do.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send this.
    Message(Frame),
    /// Send an item of the stream that this call of the client's asked for, if it still does.
    Item(u64, Vec<u8>),
    /// Answer this call of the client's, if it still expects an answer.
    Answer(u64, Answer),
    /// Call a method of the client, whose message has about so many bytes.
    Call(Call, usize),
    /// Close the connection, with this error in the Close message.
    Close(Option<Box<str>>),
    /// What an app server does, whose stream the host only passes on.
    Relayed(Relayed),
}

/// What an app server does with a client that the host has connected it with.
#[derive(Debug)]
pub(crate) enum Relayed {
    /// It sends these bytes, which are a message that counts in stateful reconnect, or not.
    Data { bytes: Bytes, counts: bool },
    /// It has ended the connection, because of an error if there is one.
    Ended(Option<Box<str>>),
    /// It is gone, and has said nothing to the client.
    Lost,
}

impl Outgoing {
    /// What it takes of the room in the queue.
    pub(crate) fn cost(&self) -> usize {
        let size = match self {
            Self::Message(frame) => frame.len(),
            Self::Item(_, value) | Self::Answer(_, Outcome::Value(value)) => value.len(),
            Self::Answer(_, Outcome::Error(error)) => error.len(),
            Self::Answer(_, Outcome::Void) => 0,
            Self::Call(_, size) => *size,
            Self::Close(error) | Self::Relayed(Relayed::Ended(error)) => {
                error.as_ref().map_or(0, |error| error.len())
            }
            Self::Relayed(Relayed::Data { bytes, .. }) => bytes.len(),
            Self::Relayed(Relayed::Lost) => 0,
        };
        size + OVERHEAD
    }
}

/// The sending half of a client's queue, which is bounded by the bytes in it.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) protocol: HubProtocol,
    queue: Sender<Outgoing>,
    waiting: AtomicUsize,
    /// Tells those who wait for room.
    taken: Notify,
    cut: Notify,
}

impl Outbox {
    pub(crate) fn new(protocol: HubProtocol) -> (Self, Receiver<Outgoing>) {
        let (queue, outgoing) = queue();
        let waiting = AtomicUsize::new(0);
        (Self { protocol, queue, waiting, taken: Notify::new(), cut: Notify::new() }, outgoing)
    }

    /// Queues a message if there is one for this client's protocol.
    pub(crate) fn send(&self, message: &Message) {
        if let Some(frame) = message.frame(self.protocol) {
            self.push(Outgoing::Message(frame));
        }
    }

    /// Queues an item of a stream that the client asked for, once little enough waits for it. `false` when the connection
    /// has ended.
    pub(crate) async fn send_item(&self, call: u64, item: Vec<u8>) -> bool {
        if !self.has_room().await {
            return false;
        }
        self.push(Outgoing::Item(call, item));
        !self.queue.is_closed()
    }

    /// Waits until little enough waits for the client. `false` when the connection has ended.
    pub(crate) async fn has_room(&self) -> bool {
        let has_room = || self.waiting.load(Ordering::Relaxed) < HIGH_WATER;
        loop {
            if has_room() {
                return true;
            }
            let taken = self.taken.notified();
            if has_room() {
                return true;
            }
            tokio::select! {
                () = taken => {}
                () = self.queue.closed() => return false,
            }
        }
    }

    /// Queues the answer to a call of the client's.
    pub(crate) fn answer(&self, call: u64, answer: Answer) {
        self.push(Outgoing::Answer(call, answer));
    }

    /// Queues a call of a client's method that the client answers. `message` writes it with its invocation id, in about
    /// `size` bytes.
    pub(crate) fn call(
        &self,
        size: usize,
        message: impl FnOnce(&str) -> Message + Send + Sync + 'static,
    ) -> PendingCall {
        let (call, pending) = Call::new(self.protocol, message);
        self.push(Outgoing::Call(call, size));
        pending
    }

    /// Queues the end of the connection.
    pub(crate) fn close(&self, error: Option<&str>) {
        self.push(Outgoing::Close(error.map(Into::into)));
    }

    /// Queues what an app server does with the client.
    pub(crate) fn relay(&self, relayed: Relayed) {
        self.push(Outgoing::Relayed(relayed));
    }

    /// Queues a message. If there is no room, the connection is cut: dropping single messages would leave the
    /// client with gaps that it can't know of.
    fn push(&self, outgoing: Outgoing) {
        let cost = outgoing.cost();
        if self.waiting.fetch_add(cost, Ordering::Relaxed) + cost > LIMIT {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            self.cut();
            return;
        }
        // An error means that the connection has just ended.
        let _ = self.queue.send(outgoing);
    }

    /// Tells the queue that its connection has sent so much of it.
    pub(crate) fn sent(&self, cost: usize) {
        self.waiting.fetch_sub(cost, Ordering::Relaxed);
        self.taken.notify_waiters();
    }

    /// Ends the connection at once, without a Close message.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Waits until the connection is cut.
    pub(crate) async fn was_cut(&self) {
        self.cut.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn text(length: usize) -> Frame {
        Frame::Text("x".repeat(length).into())
    }

    fn is_cut(outbox: &Outbox) -> bool {
        pin!(outbox.was_cut()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_full_queue_cuts_the_connection() {
        let (outbox, mut outgoing) = Outbox::new(HubProtocol::Json);
        let half = text(LIMIT / 2 - OVERHEAD);
        for _ in 0..2 {
            outbox.push(Outgoing::Message(half.clone()));
        }
        assert!(!is_cut(&outbox));
        outbox.sent(outgoing.try_recv().expect("the first message").cost());
        outbox.push(Outgoing::Message(half));
        assert!(!is_cut(&outbox));
        outbox.push(Outgoing::Message(text(1)));
        assert!(is_cut(&outbox));
        assert_eq!(std::iter::from_fn(|| outgoing.try_recv()).count(), 2);
    }

    #[test]
    fn a_message_larger_than_the_queue_cuts_the_connection() {
        let (outbox, _outgoing) = Outbox::new(HubProtocol::Json);
        outbox.push(Outgoing::Message(text(LIMIT)));
        assert!(is_cut(&outbox));
    }
}

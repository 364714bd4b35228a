//! What waits to be sent to one client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use axum::body::Bytes;
use tokio::sync::Notify;

use crate::{
    core::{HubProtocol, message::Outcome},
    server::{
        calls::{Answer, Call, PendingCall},
        kept::{Kept, KeptTargets, OVERHEAD},
        message::{Frame, Message},
        queue::{Receiver, Sender, queue},
        slow::{Slow, SlowRules},
        traffic::{About, Traffic},
    },
};

/// How many bytes may wait for one client. A client that falls further behind is cut off.
pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

/// Items of streams wait while so many bytes do.
const HIGH_WATER: usize = 64 * 1024;

/// One thing for the connection's task to do.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Send this.
    Message(Frame),
    /// Send the oldest of these, if there is any left.
    Kept(Arc<Kept>),
    /// Send an item of the stream that this call of the client's asked for, if it still does.
    Item(u64, Vec<u8>),
    /// Answer this call of the client's, if it still expects an answer.
    Answer(u64, Answer),
    /// Call a method of the client, whose message has about so many bytes.
    Call(Call, usize),
    /// Close the connection, with this error in the Close message, which may allow the client to come back.
    Close { error: Option<Box<str>>, allow_reconnect: bool },
    /// What an app server does, whose stream the host only passes on.
    Relayed(Relayed),
}

/// What an app server does with a client that the host has connected it with.
#[derive(Debug)]
pub(crate) enum Relayed {
    /// It sends these bytes, which are a message that counts in stateful reconnect, or not.
    Data { bytes: Bytes, counts: bool },
    /// It calls a method of the client, by this id, and waits for the result.
    Asks(Box<str>),
    /// It has ended the connection, because of an error if there is one.
    Ended(Option<Box<str>>),
    /// It is gone, and has said nothing to the client.
    Lost,
}

/// What happens to a message on its way into the queue.
pub(crate) struct Delivery {
    /// How many bytes may wait.
    pub(crate) limit: usize,
    /// Gives what goes to this client in the place of a message, if anything does.
    pub(crate) gate: Option<Gate>,
    pub(crate) slow: Arc<SlowRules>,
}

pub(crate) type Gate = Box<dyn Fn(&Message) -> Option<Frame> + Send + Sync>;

impl Default for Delivery {
    fn default() -> Self {
        Self { limit: LIMIT, gate: None, slow: Arc::default() }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

impl Outgoing {
    /// What is to be done, as it is now.
    pub(crate) fn take(self) -> Option<Self> {
        match self {
            Self::Kept(kept) => kept.take().map(Self::Message),
            other => Some(other),
        }
    }

    /// What it takes of the room in the queue.
    pub(crate) fn cost(&self) -> usize {
        let size = match self {
            Self::Message(frame) => frame.len(),
            Self::Item(_, value) | Self::Answer(_, Outcome::Value(value)) => value.len(),
            Self::Answer(_, Outcome::Error(error)) => error.len(),
            Self::Answer(_, Outcome::Void) => 0,
            Self::Call(_, size) => *size,
            Self::Close { error, .. } | Self::Relayed(Relayed::Ended(error)) => {
                error.as_ref().map_or(0, |error| error.len())
            }
            Self::Relayed(Relayed::Data { bytes, .. }) => bytes.len(),
            Self::Relayed(Relayed::Asks(id)) => id.len(),
            Self::Relayed(Relayed::Lost) => 0,
            // It is counted where it is kept.
            Self::Kept(_) => return 0,
        };
        size + OVERHEAD
    }
}

/// The sending half of a client's queue, which is bounded by the bytes in it.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) protocol: HubProtocol,
    /// Of the connection, for a dashboard.
    pub(crate) about: About,
    pub(crate) traffic: Traffic,
    delivery: Delivery,
    kept: KeptTargets,
    /// How many messages were dropped.
    dropped: AtomicU64,
    queue: Sender<Outgoing>,
    waiting: AtomicUsize,
    /// Tells those who wait for room.
    taken: Notify,
    cut: Notify,
    /// Whether it was cut for what waits.
    is_closed: AtomicBool,
}

impl Outbox {
    #[cfg(test)]
    pub(crate) fn new(protocol: HubProtocol) -> (Self, Receiver<Outgoing>) {
        Self::with(protocol, Delivery::default(), About::default())
    }

    pub(crate) fn with(
        protocol: HubProtocol,
        delivery: Delivery,
        about: About,
    ) -> (Self, Receiver<Outgoing>) {
        let (queue, outgoing) = queue();
        let outbox = Self {
            protocol,
            about,
            traffic: Traffic::default(),
            delivery,
            kept: KeptTargets::default(),
            dropped: AtomicU64::new(0),
            queue,
            waiting: AtomicUsize::new(0),
            taken: Notify::new(),
            cut: Notify::new(),
            is_closed: AtomicBool::new(false),
        };
        (outbox, outgoing)
    }

    /// Queues a message if there is one for this client and its protocol.
    pub(crate) fn send(&self, message: &Message) {
        let frame = match &self.delivery.gate {
            None => message.frame(self.protocol),
            Some(gate) => gate(message),
        };
        let Some(frame) = frame else { return };
        let slow = &self.delivery.slow;
        if !slow.keep_all()
            && let Some(target) = message.target()
            && let how @ (Slow::DropOldest | Slow::KeepLatest) = slow.of(target)
        {
            self.keep(target, frame, how);
        } else {
            self.push(Outgoing::Message(frame));
        }
    }

    /// Queues a message that may make older ones of its target superfluous.
    fn keep(&self, target: &Arc<str>, frame: Frame, how: Slow) {
        let cost = frame.len() + OVERHEAD;
        let is_slow = self.waiting.load(Ordering::Relaxed) >= self.delivery.slow.threshold;
        if !self.reserve(cost) {
            return;
        }
        let (queued, dropped) = self.kept.push(target, frame, is_slow.then_some(how));
        if let Some(kept) = queued {
            let _ = self.queue.send(Outgoing::Kept(kept));
        }
        if dropped.messages > 0 {
            self.waiting.fetch_sub(dropped.cost, Ordering::Relaxed);
            self.dropped.fetch_add(dropped.messages, Ordering::Relaxed);
            self.delivery.slow.dropped(dropped.messages);
        }
    }

    /// How many messages were dropped since the client does not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many bytes wait for the client.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
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
        self.push(Outgoing::Close { error: error.map(Into::into), allow_reconnect: false });
    }

    /// Queues the end of the connection, after which the client may come back.
    pub(crate) fn close_for_now(&self, error: Option<&str>) {
        self.push(Outgoing::Close { error: error.map(Into::into), allow_reconnect: true });
    }

    /// Queues what an app server does with the client.
    pub(crate) fn relay(&self, relayed: Relayed) {
        self.push(Outgoing::Relayed(relayed));
    }

    /// Queues a message. If there is no room, the connection is cut: dropping single messages would leave the
    /// client with gaps that it does not know of.
    fn push(&self, outgoing: Outgoing) {
        if self.reserve(outgoing.cost()) {
            // An error means that the connection has just ended.
            let _ = self.queue.send(outgoing);
        }
    }

    /// Makes room for a message, or cuts the connection.
    fn reserve(&self, cost: usize) -> bool {
        let fits = self.waiting.fetch_add(cost, Ordering::Relaxed) + cost <= self.delivery.limit;
        if !fits {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            // What comes until it has ended does not close it again.
            if !self.is_closed.swap(true, Ordering::Relaxed) {
                self.delivery.slow.closed();
            }
            self.cut();
        }
        fits
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
    use crate::server::slow::SlowConsumers;

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

    fn call(target: &str, text: &str) -> Message {
        let text = format!("{{\"type\":1,\"target\":\"{target}\",\"arguments\":[\"{text}\"]}}\u{1e}");
        Message::from_encoded(text.into(), Bytes::new())
    }

    /// What is taken off the queue and how many bytes that was.
    fn take(outgoing: &mut Receiver<Outgoing>) -> (Vec<String>, usize) {
        let (mut texts, mut cost) = (Vec::new(), 0);
        while let Some(next) = outgoing.try_recv() {
            let Some(next) = next.take() else { continue };
            cost += next.cost();
            let Outgoing::Message(Frame::Text(text)) = next else { panic!("a message") };
            let argument = text.split('"').nth(9).expect("an argument");
            texts.push(argument.trim_end_matches('.').to_owned());
        }
        (texts, cost)
    }

    #[test]
    fn a_slow_client_loses_what_it_may_lose() {
        let mut slow = SlowRules::default();
        slow.set("Price", SlowConsumers::KeepLatest);
        slow.threshold = 1_000;
        slow.set("log", SlowConsumers::DropOldest);
        let delivery = Delivery { slow: slow.into(), ..Delivery::default() };
        let (outbox, mut outgoing) = Outbox::with(HubProtocol::Json, delivery, About::default());
        // A burst to a client that keeps up.
        (0..3).for_each(|number| outbox.send(&call("Price", &number.to_string())));
        let (texts, cost) = take(&mut outgoing);
        assert_eq!(texts, ["0", "1", "2"]);
        outbox.sent(cost);
        assert_eq!(outbox.waiting.load(Ordering::Relaxed), 0);
        // One that does not.
        for (target, text) in [("Log", "l1"), ("Price", "p1"), ("Log", "l2"), ("Price", "p2")] {
            outbox.send(&call(target, text));
        }
        outbox.send(&call("Chat", &format!("c1{}", ".".repeat(1_000))));
        for (target, text) in [("LOG", "l3"), ("Price", "p3"), ("Price", "p4"), ("Chat", "c2"), ("Log", "l4")]
        {
            outbox.send(&call(target, text));
        }
        assert_eq!(outbox.dropped(), 2 + 3);
        let (texts, cost) = take(&mut outgoing);
        assert_eq!(texts, ["l3", "p4", "l4", "c1", "c2"]);
        outbox.sent(cost);
        assert_eq!(outbox.waiting.load(Ordering::Relaxed), 0);
        outbox.send(&call("Price", "p5"));
        assert_eq!(take(&mut outgoing).0, ["p5"]);
    }
}

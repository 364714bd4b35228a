//! One server's connections and what they share.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Notify, watch};

use crate::{
    core::{HubProtocol, negotiate::Transport, server::ServerOptions},
    server::{
        connections::Connections,
        disturbance::{Disturb, Disturbed},
        negotiated::{Negotiated, Negotiation},
        observe::{Kind, Observed, Observer},
    },
};

/// Whether a server goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It does.
    No,
    /// Connections end as soon as nothing that their clients have called is in progress.
    Soon,
    /// They end now.
    Now,
}

/// The connections of one server, with the rules for all of them.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) connections: Arc<Connections>,
    pub(crate) negotiated: Arc<Negotiated>,
    pub(crate) options: ServerOptions,
    pub(crate) slots: Arc<Slots>,
    /// The hub protocols that clients may speak.
    pub(crate) protocols: &'static [HubProtocol],
    /// Once there is a dashboard.
    observer: OnceLock<Arc<Observer>>,
    /// What happens to what is written to clients.
    pub(crate) disturbance: Option<Arc<dyn Disturb>>,
    /// Loses its sender as well when the server stops.
    stop: watch::Receiver<Stop>,
}

impl Room {
    /// An empty room for so many connections.
    pub(crate) fn new(options: ServerOptions, connections: usize, stop: watch::Receiver<Stop>) -> Self {
        Self {
            connections: Arc::default(),
            negotiated: Arc::default(),
            options,
            slots: Arc::new(Slots::new(connections)),
            protocols: HubProtocol::ALL,
            observer: OnceLock::new(),
            disturbance: None,
            stop,
        }
    }

    /// Takes clients of these protocols only.
    pub(crate) fn with_protocols(self, protocols: &'static [HubProtocol]) -> Self {
        Self { protocols, ..self }
    }

    /// From now on, what is asked of the room is kept for a dashboard.
    pub(crate) fn observe(&self) -> &Arc<Observer> {
        self.observer.get_or_init(Arc::default)
    }

    pub(crate) fn observer(&self) -> Option<&Arc<Observer>> {
        self.observer.get()
    }

    /// Keeps something for a dashboard, if there is one.
    pub(crate) fn record(&self, observed: impl FnOnce() -> Observed) {
        if let Some(observer) = self.observer() {
            observer.record(observed());
        }
    }

    /// A client has shaken hands.
    pub(crate) fn record_connected(&self, who: &Negotiation, transport: Transport) {
        let method = Some(transport.name().to_owned());
        self.record(|| Observed { method, ..of(Kind::Connect, who) });
    }

    /// A client was not let in.
    #[cfg(feature = "local")]
    pub(crate) fn record_refused(&self, who: &Negotiation, reason: &str) {
        self.record(|| of(Kind::Refused, who).failed(reason));
    }

    /// A connection has ended.
    pub(crate) fn record_disconnected(&self, who: &Negotiation, reason: &str, is_error: bool) {
        self.record(|| {
            let observed = of(Kind::Disconnect, who);
            match is_error {
                true => observed.failed(reason),
                false => Observed { reason: Some(reason.into()), ..observed },
            }
        });
    }

    /// A call was not even passed on.
    pub(crate) fn record_refused_call(&self, who: &Negotiation, target: &str, reason: &str) {
        self.record(|| Observed { target: Some(target.to_owned()), ..of(Kind::Call, who) }.failed(reason));
    }

    /// What becomes of something that is about to be written to a client.
    pub(crate) fn disturbed(&self, client: &Negotiation) -> Disturbed {
        let Negotiation { hub, user, connection_id, .. } = client;
        self.disturbance
            .as_ref()
            .map(|to| to.written(hub, user.as_deref(), connection_id))
            .unwrap_or_default()
    }

    /// Waits until the server stops, whether it is told to or dropped.
    pub(crate) async fn stopped(&self) {
        stopped(self.stop.clone()).await;
    }

    /// Waits until the server is about to stop.
    pub(crate) async fn drained(&self) {
        let _ = self.stop.clone().wait_for(|stop| *stop >= Stop::Soon).await;
    }

    /// Whether the server takes no more connections.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stop.borrow() > Stop::No
    }
}

fn of(kind: Kind, who: &Negotiation) -> Observed {
    Observed::of(kind, &who.hub, &who.connection_id, who.user.as_deref())
}

/// Waits until the server stops, whether it is told to or dropped.
pub(crate) async fn stopped(mut stop: watch::Receiver<Stop>) {
    let _ = stop.wait_for(|stop| *stop == Stop::Now).await;
}

/// Counts connections, whose number is bounded.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    taken: AtomicUsize,
    empty: Notify,
}

/// The place of one connection.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, taken: AtomicUsize::new(0), empty: Notify::new() }
    }

    /// How many there may be, if that is bounded.
    pub(crate) fn limit(&self) -> Option<usize> {
        (self.limit < usize::MAX).then_some(self.limit)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.taken.load(Ordering::Relaxed) < self.limit
    }

    /// A place for one more, if there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Arc<Slot>> {
        let one_more = |taken| Some(taken + 1).filter(|taken| *taken <= self.limit);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Arc::new(Slot(self.clone())))
    }

    /// Waits until there is no connection.
    pub(crate) async fn empty(&self) {
        loop {
            let empty = self.empty.notified();
            if self.taken.load(Ordering::SeqCst) == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn places_are_bounded_and_counted() {
        let slots = Arc::new(Slots::new(2));
        let (one, two) = (slots.take(), slots.take());
        assert!(one.is_some() && two.is_some() && !slots.has_room() && slots.take().is_none());
        let mut empty = pin!(slots.empty());
        assert!(poll!(&mut empty).is_pending());
        drop(one);
        assert!(slots.has_room() && poll!(&mut empty).is_pending());
        drop(two);
        assert!(poll!(&mut empty).is_ready());
        slots.empty().await;
    }
}

//! Which channels a server is subscribed to, and for how many of its connections.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::carrier::{AnyBackplane, BackplaneError};

use crate::lock::lock;

/// Subscribes when the first connection needs a channel, and ends the subscription when the last one no longer does.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<HashMap<String, Arc<Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    /// How many connections need the channel. Changed under the lock of the table only.
    users: AtomicUsize,
    /// Whether the channel is subscribed to. Held while that changes, so that changes of one channel follow each other,
    /// and those of others do not wait.
    subscribed: tokio::sync::Mutex<bool>,
}

impl Entry {
    fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }
}

impl Subscriptions {
    fn change(&self, channel: &str, change: impl FnOnce(usize) -> usize) -> Arc<Entry> {
        let mut entries = lock(&self.0);
        let entry = entries.entry(channel.to_owned()).or_default();
        entry.users.store(change(entry.users()), Ordering::Relaxed);
        entry.clone()
    }

    /// One connection more needs a channel. It counts from now on, whether or not the future has run.
    pub(super) fn add<'a>(
        &'a self,
        bus: &'a dyn AnyBackplane,
        channel: String,
    ) -> impl Future<Output = Result<(), BackplaneError>> + Send + 'a {
        let entry = self.change(&channel, |users| users + 1);
        async move { self.settle(bus, &channel, &entry).await }
    }

    /// One connection less needs it. It no longer counts, whether or not the future has run.
    pub(super) fn remove<'a>(
        &'a self,
        bus: &'a dyn AnyBackplane,
        channel: String,
    ) -> impl Future<Output = Result<(), BackplaneError>> + Send + 'a {
        let entry = self.change(&channel, |users| users.saturating_sub(1));
        async move {
            let settled = self.settle(bus, &channel, &entry).await;
            drop(entry);
            let mut entries = lock(&self.0);
            let is_unused = |entry: &Arc<Entry>| entry.users() == 0 && Arc::strong_count(entry) == 1;
            if entries.get(&channel).is_some_and(is_unused) {
                entries.remove(&channel);
            }
            settled
        }
    }

    /// Does what is to be done: what came meanwhile decides.
    async fn settle(
        &self,
        bus: &dyn AnyBackplane,
        channel: &str,
        entry: &Entry,
    ) -> Result<(), BackplaneError> {
        let mut subscribed = entry.subscribed.lock().await;
        match (entry.users() > 0, *subscribed) {
            (true, false) => bus.subscribe(channel).await?,
            (false, true) => bus.unsubscribe(channel).await?,
            _ => return Ok(()),
        }
        *subscribed = !*subscribed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{BoxFuture, FutureExt as _};

    use super::*;
    use crate::server::backplane::carrier::BackplaneSink;

    /// Writes down what it is asked for, and lets others go first.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Recorder {
        fn record(&self, what: &str, channel: &str) -> BoxFuture<'_, Result<(), BackplaneError>> {
            let line = format!("{what} {channel}");
            Box::pin(async move {
                tokio::task::yield_now().await;
                self.0.lock().unwrap().push(line);
                Ok(())
            })
        }
    }

    impl AnyBackplane for Recorder {
        fn start(&self, _: BackplaneSink) {}

        fn publish<'a>(
            &'a self,
            _: &'a str,
            _: &'a [u8],
        ) -> BoxFuture<'a, Result<Option<u64>, BackplaneError>> {
            async { Ok(None) }.boxed()
        }

        fn subscribe<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<(), BackplaneError>> {
            self.record("+", channel)
        }

        fn unsubscribe<'a>(&'a self, channel: &'a str) -> BoxFuture<'a, Result<(), BackplaneError>> {
            self.record("-", channel)
        }
    }

    #[tokio::test]
    async fn a_channel_is_subscribed_to_once_and_left_with_its_last_user() {
        let (bus, subscriptions) = (Recorder::default(), Subscriptions::default());
        let (one, other) =
            tokio::join!(subscriptions.add(&bus, "a".to_owned()), subscriptions.add(&bus, "a".to_owned()));
        one.and(other).unwrap();
        subscriptions.remove(&bus, "a".to_owned()).await.unwrap();
        assert_eq!(*bus.0.lock().unwrap(), ["+ a"]);
        subscriptions.remove(&bus, "a".to_owned()).await.unwrap();
        assert_eq!(*bus.0.lock().unwrap(), ["+ a", "- a"]);
        assert!(subscriptions.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_comes_while_the_last_one_leaves_is_subscribed() {
        let (bus, subscriptions) = (Recorder::default(), Subscriptions::default());
        subscriptions.add(&bus, "a".to_owned()).await.unwrap();
        let (left, came) =
            tokio::join!(subscriptions.remove(&bus, "a".to_owned()), subscriptions.add(&bus, "a".to_owned()));
        left.and(came).unwrap();
        let said = bus.0.lock().unwrap().clone();
        assert!(said == ["+ a"] || said == ["+ a", "- a", "+ a"], "{said:?}");
        assert_eq!(subscriptions.0.lock().unwrap().len(), 1);
    }
}

//! A backplane within one process, for tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

use super::carrier::{Backplane, BackplaneError, BackplaneSink};

use crate::lock::lock;

type Subscribers = HashMap<String, Vec<BackplaneSink>>;

/// A backplane within one process: for tests of what happens on several servers. Its clones are connected with each
/// other.
///
/// ```
/// use hubwire::server::{HubServer, backplane::InMemoryBackplane};
///
/// let backplane = InMemoryBackplane::new();
/// let first = HubServer::builder().backplane("Chat", backplane.clone()).build();
/// let second = HubServer::builder().backplane("Chat", backplane).build();
/// # drop((first, second));
/// ```
#[derive(Debug, Default)]
pub struct InMemoryBackplane {
    broker: Arc<Mutex<Subscribers>>,
    sink: OnceLock<BackplaneSink>,
}

impl InMemoryBackplane {
    /// One that is connected with nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clone for InMemoryBackplane {
    fn clone(&self) -> Self {
        Self { broker: self.broker.clone(), sink: OnceLock::new() }
    }
}

impl Backplane for InMemoryBackplane {
    fn start(&self, sink: BackplaneSink) {
        let _ = self.sink.set(sink);
    }

    async fn publish(&self, channel: &str, message: &[u8]) -> Result<Option<u64>, BackplaneError> {
        let subscribers = {
            let broker = lock(&self.broker);
            broker.get(channel).cloned().unwrap_or_default()
        };
        for sink in &subscribers {
            sink.message(channel, message.to_vec());
        }
        Ok(Some(subscribers.len() as u64))
    }

    async fn subscribe(&self, channel: &str) -> Result<(), BackplaneError> {
        if let Some(sink) = self.sink.get() {
            let mut broker = lock(&self.broker);
            broker.entry(channel.to_owned()).or_default().push(sink.clone());
        }
        Ok(())
    }

    async fn unsubscribe(&self, channel: &str) -> Result<(), BackplaneError> {
        if let Some(sink) = self.sink.get() {
            let mut broker = lock(&self.broker);
            leave(&mut broker, channel, sink);
        }
        Ok(())
    }
}

impl Drop for InMemoryBackplane {
    fn drop(&mut self) {
        let Some(sink) = self.sink.get() else { return };
        let mut broker = lock(&self.broker);
        let channels: Vec<String> = broker.keys().cloned().collect();
        for channel in channels {
            leave(&mut broker, &channel, sink);
        }
    }
}

fn leave(broker: &mut Subscribers, channel: &str, sink: &BackplaneSink) {
    if let Some(subscribers) = broker.get_mut(channel) {
        subscribers.retain(|other| !other.is(sink));
        if subscribers.is_empty() {
            broker.remove(channel);
        }
    }
}

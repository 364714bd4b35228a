//! The room: its hub's methods, who is in it, and its figures.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hubwire::{
    Binary, ErrorChain,
    service::{
        HubClient, ServiceError,
        credentials::{AccessKey, InvalidCredential},
        upstream::{UpstreamClient, UpstreamError, UpstreamRouter},
    },
};
use hubwire_demo_contract::{Figures, File, Person};

/// The role of connections that only listen: they do not count as presence.
pub(crate) const WATCHER: &str = "watcher";

const MAX_TEXT: usize = 2000;
/// With base64 around it, a part stays below the service's 1 MB for a message in two protocols.
const MAX_PART: usize = 256 * 1024;
const MAX_PARTS: u32 = 64;
const MAX_BURST: u32 = 1000;

/// See the [module's text](self).
#[derive(Debug)]
pub(crate) struct Room {
    hub: HubClient,
    /// The users by their connections.
    present: Mutex<BTreeMap<String, String>>,
    /// Presence is published by one task at a time, so that no client is left with an older list.
    publishing: tokio::sync::Mutex<()>,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Room {
    pub(crate) fn new(hub: HubClient) -> Self {
        // Files are bytes, which JSON alone could not say to clients of MessagePack.
        let hub = hub.message_pack();
        let (messages, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { hub, present: Mutex::default(), publishing: tokio::sync::Mutex::default(), messages, bytes }
    }

    /// What clients can call, told by the service in requests that it has signed.
    pub(crate) fn upstream(self: &Arc<Self>, key: &AccessKey) -> Result<UpstreamRouter, InvalidCredential> {
        let [say, share, part, burst, comes, goes] = std::array::from_fn(|_| self.clone());
        let upstream = UpstreamRouter::new()
            .access_key(key)?
            .on_message("chat", "Say", move |message| {
                let room = say.clone();
                async move {
                    let (text,): (String,) = message.arguments()?;
                    if !is_sayable(&text) {
                        return Err(UpstreamError::new("A message has a text of at most 2000 bytes."));
                    }
                    room.say(user(message.client()), &text).await
                }
            })
            .on_message("chat", "Echo", |message| async move {
                let (value,): (serde_json::Value,) = message.arguments()?;
                Ok(value)
            })
            .on_message("chat", "Share", move |message| {
                let room = share.clone();
                async move {
                    let (file,): (File,) = message.arguments()?;
                    let named = 1..=255;
                    if !(1..=MAX_PARTS).contains(&file.parts) || !named.contains(&file.name.len()) {
                        return Err(UpstreamError::new("A file has a name and at most 16 MB."));
                    }
                    room.publish("ReceiveFile", (user(message.client()), file)).await
                }
            })
            .on_message("chat", "Part", move |message| {
                let room = part.clone();
                async move {
                    let (id, index, bytes): (String, u32, Binary) = message.arguments()?;
                    if bytes.len() > MAX_PART {
                        return Err(UpstreamError::new("A part of a file has at most 256 kB."));
                    }
                    room.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    room.publish("ReceivePart", (user(message.client()), id, index, bytes)).await
                }
            })
            .on_message("chat", "Burst", move |message| {
                let room = burst.clone();
                async move {
                    let (count,): (u32,) = message.arguments()?;
                    room.burst(user(message.client()), count.min(MAX_BURST)).await
                }
            })
            .on_connected("chat", move |client| {
                let room = comes.clone();
                async move {
                    if client.claim("role") != Some(WATCHER) {
                        let user = user(&client).to_owned();
                        room.present().insert(client.connection_id().to_owned(), user);
                        room.tell_presence().await;
                    }
                    Ok(())
                }
            })
            .on_disconnected("chat", move |client, _| {
                let room = goes.clone();
                async move {
                    let left = room.present().remove(client.connection_id());
                    if left.is_some() {
                        room.tell_presence().await;
                    }
                }
            });
        Ok(upstream)
    }

    /// Says something to everybody.
    pub(crate) async fn say(&self, user: &str, text: &str) -> Result<(), UpstreamError> {
        self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.publish("ReceiveMessage", (user, text)).await
    }

    /// Tells everybody the time and the figures.
    pub(crate) async fn tell(&self, time: &str) {
        let people = self.people();
        let figures = Figures {
            connections: people.iter().map(|person| person.connections).sum(),
            people: people.len(),
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        };
        log(self.hub.all().send("Clock", (time,)).await, "the clock");
        log(self.hub.all().send("Metrics", (figures,)).await, "the figures");
    }

    async fn burst(&self, user: &str, count: u32) -> Result<u32, UpstreamError> {
        for number in 1..=count {
            let sent = self.hub.user(user).send("Tick", (number,)).await;
            log(sent, "a burst").ok_or_else(|| UpstreamError::new("The burst broke off."))?;
            self.messages.fetch_add(1, Ordering::Relaxed);
        }
        Ok(count)
    }

    async fn publish(&self, method: &str, arguments: impl hubwire::Arguments) -> Result<(), UpstreamError> {
        let sent = log(self.hub.all().send(method, arguments).await, "a message");
        sent.ok_or_else(|| UpstreamError::new("The message could not be published."))?;
        self.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn tell_presence(&self) {
        let _one = self.publishing.lock().await;
        log(self.hub.all().send("Presence", (self.people(),)).await, "who is here");
    }

    fn people(&self) -> Vec<Person> {
        let mut people = BTreeMap::<String, usize>::new();
        for name in self.present().values() {
            *people.entry(name.clone()).or_default() += 1;
        }
        people.into_iter().map(|(name, connections)| Person { name, connections }).collect()
    }

    fn present(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn is_sayable(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_TEXT
}

fn user(client: &UpstreamClient) -> &str {
    client.user_id().unwrap_or("somebody")
}

fn log<T>(published: Result<T, ServiceError>, what: &str) -> Option<T> {
    let failed = |error: &ServiceError| {
        tracing::error!(error = %ErrorChain::new(error), "{what} could not be published");
    };
    published.inspect_err(failed).ok()
}

//! The room: its hub's methods, who is in it, and its figures.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hubwire::{
    Arguments, Binary, ErrorChain,
    server::{Caller, HubError, HubServer, HubServerBuilder},
    service::{
        HubClient,
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

type Sent = Result<(), Box<dyn Error + Send + Sync>>;

/// What speaks to the clients.
#[derive(Debug)]
enum Voice {
    /// The service: there is no hub here, and clients call the upstream.
    Service(HubClient),
    /// A hub of this program's own.
    Hub(HubServer),
}

impl Voice {
    async fn to_all(&self, method: &str, arguments: impl Arguments) -> Sent {
        match self {
            Self::Service(hub) => hub.all().send(method, arguments).await?,
            Self::Hub(hub) => hub.clients().all().send(method, arguments).await?,
        }
        Ok(())
    }

    async fn to_user(&self, user: &str, method: &str, arguments: impl Arguments) -> Sent {
        match self {
            Self::Service(hub) => hub.user(user).send(method, arguments).await?,
            Self::Hub(hub) => hub.clients().user(user).send(method, arguments).await?,
        }
        Ok(())
    }
}

/// Why the room does not do what a client asks for: what the client is told.
pub(crate) struct Refused(&'static str);

impl From<Refused> for UpstreamError {
    fn from(Refused(text): Refused) -> Self {
        Self::new(text)
    }
}

impl From<Refused> for HubError {
    fn from(Refused(text): Refused) -> Self {
        Self::new(text)
    }
}

/// See the [module's text](self).
#[derive(Debug, Default)]
pub(crate) struct Room {
    voice: OnceLock<Voice>,
    /// The users by their connections.
    present: Mutex<BTreeMap<String, String>>,
    /// Presence is published by one task at a time, so that no client is left with an older list.
    publishing: tokio::sync::Mutex<()>,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Room {
    /// Speaks through the service.
    pub(crate) fn speak_through_service(&self, hub: HubClient) {
        // Files are bytes, which JSON alone could not say to clients of MessagePack.
        self.speak(Voice::Service(hub.message_pack()));
    }

    /// Speaks through a hub of this program's own.
    pub(crate) fn speak_through_hub(&self, hub: HubServer) {
        self.speak(Voice::Hub(hub));
    }

    fn speak(&self, voice: Voice) {
        // It is told once.
        let _ = self.voice.set(voice);
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
                    Ok(room.say(user(message.client()), &text).await?)
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
                    Ok(room.share(user(message.client()), file).await?)
                }
            })
            .on_message("chat", "Part", move |message| {
                let room = part.clone();
                async move {
                    let (id, index, bytes): (String, u32, Binary) = message.arguments()?;
                    Ok(room.part(user(message.client()), id, index, bytes).await?)
                }
            })
            .on_message("chat", "Burst", move |message| {
                let room = burst.clone();
                async move {
                    let (count,): (u32,) = message.arguments()?;
                    Ok(room.burst(user(message.client()), count).await?)
                }
            })
            .on_connected("chat", move |client| {
                let room = comes.clone();
                async move {
                    if client.claim("role") != Some(WATCHER) {
                        room.comes(client.connection_id(), user(&client)).await;
                    }
                    Ok(())
                }
            })
            .on_disconnected("chat", move |client, _| {
                let room = goes.clone();
                async move { room.goes(client.connection_id()).await }
            });
        Ok(upstream)
    }

    /// The same as a hub.
    pub(crate) fn hub(self: &Arc<Self>) -> HubServerBuilder {
        let [say, share, part, burst, comes, goes] = std::array::from_fn(|_| self.clone());
        HubServer::builder()
            // Parts of files are longer than ASP.NET Core's 32 kB.
            .maximum_receive_message_size(2 * MAX_PART)
            .on("Say", move |caller: Caller, text: String| {
                let room = say.clone();
                async move { Ok(room.say(name(&caller), &text).await?) }
            })
            .on("Echo", |_: Caller, value: serde_json::Value| async move { Ok(value) })
            .on("Share", move |caller: Caller, file: File| {
                let room = share.clone();
                async move { Ok(room.share(name(&caller), file).await?) }
            })
            .on("Part", move |caller: Caller, id: String, index: u32, bytes: Binary| {
                let room = part.clone();
                async move { Ok(room.part(name(&caller), id, index, bytes).await?) }
            })
            .on("Burst", move |caller: Caller, count: u32| {
                let room = burst.clone();
                async move { Ok(room.burst(name(&caller), count).await?) }
            })
            .on_connected(move |caller| {
                let room = comes.clone();
                async move {
                    if !caller.has_claim("role", WATCHER) {
                        room.comes(caller.connection_id(), name(&caller)).await;
                    }
                    Ok(())
                }
            })
            .on_disconnected(move |caller| {
                let room = goes.clone();
                async move { room.goes(caller.connection_id()).await }
            })
    }

    async fn comes(&self, connection_id: &str, user: &str) {
        self.present().insert(connection_id.to_owned(), user.to_owned());
        self.tell_presence().await;
    }

    async fn goes(&self, connection_id: &str) {
        let left = self.present().remove(connection_id);
        if left.is_some() {
            self.tell_presence().await;
        }
    }

    /// Says something to everybody.
    pub(crate) async fn say(&self, user: &str, text: &str) -> Result<(), Refused> {
        if !is_sayable(text) {
            return Err(Refused("A message has a text of at most 2000 bytes."));
        }
        self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.publish("ReceiveMessage", (user, text)).await
    }

    async fn share(&self, user: &str, file: File) -> Result<(), Refused> {
        if !(1..=MAX_PARTS).contains(&file.parts) || !(1..=255).contains(&file.name.len()) {
            return Err(Refused("A file has a name and at most 16 MB."));
        }
        self.publish("ReceiveFile", (user, file)).await
    }

    async fn part(&self, user: &str, id: String, index: u32, bytes: Binary) -> Result<(), Refused> {
        if bytes.len() > MAX_PART {
            return Err(Refused("A part of a file has at most 256 kB."));
        }
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.publish("ReceivePart", (user, id, index, bytes)).await
    }

    async fn burst(&self, user: &str, count: u32) -> Result<u32, Refused> {
        let count = count.min(MAX_BURST);
        for number in 1..=count {
            let Some(voice) = self.voice.get() else { return Err(Refused("The room is not open yet.")) };
            let sent = voice.to_user(user, "Tick", (number,)).await;
            log(sent, "a burst").ok_or(Refused("The burst broke off."))?;
            self.messages.fetch_add(1, Ordering::Relaxed);
        }
        Ok(count)
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
        self.announce("Clock", (time,), "the clock").await;
        self.announce("Metrics", (figures,), "the figures").await;
    }

    async fn publish(&self, method: &str, arguments: impl Arguments) -> Result<(), Refused> {
        let sent = self.announce(method, arguments, "a message").await;
        sent.ok_or(Refused("The message could not be published."))?;
        self.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn tell_presence(&self) {
        let _one = self.publishing.lock().await;
        self.announce("Presence", (self.people(),), "who is here").await;
    }

    async fn announce(&self, method: &str, arguments: impl Arguments, what: &str) -> Option<()> {
        log(self.voice.get()?.to_all(method, arguments).await, what)
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

fn name(caller: &Caller) -> &str {
    caller.user_id().unwrap_or("somebody")
}

fn log(sent: Sent, what: &str) -> Option<()> {
    if let Err(error) = &sent {
        tracing::error!(error = %ErrorChain::new(&**error), "{what} could not be published");
    }
    sent.ok()
}

//! A hub on several servers: what is sent goes over the backplane, and what comes over it goes to this server's clients.
//!
//! Messages to all, to groups and to users always go through the backplane, to this server's own clients too: so all
//! servers see the messages of one server in the same order. Messages to connections of this server, and changes of their
//! groups, do not leave it. All of that is what ASP.NET Core's Redis backplane does.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::ready,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use base64ct::{Base64Unpadded, Encoding as _};
use futures_util::future::{BoxFuture, Either, join_all};
use tokio::{
    runtime::Handle,
    sync::{OnceCell, Semaphore, mpsc},
};

use super::{
    carrier::{AnyBackplane, BackplaneError, BackplaneSink},
    event::{BackplaneEvent, Outage},
    pending::Pending,
    protocol::{Channels, Delivery, GroupAction, GroupCommand, write_ack},
    subscriptions::Subscriptions,
};
use crate::{
    core::{ErrorChain, HubProtocol, message::Outcome},
    lock::lock,
    server::{
        calls::Answer,
        connections::{Connections, Target},
        host::{
            ClientResultError, SendError,
            lifetime::{ClientCall, Doing, HUB, Lifetime, Local, Member, Recipients, Sending},
        },
        random,
    },
};

/// How many changes of groups that other servers ask for may wait.
const COMMANDS: usize = 4_096;

/// How many clients may be asked at a time on behalf of other servers.
const ASKS: usize = 100_000;

/// What ASP.NET Core answers to the server that asked when a client goes.
pub(super) const DISCONNECTED: &str = "Connection disconnected.";

/// How a hub is connected with its other servers.
pub(crate) struct Settings {
    /// The full name of the hub's .NET type, or whatever all its servers call it.
    pub(super) hub: String,
    pub(super) bus: Box<dyn AnyBackplane>,
    pub(super) ack_timeout: Duration,
    pub(super) on_event: Option<Arc<dyn Fn(BackplaneEvent) + Send + Sync>>,
    /// Whether there are clients here. A server without clients needs to hear less.
    pub(super) has_clients: bool,
}

/// A hub that is on other servers as well.
pub(crate) struct Distributed(Arc<Node>);

/// This server, as the others see it.
pub(super) struct Node {
    pub(super) settings: Settings,
    pub(super) channels: Channels,
    pub(super) connections: Arc<Connections>,
    local: Local,
    subscriptions: Subscriptions,
    /// The connections of this server, with their groups.
    homes: Mutex<HashMap<String, HashSet<String>>>,
    pub(super) acks: Pending<i64, ()>,
    last_ack: AtomicI32,
    pub(super) answers: Pending<String, (HubProtocol, Answer)>,
    pub(super) outage: Outage,
    ready: OnceCell<()>,
    pub(super) runtime: OnceLock<Handle>,
    pub(super) commands: mpsc::Sender<GroupCommand>,
    /// Until the work on them begins.
    waiting_commands: Mutex<Option<mpsc::Receiver<GroupCommand>>>,
    pub(super) asks: Arc<Semaphore>,
}

impl Distributed {
    pub(crate) fn new(settings: Settings, connections: Arc<Connections>) -> Self {
        let (commands, waiting_commands) = mpsc::channel(COMMANDS);
        let node = Arc::new(Node {
            channels: Channels::new(&settings.hub, &server_name()),
            settings,
            local: Local(connections.clone()),
            connections,
            subscriptions: Subscriptions::default(),
            homes: Mutex::default(),
            acks: Pending::default(),
            last_ack: AtomicI32::new(0),
            answers: Pending::default(),
            outage: Outage::default(),
            ready: OnceCell::new(),
            runtime: OnceLock::new(),
            commands,
            waiting_commands: Mutex::new(Some(waiting_commands)),
            asks: Arc::new(Semaphore::new(ASKS)),
        });
        // Else it begins with the first client, or the first message.
        if let Ok(runtime) = Handle::try_current() {
            let node = node.clone();
            runtime.spawn(async move { node.ready().await });
        }
        Self(node)
    }
}

impl fmt::Debug for Distributed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distributed").field("hub", &self.0.settings.hub).finish_non_exhaustive()
    }
}

impl Node {
    pub(super) fn bus(&self) -> &dyn AnyBackplane {
        &*self.settings.bus
    }

    pub(super) fn homes(&self) -> MutexGuard<'_, HashMap<String, HashSet<String>>> {
        lock(&self.homes)
    }

    /// Connects, the first time, and waits until what concerns the whole server is subscribed to.
    async fn ready(self: &Arc<Self>) {
        let start = || async {
            let _ = self.runtime.set(Handle::current());
            let node = Arc::downgrade(self);
            let commands = lock(&self.waiting_commands).take();
            tokio::spawn(change_groups(node.clone(), commands));
            self.bus().start(BackplaneSink::new(move |arrival| {
                if let Some(node) = node.upgrade() {
                    node.arrived(arrival);
                }
            }));
            let channels = &self.channels;
            let mut names = vec![channels.acks(channels.server()), channels.returns()];
            if self.settings.has_clients {
                names.extend([channels.all(), channels.groups()]);
            }
            for result in join_all(names.iter().map(|name| self.bus().subscribe(name))).await {
                if let Err(error) = result {
                    tracing::error!(error = %ErrorChain::new(&error), "the backplane does not let the hub subscribe");
                }
            }
        };
        self.ready.get_or_init(start).await;
    }

    /// Publishes a message.
    async fn publish(self: &Arc<Self>, channel: &str, message: &[u8]) -> Result<Option<u64>, BackplaneError> {
        self.ready().await;
        self.publish_now(channel, message).await
    }

    /// Publishes a message when everything has begun, and counts it if it does not get away.
    pub(super) async fn publish_now(
        &self,
        channel: &str,
        message: &[u8],
    ) -> Result<Option<u64>, BackplaneError> {
        let published = self.bus().publish(channel, message).await;
        if matches!(published, Err(BackplaneError::Unavailable(_) | BackplaneError::Uncertain(_))) {
            self.outage.refuse();
        }
        published
    }

    /// Changes a group of a connection of this server. `None` if there is no such connection here.
    pub(super) fn change_group<'n>(
        self: &'n Arc<Self>,
        action: GroupAction,
        connection: &str,
        group: &str,
    ) -> Option<Doing<'n, Result<(), BackplaneError>>> {
        let mut homes = self.homes();
        let groups = homes.get_mut(connection)?;
        let changes = match action {
            GroupAction::Add => groups.insert(group.to_owned()),
            GroupAction::Remove => groups.remove(group),
        };
        if !changes {
            return Some(Either::Left(ready(Ok(()))));
        }
        let channel = self.channels.group(group);
        // While the connection's entry is held, it cannot go: what is counted here is counted once.
        Some(Either::Right(match action {
            GroupAction::Add => {
                self.connections.add_to_group(HUB, connection, group);
                let subscribed = self.subscriptions.add(self.bus(), channel);
                Box::pin(async move {
                    self.ready().await;
                    subscribed.await
                })
            }
            GroupAction::Remove => {
                self.connections.remove_from_group(HUB, connection, Some(group));
                Box::pin(self.subscriptions.remove(self.bus(), channel))
            }
        }))
    }

    /// Asks the other servers to change a group of a connection of theirs. `false` when there is no other server.
    async fn ask_to_change_group(
        self: &Arc<Self>,
        action: GroupAction,
        connection: &str,
        group: &str,
    ) -> Result<bool, SendError> {
        let ack = i64::from(self.last_ack.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
        let command = GroupCommand {
            ack,
            server: self.channels.server().to_owned(),
            action,
            group: group.to_owned(),
            connection: connection.to_owned(),
        };
        let done = self.acks.wait(ack);
        let receivers = self.publish(&self.channels.groups(), &command.write()).await.map_err(unreachable)?;
        if receivers.is_some_and(|receivers| receivers <= u64::from(self.settings.has_clients)) {
            return Ok(false);
        }
        match tokio::time::timeout(self.settings.ack_timeout, done.answer()).await {
            Ok(done) => done.map(|()| true).map_err(unreachable),
            Err(_) => Err(SendError::Unreachable(format!(
                "no server has answered for the connection within {:?}; most likely there is no such connection",
                self.settings.ack_timeout
            ))),
        }
    }

    /// Publishes a message to several channels, each time the same bytes.
    async fn publish_all(self: &Arc<Self>, channels: Vec<String>, message: &[u8]) -> Result<(), SendError> {
        let published = join_all(channels.iter().map(|channel| self.publish(channel, message))).await;
        published.into_iter().try_for_each(|result| result.map(drop)).map_err(unreachable)
    }
}

impl Lifetime for Distributed {
    fn connected<'a>(&'a self, connection_id: &'a str, user: Option<&'a str>) -> Doing<'a, ()> {
        let node = &self.0;
        node.homes().insert(connection_id.to_owned(), HashSet::new());
        let channels = channels_of(node, connection_id, user);
        let subscribed: Vec<_> =
            channels.map(|channel| node.subscriptions.add(node.bus(), channel)).collect();
        Either::Right(Box::pin(async move {
            node.ready().await;
            for result in join_all(subscribed).await {
                if let Err(error) = result {
                    tracing::error!(
                        error = %ErrorChain::new(&error),
                        "the backplane does not let the hub subscribe for a client, which is closed"
                    );
                    let target = Target::Connection(connection_id);
                    node.connections.close(HUB, target, &[], Some("Connection closed with an error."));
                }
            }
        }))
    }

    fn disconnected<'a>(&'a self, connection_id: &'a str, user: Option<&'a str>) -> Doing<'a, ()> {
        let node = &self.0;
        let groups = node.homes().remove(connection_id).unwrap_or_default();
        let groups = groups.into_iter().map(|group| node.channels.group(&group));
        let channels = channels_of(node, connection_id, user).chain(groups);
        let left: Vec<_> = channels.map(|channel| node.subscriptions.remove(node.bus(), channel)).collect();
        Either::Right(Box::pin(async move {
            for result in join_all(left).await {
                if let Err(error) = result {
                    tracing::warn!(
                        error = %ErrorChain::new(&error),
                        "a channel of the backplane that nobody needs stays subscribed to"
                    );
                }
            }
        }))
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> Doing<'a, Result<(), SendError>> {
        let node = &self.0;
        let channels = match sending.to {
            Recipients::All => vec![node.channels.all()],
            Recipients::Groups(names) => names.iter().map(|name| node.channels.group(name)).collect(),
            Recipients::Users(ids) => ids.iter().map(|id| node.channels.user(id)).collect(),
            Recipients::Connections(ids) => {
                let wanted = ids.iter().filter(|id| !sending.except.contains(id));
                let elsewhere = wanted.filter(|id| {
                    let target = Target::Connection(id);
                    let is_here = node.connections.exists(HUB, target);
                    if is_here {
                        node.connections.send(HUB, target, &[], sending.message);
                    }
                    !is_here
                });
                elsewhere.map(|id| node.channels.connection(id)).collect()
            }
        };
        if channels.is_empty() {
            return Either::Left(ready(Ok(())));
        }
        let json = sending.message.frame(HubProtocol::Json);
        let msgpack = sending.message.frame(HubProtocol::MessagePack);
        let delivery = Delivery {
            excluded: sending.except.iter().map(String::as_str).collect(),
            json: json.as_ref().map(|frame| frame.bytes()),
            msgpack: msgpack.as_ref().map(|frame| frame.bytes()),
            asks: None,
        };
        let message = delivery.write();
        Either::Right(Box::pin(async move { node.publish_all(channels, &message).await }))
    }

    fn invoke<'a>(
        &'a self,
        connection_id: &'a str,
        call: ClientCall,
    ) -> BoxFuture<'a, Result<(HubProtocol, Answer), ClientResultError>> {
        let node = &self.0;
        if node.connections.exists(HUB, Target::Connection(connection_id)) {
            return node.local.invoke(connection_id, call);
        }
        Box::pin(async move {
            let unreachable =
                |error: BackplaneError| ClientResultError::Unreachable(ErrorChain::new(&error).to_string());
            // Any server may have the client: the id has to differ from those of all others.
            let id = random_id();
            let message = call.message(Some(&id));
            let json = message.frame(HubProtocol::Json);
            let msgpack = message.frame(HubProtocol::MessagePack);
            let returns = node.channels.returns();
            let delivery = Delivery {
                excluded: Vec::new(),
                json: json.as_ref().map(|frame| frame.bytes()),
                msgpack: msgpack.as_ref().map(|frame| frame.bytes()),
                asks: Some((&id, &returns)),
            };
            let answer = node.answers.wait(id.clone());
            let channel = node.channels.connection(connection_id);
            let receivers = node.publish(&channel, &delivery.write()).await.map_err(unreachable)?;
            if receivers == Some(0) {
                return Err(ClientResultError::NotConnected);
            }
            match answer.answer().await.map_err(unreachable)? {
                (_, Outcome::Error(error)) if error == DISCONNECTED => Err(ClientResultError::Disconnected),
                answer => Ok(answer),
            }
        })
    }

    fn add_to_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<bool, SendError>> {
        let node = &self.0;
        match node.change_group(GroupAction::Add, connection_id, group) {
            Some(Either::Left(_)) => Either::Left(ready(Ok(true))),
            Some(Either::Right(changed)) => {
                Either::Right(Box::pin(async { changed.await.map(|()| true).map_err(unreachable) }))
            }
            None => Either::Right(Box::pin(node.ask_to_change_group(GroupAction::Add, connection_id, group))),
        }
    }

    fn remove_from_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<(), SendError>> {
        let node = &self.0;
        match node.change_group(GroupAction::Remove, connection_id, group) {
            Some(Either::Left(_)) => Either::Left(ready(Ok(()))),
            Some(Either::Right(changed)) => {
                Either::Right(Box::pin(async { changed.await.map_err(unreachable) }))
            }
            None => Either::Right(Box::pin(async move {
                node.ask_to_change_group(GroupAction::Remove, connection_id, group).await.map(drop)
            })),
        }
    }

    /// Those of this server: others are not asked, since ASP.NET Core has no message for it.
    fn members<'a>(
        &'a self,
        group: &'a str,
        after: Option<&'a str>,
        count: usize,
    ) -> Doing<'a, Result<Vec<Member>, SendError>> {
        self.0.local.members(group, after, count)
    }
}

/// The channels that a connection needs from its beginning to its end.
fn channels_of(node: &Node, connection_id: &str, user: Option<&str>) -> impl Iterator<Item = String> {
    let user = user.map(|user| node.channels.user(user));
    std::iter::once(node.channels.connection(connection_id)).chain(user)
}

fn unreachable(error: BackplaneError) -> SendError {
    SendError::Unreachable(ErrorChain::new(&error).to_string())
}

/// Changes groups that other servers ask for, one after the other, and says when it is done.
async fn change_groups(node: Weak<Node>, commands: Option<mpsc::Receiver<GroupCommand>>) {
    let Some(mut commands) = commands else { return };
    while let Some(command) = commands.recv().await {
        let Some(node) = node.upgrade() else { return };
        let Some(changed) = node.change_group(command.action, &command.connection, &command.group) else {
            continue;
        };
        let done = match changed.await {
            Ok(()) => {
                let channel = node.channels.acks(&command.server);
                node.publish_now(&channel, &write_ack(command.ack)).await.map(drop)
            }
            Err(error) => Err(error),
        };
        // The server that asked gives up after its own time.
        if let Err(error) = done {
            tracing::warn!(error = %ErrorChain::new(&error), "a change of a group cannot be acknowledged");
        }
    }
}

/// A name that no other server has: the machine's, for diagnosis, and a random number, as in .NET.
fn server_name() -> String {
    let machine = ["COMPUTERNAME", "HOSTNAME"].iter().find_map(|name| std::env::var(name).ok());
    let machine = machine.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let machine = machine.unwrap_or_default();
    let machine = machine.trim();
    let number = random::hexadecimal(&random::random_bytes::<16>());
    format!("{}_{number}", if machine.is_empty() { "hubwire" } else { machine })
}

/// An id of 128 bits, in .NET's notation.
fn random_id() -> String {
    Base64Unpadded::encode_string(&random::random_bytes::<16>())
}

//! Redis as the backplane, in the layout of Microsoft.AspNetCore.SignalR.StackExchangeRedis.
//!
//! One connection in RESP3 carries everything, in both directions. When it breaks, it is made anew, to the next of the
//! addresses if there are several, and all channels are subscribed to again before it counts as restored. A connection
//! that does not answer a ping is given up.

mod connection;
#[cfg(feature = "service")]
mod entra;
mod settings;

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::{Duration, SystemTime},
};

use redis::aio::MultiplexedConnection;
use tokio::sync::watch;

pub use self::settings::RedisSettingsError;
use self::{
    connection::{AbortOnDrop, Connected},
    settings::Settings,
};
use super::carrier::{Backplane, BackplaneError, BackplaneSink};
use crate::lock::lock;
use crate::{Cause, ErrorChain, platform::BoxFuture};

/// A user of Redis, and the password, which may be a token that expires.
#[derive(Clone)]
pub struct RedisCredentials {
    user: Option<String>,
    password: String,
    expires: Option<SystemTime>,
}

impl RedisCredentials {
    /// A user with a password that holds.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: Some(user.into()), password: password.into(), expires: None }
    }

    /// The password holds until then. New credentials are asked for before.
    #[must_use]
    pub fn expires(self, at: SystemTime) -> Self {
        Self { expires: Some(at), ..self }
    }
}

/// There is a password in it.
impl fmt::Debug for RedisCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCredentials")
            .field("user", &self.user)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

type FetchCredentials = Arc<dyn Fn() -> BoxFuture<Result<RedisCredentials, Cause>> + Send + Sync>;

/// Redis 6 or later, Valkey, Azure Managed Redis or Azure Cache for Redis as the [`Backplane`] of a hub.
///
/// Rust and ASP.NET Core servers of one hub reach each other's clients: give the hub the full name of its .NET type, and
/// this the same channel prefix as `RedisOptions.Configuration`, if it has one.
///
/// ```no_run
/// use hubwire::server::{HubServer, backplane::RedisBackplane};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let chat = HubServer::builder()
///     .backplane("Contoso.Hubs.ChatHub", RedisBackplane::new("rediss://:password@redis.example.com:6380")?)
///     .build();
/// # drop(chat);
/// # Ok(())
/// # }
/// ```
///
/// In a cluster, give the addresses of several nodes: any of them will do, since a cluster passes on what is published. How
/// many received a message is then not known. Of a replicated Redis it is the primary that counts; replicas are passed by.
pub struct RedisBackplane {
    settings: Settings,
    shared: Arc<Shared>,
    /// Dropped with this, it ends the task.
    stop: watch::Sender<()>,
    task: OnceLock<AbortOnDrop>,
}

/// What the owner of a backplane shares with the task that keeps it connected.
struct Shared {
    state: Mutex<State>,
    /// Turns true when the first connection is made, or could not be made.
    tried: watch::Sender<bool>,
}

struct State {
    /// All channels to be subscribed to.
    wanted: HashSet<String>,
    link: Link,
}

#[derive(Clone)]
enum Link {
    Up(Line),
    Down(Cause),
}

/// A connection that stands.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    /// Whether this server knows all receivers of a message.
    counts: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits for the first attempt to connect.
    async fn tried(&self) {
        let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
    }
}

impl RedisBackplane {
    /// The Redis at a URL such as `redis://user:password@host:6379` or, with TLS, `rediss://host:6380`; or what a
    /// connection string of StackExchange.Redis names: `host:6380,password=…,ssl=True,channelPrefix=…`, with several hosts if
    /// there are.
    ///
    /// # Errors
    /// When it is neither, or has an option that is not known here.
    pub fn new(address: &str) -> Result<Self, RedisSettingsError> {
        let state =
            State { wanted: HashSet::new(), link: Link::Down("there has been no connection yet".into()) };
        Ok(Self {
            settings: Settings::read(address)?,
            shared: Arc::new(Shared { state: Mutex::new(state), tried: watch::Sender::new(false) }),
            stop: watch::Sender::new(()),
            task: OnceLock::new(),
        })
    }

    /// What all names of channels begin with, as `ConfigurationOptions.ChannelPrefix` of StackExchange.Redis: several
    /// applications can share a Redis so. Default: nothing.
    #[must_use]
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.channel_prefix = prefix.into();
        self
    }

    /// Trusts a certificate authority, besides those of the operating system: a PEM text.
    ///
    /// # Errors
    /// When it is not one.
    pub fn root_certificate(mut self, pem: &[u8]) -> Result<Self, RedisSettingsError> {
        self.settings.add_root(pem)?;
        Ok(self)
    }

    /// Asks for the credentials each time before it connects, and again before they expire.
    #[must_use]
    pub fn credentials<F, R, E>(mut self, fetch: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<RedisCredentials, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.settings.credentials = Some(Arc::new(move || {
            let fetched = fetch();
            Box::pin(async move { fetched.await.map_err(Cause::new) })
        }));
        self
    }

    /// Redis is given up when it does not answer within this time. Default: 5 seconds, as with StackExchange.Redis.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.settings.response_timeout = timeout;
        self
    }

    /// How often it is asked whether the connection still stands. Default: 10 seconds.
    #[must_use]
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.settings.keep_alive_interval = interval;
        self
    }

    fn channel(&self, channel: &str) -> String {
        format!("{}{channel}", self.settings.channel_prefix)
    }

    fn link(&self) -> Link {
        self.shared.state().link.clone()
    }
}

impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Backplane for RedisBackplane {
    fn start(&self, sink: BackplaneSink) {
        let keep = keep_connected(self.settings.clone(), self.shared.clone(), sink, self.stop.subscribe());
        self.task.get_or_init(|| AbortOnDrop(tokio::spawn(keep)));
    }

    async fn publish(&self, channel: &str, message: &[u8]) -> Result<Option<u64>, BackplaneError> {
        self.shared.tried().await;
        let Line { mut connection, counts } = match self.link() {
            Link::Up(line) => line,
            Link::Down(why) => return Err(BackplaneError::Unavailable(why)),
        };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.channel(channel)).arg(message);
        let receivers: u64 = publish.query_async(&mut connection).await.map_err(|error| {
            if is_of_connection(&error) {
                BackplaneError::Uncertain(Cause::new(error))
            } else {
                BackplaneError::Refused(Cause::new(error))
            }
        })?;
        Ok(counts.then_some(receivers))
    }

    async fn subscribe(&self, channel: &str) -> Result<(), BackplaneError> {
        let channel = self.channel(channel);
        self.shared.tried().await;
        let line = {
            let mut state = self.shared.state();
            state.wanted.insert(channel.clone());
            state.link.clone()
        };
        let Link::Up(Line { mut connection, .. }) = line else { return Ok(()) };
        match connection.subscribe(&channel).await {
            // Should the connection be lost, the next one has it.
            Err(error) if !is_of_connection(&error) => {
                self.shared.state().wanted.remove(&channel);
                Err(BackplaneError::Refused(Cause::new(error)))
            }
            _ => Ok(()),
        }
    }

    async fn unsubscribe(&self, channel: &str) -> Result<(), BackplaneError> {
        let channel = self.channel(channel);
        let line = {
            let mut state = self.shared.state();
            state.wanted.remove(&channel);
            state.link.clone()
        };
        let Link::Up(Line { mut connection, .. }) = line else { return Ok(()) };
        match connection.unsubscribe(&channel).await {
            Err(error) if !is_of_connection(&error) => Err(BackplaneError::Refused(Cause::new(error))),
            _ => Ok(()),
        }
    }
}

/// Whether it is the connection that failed, and not the command.
fn is_of_connection(error: &redis::RedisError) -> bool {
    error.is_timeout()
        || error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
}

/// Connects again and again until the backplane is dropped.
async fn keep_connected(
    settings: Settings,
    shared: Arc<Shared>,
    sink: BackplaneSink,
    mut stop: watch::Receiver<()>,
) {
    let mut attempt = 0;
    loop {
        let why = tokio::select! {
            _ = stop.changed() => return,
            why = connect_and_keep(&settings, &shared, &sink, &mut attempt) => why,
        };
        shared.state().link = Link::Down(why.clone());
        shared.tried.send_replace(true);
        tracing::debug!(error = %ErrorChain::new(&*why), attempt, "there is no connection to Redis");
        sink.lost(why);
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(settings::pause(attempt)) => {}
        }
        attempt = attempt.saturating_add(1);
    }
}

/// Connects, and keeps the connection for as long as it stands. Why it does not.
async fn connect_and_keep(
    settings: &Settings,
    shared: &Shared,
    sink: &BackplaneSink,
    attempt: &mut u32,
) -> Cause {
    let connected = match Connected::open(settings, *attempt as usize, sink).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    if let Err(error) = connected.subscribe_to_all(shared).await {
        return error;
    }
    shared.tried.send_replace(true);
    *attempt = 0;
    tracing::debug!("connected to Redis");
    sink.restored();
    connected.ended(settings).await
}

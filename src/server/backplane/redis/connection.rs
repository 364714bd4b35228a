//! One connection to Redis, from its beginning to its end.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::BoxFuture;
use redis::{
    AsyncConnectionConfig, PushInfo, PushKind, RedisConnectionInfo, Value, aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use super::{Line, Link, RedisCredentials, Shared, settings::Settings};
use crate::{Cause, ErrorChain, server::backplane::carrier::BackplaneSink};

/// How many channels one command subscribes to.
const CHUNK: usize = 1_000;

/// Credentials are renewed so long before they expire, at least.
const MARGIN: Duration = Duration::from_secs(300);

/// The pause after an attempt to renew them that failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) struct Connected {
    line: Line,
    driver: AbortOnDrop,
    /// When the credentials expire.
    expires: Option<SystemTime>,
}

type Opened = (MultiplexedConnection, BoxFuture<'static, ()>);

impl Connected {
    /// Connects to one of the servers: the next one at each attempt.
    pub(super) async fn open(
        settings: &Settings,
        attempt: usize,
        sink: &BackplaneSink,
    ) -> Result<Self, Cause> {
        let server = settings.servers.iter().cycle().nth(attempt % settings.servers.len().max(1));
        let Some(server) = server else { return Err("there is no address of Redis".into()) };
        let (mut redis, mut expires) = (settings.redis.clone(), None);
        if let Some(fetch) = &settings.credentials {
            let credentials = fetch().await?;
            expires = credentials.expires;
            redis = redis.set_password(&credentials.password);
            if let Some(user) = &credentials.user {
                redis = redis.set_username(user);
            }
        }
        let opened = timeout(settings.response_timeout, open(settings, server, redis, sink)).await;
        let (mut connection, driver) = opened.map_err(|_| Cause::from("Redis did not answer in time"))??;
        let driver = AbortOnDrop(tokio::spawn(driver));
        let counts = knows_all_receivers(&mut connection).await?;
        Ok(Self { line: Line { connection, counts }, driver, expires })
    }

    /// Subscribes to all channels, and puts itself in place of the old connection, with none missing.
    pub(super) async fn subscribe_to_all(&self, shared: &Shared) -> Result<(), Cause> {
        let mut connection = self.line.connection.clone();
        let mut subscribed = HashSet::new();
        loop {
            let (missing, left): (Vec<String>, Vec<String>) = {
                let mut state = shared.state();
                let missing: Vec<_> = state.wanted.difference(&subscribed).cloned().collect();
                let left: Vec<_> = subscribed.difference(&state.wanted).cloned().collect();
                if missing.is_empty() && left.is_empty() {
                    state.link = Link::Up(self.line.clone());
                    return Ok(());
                }
                (missing, left)
            };
            for channels in missing.chunks(CHUNK) {
                connection.subscribe(channels).await.map_err(Cause::new)?;
            }
            for channels in left.chunks(CHUNK) {
                connection.unsubscribe(channels).await.map_err(Cause::new)?;
            }
            subscribed.extend(missing);
            subscribed.retain(|channel| !left.contains(channel));
        }
    }

    /// Waits until it no longer stands: why.
    pub(super) async fn ended(mut self, settings: &Settings) -> Cause {
        let mut connection = self.line.connection.clone();
        let mut ping_at = Instant::now() + settings.keep_alive_interval;
        let mut renew_at = self.expires.map(renewal);
        loop {
            let wake = renew_at.map_or(ping_at, |renew_at| ping_at.min(renew_at));
            tokio::select! {
                _ = &mut self.driver.0 => return "Redis closed the connection".into(),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            if renew_at.is_some_and(|at| at <= Instant::now()) {
                renew_at = Some(match renew(settings, &mut connection).await {
                    Ok(expires) => expires.map_or_else(|| Instant::now() + MARGIN, renewal),
                    Err(error) => {
                        // Redis ends the connection when they expire.
                        tracing::warn!(error = %ErrorChain::new(&*error), "credentials for Redis cannot be renewed");
                        Instant::now() + RENEWAL_PAUSE
                    }
                });
            } else {
                let pong: redis::RedisResult<Value> = redis::cmd("PING").query_async(&mut connection).await;
                if let Err(error) = pong {
                    return Cause::new(error);
                }
                ping_at = Instant::now() + settings.keep_alive_interval;
            }
        }
    }
}

/// When credentials are to be renewed: before the last tenth of their time, and minutes before its end.
fn renewal(expires: SystemTime) -> Instant {
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    let margin = MARGIN.max(left / 10).min(left / 2);
    Instant::now() + left.saturating_sub(margin).max(Duration::from_secs(1))
}

/// Authenticates the connection anew. When what it has now expires.
async fn renew(
    settings: &Settings,
    connection: &mut MultiplexedConnection,
) -> Result<Option<SystemTime>, Cause> {
    let Some(fetch) = &settings.credentials else { return Ok(None) };
    let RedisCredentials { user, password, expires } = fetch().await?;
    let mut authenticate = redis::cmd("AUTH");
    authenticate.arg(user).arg(password);
    let (): () = authenticate.query_async(connection).await.map_err(Cause::new)?;
    Ok(expires)
}

async fn open(
    settings: &Settings,
    (host, port): &(String, u16),
    redis: RedisConnectionInfo,
    sink: &BackplaneSink,
) -> Result<Opened, Cause> {
    let socket = TcpStream::connect((host.as_str(), *port)).await.map_err(Cause::new)?;
    socket.set_nodelay(true).map_err(Cause::new)?;
    if !settings.tls {
        return speak(settings, &redis, socket, sink).await;
    }
    let config = settings.certificates.config().map_err(Cause::new)?;
    let name = ServerName::try_from(host.clone()).map_err(Cause::new)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = connector.connect(name, socket).await.map_err(Cause::new)?;
    speak(settings, &redis, socket, sink).await
}

async fn speak<S>(
    settings: &Settings,
    redis: &RedisConnectionInfo,
    socket: S,
    sink: &BackplaneSink,
) -> Result<Opened, Cause>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, prefix) = (sink.clone(), settings.channel_prefix.clone());
    // It runs while the connection is read: what is slow here holds back Redis, and no queue grows.
    let take = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
        if push.kind == PushKind::Message
            && let Ok([Value::BulkString(channel), Value::BulkString(message)]) =
                <[Value; 2]>::try_from(push.data)
            && let Some(channel) = std::str::from_utf8(&channel).ok().and_then(|c| c.strip_prefix(&prefix))
        {
            sink.message(channel, message);
        }
        Ok(())
    };
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(settings.response_timeout))
        .set_push_sender(take);
    let opened = MultiplexedConnection::new_with_config(redis, socket, config).await;
    let (connection, driver) = opened.map_err(Cause::new)?;
    Ok((connection, Box::pin(driver)))
}

/// Whether the number of receivers that this server tells is that of all. A node of a cluster knows its own; a replica does
/// not pass on what is published.
async fn knows_all_receivers(connection: &mut MultiplexedConnection) -> Result<bool, Cause> {
    let hello: HashMap<String, Value> =
        redis::cmd("HELLO").query_async(connection).await.map_err(Cause::new)?;
    let text = |name: &str| match hello.get(name) {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::SimpleString(text)) => text.clone(),
        _ => String::new(),
    };
    let is_cluster = text("mode") == "cluster";
    if !is_cluster && text("role") == "replica" {
        return Err("the server is a replica, which does not pass on what is published".into());
    }
    Ok(!is_cluster)
}

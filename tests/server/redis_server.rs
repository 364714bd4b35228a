//! A Redis server for a test, and a client of it that hears everything.

use std::{io::ErrorKind, process::Stdio, time::Duration};

use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, PushKind, Value};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
};

use crate::support::skipped;

/// A server that ends when this is dropped.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts one on a free port. `None`, and a loud line, where Redis is not installed.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::with(test, &[]).await
    }

    /// The same with further options.
    pub(crate) async fn with(test: &str, options: &[&str]) -> Option<Self> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        // Another program may take the port first.
        for _ in 0..10 {
            let port =
                TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("a port").port();
            match run(port, &options).await {
                Ok(Some(child)) => return Some(Self { child, port, options }),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    skipped(test, "redis-server is not installed");
                    return None;
                }
                Err(error) => panic!("redis-server does not start: {error}"),
            }
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Ends it, so that all its connections break.
    pub(crate) async fn stop(&mut self) {
        self.child.kill().await.expect("it ends");
    }

    /// Starts it again on the same port, empty.
    pub(crate) async fn start_again(&mut self) {
        self.child = run(self.port, &self.options).await.expect("redis-server starts").expect("on its port");
    }

    /// Everything that is published to channels that match a pattern, and a way to publish.
    pub(crate) async fn observe(&self, pattern: &str) -> Observer {
        let address = ConnectionAddr::Tcp("127.0.0.1".to_owned(), self.port);
        let info = address.into_connection_info().expect("an address");
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = redis::Client::open(info.set_redis_settings(redis)).expect("a client");
        let (sender, published) = mpsc::unbounded_channel();
        let take = move |push: redis::PushInfo| {
            if push.kind != PushKind::PMessage {
                return Ok(());
            }
            match <[Value; 3]>::try_from(push.data) {
                Ok([_, Value::BulkString(channel), Value::BulkString(message)]) => {
                    sender.send((String::from_utf8(channel).expect("a name"), message))
                }
                other => panic!("{other:?}"),
            }
        };
        let config = redis::AsyncConnectionConfig::new().set_push_sender(take);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.expect("Redis answers");
        connection.psubscribe(pattern).await.expect("it subscribes");
        Observer { connection, published }
    }
}

/// Starts it, and waits until it says that it is ready. `None` when the port is taken.
async fn run(port: u16, options: &[String]) -> std::io::Result<Option<Child>> {
    let mut child = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(options)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains("Ready to accept connections") {
            // Who writes to a pipe that nobody reads would have to wait.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Some(child));
        }
    }
    Ok(None)
}

/// What is published.
pub(crate) struct Observer {
    pub(crate) connection: redis::aio::MultiplexedConnection,
    published: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
}

impl Observer {
    /// The next message, with its channel.
    pub(crate) async fn next(&mut self) -> (String, Vec<u8>) {
        tokio::time::timeout(Duration::from_secs(20), self.published.recv())
            .await
            .expect("something is published in time")
            .expect("Redis goes on")
    }

    /// Publishes a message, and tells how many have got it.
    pub(crate) async fn publish(&mut self, channel: &str, message: &[u8]) -> u64 {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(message).query_async(&mut self.connection).await.expect("Redis answers")
    }

    /// How many are subscribed to a channel.
    pub(crate) async fn subscribers(&mut self, channel: &str) -> u64 {
        let mut ask = redis::cmd("PUBSUB");
        let counted: (String, u64) = ask
            .arg("NUMSUB")
            .arg(channel)
            .query_async::<Vec<Value>>(&mut self.connection)
            .await
            .map(|counted| redis::from_redis_value(Value::Array(counted)).expect("a count"))
            .expect("Redis answers");
        counted.1
    }
}

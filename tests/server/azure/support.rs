//! Servers, services and clients for hubs behind Azure SignalR Service.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use hubwire::{
    HubConnection, HubProtocol, Transport,
    server::{HubServer, HubServerBuilder, azure::AzureSignalR},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    conformance_hub::{conformance_hub, serve},
    plain_http::plain_http,
    support,
};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a .NET server calls the conformance hub.
pub(super) const HUB: &str = "conformancehub";

/// Whether there is the official software; a loud line if not.
pub(super) fn has_reference(test: &str) -> bool {
    let is_there = support::reference_dir().is_some();
    if !is_there {
        support::skipped(test, "no reference folder; HUBWIRE_REFERENCE_DIR names it");
    }
    is_there
}

/// The conformance hub in Rust behind a service, where its clients negotiate.
pub(super) struct Ours {
    pub(super) hub: HubServer,
    pub(super) url: String,
}

impl Ours {
    pub(super) async fn start(azure: AzureSignalR) -> Self {
        Self::of(conformance_hub(), azure).await
    }

    /// Waits until the service knows it.
    pub(super) async fn of(hub: HubServerBuilder, azure: AzureSignalR) -> Self {
        let hub = hub.azure(azure.initial_hub_server_connection_count(2)).unwrap().build();
        timeout(PATIENCE, hub.ready()).await.expect("the service is connected");
        let url = serve([("/hub", hub.clone())]).await + "/hub";
        Self { hub, url }
    }
}

/// A process of the reference software that ends when its standard input does.
pub(super) struct Program {
    child: Child,
    pub(super) said: Value,
    pub(super) url: String,
}

impl Program {
    pub(super) async fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(support::reference_dir().unwrap().join("run"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("it starts");
            let mut line = String::new();
            let stdout = child.stdout.take().expect("a pipe");
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
            let said: Value = serde_json::from_str(&line).expect("a line of JSON");
            Self { child, url: said["url"].as_str().expect("an address").to_owned(), said }
        });
        started.await.unwrap()
    }

    /// The official app server, once it carries clients.
    pub(super) async fn app_server(connection: &str, more: &[&str]) -> Self {
        let arguments = ["appserver", "--connection", connection, "--servers", "1"];
        let server = Self::start(&[&arguments[..], more].concat()).await;
        let begun = Instant::now();
        // It says nowhere when its server connections are there. A client that comes to another server of the hub would
        // say nothing of this one, so it is asked for another hub.
        while let Err(error) = HubConnection::builder(format!("{}/chat", server.url)).connect().await {
            assert!(begun.elapsed() < PATIENCE, "the app server is not ready: {error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    pub(super) async fn get(&self, path: &str) -> String {
        let response = plain_http().build().unwrap().get(format!("{}{path}", self.url)).send().await;
        response.unwrap().text().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str) -> (u16, String) {
        let response =
            plain_http().build().unwrap().post(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// What a client answers to `Question`, as the app server hears it. Asked again where the answer is lost or empty: the
    /// SDK sends a call before it remembers it, so that in a fresh process the answer may be quicker.
    pub(super) async fn ask(&self, id: &str) -> (u16, String) {
        let path = format!("/ask/{id}/Question?argument=net");
        for _ in 0..10 {
            if let Ok(answer) = timeout(Duration::from_secs(3), self.post(&path)).await
                && !answer.1.is_empty()
            {
                return answer;
            }
        }
        panic!("the client is asked in vain");
    }

    pub(super) async fn post_bytes(&self, path: &str, body: Vec<u8>) {
        let request = plain_http().build().unwrap().post(format!("{}{path}", self.url)).body(body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
    }

    /// Waits until the service has heard or said something with this text.
    pub(super) async fn log_has(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let log = self.get("/log").await.replace(": ", ":");
            if log.contains(text) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{text} is not in {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it, and gives its exit code.
    pub(super) async fn stop(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap().code());
        timeout(PATIENCE, ended).await.expect("it ends").unwrap()
    }
}

/// A client of this crate that hears `News` and answers `Question`.
pub(super) struct Client {
    pub(super) hub: HubConnection,
    news: mpsc::UnboundedReceiver<Value>,
}

impl Client {
    pub(super) async fn connect(url: &str, token: &str, way: (Transport, HubProtocol)) -> Self {
        let (tell, news) = mpsc::unbounded();
        let token = token.to_owned();
        let hub = HubConnection::builder(url)
            .with_access_token(move || std::future::ready(Ok::<_, std::convert::Infallible>(token.clone())))
            .with_transports(way.0)
            .with_protocol(way.1)
            .on("News", move |news: Value| drop(tell.unbounded_send(news)))
            .on_invoke("Question", |asked: String| async move { Ok::<_, String>(format!("{asked}!")) })
            .connect()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error:?}"));
        Self { hub, news }
    }

    pub(super) fn id(&self) -> String {
        self.hub.connection_id().expect("it is connected").to_string()
    }

    pub(super) async fn news(&mut self) -> Value {
        timeout(PATIENCE, self.news.next()).await.expect("news come").unwrap()
    }
}

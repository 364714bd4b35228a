//! Hosted hubs, for their dashboard.

use futures_util::future::BoxFuture;

use super::{
    contract::{Info, Limits, MethodItem, Mode, Snippet, SourceKind},
    source::{Sending, Source, Watched},
};
use crate::server::{
    host::observed::{Reach, WatchedHub},
    traffic::now_ms,
};

const FARM: &str = "Connections, users, groups and requests are those of this server; others have their own. What is sent \
                    goes to the clients of all servers.";

const AZURE: &str = "Clients are connected to Azure SignalR Service. Those that it has assigned to this server are shown; \
                     the service keeps groups, which are not listed, and delivers what is sent to the clients of all \
                     servers.";

/// A hub and what the dashboard calls it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) hub: WatchedHub,
}

#[derive(Debug)]
pub(super) struct Hosted {
    hubs: Vec<Named>,
    rooms: Vec<Watched>,
    started_at: u64,
}

impl Hosted {
    pub(super) fn new(hubs: Vec<Named>) -> Self {
        let watched =
            |named: &Named| Watched { name: Some(named.name.clone()), room: named.hub.room().clone() };
        let rooms = hubs.iter().map(watched).collect();
        Self { hubs, rooms, started_at: now_ms() }
    }

    fn has(&self, reach: Reach) -> bool {
        self.hubs.iter().any(|named| named.hub.reach() == reach)
    }
}

impl Source for Hosted {
    fn info(&self) -> Info {
        let (mode, note) = if self.has(Reach::Azure) {
            (Mode::Azure, Some(AZURE))
        } else if self.has(Reach::Farm) {
            (Mode::Farm, Some(FARM))
        } else {
            (Mode::SelfHosted, None)
        };
        let limits = self.hubs.iter().map(|named| named.hub.limits());
        let snippet = |title: &str, language: &str, text: &str| Snippet {
            title: title.to_owned(),
            language: language.to_owned(),
            text: text.to_owned(),
        };
        Info {
            kind: SourceKind::Hosted,
            version: env!("CARGO_PKG_VERSION"),
            mode,
            endpoint: None,
            https_endpoint: None,
            authority: None,
            started_at: self.started_at,
            can_send: false,
            can_close: false,
            note: note.map(str::to_owned),
            connection_strings: Vec::new(),
            applications: Vec::new(),
            identities: Vec::new(),
            upstream: Vec::new(),
            settings: Vec::new(),
            snippets: vec![snippet("From a page", "javascript", PAGE), snippet("From Rust", "rust", RUST)],
            limits: Limits {
                max_connections: limits
                    .clone()
                    .filter_map(|(connections, _)| connections)
                    .reduce(usize::saturating_add),
                message_bytes: limits.map(|(_, bytes)| bytes).max().unwrap_or_default(),
            },
        }
    }

    fn rooms(&self) -> &[Watched] {
        &self.rooms
    }

    fn is_shared(&self) -> bool {
        !self.hubs.iter().all(|named| named.hub.reach() == Reach::Here)
    }

    fn methods(&self) -> Vec<MethodItem> {
        let of = |named: &Named| {
            let hub = named.name.clone();
            let item = move |method: crate::server::host::observed::MethodCounts| MethodItem {
                hub: hub.clone(),
                name: method.name.to_string(),
                calls: method.calls,
                errors: method.errors,
            };
            named.hub.methods().into_iter().map(item)
        };
        self.hubs.iter().flat_map(of).collect()
    }

    fn send<'s>(&'s self, room: usize, sending: Sending<'s>) -> BoxFuture<'s, Result<(), String>> {
        Box::pin(async move {
            let Sending { to, target, arguments, .. } = sending;
            let Some(named) = self.hubs.get(room) else { return Ok(()) };
            named.hub.send(to, target, arguments).await.map_err(|error| format!("It was not sent: {error}."))
        })
    }
}

const PAGE: &str = r#"import { HubConnectionBuilder } from "hubwire";

const connection = new HubConnectionBuilder().withUrl("/chat").withAutomaticReconnect().build();
connection.on("Said", (user, text) => console.log(user, text));
await connection.start();
"#;

const RUST: &str = r#"use hubwire::HubConnection;

let hub = HubConnection::builder("http://localhost:8080/chat")
    .on("Said", |user: String, text: String| println!("{user}: {text}"))
    .connect()
    .await?;
"#;

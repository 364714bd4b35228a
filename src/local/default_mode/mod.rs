//! Default mode: clients talk to app servers, and the service carries what they say.
//!
//! An app server opens [server connections](server_connection) to its hubs. Over them it hears of each client and of
//! what the client sends, and says what clients get: the [service protocol](crate::core::service_protocol).
//!
//! ```text
//! client ── transport ── Relay ──▶ Hub ──▶ ToServer ── WebSocket ── app server
//!                          ▲                                             │
//!                        Outbox ◀── Connections ◀── Hub ◀── Link ◀───────┘
//! ```
//!
//! | file | what it decides |
//! | --- | --- |
//! | `hub` | which app server has which client; how they come and go |
//! | `messages`, `sends`, `invocations`, `refresh` | what each message of an app server does |
//! | `relay` | the stream of one client |
//! | `link` | one server connection: handshake, pings, silence |
//! | `client_connection`, `server_connection` | nothing: they move bytes, and wait |

mod access_key;
pub(super) mod client_connection;
pub(super) mod hub;
mod invocations;
mod link;
mod messages;
mod refresh;
mod relay;
mod sends;
pub(super) mod server_connection;
mod to_server;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use self::hub::{Hub, Place, Visitor};
use crate::server::claims::SharedClaims;
use axum::http::{HeaderMap, HeaderValue};

/// Who answers the clients of a service: what Azure calls its service mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceMode {
    /// App servers, which open server connections to the service, as `Microsoft.Azure.SignalR` does. Without any, clients
    /// are refused in their handshake. An upstream is not told of them.
    Default,
    /// Nobody, or an [upstream](super::LocalServiceBuilder::upstream). App servers are refused.
    #[default]
    Serverless,
}

/// What the request of a client says of it.
pub(super) fn visitor(
    claims: &Arc<SharedClaims>,
    headers: &HeaderMap,
    query: Option<&str>,
    token: Option<&str>,
) -> Visitor {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let own = headers.keys().filter(|name| {
        let name = name.as_str();
        !matches!(name, "authorization" | "connection" | "upgrade") && !name.starts_with("sec-")
    });
    let mut headers: Vec<(String, Vec<String>)> =
        own.map(|name| (name.to_string(), headers.get_all(name).iter().map(text).collect())).collect();
    if !headers.iter().any(|(name, _)| name == "x-forwarded-for") {
        headers.push(("x-forwarded-for".to_owned(), vec!["127.0.0.1".to_owned()]));
    }
    // The token is the service's business alone.
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.starts_with("access_token="));
    let query = format!("?{}", pairs.collect::<Vec<_>>().join("&"));
    let token = token.map(str::to_owned);
    Visitor { claims: claims.clone(), headers, query, token, ..Visitor::default() }
}

/// All hubs, by name. Whoever changes one has the lock until everything is queued that follows from it, so that no
/// message overtakes another.
#[derive(Debug)]
pub(super) struct Hubs {
    place: Place,
    hubs: Mutex<HashMap<String, Hub>>,
}

impl Hubs {
    pub(super) fn new(place: Place) -> Self {
        Self { place, hubs: Mutex::default() }
    }

    /// Whether app servers of the hub are there, and all allow clients to go on with another socket.
    pub(super) fn allows_stateful_reconnect(&self, hub: &str) -> bool {
        self.with(hub, |hub| hub.allows_stateful_reconnect())
    }

    /// The REST API has refreshed a connection.
    pub(super) fn refreshed(&self, hub: &str, token: &str) {
        self.with(hub, |hub| hub.claims_changed(token));
    }

    /// How many server connections each hub has, for a dashboard.
    #[cfg(feature = "dashboard")]
    pub(super) fn server_counts(&self) -> Vec<(String, usize)> {
        let hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.iter().map(|(name, hub)| (name.clone(), hub.servers.len())).collect()
    }

    /// The app server that a client is with.
    #[cfg(feature = "dashboard")]
    pub(super) fn server_of(&self, hub: &str, client: &str) -> Option<String> {
        let hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let hub = hubs.get(hub)?;
        Some(hub.servers.get(&hub.clients.get(client)?.server)?.id.clone())
    }

    /// Does something in a hub. One that nobody is in is forgotten.
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Hub) -> T) -> T {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Hub::new(name.to_owned(), self.place.clone());
        let hub = hubs.entry(name.to_owned()).or_insert_with(new);
        let done = act(hub);
        if hub.is_empty() {
            hubs.remove(name);
        }
        done
    }
}

//! What clients do, told to upstreams, as the service in serverless mode tells it.
//!
//! 1. `rule`: which upstream is told.
//! 2. `events`: the queue of a connection.
//! 3. `request`: the HTTP request, which says who the `client` is.
//! 4. `answer`: calls and their answers, in the client's protocol.
//!
//! Source: [Upstream endpoints](https://learn.microsoft.com/azure/azure-signalr/concept-upstream).

mod answer;
mod client;
mod events;
mod request;
pub(super) mod rule;

use std::sync::{Arc, OnceLock, RwLock};

use crate::{
    Proxy,
    core::{Cause, message::Invocation},
    local::{entra::authority::Authority, error::LocalError, keys::KeyRing},
    lock::{read, write},
    platform::Network,
    server::{observe::Observer, outbox::Outbox},
};

pub(super) use client::Client;

use events::{CONNECTED, CONNECTIONS, DISCONNECTED, Events, MESSAGES};
use rule::{Target, UpstreamRule};

const NO_UPSTREAM: &str = "The service runs in serverless mode and has no upstream configured, so there is nobody to \
                           answer hub method invocations.";

/// The emulator lets the client wait for ever.
const NO_RULE: &str =
    "No upstream rule of the service matches this hub method, so there is nobody to answer it.";

const NO_STREAMS: &str = "Streams are not supported in serverless mode.";

/// The upstreams and how to reach them.
#[derive(Debug)]
pub(super) struct Upstream {
    rules: RwLock<Arc<[UpstreamRule]>>,
    /// Made with the first rule.
    client: OnceLock<reqwest::Client>,
    keys: Arc<KeyRing>,
    entra: Arc<Authority>,
    /// Once there is a dashboard.
    observer: OnceLock<Arc<Observer>>,
}

impl Upstream {
    pub(super) fn new(
        rules: Vec<UpstreamRule>,
        keys: Arc<KeyRing>,
        entra: Arc<Authority>,
    ) -> Result<Self, LocalError> {
        let (client, observer) = (OnceLock::new(), OnceLock::new());
        let upstream = Self { rules: RwLock::default(), client, keys, entra, observer };
        upstream.set(rules)?;
        Ok(upstream)
    }

    /// Replaces the rules. What has happened is told by those of its time.
    pub(super) fn set(&self, rules: Vec<UpstreamRule>) -> Result<(), LocalError> {
        if !rules.is_empty() && self.client.get().is_none() {
            let unavailable = |error| LocalError::HttpClient(error);
            let network = Network { proxy: Proxy::none(), ..Network::default() };
            let builder = network.http_client_builder().map_err(|error| unavailable(Cause::new(error)))?;
            let client = builder.build().map_err(|error| unavailable(Cause::new(error)))?;
            self.client.get_or_init(|| client);
        }
        *write(&self.rules) = rules.into();
        Ok(())
    }

    /// Whether a rule sends tokens along.
    pub(super) fn has_identity(&self) -> bool {
        read(&self.rules).iter().any(UpstreamRule::has_identity)
    }

    /// Keeps what upstreams are asked for the dashboard.
    #[cfg(feature = "dashboard")]
    pub(super) fn observe(&self, observer: &Arc<Observer>) {
        let _ = self.observer.set(observer.clone());
    }

    /// The rules for the dashboard.
    #[cfg(feature = "dashboard")]
    pub(super) fn described(&self) -> Vec<crate::dashboard::contract::Upstream> {
        read(&self.rules).iter().map(UpstreamRule::described).collect()
    }

    fn is_configured(&self) -> bool {
        !read(&self.rules).is_empty()
    }

    fn target(&self, hub: &str, category: &str, event: &str) -> Option<Target> {
        read(&self.rules).iter().find_map(|rule| rule.target(hub, category, event))
    }
}

/// Tells upstreams of one connection.
#[derive(Debug)]
pub(super) struct Teller {
    upstream: Arc<Upstream>,
    client: Client,
    outbox: Arc<Outbox>,
    /// From the first event on that a rule matches.
    events: Option<Events>,
}

impl Teller {
    /// Begins with the event of the connection itself.
    pub(super) fn start(upstream: Arc<Upstream>, client: Client, outbox: Arc<Outbox>) -> Self {
        let mut teller = Self { upstream, client, outbox, events: None };
        if let Some(to) = teller.target(CONNECTIONS, CONNECTED) {
            teller.events().connected(to);
        }
        teller
    }

    fn target(&self, category: &str, event: &str) -> Option<Target> {
        self.upstream.target(&self.client.negotiation.hub, category, event)
    }

    fn events(&mut self) -> &Events {
        self.events.get_or_insert_with(|| {
            Events::start(self.upstream.clone(), self.client.clone(), self.outbox.clone())
        })
    }

    /// Passes a client's call on, and gives what to answer at once if it cannot be.
    pub(super) fn call<P: AsRef<[u8]> + Clone>(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, P>,
    ) -> Result<(), &'static str> {
        if !invocation.stream_ids.is_empty() {
            return Err(self.refuses_streams());
        }
        match self.target(MESSAGES, &invocation.target) {
            Some(to) => self.events().call(to, call, invocation),
            None if self.upstream.is_configured() => Err(NO_RULE),
            None => Err(NO_UPSTREAM),
        }
    }

    /// What a client gets that asks for a stream, or sends one.
    pub(super) fn refuses_streams(&self) -> &'static str {
        if self.upstream.is_configured() { NO_STREAMS } else { NO_UPSTREAM }
    }

    /// Tells that the connection has ended.
    pub(super) fn end(mut self, error: Option<&str>) {
        if let Some(to) = self.target(CONNECTIONS, DISCONNECTED) {
            self.events();
            if let Some(events) = self.events {
                events.disconnected(to, error);
            }
        }
    }
}

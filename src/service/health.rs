//! Whether an endpoint is up.
//!
//! `HEAD {server endpoint}/api/health`, without authentication. Endpoints are looked at when they are used and what is
//! known is old, so nothing runs while nobody needs it.
//!
//! Source: [REST API reference](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::Url;
use tokio::time::Instant;

use super::{
    client::Shared,
    error::{Operation, ServiceError},
    rest::{self, API_VERSION},
};

/// As the official SDK does.
pub(super) const INTERVAL: Duration = Duration::from_secs(120);
/// An endpoint that is offline is looked at again after this, to be missed no longer than need be.
const OFFLINE_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// One lost packet does not take an endpoint out.
const ATTEMPTS: usize = 2;

#[derive(Debug)]
pub(super) struct Health {
    known: Mutex<Known>,
    /// Held while somebody looks.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    verdict: Result<(), ServiceError>,
    at: Option<Instant>,
}

impl Health {
    /// Online until somebody has looked.
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::new(Known { verdict: Ok(()), at: None }),
            looking: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_online(&self) -> bool {
        self.known().verdict.is_ok()
    }

    /// Why it is offline.
    pub(super) fn reason(&self) -> Option<ServiceError> {
        self.known().verdict.clone().err()
    }

    pub(super) fn note(&self, verdict: Result<(), ServiceError>) {
        *self.known() = Known { verdict, at: Some(Instant::now()) };
    }

    /// Online until somebody looks again.
    pub(super) fn forget(&self) {
        *self.known() = Known { verdict: Ok(()), at: None };
    }

    fn age(&self) -> Option<Duration> {
        self.known().at.map(|at| at.elapsed())
    }
}

impl Shared {
    /// Looks when what is known is older than `interval`: in the background while it will do, before this returns
    /// when nothing is known or it is twice as old.
    pub(super) async fn keep_watch(self: &Arc<Self>, interval: Duration) {
        let Some(age) = self.health.age() else { return self.look().await };
        let online = self.health.is_online();
        let interval = if online { interval } else { interval.min(OFFLINE_INTERVAL) };
        if online && age >= interval.saturating_mul(2) {
            self.look().await;
        } else if age >= interval && self.health.looking.try_lock().is_ok() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.look().await });
        }
    }

    /// Looks now. Whoever waits for somebody else's look does not repeat it.
    pub(super) async fn look(&self) {
        let since = Instant::now();
        let _turn = self.health.looking.lock().await;
        if self.health.known().at.is_some_and(|at| at > since) {
            return;
        }
        let mut verdict = Ok(());
        for _ in 0..ATTEMPTS {
            verdict = self.probe().await;
            if verdict.is_ok() {
                break;
            }
        }
        let label = self.endpoint.label();
        match (&verdict, self.health.is_online()) {
            (Err(reason), true) => tracing::warn!(endpoint = label, %reason, "the endpoint is offline"),
            (Ok(()), false) => {
                // If this fails the key at hand may still be good; the cache tells the log.
                let _ = self.keys.renew_if_used().await;
                tracing::info!(endpoint = label, "the endpoint is online again");
            }
            _ => {}
        }
        self.health.note(verdict);
    }

    async fn probe(&self) -> Result<(), ServiceError> {
        let operation = Operation::CheckHealth;
        let url = format!("{}api/health?api-version={API_VERSION}", self.rest.base);
        let url = Url::parse(&url).map_err(|_| ServiceError::InvalidName {
            what: "endpoint",
            reason: "it has no place for a path",
        })?;
        rest::dispatch(self.rest.client.head(url), operation, None, TIMEOUT).await.map(drop)
    }
}

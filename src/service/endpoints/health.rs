//! The health of an endpoint: how it is asked for, and what is known of it.
//!
//! Health is `HEAD {server endpoint}/api/health`, without authentication. It is asked for when the endpoint is used and
//! the last answer is old, when a request fails, and when one stays without an answer; so nothing runs while the
//! endpoint is not needed. A request that is made again does not hide a loss: its first failure counts.
//!
//! An endpoint is *doubtful* from a failure, or a question that it is slow to answer, until its health is known. Clients
//! are not sent there meanwhile if there is another one; messages are, since only an endpoint that is offline has no
//! clients.
//!
//! Source: [REST API reference](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api).

use std::{
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use reqwest::Url;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{
    core::ErrorChain,
    lock::lock,
    service::{
        error::{Operation, ServiceError},
        rest::{exchange, keys::SigningKeys},
    },
};

/// An endpoint that is offline is checked again after this, so that it is used again soon after it is back.
const OFFLINE_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// What has answered before is known to be able to answer sooner: the limit is many times as long as it took, which leaves
/// room for a new connection, and at least this.
const USUAL_TIMEOUT: Duration = Duration::from_millis(500);
const TIMES_AS_LONG: u32 = 8;
/// One lost packet does not take an endpoint out.
const ATTEMPTS: usize = 2;
/// What stays without an answer for so long is a reason to ask for the health, and the health's own answer that takes so
/// long a reason to doubt: together less than a second.
const SLOW: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(in crate::service) struct Health {
    known: Mutex<Known>,
    /// Whether the endpoint is one of several. One that is alone is never asked, it is used in any case.
    watched: AtomicBool,
    /// Held while the endpoint is being checked.
    checking: tokio::sync::Mutex<()>,
    changed: Notify,
    probe: Probe,
}

/// What a question for the health needs.
#[derive(Debug)]
pub(in crate::service) struct Probe {
    pub(in crate::service) client: reqwest::Client,
    pub(in crate::service) url: String,
    pub(in crate::service) keys: SigningKeys,
    /// Names the endpoint in the log.
    pub(in crate::service) label: String,
}

/// What became of some work at an endpoint.
pub(in crate::service) enum Watched<T> {
    Done(Result<T, ServiceError>),
    /// It was given up, since the endpoint is offline.
    Lost(ServiceError),
}

#[derive(Debug)]
struct Known {
    verdict: Result<(), ServiceError>,
    at: Option<Instant>,
    doubtful: bool,
    /// How long the last good answer took.
    answered_in: Duration,
}

impl Known {
    /// Online until a check says otherwise.
    const NOTHING: Self = Self { verdict: Ok(()), at: None, doubtful: false, answered_in: Duration::ZERO };
}

impl Health {
    pub(in crate::service) fn new(probe: Probe) -> Self {
        Self {
            known: Mutex::new(Known::NOTHING),
            watched: AtomicBool::new(false),
            checking: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            probe,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    pub(in crate::service) fn is_online(&self) -> bool {
        !self.watched.load(Relaxed) || self.known().verdict.is_ok()
    }

    /// Whether it is online, and nothing speaks against it.
    pub(in crate::service) fn is_trusted(&self) -> bool {
        self.is_online() && !self.known().doubtful
    }

    /// Why it is offline.
    pub(in crate::service) fn reason(&self) -> Option<ServiceError> {
        self.known().verdict.clone().err()
    }

    pub(in crate::service) fn note(&self, verdict: Result<(), ServiceError>) {
        let mut known = self.known();
        *known = Known { verdict, at: Some(Instant::now()), doubtful: false, answered_in: known.answered_in };
        drop(known);
        self.changed.notify_waiters();
    }

    /// Whether the endpoint is one of several. One that is alone counts as online.
    pub(in crate::service) fn set_watched(&self, watched: bool) {
        if self.watched.swap(watched, Relaxed) && !watched {
            *self.known() = Known::NOTHING;
        }
    }

    /// Does some work at the endpoint, and draws conclusions from a failure or from an answer that does not come. The
    /// work is given up when the endpoint turns out to be offline meanwhile: it would wait for its own, longer limit.
    pub(in crate::service) async fn watch<T>(
        self: &Arc<Self>,
        mut work: Pin<&mut impl Future<Output = Result<T, ServiceError>>>,
    ) -> Watched<T> {
        if !self.watched.load(Relaxed) {
            return Watched::Done(work.await);
        }
        let since = Instant::now();
        let result = match timeout(self.slow(), work.as_mut()).await {
            Ok(result) => result,
            Err(_) => tokio::select! {
                biased;
                result = work => result,
                reason = self.lost_since(since) => return Watched::Lost(reason),
            },
        };
        if result.as_ref().is_err_and(ServiceError::is_outage) {
            self.doubt();
        }
        Watched::Done(result)
    }

    /// Looks at the endpoint until it is found to be offline, and then why. Ends in no other way.
    async fn lost_since(self: &Arc<Self>, since: Instant) -> ServiceError {
        let mut asked = false;
        loop {
            let changed = self.changed.notified();
            let mut changed = pin!(changed);
            changed.as_mut().enable();
            if self.was_checked_since(since)
                && let Some(reason) = self.reason()
            {
                return reason;
            }
            // Calls that wait long, and many of them, must not ask for the health all the time.
            let old = self.age().is_none_or(|age| age >= OFFLINE_INTERVAL);
            if old || !(asked || self.was_checked_since(since)) {
                self.check_soon();
                asked = true;
            }
            let _ = timeout(OFFLINE_INTERVAL, changed).await;
        }
    }

    /// Why it is offline, if it is one of several that is.
    pub(in crate::service) fn reason_if_offline(&self) -> Option<ServiceError> {
        if self.is_online() { None } else { self.reason() }
    }

    /// Waits, but no longer than until the endpoint is known to be offline, and says whether it is. One that is alone never
    /// is, so that this waits for the whole time.
    pub(in crate::service) async fn is_lost_within(&self, pause: Duration) -> bool {
        let lost = async {
            loop {
                let changed = self.changed.notified();
                let mut changed = pin!(changed);
                changed.as_mut().enable();
                if !self.is_online() {
                    return;
                }
                changed.await;
            }
        };
        timeout(pause, lost).await.is_ok()
    }

    /// Something has failed there: sends no clients there until it is known what the matter is.
    pub(in crate::service) fn doubt(self: &Arc<Self>) {
        self.suspect();
        self.check_soon();
    }

    fn suspect(&self) {
        self.known().doubtful = true;
        self.changed.notify_waiters();
    }

    /// What counts as slow: longer than usual for an endpoint that is far away.
    fn slow(&self) -> Duration {
        (self.known().answered_in * 2).clamp(SLOW, OFFLINE_INTERVAL)
    }

    /// How long the answer to the question for the health may take. What is offline gets the whole time to come back.
    fn patience(&self) -> Duration {
        let known = self.known();
        if known.verdict.is_err() || known.answered_in.is_zero() {
            return TIMEOUT;
        }
        (known.answered_in * TIMES_AS_LONG).clamp(USUAL_TIMEOUT, TIMEOUT)
    }

    fn age(&self) -> Option<Duration> {
        self.known().at.map(|at| at.elapsed())
    }

    fn was_checked_since(&self, since: Instant) -> bool {
        self.known().at.is_some_and(|at| at > since)
    }

    /// Checks the health when the last check is older than `interval`: in the background if that is soon enough, before
    /// this returns when there was no check or it is twice as old. Then it waits until there is an answer or a doubt.
    pub(in crate::service) async fn keep_fresh(self: &Arc<Self>, interval: Duration) {
        let Some(age) = self.age() else { return self.check().await };
        let online = self.is_online();
        let interval = if online { interval } else { interval.min(OFFLINE_INTERVAL) };
        if age < interval {
            return;
        }
        let changed = self.changed.notified();
        let mut changed = pin!(changed);
        changed.as_mut().enable();
        self.check_soon();
        if online && age >= interval.saturating_mul(2) {
            let _ = timeout(self.slow() * 2, changed).await;
        }
    }

    /// Checks the health in the background, unless that is being done.
    fn check_soon(self: &Arc<Self>) {
        if self.checking.try_lock().is_ok() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.check().await });
        }
    }

    /// Checks the health now. A caller that had to wait for another check takes its result.
    pub(in crate::service) async fn check(&self) {
        let since = Instant::now();
        let _turn = self.checking.lock().await;
        if self.was_checked_since(since) {
            return;
        }
        let mut verdict = Ok(());
        for _ in 0..ATTEMPTS {
            let asked = Instant::now();
            let mut answer = pin!(self.ask());
            verdict = match timeout(self.slow(), &mut answer).await {
                Ok(answer) => answer,
                Err(_) => {
                    self.suspect();
                    answer.await
                }
            };
            if verdict.is_ok() {
                self.known().answered_in = asked.elapsed();
                break;
            }
            self.suspect();
        }
        let endpoint = &self.probe.label;
        match (&verdict, self.is_online()) {
            (Err(error), true) => {
                tracing::warn!(endpoint, reason = %ErrorChain::new(error), "the endpoint is offline");
            }
            (Ok(()), false) => {
                // If this fails, the present key may still be valid; the cache logs the failure.
                let _ = self.probe.keys.renew_if_used().await;
                tracing::info!(endpoint, "the endpoint is online again");
            }
            _ => {}
        }
        self.note(verdict);
    }

    async fn ask(&self) -> Result<(), ServiceError> {
        let url = Url::parse(&self.probe.url).map_err(|_| ServiceError::InvalidName {
            what: "endpoint",
            reason: "it has no place for a path",
        })?;
        let request = self.probe.client.head(url);
        exchange::dispatch(request, Operation::CheckHealth, None, self.patience()).await.map(drop)
    }
}

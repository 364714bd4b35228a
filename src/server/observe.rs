//! What was asked of a room lately, as a dashboard sees it: kept for rooms only that have an [`Observer`].
//!
//! Queries, headers, tokens and arguments never get here.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use serde::Serialize;

use crate::lock::lock;
use crate::server::traffic::{next_number, now_ms};

/// How many requests are kept.
pub(crate) const KEPT: usize = 500;

/// The longest text of a request, in bytes.
const MAX_TEXT: usize = 256;

/// What kind of thing was asked for, or happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    #[default]
    Negotiate,
    Connect,
    Disconnect,
    /// A client has called a method of the hub.
    Call,
    /// Sent from a dashboard.
    Send,
    /// A request of the REST API.
    Rest,
    /// A request for a token of an application.
    Token,
    /// A request for a token of a managed identity.
    Identity,
    /// A request to an upstream.
    Upstream,
    /// Something about a server connection.
    Server,
    /// A client was not let in.
    Refused,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ended {
    #[default]
    Ok,
    Error,
}

/// One thing that was asked for, or happened. Its texts are clipped when it is recorded.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Observed {
    pub(crate) id: u64,
    pub(crate) at: u64,
    pub(crate) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    /// Without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Ended,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ms: Option<f64>,
}

impl Observed {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Something about one connection.
    pub(crate) fn of(kind: Kind, hub: &str, connection: &str, user: Option<&str>) -> Self {
        let (hub, connection) = (Some(hub.to_owned()), Some(connection.to_owned()));
        Self { hub, connection, user: user.map(str::to_owned), ..Self::new(kind) }
    }

    pub(crate) fn failed(self, reason: impl Into<String>) -> Self {
        Self { outcome: Ended::Error, reason: Some(reason.into()), ..self }
    }

    pub(crate) fn took(self, begun: Instant) -> Self {
        // Hundredths are enough for people.
        let ms = (begun.elapsed().as_secs_f64() * 100_000.0).round() / 100.0;
        Self { ms: Some(ms), ..self }
    }

    /// What was answered to a request.
    pub(crate) fn answered(self, status: u16, reason: Option<&Reason>) -> Self {
        let this = Self { status: Some(status), ..self };
        if status < 400 {
            return this;
        }
        let known = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let reason = reason.map(|Reason(text)| text.as_ref()).filter(|text| !text.is_empty());
        this.failed(reason.or(known).unwrap_or("an error"))
    }

    fn clipped(mut self) -> Self {
        let texts = [&mut self.method, &mut self.path, &mut self.hub, &mut self.user];
        let more = [&mut self.connection, &mut self.target, &mut self.reason];
        for text in texts.into_iter().chain(more).flatten() {
            clip(text);
        }
        self
    }
}

/// Cuts a text that is too long, and says so.
fn clip(text: &mut String) {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
}

/// Goes with a response that refuses something: why, for the dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Reason(pub(crate) Cow<'static, str>);

/// Goes with a response to a client: which user it is.
#[derive(Debug, Clone)]
pub(crate) struct Who(pub(crate) Option<String>);

/// Keeps what was asked of a room lately.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    ring: Mutex<Ring>,
    watchers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<Arc<Observed>>,
    /// How many there have been.
    count: u64,
}

/// Up to where somebody has read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor(Option<u64>);

/// Somebody watches, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching(Arc<Observer>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    pub(crate) fn watch(self: &Arc<Self>) -> Watching {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watching(self.clone())
    }

    /// Whether somebody looks. While nobody does, calls that went well are not recorded: there may be very many.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn record(&self, observed: Observed) {
        let observed = Observed { at: now_ms(), ..observed.clipped() };
        let mut ring = self.lock();
        // The numbers in a ring ascend, since they are given under its lock.
        let observed = Observed { id: next_number(), ..observed };
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(Arc::new(observed));
        ring.count += 1;
    }

    /// How many were recorded so far.
    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    /// What was recorded since the last time, the oldest first, and how much of it is not kept any more. The first time, it
    /// is the last `at_first`.
    pub(crate) fn read(&self, cursor: &mut Cursor, at_first: usize) -> (Vec<Arc<Observed>>, u64) {
        let ring = self.lock();
        let first = ring.count - ring.kept.len() as u64;
        let newest = ring.count.saturating_sub(at_first as u64).max(first);
        let from = cursor.0.unwrap_or(newest);
        *cursor = Cursor(Some(ring.count));
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        (ring.kept.iter().skip(skip).cloned().collect(), first.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(read: &[Arc<Observed>]) -> Vec<String> {
        read.iter().filter_map(|observed| observed.target.clone()).collect()
    }

    fn record(observer: &Observer, targets: std::ops::Range<usize>) {
        for target in targets {
            observer.record(Observed { target: Some(target.to_string()), ..Observed::new(Kind::Call) });
        }
    }

    #[test]
    fn what_is_new_is_read_once_and_what_is_lost_is_counted() {
        let observer = Observer::default();
        record(&observer, 0..5);
        let mut cursor = Cursor::default();
        let (read, missed) = observer.read(&mut cursor, 3);
        assert_eq!((ids(&read), missed), (vec!["2".into(), "3".into(), "4".into()], 0));
        assert!(read.is_sorted_by_key(|observed| observed.id));
        assert_eq!(observer.read(&mut cursor, 3).0.len(), 0);
        record(&observer, 5..6 + KEPT);
        let (read, missed) = observer.read(&mut cursor, 3);
        assert_eq!((read.len(), missed), (KEPT, 1));
        assert_eq!(ids(&read)[0], "6");
        assert_eq!(observer.count(), 6 + KEPT as u64);
    }

    #[test]
    fn texts_are_bounded() {
        let observer = Observer::default();
        let long = "ü".repeat(100_000);
        observer.record(Observed::of(Kind::Refused, &long, &long, Some(&long)).failed(long.clone()));
        let (read, _) = observer.read(&mut Cursor::default(), 1);
        let text = serde_json::to_string(&read[0]).expect("it is JSON");
        assert!(text.len() < 2_000 && text.contains('…'), "{}", text.len());
    }

    #[test]
    fn whether_somebody_watches_is_known() {
        let observer = Arc::new(Observer::default());
        let watching = [observer.watch(), observer.watch()];
        assert!(observer.is_watched());
        drop(watching);
        assert!(!observer.is_watched());
    }

    #[test]
    fn an_answer_has_a_reason_where_it_refuses() {
        let of = |status, reason: Option<&'static str>| {
            let reason = reason.map(|text| Reason(text.into()));
            Observed::default().answered(status, reason.as_ref())
        };
        assert_eq!(of(202, Some("unused")).reason, None);
        assert_eq!(of(403, Some("no")).reason.as_deref(), Some("no"));
        assert_eq!(of(403, None).reason.as_deref(), Some("Forbidden"));
        assert_eq!(of(403, Some("")).outcome, Ended::Error);
    }
}

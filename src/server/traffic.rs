//! What one connection has sent and got, and what is known of it, for a dashboard.
//!
//! Counting costs a connection two plain additions a message, in its own task.

use std::{
    fmt,
    sync::{
        OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;
use tokio::sync::watch;

use crate::{core::negotiate::Transport, platform::unix_now};

/// Tells requests and connections of this process apart, in the order in which they came.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The time in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(unix_now().as_millis()).unwrap_or(u64::MAX)
}

/// What one connection has sent and got. Its own task alone adds to it.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Traffic {
    pub(crate) fn received(&self, messages: u64, bytes: usize) {
        add(&self.messages_in, messages);
        add(&self.bytes_in, bytes as u64);
    }

    pub(crate) fn sent(&self, messages: u64, bytes: usize) {
        add(&self.messages_out, messages);
        add(&self.bytes_out, bytes as u64);
    }

    pub(crate) fn totals(&self) -> Totals {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            messages_in: get(&self.messages_in),
            messages_out: get(&self.messages_out),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
        }
    }
}

/// Adds where nobody else does, which is cheaper than an atomic addition.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// Messages and bytes of clients (in) and for clients (out).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.messages_in += other.messages_in;
        self.messages_out += other.messages_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// What is known of a connection besides who it is.
#[derive(Debug)]
pub(crate) struct About {
    /// Later connections have larger ones.
    pub(crate) number: u64,
    /// In milliseconds since the Unix epoch.
    pub(crate) since: u64,
    /// None for a client within the program.
    pub(crate) transport: Option<Transport>,
    pub(crate) is_stateful: bool,
    /// When it ends with its authentication, in seconds since the Unix epoch, if it does.
    expiry: Option<watch::Receiver<Option<u64>>>,
    /// Who knows its claims, once there is somebody.
    described: OnceLock<Weak<dyn Described>>,
}

/// Who knows the claims of a connection as they are now.
pub(crate) trait Described: Send + Sync {
    /// Names and values; a name may have several.
    fn claims(&self) -> Vec<(String, String)>;
}

impl fmt::Debug for dyn Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Described")
    }
}

impl Default for About {
    fn default() -> Self {
        Self::new(None, false, None)
    }
}

impl About {
    pub(crate) fn new(
        transport: Option<Transport>,
        is_stateful: bool,
        expiry: Option<watch::Receiver<Option<u64>>>,
    ) -> Self {
        let (number, since) = (next_number(), now_ms());
        Self { number, since, transport, is_stateful, expiry, described: OnceLock::new() }
    }

    /// Who knows the claims of the connection.
    pub(crate) fn describe(&self, described: Weak<dyn Described>) {
        let _ = self.described.set(described);
    }

    pub(crate) fn claims(&self) -> Vec<(String, String)> {
        let described = self.described.get().and_then(Weak::upgrade);
        described.map(|described| described.claims()).unwrap_or_default()
    }

    /// When it ends with its authentication, in milliseconds since the Unix epoch, if it does.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        let seconds = self.expiry.as_ref().and_then(|expiry| *expiry.borrow())?;
        Some(seconds.saturating_mul(1000))
    }
}

//! Numbers that differ from call to call and from process to process. They keep requests apart and spread
//! renewals; nothing secret may depend on them.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(in crate::service) fn number() -> u64 {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    STATE.get_or_init(RandomState::new).hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(in crate::service) fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(number() as f64 / u64::MAX as f64)
}

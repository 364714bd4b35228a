//! What is known about the health of an endpoint.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::{lock::lock, service::error::ServiceError};

#[derive(Debug)]
pub(in crate::service) struct Health {
    known: Mutex<Known>,
    /// Held while the endpoint is being checked.
    pub(super) checking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Known {
    verdict: Result<(), ServiceError>,
    at: Option<Instant>,
}

impl Health {
    /// Online until a check says otherwise.
    pub(in crate::service) fn new() -> Self {
        Self {
            known: Mutex::new(Known { verdict: Ok(()), at: None }),
            checking: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    pub(in crate::service) fn is_online(&self) -> bool {
        self.known().verdict.is_ok()
    }

    /// Why it is offline.
    pub(in crate::service) fn reason(&self) -> Option<ServiceError> {
        self.known().verdict.clone().err()
    }

    pub(in crate::service) fn note(&self, verdict: Result<(), ServiceError>) {
        *self.known() = Known { verdict, at: Some(Instant::now()) };
    }

    /// Online until the next check.
    pub(in crate::service) fn forget(&self) {
        *self.known() = Known { verdict: Ok(()), at: None };
    }

    pub(super) fn age(&self) -> Option<Duration> {
        self.known().at.map(|at| at.elapsed())
    }

    pub(super) fn was_checked_since(&self, since: Instant) -> bool {
        self.known().at.is_some_and(|at| at > since)
    }
}

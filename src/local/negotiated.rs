//! Connections between their negotiation and their end, by connection token.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::local::exchange::Exchange;

/// A negotiated connection has to be opened within this time, as in Azure.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// Who a connection was negotiated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Negotiation {
    pub(super) connection_id: String,
    pub(super) hub: String,
    pub(super) user: Option<String>,
}

impl Negotiation {
    fn is_for(&self, hub: &str, user: Option<&str>) -> bool {
        self.hub == hub && self.user.as_deref() == user
    }
}

/// Why a connection can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenError {
    /// Never negotiated, not by this user for this hub, too late, or ended.
    Unknown,
    /// Open already.
    Taken,
}

#[derive(Debug, Default)]
pub(super) struct Negotiated(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    states: HashMap<String, State>,
    /// Tokens with the time that they have to be used by, the earliest first.
    deadlines: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
enum State {
    Waiting(Negotiation),
    /// With what its requests go to, if it is made of requests.
    Open(Negotiation, Option<Arc<Exchange>>),
}

impl Negotiated {
    /// Keeps a negotiated connection for a while.
    pub(super) fn insert(&self, token: String, negotiation: Negotiation, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.expire(now);
        table.deadlines.push_back((now + OPEN_WITHIN, token.clone()));
        table.states.insert(token, State::Waiting(negotiation));
    }

    /// Takes a connection into use; [`close`](Self::close) has to follow when it ends.
    pub(super) fn open(
        &self,
        token: &str,
        hub: &str,
        user: Option<&str>,
        exchange: Option<&Arc<Exchange>>,
        now: Instant,
    ) -> Result<Negotiation, OpenError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.expire(now);
        let state = table.states.get_mut(token).ok_or(OpenError::Unknown)?;
        match state {
            State::Waiting(known) | State::Open(known, _) if !known.is_for(hub, user) => {
                Err(OpenError::Unknown)
            }
            State::Open(..) => Err(OpenError::Taken),
            State::Waiting(known) => {
                let known = known.clone();
                *state = State::Open(known.clone(), exchange.cloned());
                Ok(known)
            }
        }
    }

    /// Where the requests of an open connection go.
    pub(super) fn exchange(&self, token: &str, hub: &str, user: Option<&str>) -> Option<Arc<Exchange>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).states.get(token)? {
            State::Open(known, exchange) if known.is_for(hub, user) => exchange.clone(),
            _ => None,
        }
    }

    /// Forgets a connection.
    pub(super) fn close(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).states.remove(token);
    }
}

impl Table {
    fn expire(&mut self, now: Instant) {
        while self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now) {
            let Some((_, token)) = self.deadlines.pop_front() else { return };
            if let Some(State::Waiting(_)) = self.states.get(&token) {
                self.states.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_opened_once_and_in_time() {
        let negotiated = Negotiated::default();
        let negotiation =
            Negotiation { connection_id: "c".into(), hub: "chat".into(), user: Some("alice".into()) };
        let start = Instant::now();
        negotiated.insert("early".into(), negotiation.clone(), start);
        negotiated.insert("late".into(), negotiation.clone(), start);
        let open = |token, at| negotiated.open(token, "chat", Some("alice"), None, start + at);

        assert_eq!(open("never", Duration::ZERO), Err(OpenError::Unknown));
        let elsewhere = negotiated.open("early", "other", Some("alice"), None, start);
        assert_eq!(elsewhere, Err(OpenError::Unknown));
        assert_eq!(negotiated.open("early", "chat", None, None, start), Err(OpenError::Unknown));
        assert_eq!(open("early", Duration::from_millis(4999)), Ok(negotiation));
        assert_eq!(open("early", Duration::from_secs(60)), Err(OpenError::Taken));
        assert_eq!(open("late", Duration::from_secs(60)), Err(OpenError::Unknown));
        negotiated.close("early");
        assert_eq!(open("early", Duration::from_secs(60)), Err(OpenError::Unknown));
        let table = negotiated.0.lock().expect("no panic");
        assert!(table.states.is_empty() && table.deadlines.is_empty());
    }
}

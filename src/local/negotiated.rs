//! Connections between their negotiation and their end, by connection token.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

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
    Open(Negotiation, Ways),
}

/// The ways to an open connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    /// Where its requests go, if it is made of requests.
    pub(super) exchange: Option<Arc<Exchange>>,
    /// When it ends with its authentication, in seconds since the Unix epoch, if it does.
    pub(super) expiry: watch::Sender<Option<u64>>,
}

/// Why the authentication of a connection is not refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshError {
    /// There is no open connection with this token.
    Unknown,
    /// It is another user's.
    OtherUser,
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
        ways: &Ways,
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
                *state = State::Open(known.clone(), ways.clone());
                Ok(known)
            }
        }
    }

    /// Where the requests of an open connection go.
    pub(super) fn exchange(&self, token: &str, hub: &str, user: Option<&str>) -> Option<Arc<Exchange>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).states.get(token)? {
            State::Open(known, ways) if known.is_for(hub, user) => ways.exchange.clone(),
            _ => None,
        }
    }

    /// Moves the end of a connection that ends with its authentication. With a user, it has to be that user's.
    pub(super) fn refresh(
        &self,
        token: &str,
        hub: &str,
        user: Option<Option<&str>>,
        expiry: u64,
    ) -> Result<(), RefreshError> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).states.get(token) {
            Some(State::Open(known, ways)) if known.hub == hub => {
                if user.is_some_and(|user| user != known.user.as_deref()) {
                    return Err(RefreshError::OtherUser);
                }
                ways.expiry.send_modify(|ends| *ends = ends.map(|_| expiry));
                Ok(())
            }
            _ => Err(RefreshError::Unknown),
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
        let (start, ways) = (Instant::now(), Ways::default());
        negotiated.insert("early".into(), negotiation.clone(), start);
        negotiated.insert("late".into(), negotiation.clone(), start);
        let open = |token, at| negotiated.open(token, "chat", Some("alice"), &ways, start + at);

        assert_eq!(open("never", Duration::ZERO), Err(OpenError::Unknown));
        let elsewhere = negotiated.open("early", "other", Some("alice"), &ways, start);
        assert_eq!(elsewhere, Err(OpenError::Unknown));
        assert_eq!(negotiated.open("early", "chat", None, &ways, start), Err(OpenError::Unknown));
        assert_eq!(open("early", Duration::from_millis(4999)), Ok(negotiation));
        assert_eq!(open("early", Duration::from_secs(60)), Err(OpenError::Taken));
        let refresh = |token, hub, user| negotiated.refresh(token, hub, user, 9);
        assert_eq!(refresh("never", "chat", None), Err(RefreshError::Unknown));
        assert_eq!(refresh("early", "other", None), Err(RefreshError::Unknown));
        for user in [None, Some("bob")] {
            assert_eq!(refresh("early", "chat", Some(user)), Err(RefreshError::OtherUser));
        }
        assert_eq!(refresh("early", "chat", Some(Some("alice"))), Ok(()));
        assert_eq!(*ways.expiry.borrow(), None, "it does not end with its authentication");
        ways.expiry.send_replace(Some(1));
        assert_eq!(refresh("early", "chat", None), Ok(()));
        assert_eq!(*ways.expiry.borrow(), Some(9));
        assert_eq!(open("late", Duration::from_secs(60)), Err(OpenError::Unknown));
        negotiated.close("early");
        assert_eq!(open("early", Duration::from_secs(60)), Err(OpenError::Unknown));
        let table = negotiated.0.lock().expect("no panic");
        assert!(table.states.is_empty() && table.deadlines.is_empty());
    }
}

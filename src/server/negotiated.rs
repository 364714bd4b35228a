//! Connections between their negotiation and their end, by connection token.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};

use crate::lock::lock;
use crate::server::{
    claims::{Claims, SharedClaims},
    exchange::Exchange,
    transport::Transport,
};

/// A negotiated connection has to be opened within this time, as in Azure.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// How many connections may wait to be opened.
const MAX_WAITING: usize = 100_000;

/// How many of them may be for clients at one address, where that is known. Many may be behind one.
const MAX_WAITING_AT_ADDRESS: usize = 5_000;

/// How many bytes of a client are kept until its connection is opened.
const MAX_EARLY: usize = 1024;

/// Who a connection was negotiated for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Negotiation {
    pub(crate) connection_id: String,
    pub(crate) hub: String,
    pub(crate) user: Option<String>,
    /// Whether it goes on with another socket when it has lost one (stateful reconnect).
    pub(crate) is_stateful: bool,
}

impl Negotiation {
    fn is_for(&self, hub: &str, user: Option<&str>) -> bool {
        self.hub == hub && self.user.as_deref() == user
    }
}

/// Why a connection cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Never negotiated, not by this user for this hub, too late, or ended.
    Unknown,
    /// Open already.
    Taken,
}

#[derive(Debug, Default)]
pub(crate) struct Negotiated(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    states: HashMap<String, State>,
    /// Tokens with the time that they have to be used by, the earliest first.
    deadlines: VecDeque<(Instant, String, Option<IpAddr>)>,
    /// How many of them are for clients at an address.
    at: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
enum State {
    /// With what the client has sent before it is opened.
    Waiting(Negotiation, Vec<u8>),
    Open(Negotiation, Ways),
}

/// The ways to an open connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// Where its requests go, if it is made of requests.
    pub(crate) exchange: Option<Arc<Exchange>>,
    /// When it ends with its authentication, in seconds since the Unix epoch, if it does.
    pub(crate) expiry: watch::Sender<Option<u64>>,
    pub(crate) claims: Arc<SharedClaims>,
    /// Takes its next socket, if it is stateful.
    pub(crate) resume: Option<mpsc::Sender<Transport>>,
}

/// Why the authentication of a connection is not refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshError {
    /// There is no open connection with this token.
    Unknown,
    /// It is another user's.
    OtherUser,
}

impl Negotiated {
    /// Keeps a negotiated connection for a while. Whether there is room for it.
    #[must_use]
    pub(crate) fn insert(
        &self,
        token: String,
        negotiation: Negotiation,
        address: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let mut table = lock(&self.0);
        table.expire(now);
        let waiting = address.and_then(|address| table.at.get(&address)).copied().unwrap_or_default();
        let has_room = table.deadlines.len() < MAX_WAITING && waiting < MAX_WAITING_AT_ADDRESS;
        if has_room {
            if let Some(address) = address {
                table.at.insert(address, waiting + 1);
            }
            table.deadlines.push_back((now + OPEN_WITHIN, token.clone(), address));
            table.states.insert(token, State::Waiting(negotiation, Vec::new()));
        }
        has_room
    }

    /// Takes a connection into use for as long as the lease lives.
    pub(crate) fn open(
        self: &Arc<Self>,
        token: &str,
        hub: &str,
        user: Option<&str>,
        ways: &Ways,
        now: Instant,
    ) -> Result<(Negotiation, Lease), OpenError> {
        let mut table = lock(&self.0);
        table.expire(now);
        let state = table.states.get_mut(token).ok_or(OpenError::Unknown)?;
        match state {
            State::Waiting(known, _) | State::Open(known, _) if !known.is_for(hub, user) => {
                Err(OpenError::Unknown)
            }
            State::Open(..) => Err(OpenError::Taken),
            State::Waiting(known, early) => {
                if let (Some(exchange), false) = (&ways.exchange, early.is_empty()) {
                    exchange.send_early(std::mem::take(early).into());
                }
                let known = known.clone();
                *state = State::Open(known.clone(), ways.clone());
                Ok((known, Lease { negotiated: self.clone(), token: token.to_owned() }))
            }
        }
    }

    /// Keeps what a client sends before its connection is opened: some say their handshake before the first poll. Whether
    /// the connection waits, and there is room for it.
    pub(crate) fn keep(&self, token: &str, hub: &str, user: Option<&str>, bytes: &[u8]) -> bool {
        match lock(&self.0).states.get_mut(token) {
            Some(State::Waiting(known, early))
                if known.is_for(hub, user) && early.len() + bytes.len() <= MAX_EARLY =>
            {
                early.extend_from_slice(bytes);
                true
            }
            _ => false,
        }
    }

    /// Whether a negotiated connection is to be opened.
    pub(crate) fn is_waiting(&self, token: &str) -> bool {
        let table = lock(&self.0);
        matches!(table.states.get(token), Some(State::Waiting(..)))
    }

    /// Whether a negotiated connection that is to be opened will be a stateful one.
    pub(crate) fn is_stateful(&self, token: &str) -> bool {
        let table = lock(&self.0);
        matches!(table.states.get(token), Some(State::Waiting(known, _)) if known.is_stateful)
    }

    /// What takes the next socket of an open connection that is stateful.
    pub(crate) fn resume(
        &self,
        token: &str,
        hub: &str,
        user: Option<&str>,
    ) -> Option<mpsc::Sender<Transport>> {
        match lock(&self.0).states.get(token)? {
            State::Open(known, ways) if known.is_stateful && known.is_for(hub, user) => ways.resume.clone(),
            _ => None,
        }
    }

    /// Where the requests of an open connection go.
    pub(crate) fn exchange(&self, token: &str, hub: &str, user: Option<&str>) -> Option<Arc<Exchange>> {
        match lock(&self.0).states.get(token)? {
            State::Open(known, ways) if known.is_for(hub, user) => ways.exchange.clone(),
            _ => None,
        }
    }

    /// Moves the end of a connection that ends with its authentication, if there is another, and has the host change its
    /// claims, by when it ends. With a user, it has to be that user's. Gives the claims that it then has.
    pub(crate) fn refresh(
        &self,
        token: &str,
        hub: &str,
        user: Option<Option<&str>>,
        expiry: Option<u64>,
        change: impl FnOnce(&mut Claims, Option<u64>),
    ) -> Result<Claims, RefreshError> {
        let table = lock(&self.0);
        let (known, ways) = table.opened(token, hub).ok_or(RefreshError::Unknown)?;
        if user.is_some_and(|user| user != known.user.as_deref()) {
            return Err(RefreshError::OtherUser);
        }
        if let Some(expiry) = expiry {
            ways.expiry.send_modify(|ends| *ends = ends.map(|_| expiry));
        }
        let ends = *ways.expiry.borrow();
        Ok(ways.claims.update(|claims| change(claims, ends)))
    }

    /// Moves the end of a connection, whose client has come with an authentication that ends later, to that.
    pub(crate) fn prolong(&self, token: &str, expiry: u64) {
        let table = lock(&self.0);
        if let Some(State::Open(_, ways)) = table.states.get(token) {
            let is_later = |ends: &mut Option<u64>| match ends {
                Some(ends) if *ends < expiry => {
                    *ends = expiry;
                    true
                }
                _ => false,
            };
            ways.expiry.send_if_modified(is_later);
        }
    }

    /// The client of an open connection has another authentication, which ends then, if the connection ends with it. It has
    /// to be of the same user.
    pub(crate) fn reauthenticate(
        &self,
        token: &str,
        hub: &str,
        user: Option<&str>,
        expiry: Option<u64>,
    ) -> Result<(), RefreshError> {
        let table = lock(&self.0);
        let (known, ways) = table.opened(token, hub).ok_or(RefreshError::Unknown)?;
        if user != known.user.as_deref() {
            return Err(RefreshError::OtherUser);
        }
        ways.expiry.send_replace(expiry);
        Ok(())
    }

    /// The id and the user of an open connection, by its secret token.
    pub(crate) fn owner(&self, token: &str, hub: &str) -> Option<(String, Option<String>)> {
        let table = lock(&self.0);
        table.opened(token, hub).map(|(known, _)| (known.connection_id.clone(), known.user.clone()))
    }

    /// The claims of an open connection.
    pub(crate) fn claims(&self, token: &str, hub: &str) -> Option<Claims> {
        let table = lock(&self.0);
        table.opened(token, hub).map(|(_, ways)| ways.claims.get())
    }

    /// Forgets a connection.
    fn close(&self, token: &str) {
        lock(&self.0).states.remove(token);
    }
}

/// Keeps a connection token taken for as long as its connection lives, even if an upgrade never comes about.
#[derive(Debug)]
pub(crate) struct Lease {
    negotiated: Arc<Negotiated>,
    token: String,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.negotiated.close(&self.token);
    }
}

impl Table {
    /// An open connection with a secret token. Clients of negotiate version 0 do not have one, and their connection id
    /// proves nothing, since others know it.
    fn opened(&self, token: &str, hub: &str) -> Option<(&Negotiation, &Ways)> {
        match self.states.get(token)? {
            State::Open(known, ways) if known.hub == hub && known.connection_id != token => {
                Some((known, ways))
            }
            _ => None,
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.deadlines.front().is_some_and(|(deadline, ..)| *deadline <= now) {
            let Some((_, token, address)) = self.deadlines.pop_front() else { return };
            if let Some(address) = address
                && let Entry::Occupied(mut waiting) = self.at.entry(address)
            {
                *waiting.get_mut() -= 1;
                if *waiting.get() == 0 {
                    waiting.remove();
                }
            }
            if let Some(State::Waiting(..)) = self.states.get(&token) {
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
        let negotiated = Arc::new(Negotiated::default());
        let negotiation = Negotiation {
            connection_id: "c".into(),
            hub: "chat".into(),
            user: Some("alice".into()),
            ..Negotiation::default()
        };
        let (start, ways) = (Instant::now(), Ways::default());
        assert!(negotiated.insert("early".into(), negotiation.clone(), None, start));
        assert!(negotiated.insert("late".into(), negotiation.clone(), None, start));
        let open = |token, at| negotiated.open(token, "chat", Some("alice"), &ways, start + at);
        let refused = |token, at| open(token, at).err();

        assert_eq!(refused("never", Duration::ZERO), Some(OpenError::Unknown));
        for (hub, user) in [("other", Some("alice")), ("chat", None)] {
            let elsewhere = negotiated.open("early", hub, user, &ways, start);
            assert_eq!(elsewhere.err(), Some(OpenError::Unknown));
        }
        let (opened, lease) = open("early", Duration::from_millis(4999)).expect("it is in time");
        assert_eq!(opened, negotiation);
        assert_eq!(refused("early", Duration::from_secs(60)), Some(OpenError::Taken));
        let refresh_until = |token, hub, user, expiry| {
            let change =
                |claims: &mut Claims, ends: Option<u64>| drop(claims.insert("ends".into(), ends.into()));
            negotiated.refresh(token, hub, user, expiry, change).map(|claims| claims["ends"].as_u64())
        };
        let refresh = |token, hub, user| refresh_until(token, hub, user, Some(9));
        assert_eq!(refresh("never", "chat", None), Err(RefreshError::Unknown));
        assert_eq!(refresh("early", "other", None), Err(RefreshError::Unknown));
        for user in [None, Some("bob")] {
            assert_eq!(refresh("early", "chat", Some(user)), Err(RefreshError::OtherUser));
        }
        assert_eq!(refresh("early", "chat", Some(Some("alice"))), Ok(None));
        assert_eq!(*ways.expiry.borrow(), None, "it does not end with its authentication");
        ways.expiry.send_replace(Some(1));
        assert_eq!(refresh("early", "chat", None), Ok(Some(9)));
        assert_eq!(*ways.expiry.borrow(), Some(9));
        assert_eq!(refresh_until("early", "chat", None, None), Ok(Some(9)), "nothing is said of its end");
        assert_eq!(negotiated.claims("early", "chat").map(|claims| claims["ends"].as_u64()), Some(Some(9)));

        let version_0 =
            Negotiation { connection_id: "public".into(), hub: "chat".into(), ..Negotiation::default() };
        assert!(negotiated.insert("public".into(), version_0, None, start));
        let _lease = negotiated.open("public", "chat", None, &ways, start).expect("it is in time");
        assert_eq!(refresh("public", "chat", None), Err(RefreshError::Unknown));
        assert_eq!(negotiated.claims("public", "chat"), None);
        assert_eq!(refused("late", Duration::from_secs(60)), Some(OpenError::Unknown));
        drop(lease);
        assert_eq!(refused("early", Duration::from_secs(60)), Some(OpenError::Unknown));
        let table = negotiated.0.lock().expect("no panic");
        assert!(table.states.keys().eq(["public"]) && table.deadlines.is_empty());
    }

    #[test]
    fn not_more_are_kept_than_there_is_room_for() {
        let negotiated = Negotiated::default();
        let negotiation =
            Negotiation { connection_id: "c".into(), hub: "chat".into(), ..Negotiation::default() };
        let start = Instant::now();
        let address = |n: usize| Some(IpAddr::from([10, 0, 0, (n / MAX_WAITING_AT_ADDRESS) as u8]));
        let insert = |n: usize, at| negotiated.insert(n.to_string(), negotiation.clone(), address(n), at);
        assert!((0..MAX_WAITING_AT_ADDRESS).all(|n| insert(n, start)));
        let more = |at| negotiated.insert("more".into(), negotiation.clone(), address(0), at);
        assert!(!more(start), "it is for one address");
        assert!((MAX_WAITING_AT_ADDRESS..MAX_WAITING).all(|n| insert(n, start)));
        assert!(!insert(MAX_WAITING, start), "it is for everybody");
        assert!(more(start + OPEN_WITHIN));
        let table = negotiated.0.lock().expect("no panic");
        assert!(table.states.len() == 1 && table.at.len() == 1);
    }
}

//! Which server connections of a hub there are at one endpoint, when the next one is opened, and which one carries a
//! message.
//!
//! - The fixed ones are opened again for ever. As long as attempts fail there is one at a time, after 1, 2, 4, 8, 16, 32,
//!   60, 60… seconds, and up to a second more, so that servers do not come all at once.
//! - Those that the service has asked for are opened once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Kind, Status};
use crate::core::Moment;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The most server connections that the service may ask for where nothing else is set.
const MOST_ON_DEMAND: usize = 64;

/// What ends sooner than this counts as a failed attempt from the second time on. The SDK takes every handshake for a
/// success, and opens server connections that end at once as fast as it can.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// How often the endpoint is asked how it is.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// What has the same key goes over the same server connection, while it is up: so many of them are remembered.
const BUCKETS: usize = 256;

/// What has to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The number of the server connection. None has it again.
    pub number: u64,
    /// What it is for.
    pub kind: Kind,
    /// The instance of the service that it goes to, where that has asked for it.
    pub target: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    /// Since then.
    Ready(Moment),
    /// Up, for its own clients alone.
    Retired(Moment),
}

#[derive(Debug)]
struct Member {
    state: State,
    kind: Kind,
    /// Which series of attempts it belongs to.
    round: u64,
}

/// The server connections at one endpoint. Order of calls: after every `handle_…`, [`poll_open`](Self::poll_open) until it
/// is `None`; again at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Pool {
    is_primary: bool,
    fixed: usize,
    most: usize,
    members: BTreeMap<u64, Member>,
    next_number: u64,
    /// Instances of the service that have asked for a server connection.
    wanted: Vec<String>,
    /// How many attempts have failed in a row, and how many have ended soon.
    failures: u32,
    short_lives: u32,
    round: u64,
    next_attempt: Moment,
    was_tried: bool,
    stops: bool,
    status: Option<Status>,
    next_status: Option<Moment>,
    buckets: Box<[Option<u64>; BUCKETS]>,
}

impl Pool {
    /// With so many fixed server connections, and at most so many in all.
    #[must_use]
    pub fn new(is_primary: bool, fixed: usize, most: Option<usize>) -> Self {
        Self {
            is_primary,
            fixed,
            most: most.unwrap_or(fixed.saturating_add(MOST_ON_DEMAND)),
            members: BTreeMap::new(),
            next_number: 0,
            wanted: Vec::new(),
            failures: 0,
            short_lives: 0,
            round: 0,
            next_attempt: Moment::ZERO,
            was_tried: false,
            stops: false,
            status: None,
            next_status: None,
            buckets: Box::new([None; BUCKETS]),
        }
    }

    /// What is to be opened now.
    pub fn poll_open(&mut self, now: Moment) -> Option<Open> {
        if self.stops {
            return None;
        }
        if let Some(target) = self.wanted.pop() {
            return Some(self.open(Kind::OnDemand, Some(target)));
        }
        let may_open = self.waits_for_time() && now >= self.next_attempt;
        let kind = if self.is_primary { Kind::Default } else { Kind::Weak };
        may_open.then(|| self.open(kind, None))
    }

    fn open(&mut self, kind: Kind, target: Option<String>) -> Open {
        let number = self.next_number;
        self.next_number += 1;
        self.members.insert(number, Member { state: State::Opening, kind, round: self.round });
        Open { number, kind, target }
    }

    /// Whether a fixed one is missing, and only the time keeps it from being opened.
    fn waits_for_time(&self) -> bool {
        let fixed = self.members.values().filter(|member| member.kind != Kind::OnDemand);
        let (opening, all) = fixed.fold((0, 0), |(opening, all), member| {
            (opening + usize::from(member.state == State::Opening), all + 1)
        });
        // While attempts fail, one at a time shows whether the service is back.
        let is_failing = self.failures > 0 || self.short_lives > 1;
        !self.stops && all < self.fixed && (!is_failing || opening == 0)
    }

    /// When something is to be opened or asked next.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let open = if self.waits_for_time() { self.next_attempt } else { Moment::MAX };
        open.min(self.next_status.unwrap_or(Moment::MAX))
    }

    /// The handshake of a server connection is over.
    pub fn handle_ready(&mut self, now: Moment, number: u64) {
        if let Some(member) = self.members.get_mut(&number) {
            member.state = State::Ready(now);
            self.was_tried = true;
            self.failures = 0;
            // The SDK waits for an interval, in which it does not know where there is room for clients.
            self.next_status.get_or_insert(now);
        }
    }

    /// A server connection takes no more messages of many clients, but is still up.
    pub fn handle_retired(&mut self, number: u64) {
        if let Some(member) = self.members.get_mut(&number)
            && let State::Ready(since) = member.state
        {
            member.state = State::Retired(since);
        }
    }

    /// A server connection has ended, or could not be opened. `random` is from 0 to 1.
    pub fn handle_lost(&mut self, now: Moment, number: u64, random: f64) {
        let Some(member) = self.members.remove(&number) else { return };
        self.was_tried = true;
        if self.online().next().is_none() {
            self.next_status = None;
        }
        if member.kind == Kind::OnDemand {
            return;
        }
        match member.state {
            State::Ready(since) | State::Retired(since) if now.since(since) >= SHORT_LIFE => {
                self.short_lives = 0;
            }
            // Those that fail together count once.
            _ if member.round != self.round => return,
            State::Opening => self.failures += 1,
            State::Ready(_) | State::Retired(_) => self.short_lives += 1,
        }
        if member.round == self.round {
            self.round += 1;
        }
        self.next_attempt = match self.failures.max(self.short_lives.saturating_sub(1)) {
            0 => now,
            failed => now + pause(failed, random),
        };
    }

    /// The service asks for one more server connection, to one of its instances.
    pub fn handle_rebalance(&mut self, target: String) {
        let all = self.members.len() + self.wanted.len();
        if self.is_primary && !self.stops && all < self.most {
            self.wanted.push(target);
        }
    }

    /// The endpoint has said how it is.
    pub fn handle_status(&mut self, status: Status) {
        self.status = Some(status);
    }

    /// Nothing is opened any more.
    pub fn stop(&mut self) {
        self.stops = true;
        self.wanted.clear();
    }

    /// The server connection to ask how the endpoint is, if that is due. `random` chooses among them.
    pub fn poll_status(&mut self, now: Moment, random: u64) -> Option<u64> {
        if self.next_status.is_none_or(|next| now < next) {
            return None;
        }
        self.next_status = Some(now + STATUS_INTERVAL);
        self.choose(None, None, random)
    }

    /// What the endpoint has said last, while it is online.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.status.filter(|_| self.is_online())
    }

    /// Whether messages can be sent; before anything was tried, it is taken to be so.
    #[must_use]
    pub fn is_online(&self) -> bool {
        !self.was_tried || self.online().next().is_some()
    }

    /// The server connections that are up and carry messages for many clients.
    pub fn online(&self) -> impl Iterator<Item = u64> + '_ {
        let ready = self.members.iter().filter(|(_, member)| matches!(member.state, State::Ready(_)));
        ready.map(|(number, _)| *number)
    }

    /// The server connection for a message: the preferred one while it is up, else the one that this hash of a group, a
    /// user or a connection has had before, else any.
    pub fn choose(&mut self, preferred: Option<u64>, hash: Option<u64>, random: u64) -> Option<u64> {
        let is_up = |pool: &Self, number: &u64| {
            pool.members.get(number).is_some_and(|member| matches!(member.state, State::Ready(_)))
        };
        if let Some(number) = preferred.filter(|number| is_up(self, number)) {
            return Some(number);
        }
        let bucket = hash.map(|hash| (hash % BUCKETS as u64) as usize);
        let known = bucket.and_then(|bucket| *self.buckets.get(bucket)?);
        if let Some(number) = known.filter(|number| is_up(self, number)) {
            return Some(number);
        }
        let count = self.online().count() as u64;
        let number = self.online().nth(random.checked_rem(count)? as usize)?;
        if let Some(bucket) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *bucket = Some(number);
        }
        Some(number)
    }
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32, random: f64) -> Duration {
    let seconds = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST_PAUSE) + Duration::from_secs_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::moment::at;

    fn opened(pool: &mut Pool, now: Moment) -> Vec<u64> {
        std::iter::from_fn(|| pool.poll_open(now)).map(|open| open.number).collect()
    }

    /// With so many that are up since 0.
    fn up(fixed: usize, most: Option<usize>) -> Pool {
        let mut pool = Pool::new(true, fixed, most);
        for number in opened(&mut pool, at(0)) {
            pool.handle_ready(at(0), number);
        }
        pool
    }

    #[test]
    fn an_endpoint_that_is_down_is_tried_by_one_attempt_at_a_time() {
        let mut pool = Pool::new(true, 5, None);
        assert!(pool.is_online(), "before anything was tried");
        let mut attempts = opened(&mut pool, at(0));
        assert_eq!(attempts, [0, 1, 2, 3, 4]);
        let mut now = at(0);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            for number in attempts {
                pool.handle_lost(now, number, 0.5);
            }
            assert!(!pool.is_online());
            let next = now + Duration::from_millis(pause * 1000 + 500);
            assert_eq!(pool.poll_timeout(), next);
            assert!(opened(&mut pool, now).is_empty());
            attempts = opened(&mut pool, next);
            assert_eq!(attempts.len(), 1);
            assert_eq!(pool.poll_timeout(), Moment::MAX, "nothing to do but to wait for the attempt");
            now = next;
        }
        pool.handle_ready(now, attempts[0]);
        assert_eq!(opened(&mut pool, now).len(), 4, "with the first that succeeds, all others");
    }

    #[test]
    fn what_is_lost_is_opened_again_at_once() {
        let mut pool = up(3, None);
        pool.handle_lost(at(100), 1, 1.0);
        assert_eq!(opened(&mut pool, at(100)), [3]);
        pool.handle_lost(at(100), 0, 1.0);
        pool.handle_lost(at(100), 2, 1.0);
        assert_eq!(opened(&mut pool, at(100)), [4, 5]);
        pool.handle_lost(at(100), 77, 1.0);
        assert!(opened(&mut pool, at(100)).is_empty());
    }

    #[test]
    fn what_ends_at_once_again_and_again_is_opened_more_and_more_slowly() {
        let mut pool = up(1, None);
        let mut now = at(1);
        let mut pauses = Vec::new();
        for number in 0..6 {
            pool.handle_lost(now, number, 0.0);
            let next = pool.poll_timeout();
            pauses.push(next.since(now).as_secs());
            assert_eq!(opened(&mut pool, next), [number + 1]);
            pool.handle_ready(next, number + 1);
            now = next;
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16]);
        let later = now + SHORT_LIFE;
        pool.handle_lost(later, 6, 0.0);
        assert_eq!(opened(&mut pool, later), [7]);
    }

    #[test]
    fn the_service_may_ask_for_more_up_to_the_most() {
        let mut pool = up(2, Some(4));
        for target in ["a", "b", "c"] {
            pool.handle_rebalance(target.to_owned());
        }
        let mut asked: Vec<_> = std::iter::from_fn(|| pool.poll_open(at(1))).collect();
        asked.sort_by_key(|open| open.target.clone());
        let targets: Vec<_> = asked.iter().map(|open| (open.kind, open.target.as_deref())).collect();
        assert_eq!(targets, [(Kind::OnDemand, Some("a")), (Kind::OnDemand, Some("b"))]);
        // They are not opened again, and their failure says nothing of the endpoint.
        pool.handle_lost(at(2), asked[0].number, 0.0);
        assert!(opened(&mut pool, at(2)).is_empty());
        pool.handle_rebalance("d".to_owned());
        assert_eq!(opened(&mut pool, at(2)).len(), 1);

        let mut pool = up(2, None);
        for n in 0..1000 {
            pool.handle_rebalance(n.to_string());
        }
        assert_eq!(opened(&mut pool, at(1)).len(), MOST_ON_DEMAND);

        let mut secondary = Pool::new(false, 1, None);
        assert_eq!(secondary.poll_open(at(0)).map(|open| open.kind), Some(Kind::Weak));
        secondary.handle_rebalance("a".to_owned());
        assert_eq!(secondary.poll_open(at(0)), None);
    }

    #[test]
    fn a_message_goes_where_its_like_went_before() {
        let mut pool = up(5, None);
        assert_eq!(pool.choose(Some(3), Some(1), 0), Some(3));
        let first = pool.choose(None, Some(1), 2);
        assert_eq!(first, Some(2));
        for random in 0..10 {
            assert_eq!(pool.choose(None, Some(1), random), first);
            assert_eq!(pool.choose(None, None, random), Some(random % 5));
        }
        pool.handle_retired(2);
        assert_eq!(pool.choose(Some(2), Some(1), 3), Some(4));
        assert_eq!(pool.choose(None, Some(1), 0), Some(4), "and stays there");
        for number in [0, 1, 3, 4] {
            pool.handle_lost(at(9), number, 0.0);
        }
        assert_eq!(pool.choose(None, None, 0), None);
        assert!(!pool.is_online());
    }

    #[test]
    fn the_endpoint_is_asked_every_ten_seconds_while_it_is_online() {
        let mut pool = Pool::new(true, 2, None);
        opened(&mut pool, at(0));
        assert_eq!(pool.poll_status(at(60), 0), None);
        pool.handle_ready(at(1), 0);
        pool.handle_ready(at(5), 1);
        assert_eq!(pool.poll_timeout(), at(1));
        assert_eq!(pool.poll_status(at(1), 0), Some(0));
        assert_eq!(pool.poll_timeout(), at(11));
        assert_eq!(pool.poll_status(at(10), 1), None);
        assert_eq!(pool.poll_status(at(11), 1), Some(1));
        assert_eq!(pool.poll_status(at(11), 0), None);
        assert_eq!(pool.poll_timeout(), at(21));
        let status = Status { capacity: Some(5), ..Status::default() };
        pool.handle_status(status);
        assert_eq!(pool.status(), Some(status));
        pool.stop();
        pool.handle_lost(at(22), 0, 0.0);
        pool.handle_lost(at(22), 1, 0.0);
        assert_eq!((pool.status(), pool.poll_timeout()), (None, Moment::MAX));
        assert!(opened(&mut pool, at(90)).is_empty());
    }
}

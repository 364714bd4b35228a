//! The two timers of a connection: when to send a ping, and when to give the peer up.
//!
//! Either end has them. Every message sent puts the next ping off, every byte received puts the end off. Defaults
//! are those of the official clients and servers: a ping after [`DEFAULT_INTERVAL`] without a send, the end after
//! [`DEFAULT_TIMEOUT`] without a receipt.

use std::time::Duration;

use crate::core::Moment;

/// A ping goes out when nothing else was sent for this long.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Pings keep at least this distance.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// The peer is given up when nothing was received for this long.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A timer that fires this much too late shows that this program was asleep: a frozen tab, a suspended machine.
const ASLEEP: Duration = Duration::from_secs(1);

/// What the peer sent in the meantime may then still be on its way to this program. It gets this much time to arrive.
const WAKE_UP: Duration = Duration::from_secs(5);

/// What a timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send a ping.
    Ping,
    /// Nothing came from the peer for too long: close the connection.
    PeerTimeout,
}

/// The timers of one connection. Order of calls: [`handle_sent`](Self::handle_sent) and
/// [`handle_received`](Self::handle_received) as it happens; [`handle_timeout`](Self::handle_timeout) at
/// [`poll_timeout`](Self::poll_timeout), until it returns `None`.
#[derive(Debug, Clone)]
pub struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    next_ping: Moment,
    deadline: Moment,
    woken: bool,
}

impl KeepAlive {
    /// Starts both timers.
    #[must_use]
    pub fn new(now: Moment, interval: Duration, timeout: Duration) -> Self {
        // Without any distance there would be no end of pings.
        let interval = interval.max(SHORTEST_INTERVAL);
        Self { interval, timeout, next_ping: now + interval, deadline: now + timeout, woken: false }
    }

    /// How long the peer may be silent.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Other limits hold, from what is sent and received next.
    pub fn set_limits(&mut self, interval: Duration, timeout: Duration) {
        self.interval = interval.max(SHORTEST_INTERVAL);
        self.timeout = timeout;
    }

    /// Something was sent.
    pub fn handle_sent(&mut self, now: Moment) {
        self.next_ping = now + self.interval;
    }

    /// Something was received.
    pub fn handle_received(&mut self, now: Moment) {
        self.deadline = now + self.timeout;
        self.woken = false;
    }

    /// What the peer sent may still be on its way to this program: it gets a little more time.
    pub fn wait(&mut self, now: Moment) {
        self.deadline = self.deadline.max(now + WAKE_UP.min(self.timeout));
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        self.next_ping.min(self.deadline)
    }

    /// What is due now. A ping counts as sent.
    pub fn handle_timeout(&mut self, now: Moment) -> Option<Due> {
        if now >= self.deadline {
            if self.woken || now.since(self.deadline) < ASLEEP {
                return Some(Due::PeerTimeout);
            }
            self.woken = true;
            self.wait(now);
            self.handle_sent(now);
            return Some(Due::Ping);
        }
        if now >= self.next_ping {
            self.handle_sent(now);
            return Some(Due::Ping);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::moment::at;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn other_limits_hold_from_the_next_message_on() {
        let mut timers = KeepAlive::new(Moment::ZERO, 15 * SECOND, 30 * SECOND);
        timers.set_limits(2 * SECOND, 5 * SECOND);
        assert_eq!(timers.poll_timeout(), at(15));
        timers.handle_sent(at(1));
        assert_eq!(timers.poll_timeout(), at(3));
        timers.handle_received(at(1));
        timers.handle_sent(at(5));
        assert_eq!(timers.handle_timeout(at(6)), Some(Due::PeerTimeout));
    }

    #[test]
    fn pings_follow_silence_and_the_end_follows_the_peers() {
        let mut timers = KeepAlive::new(Moment::ZERO, 15 * SECOND, 30 * SECOND);
        assert_eq!(timers.handle_timeout(at(14)), None);
        timers.handle_sent(at(10));
        assert_eq!(timers.poll_timeout(), at(25));
        assert_eq!(timers.handle_timeout(at(25)), Some(Due::Ping));
        assert_eq!(timers.handle_timeout(at(25)), None);
        timers.handle_received(at(26));
        assert_eq!(timers.handle_timeout(at(40)), Some(Due::Ping));
        assert_eq!(timers.poll_timeout(), at(55));
        assert_eq!(timers.handle_timeout(at(56)), Some(Due::PeerTimeout));
    }

    #[test]
    fn who_was_asleep_waits_for_what_came_meanwhile() {
        let mut timers = KeepAlive::new(Moment::ZERO, 15 * SECOND, 30 * SECOND);
        assert_eq!(timers.handle_timeout(at(3600)), Some(Due::Ping));
        let mut heard = timers.clone();
        heard.handle_received(at(3601));
        assert_eq!(heard.handle_timeout(at(3606)), None);
        assert_eq!(timers.handle_timeout(at(3605)), Some(Due::PeerTimeout));
    }

    #[test]
    fn pings_keep_a_distance() {
        let mut timers = KeepAlive::new(at(1), Duration::ZERO, Duration::MAX);
        assert_eq!(timers.handle_timeout(at(2)), Some(Due::Ping));
        assert!(timers.poll_timeout() > at(2));
    }

    #[test]
    fn endless_intervals_do_not_overflow() {
        let mut timers = KeepAlive::new(at(1), Duration::MAX, Duration::MAX);
        timers.handle_received(at(2));
        assert_eq!(timers.handle_timeout(at(100)), None);
    }
}

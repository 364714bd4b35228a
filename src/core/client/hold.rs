//! When the transport is not read: while more of the server's messages wait for handlers and streams than there is room
//! for.

use std::time::Duration;

use crate::core::Moment;

/// How long no message must be taken before an awaited empty stream counts like an awaited result.
const STALL: Duration = Duration::from_secs(30);

/// How many frames are read from a server that may have fallen silent while it was not read.
const LOOK: u8 = 64;

/// How many of the server's messages, and how many bytes, wait for handlers and streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Whether there is no room for more.
    pub is_full: bool,
    /// How many messages were taken in all while there was no room.
    pub taken: usize,
    /// Whether an empty stream is awaited.
    pub is_hungry: bool,
}

/// Decides whether the transport is read.
///
/// ```text
///   Open ──full──▶ Watching ──nothing moves for 30 s, and a stream is awaited──▶ Stalled: read on
///    ▲  ◀──room────┘  ▲ └──── anything moves ────┐
///    └────────────────┴───────────────────────────┘
/// ```
///
/// While the result of a call is awaited, it is read as well: the handlers that keep the others waiting may depend on it.
#[derive(Debug, Default)]
pub(super) struct Hold {
    state: State,
    /// The server was not read when it was last asked.
    held: bool,
    /// What it was told when it was last asked.
    load: Load,
    /// How many more frames are read to find out whether the server is still there.
    look: u8,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Open,
    /// So many messages had been taken when the watch began, which ends at a moment.
    Watching {
        taken: usize,
        until: Moment,
    },
    Stalled {
        taken: usize,
    },
}

impl Hold {
    pub(super) fn may_read(&mut self, now: Moment, load: Load, has_calls: bool) -> bool {
        self.load = load;
        self.watch(now);
        self.held = matches!(self.state, State::Watching { .. }) && !has_calls;
        if !self.held {
            self.look = 0;
        }
        !self.held || self.look > 0
    }

    fn watch(&mut self, now: Moment) {
        let load = self.load;
        self.state = match self.state {
            _ if !load.is_full => State::Open,
            State::Stalled { taken } if taken == load.taken => self.state,
            State::Watching { taken, until } if taken == load.taken && now < until => self.state,
            State::Watching { taken, .. } if taken == load.taken && load.is_hungry => {
                State::Stalled { taken }
            }
            _ => State::Watching { taken: load.taken, until: now + STALL },
        };
    }

    /// Time has passed. What follows from it is told when it is asked the next time.
    pub(super) fn handle_timeout(&mut self, now: Moment) {
        self.watch(now);
    }

    /// The server has been silent for too long. Returns whether that may be because it was not read: then it is read, for
    /// a few frames.
    pub(super) fn look(&mut self) -> bool {
        let looks = self.held && self.look == 0;
        self.look = if looks { LOOK } else { 0 };
        looks
    }

    /// A frame was read.
    pub(super) fn handle_frame(&mut self) {
        self.look = self.look.saturating_sub(1);
    }

    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match self.state {
            State::Watching { until, .. } if self.held => Some(until),
            _ => None,
        }
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::moment::at;

    const ROOM: Load = Load { is_full: false, taken: 0, is_hungry: false };
    const FULL: Load = Load { is_full: true, ..ROOM };
    const HUNGRY: Load = Load { is_hungry: true, ..FULL };

    #[test]
    fn a_full_connection_is_not_read_unless_a_result_is_waited_for() {
        let mut hold = Hold::default();
        assert!(hold.may_read(at(1), ROOM, false));
        assert!(!hold.may_read(at(1), FULL, false));
        assert!(hold.may_read(at(1), FULL, true));
        assert!(hold.may_read(at(1), ROOM, false));
        assert_eq!(hold.poll_timeout(), None);
    }

    #[test]
    fn an_empty_stream_is_waited_for_in_vain() {
        let mut hold = Hold::default();
        assert!(!hold.may_read(at(1), HUNGRY, false));
        assert_eq!(hold.poll_timeout(), Some(at(31)));
        // Something moves.
        assert!(!hold.may_read(at(30), Load { taken: 1, ..HUNGRY }, false));
        assert!(!hold.may_read(at(59), Load { taken: 1, ..HUNGRY }, false));
        assert!(hold.may_read(at(60), Load { taken: 1, ..HUNGRY }, false));
        assert!(hold.may_read(at(61), Load { taken: 1, ..HUNGRY }, false));
        assert!(!hold.may_read(at(62), Load { taken: 2, ..HUNGRY }, false));
        // No stream is awaited.
        let mut hold = Hold::default();
        assert!(!hold.may_read(at(1), FULL, false));
        assert!(!hold.may_read(at(31), FULL, false));
        assert_eq!(hold.poll_timeout(), Some(at(61)));
        // Its time is over whether it is asked or not.
        hold.handle_timeout(at(61));
        assert_eq!(hold.poll_timeout(), Some(at(91)));
    }

    #[test]
    fn silence_is_looked_into() {
        let mut hold = Hold::default();
        assert!(!hold.look(), "it is read");
        assert!(!hold.may_read(at(1), FULL, false));
        assert!(hold.look());
        for _ in 0..LOOK {
            assert!(hold.may_read(at(1), FULL, false));
            hold.handle_frame();
        }
        assert!(!hold.may_read(at(1), FULL, false), "the server is there");
        assert!(hold.look());
        assert!(!hold.look(), "nothing came");
    }
}

//! What is between the two ends of a pair: frames under way in both directions, and how a link gets lost.

use std::collections::VecDeque;

/// One direction of a link.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) frames: VecDeque<Vec<u8>>,
    /// How it ends, behind the frames.
    pub(super) end: Option<End>,
    /// Nothing gets through any more, and nobody is told.
    pub(super) is_silent: bool,
}

/// How a transport ends, as its other end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was closed in good order.
    Closed,
    /// It broke.
    Lost,
}

/// What comes out of a lane.
pub(super) enum Arrival {
    Frame(Vec<u8>),
    End(End),
}

impl Lane {
    pub(super) fn push(&mut self, frame: Vec<u8>) {
        if !self.is_silent && self.end.is_none() {
            self.frames.push_back(frame);
        }
    }

    pub(super) fn close(&mut self, end: End) {
        if !self.is_silent && self.end.is_none() {
            self.end = Some(end);
        }
    }

    /// It breaks, and so many of its frames still arrive.
    pub(super) fn cut(&mut self, arrive: usize) {
        self.frames.truncate(arrive);
        if !self.is_silent {
            self.end = Some(End::Lost);
        }
    }

    pub(super) fn fall_silent(&mut self) {
        self.is_silent = true;
        self.frames.clear();
        self.end = None;
    }

    pub(super) fn next(&mut self) -> Option<Arrival> {
        self.frames.pop_front().map(Arrival::Frame).or_else(|| self.end.take().map(Arrival::End))
    }

    /// How many bytes are under way.
    pub(super) fn size(&self) -> usize {
        self.frames.iter().map(Vec::len).sum()
    }
}

/// Both directions.
#[derive(Default)]
pub(super) struct Link {
    /// To the server.
    pub(super) up: Lane,
    /// To the client.
    pub(super) down: Lane,
}

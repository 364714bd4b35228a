//! The queue for room: while too much is on its way to the server, the next message is not written. Writers go on in the
//! order in which they came.

use std::collections::VecDeque;
use std::task::Waker;

/// Those who wait, by their tickets.
#[derive(Debug, Default)]
pub(super) struct Room {
    waiting: VecDeque<(u64, Waker)>,
    last_ticket: u64,
}

impl Room {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn wake_first(&self) {
        if let Some((_, waker)) = self.waiting.front() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn wake_all(&self) {
        self.waiting.iter().for_each(|(_, waker)| waker.wake_by_ref());
    }

    /// Whether it is this writer's turn, which may not have a ticket yet.
    pub(super) fn is_turn_of(&self, ticket: Option<u64>) -> bool {
        self.waiting.front().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    pub(super) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        let known = ticket.and_then(|ticket| self.find(ticket)).and_then(|at| self.waiting.get_mut(at));
        match known {
            Some((_, known)) => known.clone_from(waker),
            None => {
                self.last_ticket += 1;
                *ticket = Some(self.last_ticket);
                self.waiting.push_back((self.last_ticket, waker.clone()));
            }
        }
    }

    pub(super) fn leave(&mut self, ticket: u64) {
        if let Some(at) = self.find(ticket) {
            self.waiting.remove(at);
        }
    }

    /// Tickets ascend.
    fn find(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |(known, _)| *known).ok()
    }
}

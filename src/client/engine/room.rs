//! Waiting for room: while too much is on its way to the server, the next message is not written. Those who wait go on
//! in the order in which they came.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{Connection, Shared};

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

    /// Whether it is the turn of this one, or of someone who has no ticket yet.
    fn is_turn_of(&self, ticket: Option<u64>) -> bool {
        self.waiting.front().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        let known = ticket.and_then(|ticket| self.waiting.iter_mut().find(|(known, _)| *known == ticket));
        match known {
            Some((_, known)) => known.clone_from(waker),
            None => {
                self.last_ticket += 1;
                *ticket = Some(self.last_ticket);
                self.waiting.push_back((self.last_ticket, waker.clone()));
            }
        }
    }

    fn leave(&mut self, ticket: u64) {
        self.waiting.retain(|(known, _)| *known != ticket);
    }
}

impl<C: WireCodec> Connection<C> {
    /// Writes once there is room, or when the connection is down, which `write` finds out.
    pub(super) async fn write_when_room<R>(self: &Arc<Self>, write: impl FnOnce(&mut Shared<C>) -> R) -> R {
        let mut turn = Turn { connection: self, ticket: None };
        let mut write = Some(write);
        poll_fn(|cx| turn.poll(cx, &mut write)).await
    }
}

/// Someone who wants to write.
struct Turn<'c, C: WireCodec> {
    connection: &'c Arc<Connection<C>>,
    ticket: Option<u64>,
}

impl<C: WireCodec> Turn<'_, C> {
    fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: &mut Option<impl FnOnce(&mut Shared<C>) -> R>,
    ) -> Poll<R> {
        let ticket = &mut self.ticket;
        self.connection.change(|shared| {
            let machine = &shared.machine;
            let may = !machine.is_connected() || (shared.room.is_turn_of(*ticket) && !machine.is_full());
            match write.take_if(|_| may) {
                None => {
                    shared.room.wait(ticket, cx.waker());
                    Poll::Pending
                }
                Some(write) => {
                    if let Some(ticket) = ticket.take() {
                        shared.room.leave(ticket);
                    }
                    let result = write(shared);
                    shared.yield_room();
                    Poll::Ready(result)
                }
            }
        })
    }
}

impl<C: WireCodec> Drop for Turn<'_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut shared = self.connection.lock();
            shared.room.leave(ticket);
            shared.yield_room();
        }
    }
}

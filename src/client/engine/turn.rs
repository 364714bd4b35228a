//! Writing when there is room.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::client::engine::codec::WireCodec;
use crate::client::engine::connection::{Connection, Shared};

impl<C: WireCodec> Connection<C> {
    /// Writes once there is room, or when the connection is down, which `write` finds out.
    pub(super) async fn write_when_room<R>(self: &Arc<Self>, write: impl FnOnce(&mut Shared<C>) -> R) -> R {
        let mut turn = Turn { connection: self, ticket: None };
        let mut write = Some(write);
        poll_fn(|cx| turn.poll(cx, &mut write)).await
    }
}

/// A task that wants to write.
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

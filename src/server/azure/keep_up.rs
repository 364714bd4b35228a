//! The task that keeps up the server connections of one endpoint.

use std::{sync::Arc, time::Duration};

use super::{handle::Command, ids, link, shared::Shared};
use crate::{
    core::server_connection::pool::Open,
    platform::{now, sleep},
};

/// Keeps up the server connections of an endpoint, until nobody waits for events any more.
pub(super) async fn keep_up(shared: Arc<Shared>, index: usize) {
    let endpoint = &shared.endpoints[index];
    // A server connection that ends because nobody waits is not replaced.
    while !shared.events.is_closed() {
        let timeout = endpoint.with(|state| {
            let now = now();
            while let Some(open) = state.pool.poll_open(now) {
                let Open { number, .. } = open;
                state.links.insert(number, link::start(&shared, index, open));
            }
            if let Some(number) = state.pool.poll_status(now, ids::random())
                && let Some(link) = state.links.get(&number)
            {
                link.tell(Command::AskStatus);
            }
            state.pool.poll_timeout()
        });
        let wait = timeout.since(now()).min(Duration::from_secs(3600));
        tokio::select! {
            () = endpoint.changed.notified() => {}
            () = sleep(wait) => {}
            () = shared.events.closed() => return,
        }
    }
}

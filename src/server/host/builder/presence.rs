//! Who is told who comes and goes, of the hub that is built.

use std::{future::Future, sync::Arc};

use super::HubServerBuilder;
use crate::server::host::presence::PresenceChange;

impl HubServerBuilder {
    /// Runs when the first connection of a user has been let in, and when its last one has gone. One change is told after the
    /// other, and what is undone before its turn is not told: a user who comes back at once has not been offline. With several
    /// servers, these are the connections to this one.
    ///
    /// ```
    /// use hubwire::server::HubServer;
    ///
    /// let hub = HubServer::builder().on_presence_changed(|change| async move {
    ///     let method = if change.is_online() { "Online" } else { "Offline" };
    ///     let sent = change.clients().all().send(method, (change.user_id(),)).await;
    ///     sent.unwrap_or_else(|error| eprintln!("{error}"));
    /// });
    /// # drop(hub);
    /// ```
    pub fn on_presence_changed<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(PresenceChange) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        if let Some(watch) = Arc::get_mut(&mut self.rules.presence) {
            watch.handler = Some(Arc::new(move |change| Box::pin(handler(change))));
        }
        self
    }
}

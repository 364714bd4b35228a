//! What the hub that is built does with messages for its clients.

use std::sync::Arc;

use super::HubServerBuilder;
use crate::server::{
    host::{
        lifetime::Recipients,
        outgoing::{Deliver, DeliveredMessage, OutgoingMessage, Recipient},
    },
    outbox,
    slow::SlowConsumers,
};

impl HubServerBuilder {
    /// Shows each message for clients, once however many get it, before it is written: it may be changed and, by returning
    /// `false`, dropped. Calls that want a result are shown as well; a dropped one fails with
    /// [`ClientResultError::Dropped`](crate::server::error::ClientResultError::Dropped).
    ///
    /// ```
    /// use hubwire::server::{HubServer, Recipients};
    ///
    /// let hub = HubServer::builder().filter_outgoing(|message, to| {
    ///     println!("{} to {to:?}", message.method());
    ///     // Nobody shouts at everybody.
    ///     !(*to == Recipients::All && message.method() == "Shout")
    /// });
    /// # drop(hub);
    /// ```
    pub fn filter_outgoing(
        mut self,
        filter: impl Fn(&mut OutgoingMessage, &Recipients) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.outgoing.sent.push(Box::new(filter));
        self
    }

    /// Shows each message to each client of this server that it goes to, before it waits for the client. Results, items of
    /// streams and calls that want a result are not shown. It runs for every recipient while the connections are locked: it
    /// has to be quick, and calls nobody. It sees clients of this server only, and none behind Azure SignalR Service, which
    /// deals out messages itself.
    ///
    /// ```
    /// use hubwire::server::{HubServer, filter::{Deliver, OutgoingMessage}};
    ///
    /// let hub = HubServer::builder().filter_delivery(|message, to| match message.method() {
    ///     "Audit" if !to.has_claim("role", "admin") => Deliver::Nothing,
    ///     "Salary" if !to.has_claim("role", "admin") => {
    ///         OutgoingMessage::new("Salary", ("hidden",)).map_or(Deliver::Nothing, Deliver::Instead)
    ///     }
    ///     _ => Deliver::AsItIs,
    /// });
    /// # drop(hub);
    /// ```
    pub fn filter_delivery(
        mut self,
        filter: impl Fn(&DeliveredMessage<'_>, &Recipient) -> Deliver + Send + Sync + 'static,
    ) -> Self {
        self.outgoing.delivered.push(Arc::new(filter));
        self
    }

    /// What is done about clients that do not keep up with their messages. Default: [`SlowConsumers::Close`]. Results, items
    /// of streams and calls that want a result are never dropped.
    ///
    /// A client is slow when more than the [threshold](Self::slow_consumer_threshold) waits for it, so one that keeps up loses
    /// nothing, even of a burst.
    pub fn slow_consumers(mut self, how: SlowConsumers) -> Self {
        Arc::get_mut(&mut self.outgoing.slow).into_iter().for_each(|slow| slow.set_default(how));
        self
    }

    /// The same for messages that call one method of the clients.
    ///
    /// ```
    /// use hubwire::server::{HubServer, SlowConsumers};
    ///
    /// let hub = HubServer::builder()
    ///     .slow_consumers_of("Price", SlowConsumers::KeepLatest)
    ///     .slow_consumers_of("Log", SlowConsumers::DropOldest);
    /// # drop(hub);
    /// ```
    pub fn slow_consumers_of(mut self, method: &str, how: SlowConsumers) -> Self {
        Arc::get_mut(&mut self.outgoing.slow).into_iter().for_each(|slow| slow.set(method, how));
        self
    }

    /// How many bytes may wait for a client before it is slow. Default: 64 KiB.
    pub fn slow_consumer_threshold(mut self, bytes: usize) -> Self {
        Arc::get_mut(&mut self.outgoing.slow).into_iter().for_each(|slow| slow.threshold = bytes);
        self
    }

    /// How many bytes may wait for a client before its connection is closed, 16 MiB at most. Default: 16 MiB.
    pub fn maximum_send_buffer_size(mut self, bytes: usize) -> Self {
        self.outgoing.limit = Some(bytes.min(outbox::LIMIT));
        self
    }
}

//! Filters of what goes to clients, and what is done where they do not keep up.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    clients::written,
    hub_server::{HubServer, HubServerBuilder},
    identity::Identity,
    lifetime::{ClientCall, Recipients},
    rules::Rules,
};
use crate::{
    Arguments, PayloadError, SerializeError,
    core::{HubProtocol, codec::Payload},
    payload::Decode as _,
    property_names::PropertyNames,
    server::{
        message::Message,
        outbox::{self, Delivery, Gate},
        slow::SlowConsumers,
    },
};

/// A message for clients before it is sent: the method that it calls, and its arguments.
#[derive(Debug)]
pub struct OutgoingMessage(pub(super) ClientCall);

impl OutgoingMessage {
    /// A message.
    ///
    /// # Errors
    /// When an argument cannot be written.
    pub fn new(method: &str, arguments: impl Arguments) -> Result<Self, SerializeError> {
        Ok(Self(ClientCall::new(method, written(arguments)?)))
    }

    /// The method of the clients that it calls.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.method()
    }

    /// The arguments, read as a tuple of their types or as `Vec<serde_json::Value>`.
    ///
    /// # Errors
    /// When they are of other types, or not as many.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        Payload::new(HubProtocol::Json, self.0.json()).decode(PropertyNames::AsDeclared)
    }

    /// Puts others in the place of the arguments.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn set_arguments(&mut self, arguments: impl Arguments) -> Result<(), SerializeError> {
        *self = Self::new(self.method(), arguments)?;
        Ok(())
    }
}

/// A message on its way to one client.
pub struct DeliveredMessage<'m>(&'m Message);

impl DeliveredMessage<'_> {
    /// The method of the client that it calls.
    #[must_use]
    pub fn method(&self) -> &str {
        self.0.target().map_or("", |target| target)
    }

    /// The arguments, read as a tuple of their types or as `Vec<serde_json::Value>`.
    ///
    /// # Errors
    /// When they are of other types, or not as many.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let read = self.0.read(|call| call.arguments.decode(PropertyNames::AsDeclared));
        read.unwrap_or_else(|| Payload::Json("null").decode(PropertyNames::AsDeclared))
    }
}

impl fmt::Debug for DeliveredMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveredMessage").field("method", &self.method()).finish_non_exhaustive()
    }
}

/// A client that a message goes to.
#[derive(Debug)]
pub struct Recipient {
    connection_id: String,
    identity: Identity,
}

impl Recipient {
    /// The id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Whose connection it is.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.identity.user_id.as_deref()
    }

    /// Every value of a claim that it has connected with.
    pub fn claims<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        self.identity.values(name)
    }

    /// Whether a claim has this value.
    #[must_use]
    pub fn has_claim(&self, name: &str, value: &str) -> bool {
        self.identity.has_claim(name, value)
    }
}

/// What becomes of a message for one client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Deliver {
    /// The client gets it.
    AsItIs,
    /// The client does not get it.
    Nothing,
    /// The client gets another one.
    Instead(OutgoingMessage),
}

type FilterOutgoing = Box<dyn Fn(&mut OutgoingMessage, &Recipients) -> bool + Send + Sync>;

type FilterDelivery = Arc<dyn Fn(&DeliveredMessage<'_>, &Recipient) -> Deliver + Send + Sync>;

/// What is done with messages for clients.
#[derive(Default)]
pub(super) struct OutgoingRules {
    sent: Vec<FilterOutgoing>,
    delivered: Vec<FilterDelivery>,
    limit: Option<usize>,
}

impl Rules {
    /// Shows a message to the filters before it is written. `None` where one drops it.
    pub(super) fn outgoing(&self, call: ClientCall, to: &Recipients) -> Option<ClientCall> {
        if self.outgoing.sent.is_empty() {
            return Some(call);
        }
        let mut message = OutgoingMessage(call);
        self.outgoing.sent.iter().all(|filter| filter(&mut message, to)).then_some(message.0)
    }

    /// What happens to the messages for one client.
    pub(super) fn delivery(&self, protocol: HubProtocol, id: &str, identity: &Identity) -> Delivery {
        let filters = self.outgoing.delivered.clone();
        let gate = (!filters.is_empty()).then(|| -> Gate {
            let to = Recipient { connection_id: id.to_owned(), identity: identity.clone() };
            Box::new(move |message| {
                let mut other = None;
                for filter in &filters {
                    match filter(&DeliveredMessage(other.as_ref().unwrap_or(message)), &to) {
                        Deliver::AsItIs => {}
                        Deliver::Nothing => return None,
                        Deliver::Instead(message) => other = Some(message.0.message(None)),
                    }
                }
                other.as_ref().unwrap_or(message).frame(protocol)
            })
        });
        Delivery { limit: self.outgoing.limit.unwrap_or(outbox::LIMIT), gate, slow: self.slow.clone() }
    }
}

impl HubServerBuilder {
    /// Shows each message for clients, once however many get it, before it is written: it may be changed and, by returning
    /// `false`, dropped. Calls that want a result are shown as well; a dropped one fails with
    /// [`ClientResultError::Dropped`](super::ClientResultError::Dropped).
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
        self.rules.outgoing.sent.push(Box::new(filter));
        self
    }

    /// Shows each message to each client of this server that it goes to, before it waits for the client. Results, items of
    /// streams and calls that want a result are not shown. It runs for every recipient while the connections are locked: it
    /// has to be quick, and calls nobody. It sees clients of this server only, and none behind Azure SignalR Service, which
    /// deals out messages itself.
    ///
    /// ```
    /// use hubwire::server::{Deliver, HubServer, OutgoingMessage};
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
        self.rules.outgoing.delivered.push(Arc::new(filter));
        self
    }

    /// What is done about clients that do not keep up with their messages. Default: [`SlowConsumers::Close`]. Results, items
    /// of streams and calls that want a result are never dropped.
    ///
    /// A client is slow when more than the [threshold](Self::slow_consumer_threshold) waits for it, so one that keeps up loses
    /// nothing, even of a burst.
    pub fn slow_consumers(mut self, how: SlowConsumers) -> Self {
        Arc::get_mut(&mut self.rules.slow).into_iter().for_each(|slow| slow.set_default(how));
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
        Arc::get_mut(&mut self.rules.slow).into_iter().for_each(|slow| slow.set(method, how));
        self
    }

    /// How many bytes may wait for a client before it is slow. Default: 64 KiB.
    pub fn slow_consumer_threshold(mut self, bytes: usize) -> Self {
        Arc::get_mut(&mut self.rules.slow).into_iter().for_each(|slow| slow.threshold = bytes);
        self
    }

    /// How many bytes may wait for a client before its connection is closed, 16 MiB at most. Default: 16 MiB.
    pub fn maximum_send_buffer_size(mut self, bytes: usize) -> Self {
        self.rules.outgoing.limit = Some(bytes.min(outbox::LIMIT));
        self
    }
}

/// What slow clients have cost, since the hub was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowConsumerCounts {
    /// Messages that were dropped.
    pub dropped_messages: u64,
    /// Connections that were closed.
    pub closed_connections: u64,
}

impl HubServer {
    /// What slow clients of this server have cost so far.
    #[must_use]
    pub fn slow_consumer_counts(&self) -> SlowConsumerCounts {
        let (dropped_messages, closed_connections) = self.hub.rules.slow.counts();
        SlowConsumerCounts { dropped_messages, closed_connections }
    }
}

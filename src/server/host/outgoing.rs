//! Filters of what goes to clients, and what is done where they do not keep up.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    identity::Identity,
    lifetime::{ClientCall, Recipients},
};
use crate::{
    Arguments, PayloadError, SerializeError,
    core::{HubProtocol, codec::Payload},
    payload::Decode as _,
    property_names::PropertyNames,
    server::{
        message::Message,
        outbox::{self, Delivery, Gate},
        slow::SlowRules,
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
        Ok(Self(ClientCall::new(method, arguments)?))
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

    /// The user id of the client; `None` if it is anonymous.
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
    pub(super) sent: Vec<FilterOutgoing>,
    pub(super) delivered: Vec<FilterDelivery>,
    pub(super) limit: Option<usize>,
    pub(super) slow: Arc<SlowRules>,
}

impl OutgoingRules {
    /// Shows a message to the filters before it is written. `None` where one drops it.
    pub(super) fn filter(&self, call: ClientCall, to: &Recipients) -> Option<ClientCall> {
        if self.sent.is_empty() {
            return Some(call);
        }
        let mut message = OutgoingMessage(call);
        self.sent.iter().all(|filter| filter(&mut message, to)).then_some(message.0)
    }

    /// What happens to the messages for one client.
    pub(super) fn delivery(&self, protocol: HubProtocol, id: &str, identity: &Identity) -> Delivery {
        let filters = self.delivered.clone();
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
        Delivery { limit: self.limit.unwrap_or(outbox::LIMIT), gate, slow: self.slow.clone() }
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

//! What comes over the backplane.

use std::sync::Arc;

use axum::{body::Bytes, extract::ws::Utf8Bytes};

use super::{
    carrier::{Arrival, BackplaneError},
    distributed::{DISCONNECTED, Node},
    event::BackplaneEvent,
    protocol::{self, Channel, Delivery, ForeignCall, GroupCommand, part},
};
use crate::{
    Cause,
    core::{HubProtocol, ProtocolError},
    server::{calls::Answer, connections::Target, host::lifetime::HUB, message::Message},
};

impl Node {
    /// Something has come. Nothing here waits.
    pub(super) fn arrived(self: &Arc<Self>, arrival: Arrival<'_>) {
        match arrival {
            Arrival::Message(channel, message) => {
                if let Err(error) = self.received(channel, &message.into()) {
                    tracing::warn!(%error, channel, "a message of the backplane cannot be read");
                }
            }
            Arrival::Lost(error) => self.lost(error),
            Arrival::Restored => self.restored(),
        }
    }

    fn received(self: &Arc<Self>, channel: &str, message: &Bytes) -> Result<(), ProtocolError> {
        let Some(channel) = self.channels.read(channel) else { return Ok(()) };
        match channel {
            Channel::All => self.deliver(Target::All, message)?,
            Channel::Group(name) => self.deliver(Target::Group(name), message)?,
            Channel::User(id) => self.deliver(Target::User(id), message)?,
            Channel::Connection(id) => self.deliver(Target::Connection(id), message)?,
            Channel::Groups => {
                let command = GroupCommand::read(message)?;
                let is_here = self.homes().contains_key(&command.connection);
                if is_here && self.commands.try_send(command).is_err() {
                    tracing::warn!("too many changes of groups wait; one of another server is dropped");
                }
            }
            Channel::Acks => self.acks.answer(&protocol::read_ack(message)?, ()),
            Channel::Returns => {
                let (id, protocol, answer) = protocol::read_return(message)?;
                self.answers.answer(&id, (protocol, answer));
            }
        }
        Ok(())
    }

    /// Puts a message into the queues of those whom it is for.
    fn deliver(self: &Arc<Self>, target: Target<'_>, bytes: &Bytes) -> Result<(), ProtocolError> {
        let delivery = Delivery::read(bytes)?;
        if let (Target::Connection(id), Some((invocation, channel))) = (target, delivery.asks) {
            self.ask(id, &delivery, invocation.to_owned(), channel.to_owned());
            return Ok(());
        }
        let json = Utf8Bytes::try_from(part(bytes, delivery.json))
            .map_err(|_| ProtocolError::Message("a JSON message is not UTF-8"))?;
        let message = Message::from_encoded(json, part(bytes, delivery.msgpack));
        self.connections.each(HUB, target, &delivery.excluded, |outbox| {
            if message.frame(outbox.protocol).is_some() {
                outbox.send(&message);
            } else {
                // As in ASP.NET Core: a client with a gap would not know of it.
                tracing::warn!("a message is not there in the protocol of a client, which is closed");
                outbox.close(Some("Connection closed with an error."));
            }
        });
        Ok(())
    }

    /// Asks a client for a result on behalf of another server.
    fn ask(self: &Arc<Self>, connection: &str, delivery: &Delivery<'_>, id: String, channel: String) {
        let Some(runtime) = self.runtime.get() else { return };
        let mut protocol = HubProtocol::Json;
        self.connections.each(HUB, Target::Connection(connection), &[], |outbox| protocol = outbox.protocol);
        let failed = |text: &str| Answer::Error(text.to_owned().into());
        let permit = self.asks.clone().try_acquire_owned();
        let call = ForeignCall::read(delivery, protocol);
        let pending = match (&permit, call) {
            (Ok(_), Ok(call)) => {
                let size = call.size();
                let message = move |id: &str| call.message(id);
                self.connections.call(HUB, connection, size, message).ok_or_else(|| failed(DISCONNECTED))
            }
            (Err(_), _) => Err(failed("Too many clients are being asked.")),
            (_, Err(error)) => {
                tracing::warn!(%error, "a call of another server cannot be read");
                Err(failed("The call cannot be read."))
            }
        };
        let node = Arc::downgrade(self);
        runtime.spawn(async move {
            let answer = match pending {
                Ok(pending) => pending.answer().await.unwrap_or_else(|| failed(DISCONNECTED)),
                Err(answer) => answer,
            };
            let Some(node) = node.upgrade() else { return };
            let message = protocol::write_return(protocol, &id, &answer);
            if let Err(error) = node.publish_now(&channel, &message).await {
                tracing::warn!(error = %crate::ErrorChain::new(&error), "a client's answer does not reach its server");
            }
            drop(permit);
        });
    }

    fn lost(&self, error: Cause) {
        if !self.outage.begin() {
            return;
        }
        tracing::warn!(error = %crate::ErrorChain::new(&*error), "the connection to the backplane is lost");
        // Answers may be published while nobody listens here.
        let broken = BackplaneError::Uncertain(error.clone());
        self.acks.fail(&broken);
        self.answers.fail(&broken);
        self.tell(BackplaneEvent::Lost { error });
    }

    fn restored(&self) {
        let Some((away, refused)) = self.outage.end() else { return };
        tracing::warn!(
            ?away,
            refused,
            "the connection to the backplane is restored; what other servers have sent meanwhile is lost"
        );
        self.tell(BackplaneEvent::Restored { away, refused });
    }

    fn tell(&self, event: BackplaneEvent) {
        if let Some(on_event) = &self.settings.on_event {
            on_event(event);
        }
    }
}

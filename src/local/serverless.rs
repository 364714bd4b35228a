//! What the service does with its clients in serverless mode: an upstream, if there is one, hears of them.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use crate::{
    core::{HubProtocol, codec::Payload, message::Invocation, negotiate::Transport},
    local::{
        service::Service,
        upstream::{self, Teller},
    },
    server::{
        claims::SharedClaims,
        outbox::{Delivery, Outbox},
        session::{Dispatcher, Taken},
    },
};

const NOT_CONNECTED: &str = "The connection has not begun.";

/// One client's connection.
#[derive(Debug)]
pub(super) struct Serverless {
    service: Arc<Service>,
    /// Until it is connected.
    client: Option<upstream::Client>,
    teller: Option<Teller>,
}

impl Serverless {
    pub(super) fn new(service: Arc<Service>, client: upstream::Client) -> Self {
        Self { service, client: Some(client), teller: None }
    }
}

impl Dispatcher for Serverless {
    fn opening(&mut self, protocol: HubProtocol, _: Transport) -> Delivery {
        let client = self.client.as_ref();
        client.map(|client| self.service.faults.delivery(protocol, &client.negotiation)).unwrap_or_default()
    }

    fn connected(&mut self, outbox: &Arc<Outbox>) {
        let Some(client) = self.client.take() else { return };
        let (service, negotiation) = (&self.service, &client.negotiation);
        let described: Weak<SharedClaims> = Arc::downgrade(&client.claims);
        outbox.about.describe(described);
        if let Some(user) = &negotiation.user {
            let (hub, id) = (&negotiation.hub, &negotiation.connection_id);
            service.user_groups.join(&service.room.connections, hub, id, user, Instant::now());
        }
        self.teller = Some(Teller::start(service.upstream.clone(), client, outbox.clone()));
    }

    fn invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str> {
        let teller = self.teller.as_mut().ok_or(NOT_CONNECTED)?;
        teller.call(call, invocation).map(|()| Taken::Later)
    }

    fn stream_invocation(
        &mut self,
        _: Option<u64>,
        _: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str> {
        Err(self.teller.as_ref().map_or(NOT_CONNECTED, Teller::refuses_streams))
    }

    fn disconnected(&mut self, error: Option<&str>) {
        if let Some(teller) = self.teller.take() {
            teller.end(error);
        }
    }
}

//! What the service does with its clients in serverless mode: an upstream, if there is one, hears of them.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use crate::{
    core::{HubProtocol, codec::Payload, message::Invocation, negotiate::Transport},
    local::{
        faults::Faults,
        upstream::{self, Teller, Upstreams},
        user_groups::UserGroups,
    },
    server::{
        claims::SharedClaims,
        outbox::{Delivery, Outbox},
        room::Room,
        session::{Dispatcher, Taken},
    },
};

const NOT_CONNECTED: &str = "The connection has not begun.";

/// What all clients share.
#[derive(Debug)]
pub(super) struct Serverless {
    pub(super) room: Arc<Room>,
    pub(super) user_groups: Arc<UserGroups>,
    pub(super) faults: Faults,
    pub(super) upstreams: Arc<Upstreams>,
}

/// One client's connection.
#[derive(Debug)]
pub(super) struct ServerlessClient {
    shared: Arc<Serverless>,
    /// Until it is connected.
    client: Option<upstream::Client>,
    teller: Option<Teller>,
}

impl ServerlessClient {
    pub(super) fn new(shared: Arc<Serverless>, client: upstream::Client) -> Self {
        Self { shared, client: Some(client), teller: None }
    }
}

impl Dispatcher for ServerlessClient {
    fn opening(&mut self, protocol: HubProtocol, _: Transport) -> Delivery {
        let client = self.client.as_ref();
        client.map(|client| self.shared.faults.delivery(protocol, &client.negotiation)).unwrap_or_default()
    }

    fn connected(&mut self, outbox: &Arc<Outbox>) {
        let Some(client) = self.client.take() else { return };
        let (shared, negotiation) = (&self.shared, &client.negotiation);
        let described: Weak<SharedClaims> = Arc::downgrade(&client.claims);
        outbox.about.describe(described);
        if let Some(user) = &negotiation.user {
            let (hub, id) = (&negotiation.hub, &negotiation.connection_id);
            shared.user_groups.join(&shared.room.connections, hub, id, user, Instant::now());
        }
        self.teller = Some(Teller::start(shared.upstreams.clone(), client, outbox.clone()));
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

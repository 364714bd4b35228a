//! What the service says of the clients of a hub, and what is done then.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{
    Azure,
    client::{Client, ServiceTransport},
    event::{Event, Via},
    opening::{self, Opening},
};
use crate::{
    core::service_protocol::{Extensions, ServiceMessage},
    server::{
        host::{
            dispatcher::{Guest, HubDispatcher},
            lifetime::HUB,
            refresh,
            state::Hub,
        },
        negotiated::Negotiation,
        session::{Admitted, Run as _, Session},
        transport::Transport,
    },
};

/// What a client is told that there is no place for.
const FULL: &str = "The server takes no more connections.";

/// Does what the service says, until the hub stops. It waits for nothing else than the service's next word.
pub(in crate::server) async fn listen(hub: Arc<Hub>, azure: Arc<Azure>, mut events: mpsc::Receiver<Event>) {
    let end = async {
        hub.room.stopped().await;
        // Sessions end by themselves now; what they still say goes out before the server connections end.
        azure.end().await;
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut end => return,
        };
        let Some(event) = event else { return };
        match event {
            Event::Message(via, arrived) => {
                if let Some(message) = arrived.message() {
                    handle(&hub, &azure, via, &message);
                }
            }
            Event::Lost(via) => {
                azure.clients.leave(|client| client.via == via);
                let endpoint = azure.connections.status().into_iter().nth(via.endpoint);
                if endpoint.is_some_and(|endpoint| endpoint.connections == 0) {
                    azure.results.endpoint_lost(via.endpoint);
                }
            }
            Event::Offline(via, instance) => {
                azure.clients.leave(|client| {
                    client.via == via && (instance.is_empty() || client.instance == instance)
                });
                azure.results.instance_lost(via.endpoint, &instance);
            }
        }
    }
}

fn handle(hub: &Arc<Hub>, azure: &Arc<Azure>, via: Via, message: &ServiceMessage<'_>) {
    use ServiceMessage as M;
    let clients = &azure.clients;
    match message {
        M::OpenConnection { connection_id, claims, headers, query_string, extensions } => {
            let protocol = extensions.protocol.as_deref();
            let opening = Opening::new(claims, headers, query_string.as_deref(), protocol);
            open(hub, azure, via, connection_id, opening);
        }
        M::CloseConnection { connection_id, .. } => {
            if let Some(client) = clients.on(via, connection_id) {
                clients.remove(&client);
                client.leave();
            }
        }
        M::ConnectionData { connection_id, payload, extensions } => {
            if let Some(client) = clients.on(via, connection_id) {
                client.receive(payload, extensions.is_partial);
            }
        }
        M::ConnectionReconnect { connection_id, .. } => {
            if let Some(client) = clients.on(via, connection_id) {
                client.forget_partial();
            }
        }
        M::ConnectionFlowControl { connection_id, connection_type: 1, operation, .. } => {
            if let Some(client) = clients.on(via, connection_id) {
                client.control(*operation, &azure.connections);
            }
        }
        M::ClientInvocation { invocation_id, connection_id, caller_server_id, .. } => {
            asked(azure, via, invocation_id, connection_id, caller_server_id);
        }
        M::ServiceMapping { invocation_id, instance_id, .. } => {
            azure.results.mapped(invocation_id, via.endpoint, instance_id);
        }
        M::ClientCompletion { invocation_id, protocol, payload, .. } => {
            azure.results.completed(invocation_id, protocol.as_deref(), payload);
        }
        M::ErrorCompletion { invocation_id, .. } => azure.results.failed(invocation_id, via.endpoint),
        M::UpdateConnectionClaims { connection_id, claims, .. } => {
            if let Some(client) = clients.on(via, connection_id) {
                refresh::renewed(hub, &client.id, opening::identity(claims));
            }
        }
        _ => {}
    }
}

/// A client has come. Its handshake is among its first bytes.
fn open(hub: &Arc<Hub>, azure: &Arc<Azure>, via: Via, id: &str, opening: Opening) {
    let Opening { identity, headers, query, instance, is_migrated, protocol } = opening;
    let connections = azure.connections.clone();
    let (client, transport) = Client::new(id, via, &instance, protocol, is_migrated, connections);
    if azure.clients.find(id).is_some() {
        tracing::warn!(id, "the service has opened a connection twice; the second one is ignored");
        return;
    }
    let Some(slot) = hub.room.slots.take().filter(|_| !hub.room.is_stopping()) else {
        let azure = azure.clone();
        tokio::spawn(async move { azure.close(&client, Some(FULL)).await });
        return;
    };
    azure.clients.insert(client.clone());
    let user = identity.user_id.clone();
    let negotiation =
        Negotiation { connection_id: id.to_owned(), hub: HUB.to_owned(), user, is_stateful: false };
    let guest = Guest {
        connection_id: id.to_owned(),
        identity,
        transport: None,
        is_stateful: false,
        headers,
        query,
        slot: slot.clone(),
    };
    let admitted = Admitted {
        room: hub.room.clone(),
        negotiation,
        handshake_timeout: hub.room.options.handshake_timeout,
        // The service ends it with its token, if that is wished for.
        expiry: watch::channel(None).1,
        resumed: None,
        _lease: None,
        slot,
    };
    let session = Session { admitted, dispatcher: HubDispatcher::new(hub.clone(), guest) };
    tokio::spawn(host(azure.clone(), client, transport, session));
}

/// Runs a client's session to its end, and tells the service of it, unless that has ended it.
async fn host(
    azure: Arc<Azure>,
    client: Arc<Client>,
    transport: ServiceTransport,
    session: Session<HubDispatcher>,
) {
    session.run(Transport::Service(Box::new(transport))).await;
    azure.clients.remove(&client);
    if !client.has_left() {
        client.leave();
        azure.close(&client, None).await;
    }
}

impl Azure {
    /// Has the service end a client.
    async fn close(&self, client: &Client, error: Option<&str>) {
        let message = ServiceMessage::CloseConnection {
            connection_id: client.id.as_str().into(),
            error_message: error.map(Into::into),
            headers: Vec::new(),
            extensions: Extensions::default(),
        };
        // Without its server connection the service has ended the client already.
        let _ = self.connections.send(client.via, &message).await;
    }
}

/// Another server asks a client of this one, who gets the call from the service.
fn asked(azure: &Arc<Azure>, via: Via, id: &str, connection_id: &str, caller: &str) {
    if azure.clients.find(connection_id).is_some() && azure.results.asked(id, connection_id) {
        return;
    }
    let (azure, id) = (azure.clone(), id.to_owned());
    let (connection_id, caller) = (connection_id.to_owned(), caller.to_owned());
    tokio::spawn(async move {
        let message = ServiceMessage::ErrorCompletion {
            invocation_id: id.into(),
            connection_id: connection_id.into(),
            caller_server_id: caller.into(),
            error: Some(
                "The connection is not on this server, or too many calls wait for its clients.".into(),
            ),
            extensions: Extensions::default(),
        };
        let _ = azure.connections.send(via, &message).await;
    });
}

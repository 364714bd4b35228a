//! One hub in default mode: its server connections, its clients, and which of the two belong together.
//!
//! Nothing here waits or knows a socket. What is to be sent is queued: to app servers in [`ToServer`], to clients in
//! their outboxes.

use std::{collections::HashMap, sync::Arc, time::Instant};

use axum::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    core::service_protocol::{Extensions, ServiceMessage, codes::data::INVOCATION},
    local::{
        default_mode::{
            invocations::Invocations,
            link::Terms,
            servers::{Number, Servers},
            to_server::ToServer,
            visitor::{Visitor, closing, data},
        },
        user_groups::UserGroups,
    },
    server::{
        connections::Connections,
        negotiated::Negotiated,
        outbox::{Outbox, Relayed},
    },
};

/// There is no app server for a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoServer;

/// Who is connected, and who is in which group.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) connections: Arc<Connections>,
    pub(super) user_groups: Arc<UserGroups>,
    pub(super) negotiated: Arc<Negotiated>,
}

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) servers: Servers,
    pub(super) clients: HashMap<String, Client>,
    pub(super) invocations: Invocations,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) visitor: Visitor,
    pub(super) outbox: Arc<Outbox>,
    /// The server connection that it is on.
    pub(super) server: Number,
    /// Whether its app server has sent it something: the answer to its handshake.
    is_answered: bool,
}

impl Hub {
    pub(super) fn new(name: String, place: Place) -> Self {
        Self {
            name,
            place,
            servers: Servers::default(),
            clients: HashMap::new(),
            invocations: Invocations::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty()
    }

    /// A server connection has done its handshake, which is answered first of all.
    pub(super) fn server_ready(
        &mut self,
        connection_id: &str,
        id: String,
        terms: Terms,
        to_server: Arc<ToServer>,
    ) -> Number {
        to_server.push(&ServiceMessage::HandshakeResponse {
            error_message: None,
            extensions: Extensions::default(),
            connection_id: Some(connection_id.into()),
        });
        let number = self.servers.add(id, terms, to_server);
        // Those that found no other app server so far.
        for migrating in self.servers.migrating() {
            self.migrate(migrating);
        }
        number
    }

    /// A server connection has ended, and its clients with it.
    pub(super) fn server_gone(&mut self, number: Number) {
        let Some(server) = self.servers.remove(number) else { return };
        server.to_server.end();
        for id in self.clients_of(number) {
            if let Some(client) = self.clients.remove(&id) {
                self.place.connections.remove(&self.name, &id);
                client.outbox.relay(Relayed::Lost);
                self.invocations.client_left(&self.servers, &id);
            }
        }
        if !self.servers.all().any(|other| other.id == server.id) {
            self.invocations.forget_caller(&server.id);
        }
    }

    /// A server connection takes no clients any more. With `migrates`, those that it has go to other app servers.
    pub(super) fn server_leaving(&mut self, number: Number, migrates: bool) {
        if self.servers.leave(number, migrates) && migrates {
            self.migrate(number);
        }
    }

    fn clients_of(&self, number: Number) -> Vec<String> {
        let on_it = self.clients.iter().filter(|(_, client)| client.server == number);
        on_it.map(|(id, _)| id.clone()).collect()
    }

    /// Gives a client to an app server, with its handshake request.
    pub(super) fn client_opened(
        &mut self,
        visitor: Visitor,
        outbox: Arc<Outbox>,
        now: Instant,
    ) -> Result<(), NoServer> {
        let number = self.servers.choose(&visitor.claims.get(), None).ok_or(NoServer)?;
        let server = self.servers.get(number).ok_or(NoServer)?;
        let (hub, id, user) = (&self.name, &visitor.id, visitor.user.as_deref());
        self.place.connections.insert(hub, id, user, outbox.clone());
        if let Some(user) = user {
            self.place.user_groups.join(&self.place.connections, hub, id, user, now);
        }
        visitor.push_opening(&server.to_server, None);
        self.clients.insert(id.clone(), Client { visitor, outbox, server: number, is_answered: false });
        Ok(())
    }

    /// A client goes on with another socket: what its app server has of a message in parts is void.
    pub(super) fn client_resumed(&self, id: &str) {
        if let Some(to_server) = self.way_of(id) {
            let (connection_id, extensions) = (id.into(), Extensions::default());
            to_server.push(&ServiceMessage::ConnectionReconnect { connection_id, extensions });
        }
    }

    /// Where the bytes of a client go.
    pub(super) fn way_of(&self, id: &str) -> Option<Arc<ToServer>> {
        Some(self.servers.get(self.clients.get(id)?.server)?.to_server.clone())
    }

    /// Passes on what a client sends, for which there is room.
    pub(super) fn client_data(&self, id: &str, bytes: &[u8], room: OwnedSemaphorePermit) {
        if let Some(to_server) = self.way_of(id) {
            tracing::trace!(hub = self.name, id, length = bytes.len(), "a client has spoken");
            to_server.push_with(&data(id, bytes, 0), Some(room));
        }
    }

    /// A client is gone, or the service lets it go.
    pub(super) fn client_gone(&mut self, id: &str) {
        self.place.connections.remove(&self.name, id);
        if let Some(client) = self.clients.remove(id) {
            if let Some(server) = self.servers.get(client.server) {
                server.to_server.push(&closing(id, None));
            }
            self.invocations.client_left(&self.servers, id);
        }
    }

    /// Its app server has ended a client.
    pub(super) fn client_ended(&mut self, id: &str, error: Option<&str>) {
        if let Some(client) = self.clients.remove(id) {
            self.place.connections.remove(&self.name, id);
            client.outbox.relay(Relayed::Ended(error.map(Into::into)));
            self.invocations.client_left(&self.servers, id);
        }
    }

    /// Bytes of a server connection for a client. They count only from the one that it is on.
    pub(super) fn server_data(&mut self, from: Number, id: &str, bytes: &[u8], kind: i32) {
        if let Some(client) = self.clients.get_mut(id)
            && client.server == from
        {
            client.is_answered = true;
            let bytes = Bytes::copy_from_slice(bytes);
            client.outbox.relay(Relayed::Data { bytes, counts: kind == INVOCATION });
        }
    }

    /// Has the clients of a server connection go on at other app servers. A client hears nothing of it.
    fn migrate(&mut self, number: Number) {
        let Some(from) = self.servers.get(number).map(|server| server.id.clone()) else { return };
        for id in self.clients_of(number) {
            let Some(mut client) = self.clients.remove(&id) else { continue };
            if let Some(to) = self.servers.choose(&client.visitor.claims.get(), Some(&from))
                && let (Some(server), Some(old)) = (self.servers.get(to), self.servers.get(number))
            {
                old.to_server.push(&closing(&id, Some(&server.id)));
                // An app server does not answer the handshake of a client that has migrated. One that was not answered
                // yet is new to the other.
                let migrated_from = client.is_answered.then_some(from.as_str());
                client.visitor.push_opening(&server.to_server, migrated_from);
                client.server = to;
            }
            self.clients.insert(id, client);
        }
    }
}

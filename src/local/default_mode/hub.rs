//! One hub in default mode: its server connections, its clients, and which of the two belong together.
//!
//! Nothing here waits or knows a socket. What is to be sent is queued: to app servers in [`ToServer`], to clients in
//! their outboxes. What each message of an app server does is in [`messages`](super::messages).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Instant,
};

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    core::service_protocol::{Extensions, Headers, ServiceMessage},
    local::{
        default_mode::{
            invocations::Invocations,
            link::{Kind, Terms},
            refresh::{listed, on_the_wire},
            to_server::ToServer,
        },
        user_groups::UserGroups,
    },
    server::{
        claims::SharedClaims,
        connections::Connections,
        negotiated::Negotiated,
        outbox::{Outbox, Relayed},
    },
};

/// What the service is called where it says which of its instances has a client. There is only one.
pub(super) const INSTANCE: &str = "local";

/// The bytes are a client's handshake request.
const HANDSHAKE: i32 = 1;

/// The bytes are one hub message that stateful reconnect counts.
const INVOCATION: i32 = 2;

/// Which app server a client comes from, and which it goes to.
const MIGRATE_FROM: &str = "Asrs-Migrate-From";
const MIGRATE_TO: &str = "Asrs-Migrate-To";

/// A server connection, by the order in which they came.
pub(super) type Number = u64;

/// There is no app server for a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoServer;

/// Who is connected, and who is in which group.
#[derive(Debug, Clone)]
pub(in crate::local) struct Place {
    pub(in crate::local) connections: Arc<Connections>,
    pub(in crate::local) user_groups: Arc<UserGroups>,
    pub(in crate::local) negotiated: Arc<Negotiated>,
}

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) servers: BTreeMap<Number, Server>,
    pub(super) clients: HashMap<String, Client>,
    pub(super) invocations: Invocations,
    next: Number,
    /// Whose turn it is to get a client.
    turn: usize,
}

/// A server connection after its handshake.
#[derive(Debug)]
pub(super) struct Server {
    /// What the app server calls itself; all its server connections have the same.
    pub(super) id: String,
    pub(super) terms: Terms,
    pub(super) to_server: Arc<ToServer>,
    /// Whether it takes no clients any more.
    is_leaving: bool,
    /// Whether its clients are to go to another app server.
    migrates: bool,
}

/// A client, as its app server gets to know it.
#[derive(Default)]
pub(crate) struct Visitor {
    pub(crate) id: String,
    pub(crate) user: Option<String>,
    pub(crate) claims: Arc<SharedClaims>,
    pub(crate) headers: Vec<(String, Vec<String>)>,
    pub(crate) query: String,
    /// The secret of its connection, if it has negotiated.
    pub(crate) token: Option<String>,
    /// The name of its hub protocol.
    pub(crate) protocol: String,
    /// Its handshake request, with the separator.
    pub(crate) handshake: Vec<u8>,
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

/// Without its secrets.
impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Visitor {
    /// Tells an app server of the client.
    fn push_opening(&self, to_server: &ToServer, migrated_from: Option<&str>) {
        let claims = listed(&self.claims.get());
        to_server.push(&self.opening(&claims, migrated_from));
        to_server.push(&data(&self.id, &self.handshake, HANDSHAKE));
    }

    fn opening<'v>(
        &'v self,
        claims: &'v [(String, String)],
        migrated_from: Option<&'v str>,
    ) -> ServiceMessage<'v> {
        let mut headers: Headers<'v> = Vec::new();
        for (name, values) in &self.headers {
            let values = values.iter().map(|value| Some(value.as_str().into())).collect();
            headers.push((name.as_str().into(), values));
        }
        for (name, value) in [("Asrs-Instance-Id", Some(INSTANCE)), (MIGRATE_FROM, migrated_from)] {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.extend(value.map(|value| (name.into(), vec![Some(value.into())])));
        }
        ServiceMessage::OpenConnection {
            connection_id: self.id.as_str().into(),
            claims: on_the_wire(claims),
            headers,
            query_string: Some(self.query.as_str().into()),
            extensions: Extensions { protocol: Some(self.protocol.as_str().into()), ..Extensions::default() },
        }
    }
}

/// The end of a client for its app server.
fn closing<'m>(id: &'m str, migrated_to: Option<&'m str>) -> ServiceMessage<'m> {
    let headers = migrated_to.map(|server| (MIGRATE_TO.into(), vec![Some(server.into())]));
    ServiceMessage::CloseConnection {
        connection_id: id.into(),
        error_message: None,
        headers: headers.into_iter().collect(),
        extensions: Extensions::default(),
    }
}

fn data<'m>(id: &'m str, payload: &'m [u8], data_message_type: i32) -> ServiceMessage<'m> {
    let extensions = Extensions { data_message_type, ..Extensions::default() };
    ServiceMessage::ConnectionData { connection_id: id.into(), payload, extensions }
}

impl Hub {
    pub(super) fn new(name: String, place: Place) -> Self {
        Self {
            name,
            place,
            servers: BTreeMap::new(),
            clients: HashMap::new(),
            invocations: Invocations::default(),
            next: 0,
            turn: 0,
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
        let number = self.next;
        self.next += 1;
        self.servers.insert(number, Server { id, terms, to_server, is_leaving: false, migrates: false });
        // Those that found no other app server so far.
        let leaving: Vec<Number> =
            self.servers.iter().filter(|(_, server)| server.migrates).map(|(&number, _)| number).collect();
        for number in leaving {
            self.migrate(number);
        }
        number
    }

    /// A server connection has ended, and its clients with it.
    pub(super) fn server_gone(&mut self, number: Number) {
        let Some(server) = self.servers.remove(&number) else { return };
        server.to_server.end();
        for id in self.clients_of(number) {
            if let Some(client) = self.clients.remove(&id) {
                self.place.connections.remove(&self.name, &id);
                client.outbox.relay(Relayed::Lost);
                self.client_left(&id);
            }
        }
        if !self.servers.values().any(|other| other.id == server.id) {
            self.invocations.forget_caller(&server.id);
        }
    }

    /// A server connection takes no clients any more. With `migrates`, those that it has go to other app servers.
    pub(super) fn server_leaving(&mut self, number: Number, migrates: bool) {
        let Some(server) = self.servers.get_mut(&number) else { return };
        server.is_leaving = true;
        server.migrates |= migrates;
        if migrates {
            self.migrate(number);
        }
    }

    fn clients_of(&self, number: Number) -> Vec<String> {
        let on_it = self.clients.iter().filter(|(_, client)| client.server == number);
        on_it.map(|(id, _)| id.clone()).collect()
    }

    /// The server connection for a client: the one that its token names if that is its wish, else each in its turn.
    fn choose(&mut self, visitor: &Visitor, not: Option<&str>) -> Option<Number> {
        let able = self.servers.iter().filter(|(_, server)| {
            server.terms.kind != Kind::Weak && !server.is_leaving && Some(server.id.as_str()) != not
        });
        let mut able: Vec<(Number, &str)> = able.map(|(&number, server)| (number, &*server.id)).collect();
        let claims = visitor.claims.get();
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        if let Some(wanted) = claim("asrs.s.sn") {
            let own: Vec<_> = able.iter().copied().filter(|(_, id)| *id == wanted).collect();
            let is_required = claim("asrs.s.ssticky") == Some("Required");
            if is_required || !own.is_empty() {
                able = own;
            }
        }
        let chosen = able.get(self.turn.checked_rem(able.len())?).map(|(number, _)| *number);
        self.turn = self.turn.wrapping_add(1);
        chosen
    }

    /// Gives a client to an app server, with its handshake request.
    pub(super) fn client_opened(
        &mut self,
        visitor: Visitor,
        outbox: Arc<Outbox>,
        now: Instant,
    ) -> Result<(), NoServer> {
        let number = self.choose(&visitor, None).ok_or(NoServer)?;
        let server = self.servers.get(&number).ok_or(NoServer)?;
        let (hub, id, user) = (&self.name, &visitor.id, visitor.user.as_deref());
        self.place.connections.insert(hub, id, user, outbox.clone());
        if let Some(user) = user {
            self.place.user_groups.join(&self.place.connections, hub, id, user, now);
        }
        visitor.push_opening(&server.to_server, None);
        self.clients.insert(id.clone(), Client { visitor, outbox, server: number, is_answered: false });
        Ok(())
    }

    pub(super) fn allows_stateful_reconnect(&self) -> bool {
        let mut carriers = self.servers.values().filter(|server| server.terms.kind != Kind::Weak).peekable();
        carriers.peek().is_some() && carriers.all(|server| server.terms.allows_stateful_reconnect)
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
        Some(self.servers.get(&self.clients.get(id)?.server)?.to_server.clone())
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
            if let Some(server) = self.servers.get(&client.server) {
                server.to_server.push(&closing(id, None));
            }
            self.client_left(id);
        }
    }

    /// Its app server has ended a client.
    pub(super) fn client_ended(&mut self, id: &str, error: Option<&str>) {
        if let Some(client) = self.clients.remove(id) {
            self.place.connections.remove(&self.name, id);
            client.outbox.relay(Relayed::Ended(error.map(Into::into)));
            self.client_left(id);
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
        let Some(from) = self.servers.get(&number).map(|server| server.id.clone()) else { return };
        for id in self.clients_of(number) {
            let Some(mut client) = self.clients.remove(&id) else { continue };
            if let Some(to) = self.choose(&client.visitor, Some(&from))
                && let (Some(server), Some(old)) = (self.servers.get(&to), self.servers.get(&number))
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

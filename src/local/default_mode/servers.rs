//! The server connections of one hub, and whose turn it is to get a client.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    core::service_protocol::{Extensions, ServiceMessage, Text},
    local::default_mode::{
        link::{Kind, Terms},
        to_server::ToServer,
    },
    server::claims::Claims,
};

/// A server connection, by the order in which they came.
pub(super) type Number = u64;

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

#[derive(Debug, Default)]
pub(super) struct Servers {
    by_number: BTreeMap<Number, Server>,
    next: Number,
    /// Whose turn it is to get a client.
    turn: usize,
}

impl Servers {
    pub(super) fn add(&mut self, id: String, terms: Terms, to_server: Arc<ToServer>) -> Number {
        let number = self.next;
        self.next += 1;
        self.by_number.insert(number, Server { id, terms, to_server, is_leaving: false, migrates: false });
        number
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<Server> {
        self.by_number.remove(&number)
    }

    pub(super) fn get(&self, number: Number) -> Option<&Server> {
        self.by_number.get(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(super) fn all(&self) -> btree_map::Values<'_, Number, Server> {
        self.by_number.values()
    }

    /// A server connection takes no clients any more. With `migrates`, those that it has are to go to other app servers.
    /// Says whether it is there.
    pub(super) fn leave(&mut self, number: Number, migrates: bool) -> bool {
        let Some(server) = self.by_number.get_mut(&number) else { return false };
        server.is_leaving = true;
        server.migrates |= migrates;
        true
    }

    /// Those whose clients are to go to another app server.
    pub(super) fn migrating(&self) -> Vec<Number> {
        let migrating = self.by_number.iter().filter(|(_, server)| server.migrates);
        migrating.map(|(&number, _)| number).collect()
    }

    /// A server connection of an app server: this one, or another one if it is gone.
    pub(super) fn of(&self, server_id: &str, number: Number) -> Option<&Server> {
        self.get(number).or_else(|| self.all().find(|server| server.id == server_id))
    }

    /// The server connection for a client: the one that its token names if that is its wish, else each in its turn.
    pub(super) fn choose(&mut self, claims: &Claims, not: Option<&str>) -> Option<Number> {
        let able = self.by_number.iter().filter(|(_, server)| {
            server.terms.kind != Kind::Weak && !server.is_leaving && Some(server.id.as_str()) != not
        });
        let mut able: Vec<(Number, &str)> = able.map(|(&number, server)| (number, &*server.id)).collect();
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

    /// Whether there are app servers, and all allow clients to go on with another socket.
    pub(super) fn allow_stateful_reconnect(&self) -> bool {
        let mut carriers = self.all().filter(|server| server.terms.kind != Kind::Weak).peekable();
        carriers.peek().is_some() && carriers.all(|server| server.terms.allows_stateful_reconnect)
    }

    /// Answers a message that has an ack id; 0 means that it has none.
    pub(super) fn ack(&self, to: Number, ack_id: i32, status: i32, payload: Option<&[u8]>) {
        if ack_id != 0
            && let Some(server) = self.get(to)
        {
            let (message, extensions) = (Some(Text::default()), Extensions::default());
            server.to_server.push(&ServiceMessage::Ack { ack_id, status, message, extensions, payload });
        }
    }
}

//! What each message of an app server does in its hub.
//!
//! Source: [ServiceProtocol.md](https://github.com/Azure/azure-signalr/blob/dev/specs/ServiceProtocol.md).

use std::time::{Duration, Instant};

use crate::{
    core::service_protocol::{
        Extensions, GroupMember, GroupMembers, ServiceMessage, ServiceMessage as M, Text,
        codes::outcome::{NOT_FOUND, OK},
    },
    local::default_mode::{hub::Hub, link::Kind, payloads, servers::Number},
    server::{connections::Target, outbox::Relayed},
    service::limits,
};

/// How many clients the service says that it has room for; app servers compare services by it.
const CAPACITY: usize = 1000;

/// The Unix epoch as .NET counts, in tenths of a microsecond since the year 1.
const UNIX_EPOCH_TICKS: u128 = 621_355_968_000_000_000;

/// The time at which something is sent, for a reader elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    /// Since the Unix epoch.
    pub(super) unix: Duration,
}

/// A ping with a key and its value, and so on.
fn ping(messages: &[&str]) -> ServiceMessage<'static> {
    M::Ping { messages: messages.iter().map(|text| Some((*text).to_owned().into())).collect() }
}

/// The value of a key of a ping.
fn value<'m>(messages: &'m [Option<Text<'_>>], key: &str) -> Option<&'m str> {
    let pairs = messages.chunks_exact(2);
    pairs.into_iter().find_map(|pair| match pair {
        [Some(name), value] if name == key => Some(value.as_deref().unwrap_or_default()),
        _ => None,
    })
}

fn status(is_there: bool) -> i32 {
    if is_there { OK } else { NOT_FOUND }
}

impl Hub {
    /// Does what a message of a server connection says. What does not concern the service is ignored.
    pub(super) fn handle_message(&mut self, from: Number, message: &ServiceMessage<'_>, now: Now) {
        let Some(kind) = self.servers.get(from).map(|server| server.terms.kind) else { return };
        tracing::trace!(hub = self.name, server = from, ?message, "an app server has spoken");
        let instant = now.instant;
        match message {
            M::Ping { messages } => self.handle_ping(from, messages, now),
            M::ConnectionData { connection_id, payload, extensions } => {
                self.server_data(from, connection_id, payload, extensions.data_message_type);
            }
            M::CloseConnection { connection_id, error_message, .. } => {
                let error = error_message.as_deref().filter(|text| !text.is_empty());
                if self.clients.get(&**connection_id).is_some_and(|client| client.server == from) {
                    self.client_ended(connection_id, error);
                } else if kind == Kind::Weak {
                    // A management connection closes the clients of app servers.
                    self.close(Target::Connection(connection_id), &[], error);
                }
            }
            M::JoinGroup { connection_id, group_name, .. } => {
                self.place.connections.add_to_group(&self.name, connection_id, group_name);
            }
            M::JoinGroupWithAck { connection_id, group_name, ack_id, .. } => {
                let joined = self.place.connections.add_to_group(&self.name, connection_id, group_name);
                self.ack(from, *ack_id, status(joined));
            }
            M::LeaveGroup { connection_id, group_name, .. } => {
                self.place.connections.remove_from_group(&self.name, connection_id, group_name.as_deref());
            }
            M::LeaveGroupWithAck { connection_id, group_name, ack_id, .. } => {
                self.place.connections.remove_from_group(&self.name, connection_id, group_name.as_deref());
                self.ack(from, *ack_id, OK);
            }
            M::UserJoinGroup { user_id, group_name, extensions } => {
                self.user_joins(user_id, group_name, extensions, instant);
            }
            M::UserJoinGroupWithAck { user_id, group_name, ack_id, extensions } => {
                self.user_joins(user_id, group_name, extensions, instant);
                self.ack(from, *ack_id, OK);
            }
            M::UserLeaveGroup { user_id, group_name, .. } => {
                self.user_leaves(user_id, group_name.as_deref());
            }
            M::UserLeaveGroupWithAck { user_id, group_name, ack_id, .. } => {
                self.user_leaves(user_id, group_name.as_deref());
                self.ack(from, *ack_id, OK);
            }
            M::CheckUserInGroupWithAck { user_id, group_name, ack_id, .. } => {
                let place = &self.place;
                let is_in =
                    place.user_groups.contains(&place.connections, &self.name, user_id, group_name, instant);
                self.ack(from, *ack_id, status(is_in));
            }
            M::CheckGroupExistenceWithAck { group_name, ack_id, .. } => {
                self.ack_existence(from, *ack_id, Target::Group(group_name));
            }
            M::CheckConnectionExistenceWithAck { connection_id, ack_id, .. } => {
                self.ack_existence(from, *ack_id, Target::Connection(connection_id));
            }
            M::CheckUserExistenceWithAck { user_id, ack_id, .. } => {
                self.ack_existence(from, *ack_id, Target::User(user_id));
            }
            M::GroupMemberQuery { group_name, ack_id, top, continuation_token, max_page_size, .. } => {
                let payload = self.members(group_name, *top, continuation_token.as_deref(), *max_page_size);
                self.servers.ack(from, *ack_id, OK, Some(&payload));
            }
            M::CloseConnectionWithAck { connection_id, reason, ack_id, .. } => {
                let target = Target::Connection(connection_id);
                let exists = self.place.connections.exists(&self.name, target);
                self.close(target, &[], reason.as_deref());
                self.ack(from, *ack_id, status(exists));
            }
            M::CloseConnectionsWithAck { reason, ack_id, excluded_ids, .. } => {
                self.close(Target::All, excluded_ids, reason.as_deref());
                self.ack(from, *ack_id, OK);
            }
            M::CloseUserConnectionsWithAck { user_id, reason, ack_id, excluded_ids, .. } => {
                self.close(Target::User(user_id), excluded_ids, reason.as_deref());
                self.ack(from, *ack_id, OK);
            }
            M::CloseGroupConnectionsWithAck { group_name, reason, ack_id, excluded_ids, .. } => {
                self.close(Target::Group(group_name), excluded_ids, reason.as_deref());
                self.ack(from, *ack_id, OK);
            }
            M::GetConnectionClaims { connection_token, ack_id, .. } => {
                self.tell_claims(from, connection_token, *ack_id);
            }
            M::RefreshAuth { connection_token, claims, expire_time, ack_id, .. } => {
                self.refresh(from, connection_token, claims, *expire_time, *ack_id);
            }
            M::ClientInvocation { invocation_id, connection_id, payloads, .. } => {
                let host = self.clients.get(&**connection_id).map(|client| client.server);
                if self.invocations.begin(&self.servers, from, host, message, instant) {
                    if let Some(client) = self.clients.get(&**connection_id) {
                        client.outbox.relay(Relayed::Asks(invocation_id.as_ref().into()));
                    }
                    let (target, call) = (Target::Connection(connection_id), payloads::message(payloads));
                    self.place.connections.send(&self.name, target, &[], &call);
                }
            }
            M::ClientCompletion { invocation_id, .. } | M::ErrorCompletion { invocation_id, .. } => {
                self.invocations.complete(&self.servers, invocation_id, message);
            }
            _ => self.send(message),
        }
    }

    fn handle_ping(&mut self, from: Number, messages: &[Option<Text<'_>>], now: Now) {
        let Some(server) = self.servers.get(from) else { return };
        if value(messages, "status").is_some() {
            let (clients, servers) = (self.clients.len().to_string(), self.servers.len().to_string());
            let (has_clients, capacity) = (if clients == "0" { "0" } else { "1" }, CAPACITY.to_string());
            let answer = [
                "status",
                has_clients,
                "clientcount",
                &clients,
                "servercount",
                &servers,
                "capacity",
                &capacity,
            ];
            server.to_server.push(&ping(&answer));
        }
        if value(messages, "servers").is_some() {
            let mut ids: Vec<&str> = self.servers.all().map(|server| server.id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let ticks = UNIX_EPOCH_TICKS + now.unix.as_nanos() / 100;
            server.to_server.push(&ping(&["servers", &format!("{ticks}:{}", ids.join(";"))]));
        }
        let leaves = value(messages, "shutdown").filter(|text| text.starts_with("fin:"));
        if let Some(how) = leaves {
            server.to_server.push(&ping(&["shutdown", "finack"]));
            self.server_leaving(from, how == "fin:1");
        }
    }

    fn user_joins(&self, user: &str, group: &str, extensions: &Extensions<'_>, now: Instant) {
        let seconds = extensions.ttl.map(|ttl| u64::try_from(ttl).unwrap_or(0));
        let (place, ttl) = (&self.place, seconds.map(Duration::from_secs));
        place.user_groups.add(&place.connections, &self.name, user, group, ttl, now);
    }

    fn user_leaves(&self, user: &str, group: Option<&str>) {
        self.place.user_groups.remove(&self.place.connections, &self.name, user, group);
    }

    /// Closes connections; their app servers are told when they end.
    fn close(&self, target: Target<'_>, excluded: &[Text<'_>], reason: Option<&str>) {
        let excluded: Vec<&str> = excluded.iter().map(|id| &**id).collect();
        self.place.connections.close_for_now(&self.name, target, &excluded, reason);
    }

    /// One page of a group's members.
    fn members(&self, group: &str, top: Option<i32>, after: Option<&str>, page: Option<i32>) -> Vec<u8> {
        let wanted = |number: Option<i32>| number.map(|number| usize::try_from(number).unwrap_or(0).max(1));
        let top = wanted(top);
        let largest = usize::from(limits::PAGE);
        let count = wanted(page).unwrap_or(largest).min(largest).min(top.unwrap_or(largest));
        let (members, more) = self.place.connections.list(&self.name, group, after, count);
        let is_enough = top == Some(members.len());
        let last = members.last().filter(|_| more && !is_enough).map(|(id, _)| id.to_string());
        let members = members.iter().map(|(id, user)| GroupMember {
            connection_id: (&**id).into(),
            user_id: user.as_deref().map(Into::into),
        });
        let mut payload = Vec::new();
        GroupMembers { members: members.collect(), continuation_token: last.map(Into::into) }
            .write(&mut payload);
        payload
    }

    fn ack_existence(&self, to: Number, ack_id: i32, target: Target<'_>) {
        self.ack(to, ack_id, status(self.place.connections.exists(&self.name, target)));
    }

    fn ack(&self, to: Number, ack_id: i32, status: i32) {
        self.servers.ack(to, ack_id, status, None);
    }
}

//! Calls of one client's method whose result an app server waits for, where that is not the client's own.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    core::service_protocol::{Extensions, ServiceMessage},
    local::default_mode::{
        hub::{Hub, INSTANCE, Number},
        sends::message,
    },
    server::connections::Target,
};

/// The service keeps a call for so long, as Azure does.
const KEPT: Duration = Duration::from_secs(600);

/// How many calls of one hub are kept; of more, the oldest are forgotten.
const MAX_KEPT: usize = 100_000;

/// By their ids.
#[derive(Debug, Default)]
pub(super) struct Invocations {
    waiting: HashMap<String, Invocation>,
    /// When each has begun, the oldest first.
    begun: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct Invocation {
    since: Instant,
    /// The server connection that waits for the result, and what its app server is called.
    caller: (Number, String),
    connection_id: String,
    /// Whether another app server than the caller has the client.
    is_remote: bool,
}

impl Invocations {
    fn insert(&mut self, id: &str, invocation: Invocation) {
        let now = invocation.since;
        while let Some((since, oldest)) = self.begun.front()
            && (now.saturating_duration_since(*since) >= KEPT || self.begun.len() >= MAX_KEPT)
        {
            if self.waiting.get(oldest).is_some_and(|invocation| invocation.since == *since) {
                self.waiting.remove(oldest);
            }
            self.begun.pop_front();
        }
        self.begun.push_back((now, id.to_owned()));
        self.waiting.insert(id.to_owned(), invocation);
    }

    /// An app server is gone with all of its server connections.
    pub(super) fn forget_caller(&mut self, server_id: &str) {
        self.waiting.retain(|_, invocation| invocation.caller.1 != server_id);
    }
}

fn failure<'m>(id: &'m str, connection_id: &'m str, server: &'m str, error: String) -> ServiceMessage<'m> {
    ServiceMessage::ErrorCompletion {
        invocation_id: id.into(),
        connection_id: connection_id.into(),
        caller_server_id: server.into(),
        error: Some(error.into()),
        extensions: Extensions::default(),
    }
}

impl Hub {
    /// An app server calls a client's method: its own client gets the call, and that of another app server after this
    /// has heard of it, which takes the answer.
    pub(super) fn invoke(&mut self, from: Number, called: &ServiceMessage<'_>, now: Instant) {
        let ServiceMessage::ClientInvocation {
            invocation_id, connection_id, caller_server_id, payloads, ..
        } = called
        else {
            return;
        };
        let Some(caller) = self.servers.get(&from) else { return };
        caller.to_server.hold();
        let Some(host) =
            self.clients.get(&**connection_id).and_then(|client| self.servers.get(&client.server))
        else {
            let error = format!("Connection {connection_id} does not exist.");
            caller.to_server.push(&failure(invocation_id, connection_id, caller_server_id, error));
            return;
        };
        let is_remote = host.id != caller.id;
        if !is_remote {
            host.to_server.hold();
        }
        if is_remote {
            caller.to_server.push(&ServiceMessage::ServiceMapping {
                invocation_id: invocation_id.clone(),
                connection_id: connection_id.clone(),
                instance_id: INSTANCE.into(),
                extensions: Extensions::default(),
            });
            host.to_server.push(called);
        }
        let invocation = Invocation {
            since: now,
            caller: (from, caller.id.clone()),
            connection_id: connection_id.as_ref().to_owned(),
            is_remote,
        };
        self.invocations.insert(invocation_id, invocation);
        let target = Target::Connection(connection_id);
        self.place.connections.send(&self.name, target, &[], &message(payloads));
    }

    /// A call is over: its caller is told by what the client's app server says of it.
    pub(super) fn complete(&mut self, invocation_id: &str, completion: &ServiceMessage<'_>) {
        if let Some(invocation) = self.invocations.waiting.remove(invocation_id)
            && invocation.is_remote
        {
            self.tell_caller(&invocation, completion);
        }
    }

    fn tell_caller(&self, invocation: &Invocation, completion: &ServiceMessage<'_>) {
        let (number, server_id) = &invocation.caller;
        let caller = self.servers.get(number).or_else(|| {
            // The server connection is gone, but perhaps not the app server.
            self.servers.values().find(|server| server.id == *server_id)
        });
        if let Some(caller) = caller {
            caller.to_server.push(completion);
        }
    }

    /// A client has left: what others wait for will not come. Its own app server knows.
    pub(super) fn client_left(&mut self, connection_id: &str) {
        let left = self.invocations.waiting.extract_if(|_, call| call.connection_id == connection_id);
        for (id, invocation) in left.collect::<Vec<_>>() {
            if invocation.is_remote {
                let error = format!("Connection {connection_id} has disconnected.");
                let failure = failure(&id, connection_id, &invocation.caller.1, error);
                self.tell_caller(&invocation, &failure);
            }
        }
    }
}

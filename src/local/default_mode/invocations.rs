//! Calls of one client's method whose result an app server waits for, where that is not the client's own.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    core::service_protocol::{Extensions, ServiceMessage},
    local::default_mode::{
        servers::{Number, Servers},
        visitor::INSTANCE,
    },
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

    /// An app server calls a client's method: its own client gets the call, and that of another app server after this
    /// has heard of it, which takes the answer. `host` is the server connection that has the client. Says whether the client
    /// gets the call.
    pub(super) fn begin(
        &mut self,
        servers: &Servers,
        from: Number,
        host: Option<Number>,
        called: &ServiceMessage<'_>,
        now: Instant,
    ) -> bool {
        let ServiceMessage::ClientInvocation { invocation_id, connection_id, caller_server_id, .. } = called
        else {
            return false;
        };
        let Some(caller) = servers.get(from) else { return false };
        caller.to_server.hold();
        let Some(host) = host.and_then(|host| servers.get(host)) else {
            let error = format!("Connection {connection_id} does not exist.");
            caller.to_server.push(&failure(invocation_id, connection_id, caller_server_id, error));
            return false;
        };
        let is_remote = host.id != caller.id;
        if is_remote {
            caller.to_server.push(&ServiceMessage::ServiceMapping {
                invocation_id: invocation_id.clone(),
                connection_id: connection_id.clone(),
                instance_id: INSTANCE.into(),
                extensions: Extensions::default(),
            });
            host.to_server.push(called);
        } else {
            host.to_server.hold();
        }
        let invocation = Invocation {
            since: now,
            caller: (from, caller.id.clone()),
            connection_id: connection_id.as_ref().to_owned(),
            is_remote,
        };
        self.insert(invocation_id, invocation);
        true
    }

    /// A call is over: its caller is told by what the client's app server says of it.
    pub(super) fn complete(
        &mut self,
        servers: &Servers,
        invocation_id: &str,
        completion: &ServiceMessage<'_>,
    ) {
        if let Some(invocation) = self.waiting.remove(invocation_id)
            && invocation.is_remote
        {
            invocation.tell_caller(servers, completion);
        }
    }

    /// A client has left: what others wait for will not come. Its own app server knows.
    pub(super) fn client_left(&mut self, servers: &Servers, connection_id: &str) {
        let left = self.waiting.extract_if(|_, call| call.connection_id == connection_id);
        for (id, invocation) in left.filter(|(_, call)| call.is_remote) {
            let error = format!("Connection {connection_id} has disconnected.");
            let failure = failure(&id, connection_id, &invocation.caller.1, error);
            invocation.tell_caller(servers, &failure);
        }
    }
}

impl Invocation {
    fn tell_caller(&self, servers: &Servers, completion: &ServiceMessage<'_>) {
        let (number, server_id) = &self.caller;
        // The server connection may be gone, but perhaps not the app server.
        if let Some(caller) = servers.of(server_id, *number) {
            caller.to_server.push(completion);
        }
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

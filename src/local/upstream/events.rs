//! The events of one connection. Each has a task for them, so that they arrive one after the other: connected, the calls in
//! their order, disconnected.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    core::{
        HubProtocol,
        http::{JSON, MESSAGE_PACK},
        message::{Invocation, Outcome},
    },
    local::upstream::{
        answer::{answer, body},
        client::Client,
        request::{Answered, CONNECTED, CONNECTIONS, DISCONNECTED, MESSAGES},
        rule::Target,
        upstreams::Upstreams,
    },
    server::outbox::Outbox,
};

/// How many calls of one client may wait.
const MAX_WAITING: usize = 256;

enum Event {
    Connected(Target),
    /// With the number to answer with, and the id that the client gave it.
    Call {
        to: Target,
        call: Option<u64>,
        target: String,
        invocation_id: Option<String>,
        body: Vec<u8>,
    },
    Disconnected(Target, Option<String>),
}

/// Where a connection leaves its events.
#[derive(Debug)]
pub(super) struct Events {
    protocol: HubProtocol,
    queue: mpsc::Sender<Event>,
    /// Room for the last event, whatever waits.
    last: Option<mpsc::OwnedPermit<Event>>,
}

impl Events {
    pub(super) fn start(upstreams: Arc<Upstreams>, client: Client, outbox: Arc<Outbox>) -> Self {
        let (queue, events) = mpsc::channel(MAX_WAITING + 1);
        let (protocol, last) = (outbox.protocol, queue.clone().try_reserve_owned().ok());
        tokio::spawn(tell(upstreams, client, outbox, events));
        Self { protocol, queue, last }
    }

    /// Tells that the connection has begun. It is the first event.
    pub(super) fn connected(&self, to: Target) {
        let _ = self.queue.try_send(Event::Connected(to));
    }

    /// Passes a client's call on, and gives what to answer at once if it cannot be.
    pub(super) fn call<P: AsRef<[u8]> + Clone>(
        &self,
        to: Target,
        call: Option<u64>,
        invocation: &Invocation<'_, P>,
    ) -> Result<(), &'static str> {
        let event = Event::Call {
            to,
            call,
            target: invocation.target.to_string(),
            invocation_id: invocation.invocation_id.as_deref().map(str::to_owned),
            body: body(self.protocol, invocation),
        };
        self.queue.try_send(event).map_err(|_| "Too many calls wait for the upstream.")
    }

    /// Tells that the connection has ended.
    pub(super) fn disconnected(self, to: Target, error: Option<&str>) {
        if let Some(last) = self.last {
            last.send(Event::Disconnected(to, error.map(str::to_owned)));
        }
    }
}

async fn tell(
    upstreams: Arc<Upstreams>,
    client: Client,
    outbox: Arc<Outbox>,
    mut events: mpsc::Receiver<Event>,
) {
    let protocol = outbox.protocol;
    let told = |body: Value| (JSON, body.to_string().into_bytes());
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected(to) => {
                upstreams.post(to, &client, CONNECTIONS, CONNECTED, told(json!({ "type": 10 }))).await;
            }
            Event::Call { to, call, target, invocation_id, body } => {
                let kind = match protocol {
                    HubProtocol::Json => JSON,
                    HubProtocol::MessagePack => MESSAGE_PACK,
                };
                let answered = upstreams.post(to, &client, MESSAGES, &target, (kind, body)).await;
                if let (Some(call), Some(id)) = (call, invocation_id) {
                    outbox.answer(
                        call,
                        match answered {
                            Answered::With(status, body) => answer(protocol, &id, status, &body),
                            Answered::TooLarge => {
                                Outcome::Error("Invocation failed, response too large.".into())
                            }
                        },
                    );
                }
            }
            Event::Disconnected(to, error) => {
                let mut event = json!({ "type": 11 });
                if let (Some(error), Some(event)) = (error, event.as_object_mut()) {
                    event.insert("error".to_owned(), error.into());
                }
                upstreams.post(to, &client, CONNECTIONS, DISCONNECTED, told(event)).await;
                return;
            }
        }
    }
}

//! What is told of one connection: the events that a rule matches. A call that none matches is answered at once.

use std::sync::Arc;

use crate::{
    core::message::Invocation,
    local::upstream::{
        client::Client,
        events::Events,
        request::{CONNECTED, CONNECTIONS, DISCONNECTED, MESSAGES},
        rule::Target,
        upstreams::Upstreams,
    },
    server::outbox::Outbox,
};

const NO_UPSTREAM: &str = "The service runs in serverless mode and has no upstream configured, so there is nobody to \
                           answer hub method invocations.";

/// The emulator lets the client wait for ever.
const NO_RULE: &str =
    "No upstream rule of the service matches this hub method, so there is nobody to answer it.";

const NO_STREAMS: &str = "Streams are not supported in serverless mode.";

/// Tells upstreams of one connection.
#[derive(Debug)]
pub(in crate::local) struct Teller {
    upstreams: Arc<Upstreams>,
    client: Client,
    outbox: Arc<Outbox>,
    /// From the first event on that a rule matches.
    events: Option<Events>,
}

impl Teller {
    /// Begins with the event of the connection itself.
    pub(in crate::local) fn start(upstreams: Arc<Upstreams>, client: Client, outbox: Arc<Outbox>) -> Self {
        let mut teller = Self { upstreams, client, outbox, events: None };
        if let Some(to) = teller.target(CONNECTIONS, CONNECTED) {
            teller.events().connected(to);
        }
        teller
    }

    fn target(&self, category: &str, event: &str) -> Option<Target> {
        self.upstreams.target(&self.client.negotiation.hub, category, event)
    }

    fn events(&mut self) -> &Events {
        self.events.get_or_insert_with(|| {
            Events::start(self.upstreams.clone(), self.client.clone(), self.outbox.clone())
        })
    }

    /// Passes a client's call on, and gives what to answer at once if it cannot be.
    pub(in crate::local) fn call<P: AsRef<[u8]> + Clone>(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, P>,
    ) -> Result<(), &'static str> {
        if !invocation.stream_ids.is_empty() {
            return Err(self.refuses_streams());
        }
        match self.target(MESSAGES, &invocation.target) {
            Some(to) => self.events().call(to, call, invocation),
            None if self.upstreams.is_configured() => Err(NO_RULE),
            None => Err(NO_UPSTREAM),
        }
    }

    /// What a client gets that asks for a stream, or sends one.
    pub(in crate::local) fn refuses_streams(&self) -> &'static str {
        if self.upstreams.is_configured() { NO_STREAMS } else { NO_UPSTREAM }
    }

    /// Tells that the connection has ended.
    pub(in crate::local) fn end(mut self, error: Option<&str>) {
        if let Some(to) = self.target(CONNECTIONS, DISCONNECTED) {
            self.events();
            if let Some(events) = self.events {
                events.disconnected(to, error);
            }
        }
    }
}

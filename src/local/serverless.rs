//! What the service does with its clients in serverless mode: an upstream, if there is one, hears of them.

use std::{sync::Arc, time::Instant};

use crate::{
    core::{codec::Payload, message::Invocation},
    local::{
        service::Service,
        upstream::{self, Events},
    },
    server::{
        outbox::Outbox,
        session::{Dispatcher, Taken},
    },
};

const NO_UPSTREAM: &str = "The service runs in serverless mode and has no upstream configured, so there is nobody to \
                           answer hub method invocations.";

const NO_STREAMS: &str = "Streams are not supported in serverless mode.";

/// One client's connection.
#[derive(Debug)]
pub(super) struct Serverless {
    service: Arc<Service>,
    client: upstream::Client,
    events: Option<Events>,
}

impl Serverless {
    pub(super) fn new(service: Arc<Service>, client: upstream::Client) -> Self {
        Self { service, client, events: None }
    }
}

impl Dispatcher for Serverless {
    fn connected(&mut self, outbox: &Arc<Outbox>) {
        let (service, negotiation) = (&self.service, &self.client.negotiation);
        if let Some(user) = &negotiation.user {
            let (hub, id) = (&negotiation.hub, &negotiation.connection_id);
            service.user_groups.join(&service.room.connections, hub, id, user, Instant::now());
        }
        let upstream = service.upstream.clone();
        self.events = upstream.and_then(|to| Events::start(to, self.client.clone(), outbox.clone()));
    }

    fn invocation(
        &mut self,
        call: Option<u64>,
        invocation: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str> {
        let events = self.events.as_ref().ok_or(NO_UPSTREAM)?;
        if !invocation.stream_ids.is_empty() {
            return Err(NO_STREAMS);
        }
        events.call(call, invocation).map(|()| Taken::Later)
    }

    fn stream_invocation(
        &mut self,
        _: Option<u64>,
        _: &Invocation<'_, Payload<'_>>,
    ) -> Result<Taken, &'static str> {
        Err(if self.events.is_some() { NO_STREAMS } else { NO_UPSTREAM })
    }

    fn disconnected(&mut self, error: Option<&str>) {
        if let Some(events) = self.events.take() {
            events.end(error.map(str::to_owned));
        }
    }
}

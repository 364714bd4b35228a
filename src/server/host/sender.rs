//! What sends to the clients of a hub: all that is needed to address them, from within a call and from outside.

use std::{fmt, sync::Arc};

use super::{
    lifetime::{ClientCall, Lifetime, Recipients},
    outgoing::OutgoingRules,
    telemetry::traced,
};
use crate::{client::Tracing, server::room::Room};

/// A hub as those see it who send to its clients. It knows no methods.
pub(in crate::server) struct HubSender {
    pub(super) room: Arc<Room>,
    /// What carries messages to clients, of this process or of others.
    pub(super) lifetime: Arc<dyn Lifetime>,
    pub(super) outgoing: OutgoingRules,
    pub(super) trace_context: Tracing,
}

impl HubSender {
    /// A call of clients as it is sent: past the filters, with the trace context. `None` where a filter drops it.
    pub(super) fn outgoing(&self, call: ClientCall, to: &Recipients) -> Option<ClientCall> {
        Some(traced(&self.trace_context, self.outgoing.filter(call, to)?))
    }
}

impl fmt::Debug for HubSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSender").finish_non_exhaustive()
    }
}

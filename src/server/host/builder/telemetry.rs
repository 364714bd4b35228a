//! Traces of the hub that is built.

use std::sync::Arc;

use super::HubServerBuilder;
use crate::TraceContext;

impl HubServerBuilder {
    /// The hub's name in traces (`rpc.service`), as ASP.NET Core gives there the name of the class. Default: `Hub`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.rules.telemetry.name = Some(name.into());
        self
    }

    /// Continues the traces that come with calls, and passes them on with calls of clients.
    ///
    /// Every call has a span `hub_invocation` of the target `hubwire::server` (level `INFO`), with the names of ASP.NET Core:
    /// `otel.name` is `hub/method`, `rpc.system` is `signalr`, then there are `rpc.service`, `rpc.method` and, after a failure,
    /// `error.type`. So have `OnConnectedAsync` and `OnDisconnectedAsync`. A span of a stream ends with the stream. How a
    /// `traceparent` becomes a span's parent is up to [`TraceContext`], which is the same one as for clients.
    pub fn trace_context(mut self, context: impl TraceContext) -> Self {
        self.rules.telemetry.trace_context = Some(Arc::new(context));
        self
    }
}

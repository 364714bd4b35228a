//! Traces and metrics of a hub, by the names that ASP.NET Core gives them.

use std::{collections::HashMap, sync::Arc};

use tracing::{Span, field::Empty};

use super::{
    error::HubError, hub_server::HubServerBuilder, lifetime::ClientCall, reply::Reply, rules::Rules,
};
use crate::{
    TraceContext,
    client::CallTrace,
    core::{message::Headers, text::clip},
};

impl Rules {
    /// The hub's name in spans and metrics.
    fn service(&self) -> &str {
        self.name.as_deref().unwrap_or("Hub")
    }

    /// The trace context that came with a call.
    pub(super) fn trace(&self, headers: &Headers<'_>) -> Option<Box<CallTrace>> {
        CallTrace::new(&self.trace_context, headers)
    }

    /// The span of a call, or of the beginning or end of a connection.
    pub(super) fn span(&self, method: &str, trace: Option<&CallTrace>) -> Span {
        let span = tracing::info_span!(
            target: "hubwire::server",
            parent: None,
            "hub_invocation",
            otel.name = Empty,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "signalr",
            rpc.service = Empty,
            rpc.method = Empty,
            "error.type" = Empty,
        );
        if !span.is_disabled() {
            let (service, method) = (self.service(), &*clip(method));
            span.record("otel.name", format!("{service}/{method}").as_str());
            span.record("rpc.service", service);
            span.record("rpc.method", method);
            if let Some(trace) = trace {
                trace.extract(&span);
            }
        }
        span
    }
}

impl Rules {
    /// Gives a call of clients the trace context of what sends it.
    pub(super) fn traced(&self, call: ClientCall) -> ClientCall {
        let Some(context) = &self.trace_context else { return call };
        let mut headers = HashMap::new();
        context.inject(&Span::current(), &mut headers);
        call.with_headers(headers)
    }
}

/// Ends the span of a call: with an error, or, of a stream, once the stream has ended.
pub(super) fn finish(span: Span, reply: Result<Reply, HubError>) -> Result<Reply, HubError> {
    if span.is_disabled() {
        return reply;
    }
    match reply {
        Ok(reply) => Ok(reply.on_end(move || drop(span))),
        Err(error) => {
            failed(&span);
            Err(error)
        }
    }
}

pub(super) fn failed(span: &Span) {
    span.record("error.type", "HubError");
    span.record("otel.status_code", "ERROR");
}

impl HubServerBuilder {
    /// The hub's name in traces (`rpc.service`), as ASP.NET Core gives there the name of the class. Default: `Hub`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.rules.name = Some(name.into());
        self
    }

    /// Continues the traces that come with calls, and passes them on with calls of clients.
    ///
    /// Every call has a span `hub_invocation` of the target `hubwire::server` (level `INFO`), with the names of ASP.NET Core:
    /// `otel.name` is `hub/method`, `rpc.system` is `signalr`, then there are `rpc.service`, `rpc.method` and, after a failure,
    /// `error.type`. So have `OnConnectedAsync` and `OnDisconnectedAsync`. A span of a stream ends with the stream. How a
    /// `traceparent` becomes a span's parent is up to [`TraceContext`], which is the same one as for clients.
    pub fn trace_context(mut self, context: impl TraceContext) -> Self {
        self.rules.trace_context = Some(Arc::new(context));
        self
    }
}

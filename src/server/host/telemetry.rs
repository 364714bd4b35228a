//! Traces and metrics of a hub, by the names that ASP.NET Core gives them.

use std::collections::HashMap;

use tracing::{Span, field::Empty};

use super::{error::HubError, lifetime::ClientCall, reply::Reply};
use crate::{
    client::{CallTrace, Tracing},
    core::{message::Headers, text::clip},
};

/// What a hub's calls are traced by.
#[derive(Default)]
pub(super) struct Telemetry {
    pub(super) name: Option<String>,
    pub(super) trace_context: Tracing,
}

impl Telemetry {
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

/// Gives a call of clients the trace context of what sends it.
pub(super) fn traced(context: &Tracing, call: ClientCall) -> ClientCall {
    let Some(context) = context else { return call };
    let mut headers = HashMap::new();
    context.inject(&Span::current(), &mut headers);
    call.with_headers(headers)
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

//! Spans of calls, and the trace context that goes with them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use tracing::Span;
use tracing::field::Empty;

use crate::client::CallError;
use crate::client::engine::connection::Connection;
use crate::client::engine::guard::caught;
use crate::core::codec::RawCodec;
use crate::core::message::Headers;
use crate::platform::{MaybeSend, MaybeSync};

/// The headers of the [W3C](https://www.w3.org/TR/trace-context/) that a call may carry.
const NAMES: [&str; 3] = ["traceparent", "tracestate", "baggage"];
/// The longest value that a handler's span gets to see; baggage, the longest of them, may have 8 192 bytes.
const LONGEST_VALUE: usize = 8_192;

/// Carries the trace context of spans in the headers of calls, as ASP.NET Core and its .NET client (9 and later) do.
///
/// Every call of a connection has a span `hub_call` of the target `hubwire::call` (level `INFO`), with the names of the
/// official .NET client: `otel.name` is `hub/method`, `rpc.system` is `signalr`, then there are `rpc.service`,
/// `rpc.method`, `server.address`, `server.port` and, after a failure, `error.type`. With a trace context, calls of the
/// server that come with one get such a span as well, and their handlers run in it.
///
/// `tracing` alone knows no trace context. This is one for OpenTelemetry (`opentelemetry`, `tracing-opentelemetry`):
///
/// ```text
/// use std::collections::HashMap;
///
/// use opentelemetry::global::get_text_map_propagator;
/// use tracing_opentelemetry::OpenTelemetrySpanExt as _;
///
/// struct OpenTelemetry;
///
/// impl hubwire::TraceContext for OpenTelemetry {
///     fn inject(&self, span: &tracing::Span, headers: &mut HashMap<String, String>) {
///         get_text_map_propagator(|propagator| propagator.inject_context(&span.context(), headers));
///     }
///
///     fn extract(&self, span: &tracing::Span, headers: &HashMap<String, String>) {
///         // An error means that nothing exports the span.
///         let _ = span.set_parent(get_text_map_propagator(|propagator| propagator.extract(headers)));
///     }
/// }
///
/// let hub = HubConnection::builder("https://example.com/chat").with_trace_context(OpenTelemetry).connect().await?;
/// ```
pub trait TraceContext: MaybeSend + MaybeSync + 'static {
    /// Puts the context of a span into the headers of a call, such as `traceparent` and `tracestate`. It is asked once
    /// for every call; no header means that nothing is sent. The span is that of the call, or the current one
    /// where the subscriber is not interested in calls.
    fn inject(&self, span: &Span, headers: &mut HashMap<String, String>);

    /// Makes the context that came with a call of the server the parent of a span, which nobody has entered yet.
    /// The headers are those of `traceparent`, `tracestate` and `baggage` that came, under these names. Nobody has
    /// checked them.
    fn extract(&self, span: &Span, headers: &HashMap<String, String>);
}

/// The user's trace context, if there is one.
pub(crate) type Tracing = Option<Arc<dyn TraceContext>>;

/// The span of a call to the hub.
#[derive(Debug)]
pub(super) struct CallSpan(Span);

impl CallSpan {
    pub(super) fn new(connection: &Connection<RawCodec>, method: &str) -> Self {
        let span = tracing::info_span!(
            target: "hubwire::call",
            "hub_call",
            otel.name = Empty,
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system = "signalr",
            rpc.service = Empty,
            rpc.method = method,
            server.address = Empty,
            server.port = Empty,
            "error.type" = Empty,
        );
        if !span.is_disabled() {
            let (hub, server) = connection.urls();
            let service = hub.path().trim_matches('/');
            span.record("otel.name", format!("{service}/{method}").as_str());
            span.record("rpc.service", service);
            span.record("server.address", server.host().trim_matches(['[', ']']));
            let default = if server.is_https() { 443 } else { 80 };
            span.record("server.port", server.port().unwrap_or(default));
        }
        Self(span)
    }

    /// The headers of the call, in the order of their names.
    pub(super) fn headers(&self, tracing: &Tracing) -> Headers<'static> {
        let Some(context) = tracing else { return Vec::new() };
        let mut headers = HashMap::new();
        if self.0.is_disabled() {
            context.inject(&Span::current(), &mut headers);
        } else {
            context.inject(&self.0, &mut headers);
        }
        let mut headers: Headers<'_> =
            headers.into_iter().map(|(name, value)| (Cow::Owned(name), Cow::Owned(value))).collect();
        headers.sort_unstable();
        headers
    }

    pub(super) fn fail(&self, error: &CallError) {
        if self.0.is_disabled() {
            return;
        }
        let kind = match error {
            CallError::Server(_) => "CallError::Server",
            CallError::Connection(_) => "CallError::Connection",
            CallError::Arguments(_) => "CallError::Arguments",
            CallError::Result(_) => "CallError::Result",
            CallError::Timeout { .. } => "CallError::Timeout",
            CallError::NotAStream => "CallError::NotAStream",
        };
        self.0.record("error.type", kind);
        self.0.record("otel.status_code", "ERROR");
    }
}

/// The trace context that came with a call.
pub(crate) struct Incoming {
    context: Arc<dyn TraceContext>,
    headers: HashMap<String, String>,
}

impl Incoming {
    /// `None` if none came, or nobody wants it.
    pub(crate) fn new(tracing: &Tracing, headers: &Headers<'_>) -> Option<Box<Self>> {
        let context = tracing.as_ref().filter(|_| !headers.is_empty())?;
        let known = headers.iter().filter_map(|(name, value)| {
            let name = NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
            (value.len() <= LONGEST_VALUE).then(|| (name.to_owned(), value.to_string()))
        });
        let headers: HashMap<_, _> = known.collect();
        headers.contains_key("traceparent").then(|| Box::new(Self { context: Arc::clone(context), headers }))
    }

    pub(super) fn bytes(&self) -> usize {
        self.headers.values().map(String::len).sum()
    }

    /// The span in which the handlers of the call run.
    pub(super) fn span(&self, method: &str) -> Span {
        let span = tracing::info_span!(
            target: "hubwire::call",
            parent: None,
            "hub_call",
            otel.name = method,
            otel.kind = "server",
            rpc.system = "signalr",
            rpc.method = method,
        );
        self.extract(&span);
        span
    }

    /// Makes it the parent of a span.
    pub(crate) fn extract(&self, span: &Span) {
        // A fault of the user's code must not harm the call.
        if caught(|| self.context.extract(span, &self.headers)).is_none() {
            tracing::error!("the trace context panicked");
        }
    }
}

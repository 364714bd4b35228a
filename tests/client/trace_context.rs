//! Spans of calls, and trace context in the headers of messages, in both directions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use hubwire::{CallError, TraceContext};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Span, span};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::peer;

const INCOMING: &str = r#"{"TraceParent":"00-1-2-01","tracestate":"a=b","x-other":"secret"}"#;

/// What was recorded of the spans of this file's calls, by their ids while they are open. For the whole process: what
/// is recorded for one thread alone depends on what other threads have run before.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Recorded>>>);

struct Recorded {
    id: Option<u64>,
    method: String,
    fields: HashMap<&'static str, String>,
}

fn spans() -> &'static Spans {
    static SPANS: OnceLock<Spans> = OnceLock::new();
    SPANS.get_or_init(|| {
        let spans = Spans::default();
        let calls = filter_fn(|metadata| metadata.target() == "hubwire::call");
        let subscriber = tracing_subscriber::registry().with(spans.clone().with_filter(calls));
        tracing::subscriber::set_global_default(subscriber).expect("the only one of this program");
        spans
    })
}

struct Fields<'m>(&'m mut HashMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, _: Context<'_, S>) {
        let mut fields = HashMap::new();
        attributes.record(&mut Fields(&mut fields));
        let method = fields.get("rpc.method").cloned().unwrap_or_default();
        if method.starts_with("Traced") {
            self.0.lock().unwrap().push(Recorded { id: Some(id.into_u64()), method, fields });
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        if let Some(span) = spans.iter_mut().find(|span| span.id == Some(id.into_u64())) {
            values.record(&mut Fields(&mut span.fields));
        }
    }

    fn on_close(&self, id: span::Id, _: Context<'_, S>) {
        // The next span may get the same number.
        let mut spans = self.0.lock().unwrap();
        if let Some(span) = spans.iter_mut().find(|span| span.id == Some(id.into_u64())) {
            span.id = None;
        }
    }
}

impl Spans {
    fn of(&self, method: &str) -> HashMap<&'static str, String> {
        let spans = self.0.lock().unwrap();
        spans.iter().find(|span| span.method == method).expect("a span").fields.clone()
    }
}

/// The context of a span is its number.
#[derive(Clone)]
struct Numbers(mpsc::UnboundedSender<(Option<u64>, HashMap<String, String>)>);

fn number(span: &Span) -> Option<u64> {
    span.id().map(|id| id.into_u64())
}

impl TraceContext for Numbers {
    fn inject(&self, span: &Span, headers: &mut HashMap<String, String>) {
        if let Some(number) = number(span) {
            headers.insert("tracestate".to_owned(), "from=here".to_owned());
            headers.insert("traceparent".to_owned(), format!("00-{number:032x}-{number:016x}-01"));
        }
    }

    fn extract(&self, span: &Span, headers: &HashMap<String, String>) {
        self.0.send((number(span), headers.clone())).unwrap();
    }
}

#[tokio::test]
async fn calls_carry_the_context_of_their_span() {
    let spans = spans();
    let (sender, _extracted) = mpsc::unbounded_channel();
    let (hub, mut hear, mut speak) =
        peer::connect(|builder| builder.with_trace_context(Numbers(sender))).await;
    let expected = |message: &Value, number: Option<u64>| {
        let traceparent = &message["headers"]["traceparent"];
        assert_eq!(message["headers"], json!({"traceparent": traceparent, "tracestate": "from=here"}));
        let sent = traceparent.as_str().and_then(|text| text.split('-').nth(1)).expect("a number");
        assert_ne!(sent, "0".repeat(32));
        if let Some(number) = number {
            assert_eq!(sent, format!("{number:032x}"));
        }
    };
    let open =
        |method: &str| spans.0.lock().unwrap().iter().find(|span| span.method == method).expect("a span").id;

    let server = async {
        let message = hear.next().await;
        let number = open("TracedRefuse");
        assert!(number.is_some());
        expected(&message, number);
        speak
            .say(&[&json!({"type": 3, "invocationId": message["invocationId"], "error": "no"}).to_string()])
            .await;
    };
    let (error, ()) = futures_util::join!(hub.invoke::<()>("TracedRefuse", ()), server);
    assert!(matches!(error, Err(CallError::Server(_))));
    let fields = spans.of("TracedRefuse");
    for (name, value) in [
        ("otel.name", "hub/TracedRefuse"),
        ("otel.kind", "client"),
        ("rpc.system", "signalr"),
        ("rpc.service", "hub"),
        ("rpc.method", "TracedRefuse"),
        ("server.address", "127.0.0.1"),
        ("error.type", "CallError::Server"),
        ("otel.status_code", "ERROR"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(fields["server.port"].parse::<u16>().is_ok_and(|port| port > 0));

    hub.send("TracedSay", ("text",)).await.unwrap();
    expected(&hear.next().await, open("TracedSay"));
    assert_eq!(spans.of("TracedSay").get("error.type"), None);

    let mut stream = hub.stream::<u8>("TracedCount", ()).await.unwrap();
    let message = hear.next().await;
    let number = open("TracedCount");
    assert!(number.is_some(), "a stream's span lasts as long as the stream");
    expected(&message, number);
    let item = json!({"type": 2, "invocationId": message["invocationId"], "item": "text"});
    speak.say(&[&item.to_string()]).await;
    assert!(matches!(stream.next().await, Some(Err(CallError::Result(_)))));
    assert_eq!(spans.of("TracedCount")["error.type"], "CallError::Result");
    assert_eq!(open("TracedCount"), None);
    hub.stop().await;
}

/// Nothing is sent where there is no context.
#[tokio::test]
async fn no_context_means_no_headers() {
    struct Nothing;

    impl TraceContext for Nothing {
        fn inject(&self, _: &Span, _: &mut HashMap<String, String>) {}

        fn extract(&self, _: &Span, _: &HashMap<String, String>) {}
    }

    let (hub, mut hear, _speak) = peer::connect(|builder| builder.with_trace_context(Nothing)).await;
    hub.send("Say", ()).await.unwrap();
    assert_eq!(hear.next().await, json!({"type": 1, "target": "Say", "arguments": []}));
}

#[tokio::test]
async fn handlers_run_in_a_span_with_the_context_of_the_call() {
    spans();
    let (sender, mut extracted) = mpsc::unbounded_channel();
    let (hub, mut hear, mut speak) =
        peer::connect(|builder| builder.with_trace_context(Numbers(sender))).await;
    let (ran, mut runs) = mpsc::unbounded_channel();
    let call = |target: &str| {
        format!(r#"{{"type":1,"invocationId":"s1","headers":{INCOMING},"target":"{target}","arguments":[]}}"#)
    };
    let known = HashMap::from([
        ("traceparent".to_owned(), "00-1-2-01".to_owned()),
        ("tracestate".to_owned(), "a=b".to_owned()),
    ]);

    // Before there is a handler; a closure; an `async` one, after it has waited; and one that answers.
    speak.say(&[&call("Plain").replace(r#""invocationId":"s1","#, "")]).await;
    hub.send("Sync", ()).await.unwrap();
    hear.next().await;
    let plain = ran.clone();
    hub.on("Plain", move || plain.send(number(&Span::current())).unwrap());
    let later = ran.clone();
    hub.on("Later", move || {
        let later = later.clone();
        async move {
            tokio::task::yield_now().await;
            later.send(number(&Span::current())).unwrap();
        }
    });
    let answers = ran.clone();
    hub.on_invoke("Answer", move || {
        answers.send(number(&Span::current())).unwrap();
        Ok::<_, std::convert::Infallible>(1)
    });
    for target in ["", "Plain", "Later", "Answer"] {
        if !target.is_empty() {
            let mut text = call(target);
            if target != "Answer" {
                text = text.replace(r#""invocationId":"s1","#, "");
            }
            speak.say(&[&text]).await;
        }
        let (span, headers) = extracted.recv().await.expect("a span");
        assert_eq!(headers, known, "{target}");
        assert_eq!(runs.recv().await.expect("it runs"), span, "{target}");
        assert!(span.is_some());
    }
    assert_eq!(hear.next().await["result"], 1);

    // A call without a context has no span.
    speak.say(&[r#"{"type":1,"headers":{"x":"y"},"target":"Plain","arguments":[]}"#]).await;
    runs.recv().await.expect("it runs");
    assert!(extracted.try_recv().is_err());
    hub.stop().await;
}

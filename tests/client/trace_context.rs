//! Spans of calls, and trace context in the headers of messages, in both directions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use hubwire::{CallError, TraceContext};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Span, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::peer;

const INCOMING: &str = r#"{"TraceParent":"00-1-2-01","tracestate":"a=b","x-other":"secret"}"#;

/// What was recorded of the spans of calls, by their ids.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(u64, HashMap<&'static str, String>)>>>);

struct Fields<'m>(&'m mut HashMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, _: Context<'_, S>) {
        if attributes.metadata().target() == "hubwire::call" {
            let mut fields = HashMap::new();
            attributes.record(&mut Fields(&mut fields));
            self.0.lock().unwrap().push((id.into_u64(), fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        if let Some((_, fields)) = spans.iter_mut().rev().find(|(known, _)| *known == id.into_u64()) {
            values.record(&mut Fields(fields));
        }
    }
}

impl Spans {
    fn last(&self) -> HashMap<&'static str, String> {
        self.0.lock().unwrap().last().expect("a span").1.clone()
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
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    let (sender, _extracted) = mpsc::unbounded_channel();
    let (hub, mut hear, mut speak) =
        peer::connect(|builder| builder.with_trace_context(Numbers(sender))).await;
    let expected = |message: &Value, spans: &Spans| {
        let (number, _) = *spans.0.lock().unwrap().last().expect("a span");
        let traceparent = format!("00-{number:032x}-{number:016x}-01");
        assert_eq!(message["headers"], json!({"traceparent": traceparent, "tracestate": "from=here"}));
    };

    let server = async {
        let message = hear.next().await;
        expected(&message, &spans);
        speak
            .say(&[&json!({"type": 3, "invocationId": message["invocationId"], "error": "no"}).to_string()])
            .await;
    };
    let (error, ()) = futures_util::join!(hub.invoke::<()>("Refuse", ()), server);
    assert!(matches!(error, Err(CallError::Server(_))));
    let fields = spans.last();
    for (name, value) in [
        ("otel.name", "hub/Refuse"),
        ("otel.kind", "client"),
        ("rpc.system", "signalr"),
        ("rpc.service", "hub"),
        ("rpc.method", "Refuse"),
        ("server.address", "127.0.0.1"),
        ("error.type", "CallError::Server"),
        ("otel.status_code", "ERROR"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(fields["server.port"].parse::<u16>().is_ok_and(|port| port > 0));

    hub.send("Say", ("text",)).await.unwrap();
    expected(&hear.next().await, &spans);
    assert_eq!(spans.last().get("error.type"), None);

    let mut stream = hub.stream::<u8>("Count", ()).await.unwrap();
    let message = hear.next().await;
    expected(&message, &spans);
    assert_eq!(spans.last()["rpc.method"], "Count");
    let item = json!({"type": 2, "invocationId": message["invocationId"], "item": "text"});
    speak.say(&[&item.to_string()]).await;
    assert!(matches!(stream.next().await, Some(Err(CallError::Result(_)))));
    assert_eq!(spans.last()["error.type"], "CallError::Result");
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
    let subscriber = tracing_subscriber::registry().with(Spans::default());
    let _guard = tracing::subscriber::set_default(subscriber);
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

//! Metrics of a hub, by the names of ASP.NET Core.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hubwire::server::HubServer;
use hubwire::{HubConnection, Transport};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::conformance_hub::serve;

/// What was recorded: the value of a gauge or counter, how many values a histogram got.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<BTreeMap<String, f64>>>);

struct Value {
    recorded: Recorded,
    name: String,
}

impl Value {
    fn add(&self, value: f64) {
        *self.recorded.0.lock().expect("it is whole").entry(self.name.clone()).or_default() += value;
    }
}

impl CounterFn for Value {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("counters are incremented");
    }
}

impl GaugeFn for Value {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {
        panic!("several servers share the gauge");
    }
}

impl HistogramFn for Value {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "seconds: {value}");
        self.add(1.0);
    }
}

impl Recorded {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Value { recorded: self.clone(), name: format!("{} {}", key.name(), labels.join(" ")) })
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.value(key))
    }
}

#[tokio::test]
async fn connections_are_measured_by_the_official_names() {
    let recorded = Recorded::default();
    let _recorder = metrics::set_default_local_recorder(&recorded);
    let value = |name: &str| recorded.0.lock().expect("it is whole").get(name).copied();
    let hub = HubServer::builder().build();
    let url = serve([("/hub", hub.clone())]).await + "/hub";
    let connect = async |transport: Transport| {
        let connection =
            HubConnection::builder(&url).with_transports(transport).build().expect("a connection");
        connection.start().await.expect("it starts");
        connection
    };
    let wait_for = async |name: &str, expected: f64| {
        let wait = async {
            while value(name) != Some(expected) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "{name} is {:?}", value(name));
    };
    let active = |transport: &str| format!("signalr.server.active_connections signalr.transport={transport}");
    let ended = |status: &str, transport: &str| {
        format!(
            "signalr.server.connection.duration signalr.connection.status={status} signalr.transport={transport}"
        )
    };
    let mut connections = Vec::new();
    for (transport, name) in [
        (Transport::WebSockets, "web_sockets"),
        (Transport::ServerSentEvents, "server_sent_events"),
        (Transport::LongPolling, "long_polling"),
    ] {
        connections.push(connect(transport).await);
        wait_for(&active(name), 1.0).await;
        connections.push(connect(transport).await);
        wait_for(&active(name), 2.0).await;
        let first = connections.swap_remove(connections.len() - 2);
        first.stop().await;
        wait_for(&active(name), 1.0).await;
        wait_for(&ended("normal_closure", name), 1.0).await;
    }
    hub.shut_down().await;
    for name in ["web_sockets", "server_sent_events", "long_polling"] {
        wait_for(&active(name), 0.0).await;
        wait_for(&ended("app_shutdown", name), 1.0).await;
    }
}

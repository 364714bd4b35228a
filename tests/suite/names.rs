//! One struct for .NET in either protocol: everything that a connection writes and reads.

use std::convert::Infallible;

use futures_channel::mpsc;
use futures_util::{StreamExt, stream};
use hubwire::{CallError, HubProtocol, PropertyNames, Upload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Point, SETUPS, Setup};

/// What one side puts into the other: the names on the wire are not those of the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Label {
    printed_text: String,
    points_to: Vec<Option<Point>>,
}

pub(crate) async fn property_names(base: &str) {
    for setup in SETUPS {
        arguments_results_and_items(base, *setup).await;
        calls_of_the_server(base, *setup).await;
    }
}

fn point(x: i32) -> Point {
    Point { x, y: f64::from(x) / 2.0, label: Some(format!("p{x}")) }
}

async fn arguments_results_and_items(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    assert_eq!(hub.invoke::<Point>("EchoPoint", (&point(1),)).await.unwrap(), point(1));
    let list = vec![Some(point(2)), None];
    assert_eq!(hub.invoke::<Vec<Option<Point>>>("EchoPoints", (&list,)).await.unwrap(), list);
    let points = hub.stream::<Point>("Points", (3,)).await.unwrap();
    let points: Vec<Point> = points.map(|item| item.expect("a point")).collect().await;
    assert_eq!(points, [point(0), point(1), point(2)]);

    // What the hub passes on as it is shows the names on the wire.
    let label = Label { printed_text: "here".to_owned(), points_to: vec![Some(point(1))] };
    let on_the_wire = |value: Value| match setup.protocol {
        HubProtocol::Json => {
            assert_eq!(value, json!({"printedText": "here", "pointsTo": [{"x": 1, "y": 0.5, "label": "p1"}]}))
        }
        _ => {
            assert_eq!(value, json!({"PrintedText": "here", "PointsTo": [{"X": 1, "Y": 0.5, "Label": "p1"}]}))
        }
    };
    on_the_wire(hub.invoke("Echo", (&label,)).await.unwrap());
    assert_eq!(hub.invoke::<Label>("Echo", (&label,)).await.unwrap(), label);
    let upload = || (Upload::new(stream::iter([label.clone()])),);
    on_the_wire(hub.stream("EchoStream", upload()).await.unwrap().next().await.unwrap().unwrap());
    let mut items = hub.stream::<Label>("EchoStream", upload()).await.unwrap();
    assert_eq!(items.next().await.unwrap().unwrap(), label);
    hub.stop().await;
}

async fn calls_of_the_server(base: &str, setup: Setup) {
    let (sender, mut received) = mpsc::unbounded();
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    // Before there is a handler, and after.
    hub.invoke::<()>("Push", ("Take", (point(1), 7))).await.unwrap();
    hub.on("Take", move |point: Point, n: u8| sender.unbounded_send((point, n)).unwrap());
    hub.invoke::<()>("Push", ("Take", (point(2), 8))).await.unwrap();
    assert_eq!(received.next().await, Some((point(1), 7)));
    assert_eq!(received.next().await, Some((point(2), 8)));

    // The answer of a handler: the hub makes a text of it, or says what it was instead.
    hub.on_invoke("Label", |text: String| {
        Ok::<_, Infallible>(Label { printed_text: text, points_to: Vec::new() })
    });
    let (sender, mut answers) = mpsc::unbounded();
    hub.on("Answered", move |answer: String| sender.unbounded_send(answer).unwrap());
    hub.send("AskLater", ("Label", "?")).await.unwrap();
    assert!(answers.next().await.is_some());
    hub.stop().await;

    // Without the option, the error says what it is about.
    let as_declared = setup
        .builder(format!("{base}{}", setup.path()))
        .with_property_names(PropertyNames::AsDeclared)
        .connect()
        .await
        .unwrap();
    let capital = json!({"PrintedText": "here"});
    let error = as_declared.invoke::<Label>("Echo", (capital,)).await.unwrap_err();
    assert!(matches!(error, CallError::Result(_)), "{error:?}");
    let text = hubwire::ErrorChain::new(&error).to_string();
    assert!(text.contains("missing field `printed_text`"), "{text}");
    assert!(
        text.contains("the object has the keys `PrintedText`") && text.contains("with_property_names"),
        "{text}"
    );
    as_declared.stop().await;
}

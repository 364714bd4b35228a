//! Typed hubs against the conformance hub.

use std::collections::HashMap;

use futures_channel::mpsc;
use futures_util::{StreamExt, stream};
use hubwire::{CallError, HubConnection, Upload};
use serde::Serialize;

use super::{Point, connect};

hubwire::hub! {
    /// A part of the conformance hub.
    pub(crate) trait Conformance: Hub<ConformanceClient> {
        fn add(a: i32, b: i32) -> i32;
        fn void();
        fn null_result() -> Option<String>;
        /// The name is not what ASP.NET Core makes of the method's.
        #[name = "named.otherwise"]
        fn renamed() -> String;
        fn echo(value: impl Serialize,) -> serde_json::Value;
        fn echo_point(value: &Point) -> Point;
        fn echo_map(value: HashMap<&str, Point>) -> HashMap<String, Point>;
        fn hub_error(message: &str);
        #[cfg(any())]
        fn never_compiled(value: NoSuchType);
        send fn push_numbers(target: &str, count: u32);
        fn push(target: &str, arguments: (&str, u8));
        stream fn counter(count: u32, delay_milliseconds: u32) -> u32;
        stream fn points(count: i32) -> Point;
        fn upload_concat(parts: Upload<&str>, separator: &str) -> String;
        stream fn double(numbers: Upload<i32>) -> i32;
        send fn ask_later(target: &str, question: &str);
        send fn ask_void_later(target: &str);
    }

    /// What the tests make it call.
    pub(crate) trait ConformanceClient {
        fn numbers(number: u32);
        #[name = "named.by-hand"]
        fn named(text: String, count: u8);
        fn capitals(text: String) -> String;
        fn number(text: String) -> Option<u8>;
        fn nothing() -> ();
        fn answered(answer: String);
    }
}

hubwire::hub! {
    trait Chat: Hub<ChatClient> {
        fn send_message(user: &str, text: &str);
    }

    trait ChatClient {
        fn receive_message(user: String, text: String);
    }
}

hubwire::hub! {
    trait Mistaken {
        #[name = "EchoString"]
        fn echo(text: &str) -> u32;
        fn r#add(a: i32) -> i32;
    }
}

/// Descriptions of hubs, against the hubs that they describe.
pub(crate) async fn typed_hubs(base: &str) {
    let hub = connect(format!("{base}/ws")).await;
    let typed = Conformance::new(hub.clone());
    assert_eq!(typed.add(1, 2).await.unwrap(), 3);
    typed.void().await.unwrap();
    assert_eq!(typed.null_result().await.unwrap(), None);
    assert_eq!(typed.renamed().await.unwrap(), "renamed");
    assert_eq!(typed.echo([1, 2]).await.unwrap(), serde_json::json!([1, 2]));
    let point = Point { x: -1, y: 0.5, label: Some("p".into()) };
    assert_eq!(typed.echo_point(&point).await.unwrap(), point);
    let map = typed.echo_map(HashMap::from([("a", point)])).await.unwrap();
    assert_eq!(map["a"].x, -1);
    let error = typed.hub_error("not today").await.unwrap_err();
    assert!(matches!(&error, CallError::Server(text) if text.contains("not today")), "{error}");

    let (sender, mut received) = mpsc::unbounded();
    let numbers = typed.on().numbers(move |number| sender.unbounded_send(number).unwrap());
    typed.push_numbers("numbers", 100).await.unwrap();
    for n in 0..100 {
        assert_eq!(received.next().await, Some(n));
    }
    numbers.unsubscribe();
    assert_eq!(received.next().await, None);
    let (sender, mut received) = mpsc::unbounded();
    typed.on().named(move |text, count| sender.unbounded_send((text, count)).unwrap());
    typed.push("Named.by-hand", ("hello", 7)).await.unwrap();
    assert_eq!(received.next().await, Some(("hello".to_owned(), 7)));

    let mut numbers = typed.counter(3, 0).await.unwrap();
    for n in 0..3 {
        assert_eq!(numbers.next().await.unwrap().unwrap(), n);
    }
    assert!(numbers.next().await.is_none());
    let points = typed.points(2).await.unwrap();
    let last = points.collect::<Vec<_>>().await.pop().unwrap().unwrap();
    assert_eq!(last, Point { x: 1, y: 0.5, label: Some("p1".into()) });
    let parts = Upload::new(stream::iter(["a", "b"]));
    assert_eq!(typed.upload_concat(parts, "-").await.unwrap(), "a-b");
    let mut doubled = typed.double(Upload::new(stream::iter([1, 21]))).await.unwrap();
    assert_eq!(doubled.next().await.unwrap().unwrap(), 2);
    assert_eq!(doubled.next().await.unwrap().unwrap(), 42);

    let (sender, mut answers) = mpsc::unbounded();
    typed.on().answered(move |answer| {
        let sender = sender.clone();
        async move { sender.unbounded_send(answer).unwrap() }
    });
    typed.on().capitals(|text| text.to_uppercase());
    typed.ask_later("Capitals", "loud").await.unwrap();
    assert_eq!(answers.next().await.unwrap(), "LOUD");
    typed.on().number(|text| async move { text.parse().map(Some) });
    typed.ask_later("Number", "not one").await.unwrap();
    assert!(answers.next().await.unwrap().contains("invalid digit"));
    typed.on().nothing(|| ());
    typed.ask_void_later("Nothing").await.unwrap();
    assert_eq!(answers.next().await.unwrap(), "result ");

    // A description that does not fit is the error of the call that it is wrong for.
    let mistaken = Mistaken::new(hub.clone());
    assert!(matches!(mistaken.echo("text").await, Err(CallError::Result(_))));
    assert!(matches!(mistaken.add(1).await, Err(CallError::Server(_))));
    assert_eq!(typed.connection().connection_id(), hub.connection_id());
    hub.stop().await;
}

/// Handlers first, then the connection.
pub(crate) async fn typed_chat(base: &str) {
    let chat = Chat::new(HubConnection::builder(format!("{base}/chat")).build().unwrap());
    let (sender, mut received) = mpsc::unbounded();
    chat.on().receive_message(move |user, text| sender.unbounded_send((user, text)).unwrap());
    chat.connection().start().await.expect("connects");
    chat.clone().send_message("alice", "hello").await.unwrap();
    assert_eq!(received.next().await, Some(("alice".to_owned(), "hello".to_owned())));
    chat.connection().stop().await;
}

//! Values of every type: through the ASP.NET Core reference hub and back, and between this client and the official
//! .NET one in the same room.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use crate::suite::values::{Point, protocols, seven_digits, time};
use crate::support::dotnet::Dotnet;
use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{Binary, HubConnection, HubProtocol};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! against_the_reference_hub {
    ($($name:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                for base in crate::support::reference_hubs(stringify!($name)) {
                    timeout(PATIENCE, crate::suite::values::$name(base)).await.expect("nothing hangs");
                }
            }
        )*
    };
}

against_the_reference_hub! {
    values;
    own_types;
    large_values;
    packed_pieces;
}

/// Both clients on one hub.
struct Room {
    ours: HubConnection,
    our_json: bool,
    theirs: Dotnet,
    their_json: bool,
    targets: usize,
}

impl Room {
    fn target(&mut self) -> String {
        self.targets += 1;
        format!("Value{}", self.targets)
    }

    /// Sends a value; `seen` is what the .NET client receives.
    async fn send<T: Serialize + Debug>(&mut self, value: &T, seen: &Value) {
        let target = self.target();
        self.theirs.command("on", json!({"target": target})).await;
        self.ours.send("ToOthers", (&target, value)).await.unwrap();
        assert_eq!(self.theirs.message(&target).await, json!([seen]), "sent {value:?}");
    }

    /// Receives what the .NET client sends when it is given `wire`.
    async fn receive<T: DeserializeOwned + Send + 'static>(&mut self, wire: &Value) -> T {
        let target = self.target();
        let (sender, mut received) = mpsc::unbounded();
        self.ours.on(&target, move |value: T| drop(sender.unbounded_send(value)));
        self.theirs.command("send", json!({"target": "ToAll", "arguments": [target, wire]})).await;
        timeout(PATIENCE, received.next()).await.expect("it arrives").expect("a value")
    }

    async fn exchange<T>(&mut self, value: T, wire: Value, seen: Value)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static,
    {
        self.send(&value, &seen).await;
        assert_eq!(self.receive::<T>(&wire).await, value, "received {wire}");
    }

    /// Both say it alike, in either protocol.
    async fn exchange_alike<T>(&mut self, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static,
    {
        let wire = serde_json::to_value(&value).unwrap();
        self.exchange(value, wire.clone(), wire).await;
    }

    /// As [`exchange_alike`](Self::exchange_alike), with integers in it: the hub makes doubles of what it got as JSON.
    async fn exchange_numbers<T>(&mut self, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static,
    {
        let wire = serde_json::to_value(&value).unwrap();
        if self.our_json || !self.their_json {
            self.exchange(value, wire.clone(), wire).await;
        } else {
            self.send(&value, &wire).await;
            assert_eq!(as_doubles(self.receive(&wire).await), as_doubles(wire));
        }
    }
}

fn as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(as_doubles).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, as_doubles(value))).collect(),
        other => other,
    }
}

/// Whatever the two speak, each receives what the other has sent.
#[tokio::test]
async fn in_one_room_with_the_dotnet_client() {
    let Some(base) = crate::support::reference_hub("in_one_room_with_the_dotnet_client") else { return };
    let url = format!("{base}/hub");
    for protocol in protocols() {
        for their_protocol in ["json", "messagepack"] {
            let ours = HubConnection::builder(&url).with_protocol(protocol).connect().await.unwrap();
            let mut theirs = Dotnet::spawn();
            theirs.connect(&url, their_protocol).await;
            let (our_json, their_json) = (protocol == HubProtocol::Json, their_protocol == "json");
            let mut room = Room { ours, our_json, theirs, their_json, targets: 0 };
            timeout(PATIENCE, plain_values(&mut room)).await.expect("nothing hangs");
            timeout(PATIENCE, values_beyond_json(&mut room)).await.expect("nothing hangs");
            room.ours.stop().await;
            room.theirs.command("stop", json!({})).await;
        }
    }
}

async fn plain_values(room: &mut Room) {
    room.exchange_alike((true, false, None::<String>)).await;
    for text in
        ["", "\u{1e}\"\\\u{1f600}\u{fc}\n", &"x".repeat(20_000), "6f9619ff-8b86-d011-b42d-00c04fc964ff"]
    {
        room.exchange_alike(Some(text.to_owned())).await;
    }
    room.exchange_alike(None::<String>).await;
    for number in [0, -1, 200, -200, 70_000, i64::from(i32::MIN), i64::from(u32::MAX), 1 << 50] {
        room.exchange_numbers(number).await;
    }
    for number in [1.5, -0.001, 1e300] {
        room.exchange_alike(number).await;
    }
    room.exchange_alike(Vec::<String>::new()).await;
    room.exchange_numbers(vec![7_i32; 20]).await;
    room.exchange_numbers((1_u8, "two".to_owned(), None::<u8>, vec![true])).await;
    room.exchange_numbers(vec![Some(Point::new(-4, None)), None, Some(Point::new(3, Some("three")))]).await;
    let keys = ["camelCase", "PascalCase", "With Space", "\u{fc}"];
    let map = keys.map(|key| (key.to_owned(), Point::new(1, Some(key))));
    room.exchange_numbers(BTreeMap::from(map)).await;
}

async fn values_beyond_json(room: &mut Room) {
    for number in [i64::MAX, i64::MIN, (1 << 53) + 1] {
        // The hub makes doubles of what it got as JSON.
        if !room.our_json {
            room.send(&number, &json!(number)).await;
        }
        if !room.their_json {
            assert_eq!(room.receive::<i64>(&json!({"$long": number.to_string()})).await, number);
        }
    }
    // A text for who speaks JSON; both read either.
    let json = room.our_json || room.their_json;
    for length in [0, 3, 300, 10_000] {
        let bytes = Binary((0..length).map(|n| n as u8).collect());
        let text = serde_json::to_value(&bytes).unwrap();
        let seen = if json { text.clone() } else { json!({"$bytes": text}) };
        room.exchange(bytes, json!({"$bytes": text}), seen).await;
    }
    for text in ["2024-05-01T12:00:00Z", "2024-05-01T12:00:00.1234567Z", "1969-12-31T23:59:59.5Z"] {
        let seen = if json { json!(text) } else { json!({"$date": seven_digits(text)}) };
        room.exchange(time(text), json!({"$date": text}), seen).await;
    }
}

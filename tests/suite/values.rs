//! Values of every type through a .NET hub and back, in every protocol.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{Binary, ConnectionError, HubConnection, HubProtocol, Timestamp, Zone};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What this build speaks.
pub(crate) fn protocols() -> Vec<HubProtocol> {
    vec![
        HubProtocol::Json,
        #[cfg(feature = "msgpack")]
        HubProtocol::MessagePack,
    ]
}

/// A class of the hub's. In MessagePack .NET knows its properties by their own names only, in JSON it writes them in
/// camelCase and reads both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Point {
    #[serde(alias = "x")]
    pub(crate) x: i32,
    #[serde(alias = "y")]
    pub(crate) y: f64,
    #[serde(alias = "label")]
    pub(crate) label: Option<String>,
}

impl Point {
    pub(crate) fn new(x: i32, label: Option<&str>) -> Self {
        Self { x, y: f64::from(x) + 0.25, label: label.map(str::to_owned) }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
    Blue,
}

/// A type of this side's alone, with what the protocols write differently.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    bytes: Binary,
    when: Timestamp,
    kinds: Vec<Kind>,
    pair: (i8, String),
    unit: (),
    nothing: Option<Box<Self>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Value(i16),
    Tuple(u8, bool),
    Fields { a: Option<f32> },
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

async fn connect(base: &str, protocol: HubProtocol) -> HubConnection {
    let builder = HubConnection::builder(format!("{base}/ws")).with_protocol(protocol);
    builder.connect().await.expect("connects")
}

async fn echo<T>(hub: &HubConnection, method: &str, value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static,
{
    let back: T = hub.invoke(method, (&value,)).await.unwrap_or_else(|error| panic!("{method}: {error}"));
    assert_eq!(back, value, "{method}");
}

/// Each type that .NET knows, to the hub and back.
pub(crate) async fn values(base: &str) {
    for protocol in protocols() {
        let hub = &connect(base, protocol).await;
        let json = protocol == HubProtocol::Json;
        for text in ["", "text", "\u{1e}\0\"\\\u{1f600}\u{fc}\n", &"x".repeat(31), &"\u{fc}".repeat(200)] {
            echo(hub, "EchoString", text.to_owned()).await;
        }
        // The hub takes messages of up to 32 KiB.
        echo(hub, "EchoString", "x".repeat(30_000)).await;
        for number in [0, 1, -1, 127, 128, -32, -33, 255, 256, -129, 65_536, i32::MIN, i32::MAX] {
            echo(hub, "EchoInt", number).await;
        }
        for number in [0, i64::from(i32::MAX) + 1, (1 << 53) + 1, i64::MIN, i64::MAX] {
            echo(hub, "EchoLong", number).await;
        }
        for number in [0, (1 << 53) + 1, u64::MAX] {
            echo(hub, "EchoULong", number).await;
        }
        for number in [0.0, -1.5, 0.1, 1e300, f64::MIN_POSITIVE] {
            echo(hub, "EchoDouble", number).await;
        }
        assert_eq!(hub.invoke::<f64>("EchoDouble", (1.5_f32,)).await.unwrap(), 1.5);
        assert_eq!(hub.invoke::<f64>("EchoDouble", (7,)).await.unwrap(), 7.0);
        for flag in [true, false] {
            echo(hub, "EchoBool", flag).await;
        }
        for number in [None, Some(-7)] {
            echo(hub, "EchoNullable", number).await;
        }
        for length in [0, 1, 255, 256, 20_000] {
            echo(hub, "EchoBytes", Binary((0..length).map(|n| n as u8).collect())).await;
        }
        for text in [
            "2024-05-01T12:00:00Z",
            "2024-05-01T12:00:00.1234567Z",
            "1969-12-31T23:59:59.5Z",
            "2514-05-30T01:53:04Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.9999999Z",
        ] {
            echo(hub, "EchoDateTime", time(text)).await;
            assert_eq!(
                hub.invoke::<String>("TypeOf", (time(text),)).await.unwrap(),
                format!("{} Utc", seven_digits(text))
            );
        }
        // MessagePack has no times without a zone.
        let unspecified = time("2024-05-01T12:00:00");
        let back: Timestamp = hub.invoke("EchoDateTime", (unspecified,)).await.unwrap();
        assert_eq!(back.zone(), if json { Zone::Unspecified } else { Zone::Utc });
        assert_eq!(back.unix_seconds(), unspecified.unix_seconds());
        for text in [
            "2024-05-01T12:00:00+00:00",
            "2024-05-01T12:00:00.1234567+02:00",
            "2024-05-01T12:00:00-09:30",
            "0001-01-02T00:00:00+14:00",
        ] {
            echo(hub, "EchoDateTimeOffset", time(text)).await;
        }
        echo(hub, "EchoGuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff".to_owned()).await;
        if json {
            echo(hub, "EchoDecimal", 79_228_162_514.5).await;
            for number in [0_u8, 1, 2] {
                echo(hub, "EchoEnum", number).await;
            }
        } else {
            echo(hub, "EchoDecimal", "79228162514264337593543950.335".to_owned()).await;
            for colour in [Colour::Red, Colour::Green, Colour::Blue] {
                echo(hub, "EchoEnum", colour).await;
            }
        }
        echo(hub, "EchoPoint", Point::new(-1, None)).await;
        echo(hub, "EchoPoints", vec![Some(Point::new(1, Some("a"))), None, Some(Point::new(2, None))]).await;
        echo(hub, "EchoPoints", (0..20).map(|n| Some(Point::new(n, Some("x")))).collect::<Vec<_>>()).await;
        let keys = ["", "camelCase", "PascalCase", "With Space", "\u{fc}\"\\"];
        let map: BTreeMap<String, Point> =
            keys.iter().map(|key| (String::from(*key), Point::new(1, Some(key)))).collect();
        echo(hub, "EchoMap", map).await;
        for length in [0, 15, 16, 5_000] {
            echo(hub, "EchoInts", (0..length).collect::<Vec<i32>>()).await;
        }
        hub.stop().await;
    }
}

/// .NET's round-trip format has seven digits of a second's fraction.
pub(crate) fn seven_digits(text: &str) -> String {
    match text.trim_end_matches('Z').split_once('.') {
        Some((second, fraction)) => format!("{second}.{fraction:0<7}Z"),
        None => format!("{}.0000000Z", text.trim_end_matches('Z')),
    }
}

/// Types that only this side knows, through a hub that passes on whatever it gets; and a list as all arguments.
pub(crate) async fn own_types(base: &str) {
    for protocol in protocols() {
        let hub = &connect(base, protocol).await;
        let record = |nothing| Record {
            id: u64::MAX,
            bytes: vec![0, 255].into(),
            when: time("2024-05-01T12:00:00.5Z"),
            kinds: vec![
                Kind::Unit,
                Kind::Value(-300),
                Kind::Tuple(255, true),
                Kind::Fields { a: Some(0.5) },
                Kind::Fields { a: None },
            ],
            pair: (-1, "pair".to_owned()),
            unit: (),
            nothing,
        };
        echo(hub, "Echo", record(Some(Box::new(record(None))))).await;
        echo(hub, "Echo", BTreeMap::from([("Key".to_owned(), 1), ("key".to_owned(), 2)])).await;
        assert_eq!(hub.invoke::<i32>("Add", vec![1, 2]).await.unwrap(), 3);
        assert_eq!(hub.invoke::<i32>("Add", &[20, 22]).await.unwrap(), 42);
        hub.stop().await;
    }
}

/// A megabyte of text and of bytes, as results and as calls of the server.
pub(crate) async fn large_values(base: &str) {
    const LENGTH: usize = 1_000_000;
    for protocol in protocols() {
        let hub = connect(base, protocol).await;
        let whole = |text: &str| text.len() == LENGTH && text.bytes().all(|byte| byte == b'x');
        let counted = |bytes: &[u8]| {
            bytes.len() == LENGTH && bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8)
        };
        assert!(whole(&hub.invoke::<String>("LargeString", (LENGTH,)).await.unwrap()));
        assert!(counted(&hub.invoke::<Binary>("Bytes", (LENGTH,)).await.unwrap()));

        let (sender, mut texts) = mpsc::unbounded();
        hub.on("Text", move |text: String| drop(sender.unbounded_send(text)));
        let (sender, mut blobs) = mpsc::unbounded();
        hub.on("Blob", move |bytes: Binary| drop(sender.unbounded_send(bytes)));
        hub.send("PushString", ("Text", LENGTH)).await.unwrap();
        hub.send("PushBytes", ("Blob", LENGTH)).await.unwrap();
        assert!(whole(&texts.next().await.expect("a text")));
        assert!(counted(&blobs.next().await.expect("bytes")));
        hub.stop().await;
    }
}

/// MessagePack as a network delivers it: in the frame of the handshake, in pieces, and broken.
pub(crate) async fn packed_pieces(base: &str) {
    let Some(&protocol) = protocols().get(1) else { return };
    // An invocation of `Text` with "hi", and a Close message with "bye".
    let (text, bye) = (b"\x0e\x96\x01\x80\xc0\xa4Text\x91\xa2hi\x90", b"\x07\x93\x07\xa3bye\xc2");
    let together = [&b"{}\x1e"[..], text, bye].concat();
    let bytes: Vec<&[u8]> = together.chunks(1).collect();
    let handshake = &b"{}\x1e"[..];
    type Check = fn(&ConnectionError) -> bool;
    let closed: Check =
        |e| matches!(e, ConnectionError::ServerClosed { error: Some(text), .. } if **text == *"bye");
    let broken: Check = |e| matches!(e, ConnectionError::Protocol(_));
    let rows: [(&[&[u8]], bool, usize, Check); 7] = [
        (&[&together], true, 1, closed),
        (&bytes, true, 1, closed),
        (&[handshake, text, text, bye], true, 2, closed),
        // Not an array, a type that is a text, a length of 2 GiB, and a text where bytes are agreed on.
        (&[handshake, text, b"\x01\x06"], true, 1, broken),
        (&[handshake, b"\x03\x91\xa16"], true, 0, broken),
        (&[handshake, b"\xff\xff\xff\xff\x0f"], true, 0, broken),
        (&[handshake, b"{}"], false, 0, broken),
    ];
    for (frames, binary, texts, check) in rows {
        let (sender, received) = mpsc::unbounded();
        let mut url = format!("{base}/pieces?binary={binary}");
        for frame in frames {
            let base64 = serde_json::to_value(Binary::from(*frame)).unwrap();
            url += "&frame=";
            url += &base64.as_str().unwrap().replace('+', "%2B").replace('/', "%2F");
        }
        let hub = HubConnection::builder(url)
            .with_protocol(protocol)
            .with_skip_negotiation(true)
            .on("Text", move |text: String| drop(sender.unbounded_send(text)))
            .connect()
            .await
            .expect("connects");
        let error = hub.closed().await;
        assert!(check(&error), "{frames:?}: {error:?}");
        assert_eq!(received.take(texts).collect::<Vec<_>>().await, vec!["hi"; texts], "{frames:?}");
    }
}

//! Faults of other hosts, each of which has to be one of its client only.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hubwire::server::{Caller, HubError, HubServer, Identity};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::conformance_hub::{conformance_hub, in_time, serve};

type Socket = WebSocketStream<TcpStream>;

const JSON: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";
const MESSAGE_PACK: &str = "{\"protocol\":\"messagepack\",\"version\":1}\u{1e}";

/// A socket that has shaken hands.
async fn open(url: &str, handshake: &str) -> Socket {
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws{}", &url[4..]), tcp).await.unwrap();
    socket.send(Message::text(handshake)).await.unwrap();
    let answer = in_time(socket.next()).await.unwrap().unwrap();
    assert_eq!(&*answer.into_data(), b"{}\x1e");
    socket
}

/// Everything that the hub has to say until it closes.
async fn last_words(socket: &mut Socket) -> String {
    let mut words = Vec::new();
    in_time(async {
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                words.extend_from_slice(&message.into_data());
            }
        }
    })
    .await;
    String::from_utf8_lossy(&words).into_owned()
}

/// A message of MessagePack with its length before it.
fn framed(message: &[u8]) -> Vec<u8> {
    let (mut frame, mut length) = (Vec::new(), message.len());
    while length > 127 {
        frame.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    frame.push(length as u8);
    frame.extend_from_slice(message);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_end_their_own_connection() {
    let url = serve([("/hub", conformance_hub().build())]).await + "/hub";
    let deep_json =
        format!("{{\"type\":1,\"target\":\"Echo\",\"arguments\":[{}]}}\u{1e}", "[".repeat(10_000));
    let matched_json = format!(
        "{{\"type\":1,\"invocationId\":\"1\",\"target\":\"Echo\",\"arguments\":[{}{}]}}\u{1e}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for (message, said) in [
        ("{\"type\":1,\u{1e}".to_owned(), "Connection closed with an error."),
        ("{}\u{1e}".to_owned(), "Connection closed with an error."),
        ("null\u{1e}".to_owned(), "Connection closed with an error."),
        (format!("{}\u{1e}", "x".repeat(40_000)), "32768 bytes"),
        ("x".repeat(40_000), "32768 bytes"),
        (deep_json, "Connection closed with an error."),
        (matched_json, "error"),
    ] {
        let mut socket = open(&url, JSON).await;
        socket.send(Message::text(message.clone())).await.unwrap();
        socket.send(Message::text("{\"type\":7}\u{1e}")).await.unwrap();
        let words = last_words(&mut socket).await;
        assert!(words.contains(said), "{}: {words}", &message[..message.len().min(60)]);
    }

    // Lengths that promise more than there is, nesting, and messages that break off.
    let nested =
        [&[0x96, 1, 0x80, 0xa1, b'1', 0xa4][..], b"Echo", &vec![0x91; 20_000], &[0xc0, 0x90]].concat();
    for message in [
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x96, 0x01, 0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0x96, 0x01, 0x80, 0xa1, b'1', 0xdb, 0xff, 0xff, 0xff, 0xff, b'x'],
        vec![0x96, 0x01, 0x80, 0xa1, b'1', 0xa1, b'x', 0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x96, 0x01, 0x80],
        vec![0xc1],
        vec![],
        nested,
    ] {
        let mut socket = open(&url, MESSAGE_PACK).await;
        socket.send(Message::binary(framed(&message))).await.unwrap();
        socket.send(Message::binary(framed(&[0x92, 7, 0xc0]))).await.unwrap();
        last_words(&mut socket).await;
    }
    for frame in [&[0xff_u8, 0xff, 0xff, 0xff, 0x7f][..], &[0xff; 10]] {
        let mut socket = open(&url, MESSAGE_PACK).await;
        socket.send(Message::binary(frame.to_vec())).await.unwrap();
        assert!(last_words(&mut socket).await.contains("error"));
    }
    let mut honest = open(&url, JSON).await;
    let call = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\u{1e}";
    honest.send(Message::text(call)).await.unwrap();
    let answer = in_time(honest.next()).await.unwrap().unwrap();
    assert!(answer.to_text().unwrap().contains("\"result\":3"), "{answer}");
}

/// What a WebSocket itself does not bear is told apart.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_end_for_reasons_that_are_told() {
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let hub = conformance_hub().on_disconnected(move |_| {
        ended.send(()).unwrap();
        async {}
    });
    let url = serve([("/hub", hub.build())]).await + "/hub";
    let mut long = open(&url, JSON).await;
    let sending = long.send(Message::text("x".repeat(5 * 1024 * 1024)));
    // It may be closed before all of it is sent.
    let _ = in_time(sending).await;
    let words = last_words(&mut long).await;
    assert!(words.is_empty() || words.contains("larger than 4 MB"), "{words}");
    in_time(has_ended.recv()).await.unwrap();

    let mut malformed = open(&url, JSON).await;
    let frame = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    malformed.send(Message::Frame(frame)).await.unwrap();
    let words = last_words(&mut malformed).await;
    assert!(words.contains("a WebSocket message was malformed"), "{words}");
    in_time(has_ended.recv()).await.unwrap();

    let gone = open(&url, JSON).await;
    drop(gone);
    in_time(has_ended.recv()).await.unwrap();
}

/// Neither who is refused nor who has gone is in a group.
#[tokio::test]
async fn groups_keep_nobody_who_is_not_there() {
    let hub = HubServer::builder()
        .on_connected(|caller: Caller| async move {
            caller.groups().add(caller.connection_id(), "room").await?;
            if caller.user_id() == Some("refused") { Err(HubError::new("no")) } else { Ok(()) }
        })
        .on("Tell", |caller: Caller| async move {
            caller.clients().group("room").send("Told", ()).await?;
            Ok(())
        })
        .on("Twice", |caller: Caller| async move {
            caller.groups().add(caller.connection_id(), "room").await?;
            caller.groups().add(caller.connection_id(), "room").await?;
            Ok(())
        })
        .build();
    let refused = hub.connect_in_memory(Identity::user("refused")).await.unwrap();
    in_time(refused.closed()).await;
    let gone = hub.connect_in_memory(Identity::user("gone")).await.unwrap();
    gone.stop().await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let ann = hub.in_memory(Identity::user("ann")).on("Told", move || told.send(()).unwrap());
    let ann = ann.connect().await.unwrap();
    ann.invoke::<()>("Twice", ()).await.unwrap();
    ann.invoke::<()>("Tell", ()).await.unwrap();
    in_time(heard.recv()).await.unwrap();
    // It comes before the answer, and once.
    assert!(heard.try_recv().is_err());
    ann.stop().await;
}

/// A client that is asked and goes leaves nobody waiting.
#[tokio::test]
async fn who_is_asked_may_go() {
    let hub = conformance_hub().build();
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let ann = hub.in_memory(Identity::user("ann")).on_invoke("Question", move |_: String| {
        asked.send(()).unwrap();
        async { std::future::pending::<Result<String, String>>().await }
    });
    let ann = ann.connect().await.unwrap();
    let id = ann.connection_id().unwrap();
    let answer = tokio::spawn({
        let hub = hub.clone();
        async move { hub.clients().client(id).invoke::<String>("Question", ("why",)).await }
    });
    in_time(is_asked.recv()).await.unwrap();
    drop(ann);
    assert!(in_time(answer).await.unwrap().is_err());
    tokio::time::timeout(Duration::from_secs(10), hub.shut_down()).await.unwrap();
}

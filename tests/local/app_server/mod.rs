//! An app server in the hands of the test: default mode, message by message of the service protocol.
#![cfg(all(feature = "local", feature = "unstable-machines"))]

mod connections;
mod messages;

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hubwire::{
    core::{
        framing::BinaryFraming,
        service_protocol::{Extensions, ServiceMessage as M, parse, write},
    },
    local::{LocalService, LocalServiceBuilder, ServiceMode},
};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::wire::{KEY, Socket, Wire, now, sign};

const PATIENCE: Duration = Duration::from_secs(10);

/// The end of every message of JSON.
const END: char = '\u{1e}';

fn builder() -> LocalServiceBuilder {
    LocalService::builder().service_mode(ServiceMode::Default)
}

fn server_token(hub: &str) -> String {
    let audience = format!("http://127.0.0.1/server/?hub={hub}");
    sign(KEY, None, &json!({ "aud": audience, "exp": now() + 60, "nameid": "test" }))
}

/// A server connection.
struct Server {
    stream: WebSocketStream<TcpStream>,
    framing: BinaryFraming,
    received: VecDeque<Vec<u8>>,
}

/// A message as far as most tests look at it.
fn m(bytes: &[u8]) -> M<'_> {
    parse(bytes).unwrap().expect("a known type")
}

fn handshake(version: i32, connection_type: i32) -> M<'static> {
    M::HandshakeRequest {
        version,
        connection_type,
        target: None,
        migration_level: 0,
        extensions: Extensions::default(),
        allow_stateful_reconnects: false,
    }
}

/// What a server connection asks for whose hub takes part in stateful reconnect.
fn stateful_handshake() -> M<'static> {
    let M::HandshakeRequest { version, connection_type, target, migration_level, extensions, .. } =
        handshake(1, 0)
    else {
        unreachable!()
    };
    let allow_stateful_reconnects = true;
    M::HandshakeRequest {
        version,
        connection_type,
        target,
        migration_level,
        extensions,
        allow_stateful_reconnects,
    }
}

fn ping(texts: &[&str]) -> M<'static> {
    M::Ping { messages: texts.iter().map(|text| Some((*text).to_owned().into())).collect() }
}

fn data<'m>(id: &'m str, payload: &'m str) -> M<'m> {
    M::ConnectionData {
        connection_id: id.into(),
        payload: payload.as_bytes(),
        extensions: Extensions::default(),
    }
}

/// One hub message of this kind.
fn marked<'m>(id: &'m str, payload: &'m str, kind: i32) -> M<'m> {
    let extensions = Extensions { data_message_type: kind, ..Extensions::default() };
    M::ConnectionData { connection_id: id.into(), payload: payload.as_bytes(), extensions }
}

fn call(target: &str) -> String {
    format!("{}{END}", json!({ "type": 1, "target": target, "arguments": [] }))
}

impl Server {
    async fn request(wire: &Wire, query: &str, token: &str, id: &str) -> Result<Self, u16> {
        let port = wire.local.port();
        let mut request = format!("ws://127.0.0.1:{port}/server/?{query}").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        headers.insert("x-asrs-server-id", id.parse().unwrap());
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        match timeout(PATIENCE, client_async(request, tcp)).await.unwrap() {
            Ok((stream, _)) => {
                Ok(Self { stream, framing: BinaryFraming::default(), received: VecDeque::new() })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A default server connection of the hub `chat`.
    async fn connect(wire: &Wire, id: &str) -> Self {
        Self::connect_as(wire, id, 0).await
    }

    async fn connect_as(wire: &Wire, id: &str, connection_type: i32) -> Self {
        Self::connect_with(wire, id, &handshake(1, connection_type)).await
    }

    async fn connect_with(wire: &Wire, id: &str, handshake: &M<'_>) -> Self {
        let mut server = Self::request(wire, "hub=chat", &server_token("chat"), id).await.unwrap();
        server.say(handshake).await;
        let answer = server.next().await;
        let M::HandshakeResponse { error_message, connection_id, .. } = m(&answer) else { panic!() };
        assert_eq!(error_message.unwrap_or_default(), "");
        assert_ne!(connection_id.unwrap_or_default(), "");
        server
    }

    async fn say(&mut self, message: &M<'_>) {
        let mut bytes = Vec::new();
        write(&mut bytes, message);
        self.say_bytes(bytes).await;
    }

    async fn say_bytes(&mut self, bytes: Vec<u8>) {
        timeout(PATIENCE, self.stream.send(Message::binary(bytes))).await.unwrap().unwrap();
    }

    /// The next message that is no keep-alive, or `None` at the end.
    async fn try_next(&mut self) -> Option<Vec<u8>> {
        loop {
            while let Some(message) = self.received.pop_front() {
                if !matches!(m(&message), M::Ping { messages } if messages.is_empty()) {
                    return Some(message);
                }
            }
            match timeout(PATIENCE, self.stream.next()).await.expect("something arrives in time") {
                Some(Ok(Message::Binary(bytes))) => {
                    let received = &mut self.received;
                    let feed = self.framing.feed(&bytes, |message| {
                        received.push_back(message.to_vec());
                        Ok(())
                    });
                    feed.unwrap();
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn next(&mut self) -> Vec<u8> {
        self.try_next().await.expect("a message")
    }

    /// The status of the ack that comes next, and its payload.
    async fn ack(&mut self, id: i32) -> (i32, Vec<u8>) {
        let message = self.next().await;
        let M::Ack { ack_id, status, payload, .. } = m(&message) else { panic!("{:?}", m(&message)) };
        assert_eq!(ack_id, id);
        (status, payload.unwrap_or_default().to_vec())
    }

    /// The connection id of the client that comes next, whose handshake request is passed on.
    async fn opened(&mut self) -> (String, Vec<u8>) {
        let opening = self.next().await;
        let M::OpenConnection { connection_id, .. } = m(&opening) else { panic!("{:?}", m(&opening)) };
        let id = connection_id.into_owned();
        let request = self.next().await;
        let M::ConnectionData { connection_id, payload, extensions } = m(&request) else { panic!() };
        assert_eq!((&*connection_id, extensions.data_message_type), (&*id, 1));
        assert_eq!(payload, b"{\"protocol\":\"json\",\"version\":1}\x1e");
        (id, opening)
    }

    /// The next bytes of a client.
    async fn data(&mut self, id: &str) -> String {
        let message = self.next().await;
        let M::ConnectionData { connection_id, payload, .. } = m(&message) else {
            panic!("{:?}", m(&message))
        };
        assert_eq!(connection_id, id);
        String::from_utf8(payload.to_vec()).unwrap()
    }

    async fn closed(&mut self, id: &str) {
        let message = self.next().await;
        let M::CloseConnection { connection_id, error_message, .. } = m(&message) else { panic!() };
        assert_eq!((&*connection_id, &*error_message.unwrap_or_default()), (id, ""));
    }
}

/// A client's socket whose handshake request is sent and not answered yet.
async fn open(wire: &Wire, token: &str) -> Socket {
    let mut socket = wire.open(&format!("hub=chat&access_token={token}&color=red")).await.unwrap();
    socket.send(&[r#"{"protocol":"json","version":1}"#]).await;
    socket
}

/// A client of a server connection, after its handshake.
async fn connect(wire: &Wire, server: &mut Server, token: &str) -> Socket {
    let mut socket = open(wire, token).await;
    let (id, _) = server.opened().await;
    server.say(&data(&id, "{}\u{1e}")).await;
    assert_eq!(socket.record().await.as_deref(), Some("{}"));
    socket.id = id;
    socket
}

//! Server connections and clients: how they begin, belong together, move and end.

use std::time::Duration;

use hubwire::{
    core::service_protocol::{Extensions, ServiceMessage as M, write},
    local::{LocalService, Role},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{
    Server, builder, call, connect, data, handshake, m, marked, open, ping, server_token, stateful_handshake,
};
use crate::wire::{Wire, application, client_token, user_token};

#[tokio::test]
async fn who_may_open_a_server_connection() {
    let wire = Wire::start(
        builder()
            .application(application("rest", &[Role::RestApiOwner]))
            .application(application("server", &[Role::SignalRAppServer])),
    )
    .await;
    let good = server_token("chat");
    let refused = |query: &'static str, token: String| {
        let wire = &wire;
        async move { Server::request(wire, query, &token, "s").await.err() }
    };
    assert_eq!(refused("hub=chat", good.clone()).await, None);
    assert_eq!(refused("hub=Chat&cid=1&target=", good.clone()).await, None);
    assert_eq!(refused("hub=other", good.clone()).await, Some(401));
    assert_eq!(refused("hub=chat", user_token("alice")).await, Some(401));
    assert_eq!(refused("hub=chat", "x".to_owned()).await, Some(401));
    assert_eq!(refused("hub=a%20b", good.clone()).await, Some(400));
    assert_eq!(refused("cid=1", good.clone()).await, Some(400));
    let entra = wire.entra_token("rest").await;
    assert_eq!(refused("hub=chat", entra).await, Some(403));
    let entra = wire.entra_token("server").await;
    assert_eq!(refused("hub=chat", entra).await, None);
    // Server tokens open no client connection, and other requests are no server connections.
    assert_eq!(wire.open(&format!("hub=chat&access_token={good}")).await.err().unwrap().0, 401);
    let plain = wire.request(Method::GET, "/server/?hub=chat").bearer_auth(&good).send().await.unwrap();
    assert_eq!(plain.status().as_u16(), 400);

    let serverless = Wire::start(LocalService::builder()).await;
    assert_eq!(Server::request(&serverless, "hub=chat", &good, "s").await.err(), Some(403));
}

/// More than both ends' socket buffers hold, and far less than the service would answer in some seconds.
const MORE_THAN_SOCKETS_HOLD: usize = 128 * 1024 * 1024;

#[tokio::test]
async fn an_app_server_that_sends_pings_and_does_not_read_is_held_back() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    // Pings of the WebSocket protocol, with a mask of zeros.
    let pings = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'x'; 125]].concat().repeat(1000);
    let (stream, mut sent) = (server.stream.get_mut(), 0);
    // A write may take a part of a ping, which the next one has to go on with.
    while let Ok(written) = timeout(Duration::from_secs(1), stream.write(&pings[sent % pings.len()..])).await
    {
        sent += written.expect("it is held back, not cut off");
        assert!(sent < MORE_THAN_SOCKETS_HOLD, "the service reads on without end");
    }
}

#[tokio::test]
async fn handshakes_are_refused_with_a_reason() {
    let wire = Wire::start(builder()).await;
    for (request, reason) in [
        (handshake(2, 0), "version"),
        (handshake(1, 3), "type of the server connection"),
        (ping(&[]), "handshake request"),
    ] {
        let mut server = Server::request(&wire, "hub=chat", &server_token("chat"), "s").await.unwrap();
        server.say(&request).await;
        let answer = server.next().await;
        let M::HandshakeResponse { error_message, .. } = m(&answer) else { panic!() };
        let text = error_message.unwrap();
        assert!(text.contains(reason), "{text}");
        assert_eq!(server.try_next().await, None);
    }
}

#[tokio::test]
async fn without_an_app_server_clients_are_refused_in_their_handshake() {
    let wire = Wire::start(builder()).await;
    let _weak = Server::connect_as(&wire, "management", 2).await;
    let mut socket = open(&wire, &user_token("alice")).await;
    let response: Value = serde_json::from_str(&socket.record().await.unwrap()).unwrap();
    assert!(response["error"].as_str().unwrap().contains("app servers are not connected"), "{response}");
    assert_eq!(socket.record().await, None);
}

#[tokio::test]
async fn a_client_goes_to_the_app_server_and_back() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let token = client_token("chat", json!({ "asrs.s.uid": "alice", "role": ["x", "y"], "n": 5 }));
    let mut socket = open(&wire, &token).await;
    let (id, opening) = server.opened().await;
    let M::OpenConnection { claims, headers, query_string, extensions, .. } = m(&opening) else { panic!() };
    let claims: Vec<_> = claims.iter().filter(|(kind, _)| kind != "exp").map(|(k, v)| (&**k, &**v)).collect();
    for claim in [("asrs.s.uid", "alice"), ("role", "x"), ("role", "y"), ("n", "5")] {
        assert!(claims.contains(&claim), "{claims:?}");
    }
    let names: Vec<_> = headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    assert!(
        names.contains(&"asrs-instance-id".to_owned()) && names.contains(&"host".to_owned()),
        "{names:?}"
    );
    assert!(!names.iter().any(|name| name == "authorization" || name.starts_with("sec-")), "{names:?}");
    assert_eq!(query_string.as_deref(), Some("?hub=chat&color=red"));
    assert_eq!(extensions.protocol.as_deref(), Some("json"));

    // What is sent to it before its handshake is answered comes after the answer.
    let (text, extensions) = (call("hello"), Extensions::default());
    let payloads = vec![("json".into(), text.as_bytes())];
    server
        .say(&M::MultiConnectionData { connection_ids: vec![id.as_str().into()], payloads, extensions })
        .await;
    server
        .say(&M::CheckConnectionExistenceWithAck {
            connection_id: id.as_str().into(),
            ack_id: 1,
            extensions: Extensions::default(),
        })
        .await;
    assert_eq!(server.ack(1).await.0, 1);
    server.say(&data(&id, "{}\u{1e}")).await;
    assert_eq!(socket.record().await.as_deref(), Some("{}"));
    assert_eq!(socket.target().await, "hello");

    // Bytes go both ways as they are, messages of a client as a whole.
    socket.send_text("{\"type\":6}\u{1e}{\"type\":1,\"x\":").await;
    assert_eq!(server.data(&id).await, "{\"type\":6}\u{1e}");
    socket.send_text("\"é\"}\u{1e}").await;
    assert_eq!(server.data(&id).await, "{\"type\":1,\"x\":\"é\"}\u{1e}");
    let (first, second) = "{\"type\":6,\"x\":\"é\"}\u{1e}".as_bytes().split_at(16);
    for part in [first, second] {
        let (payload, extensions) = (part, Extensions::default());
        server.say(&M::ConnectionData { connection_id: id.as_str().into(), payload, extensions }).await;
    }
    let mut text = String::new();
    while !text.ends_with('}') {
        text += &socket.piece().await;
    }
    assert_eq!(text, "{\"type\":6,\"x\":\"é\"}");
    socket.leave().await;
    server.closed(&id).await;
}

#[tokio::test]
async fn app_servers_end_clients_and_losing_one_does() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut ended = connect(&wire, &mut server, &user_token("a")).await;
    let mut lost = connect(&wire, &mut server, &user_token("b")).await;
    let close = |id: String| M::CloseConnection {
        connection_id: id.into(),
        error_message: None,
        headers: Vec::new(),
        extensions: Extensions::default(),
    };
    server.say(&data(&ended.id, "{\"type\":7}\u{1e}")).await;
    server.say(&close(ended.id.clone())).await;
    assert_eq!(ended.closed().await, (None, false));
    // A management connection closes any client, and its app server hears of it.
    let mut closed = connect(&wire, &mut server, &user_token("c")).await;
    let mut weak = Server::connect_as(&wire, "management", 2).await;
    let M::CloseConnection { connection_id, headers, extensions, .. } = close(closed.id.clone()) else {
        panic!()
    };
    let error_message = Some("because".into());
    weak.say(&M::CloseConnection { connection_id, error_message, headers, extensions }).await;
    assert_eq!(closed.closed().await, (Some("because".to_owned()), true));
    server.closed(&closed.id).await;
    drop(server);
    assert_eq!(lost.closed().await, (Some("ServerOffline".to_owned()), true));
}

#[tokio::test]
async fn pings_are_answered() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut other = Server::connect(&wire, "t").await;
    let texts = |bytes: &[u8]| match m(bytes) {
        M::Ping { messages } => messages.iter().map(|t| t.as_deref().unwrap().to_owned()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    server.say(&ping(&["status", "1"])).await;
    let answer = texts(&server.next().await);
    assert_eq!(answer[..6], ["status", "0", "clientcount", "0", "servercount", "2"]);
    server.say(&ping(&["servers", ""])).await;
    let answer = texts(&server.next().await);
    let (number, ids) = answer[1].split_once(':').unwrap();
    assert!(number.parse::<u64>().unwrap() > 638_000_000_000_000_000 && ids == "s;t", "{answer:?}");
    // A server connection that shuts down gets no more clients.
    server.say(&ping(&["shutdown", "fin:2"])).await;
    assert_eq!(texts(&server.next().await), ["shutdown", "finack"]);
    for user in ["a", "b"] {
        let client = connect(&wire, &mut other, &user_token(user)).await;
        let id = client.id.clone();
        client.leave().await;
        other.closed(&id).await;
    }
}

#[tokio::test]
async fn clients_move_to_another_app_server() {
    let wire = Wire::start(builder()).await;
    let mut from = Server::connect(&wire, "from").await;
    let mut client = connect(&wire, &mut from, &user_token("ann")).await;
    from.say(&ping(&["shutdown", "fin:1"])).await;
    let finack = from.next().await;
    assert!(matches!(m(&finack), M::Ping { .. }));
    // There is nowhere to go yet.
    client.send(&["{\"type\":6}"]).await;
    from.data(&client.id).await;

    let mut to = Server::connect(&wire, "to").await;
    let header = |message: &[u8]| match m(message) {
        M::CloseConnection { headers, .. } | M::OpenConnection { headers, .. } => {
            let migration = headers.into_iter().find(|(name, _)| name.starts_with("Asrs-Migrate"));
            migration.map(|(name, values)| (name.into_owned(), values[0].clone().unwrap().into_owned()))
        }
        other => panic!("{other:?}"),
    };
    let named = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
    assert_eq!(header(&from.next().await), named("Asrs-Migrate-To", "to"));
    let (id, opening) = to.opened().await;
    assert_eq!((&*id, header(&opening)), (&*client.id, named("Asrs-Migrate-From", "from")));

    // What the first one still says of it does not count.
    from.say(&data(&id, "{\"type\":7}\u{1e}")).await;
    from.say(&ping(&["status", "1"])).await;
    from.next().await;
    to.say(&data(&id, &call("moved"))).await;
    assert_eq!(client.target().await, "moved");
    client.send(&["{\"type\":6}"]).await;
    assert_eq!(to.data(&id).await, "{\"type\":6}\u{1e}");
    drop(from);
    to.say(&data(&id, &call("still"))).await;
    assert_eq!(client.target().await, "still");
}

#[tokio::test]
async fn sticky_clients_go_to_their_app_server() {
    let wire = Wire::start(builder()).await;
    let mut one = Server::connect(&wire, "one").await;
    let mut two = Server::connect(&wire, "two").await;
    let token = |server: &str, mode: &str| {
        client_token("chat", json!({ "asrs.s.sn": server, "asrs.s.ssticky": mode }))
    };
    for _ in 0..3 {
        drop(connect(&wire, &mut two, &token("two", "Preferred")).await);
        let message = two.next().await;
        assert!(matches!(m(&message), M::CloseConnection { .. }));
        drop(connect(&wire, &mut one, &token("one", "Required")).await);
        let message = one.next().await;
        assert!(matches!(m(&message), M::CloseConnection { .. }));
    }
    let mut refused = open(&wire, &token("three", "Required")).await;
    assert!(refused.record().await.unwrap().contains("app servers are not connected"));
    drop(two);
    // Any will do where its own is only preferred.
    drop(connect(&wire, &mut one, &token("two", "Preferred")).await);
}

#[tokio::test]
async fn what_is_wrong_does_no_harm() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut client = connect(&wire, &mut server, &user_token("ann")).await;
    // Frames that are no messages, of types that nobody knows or that services send, and about nobody.
    let mut bytes = Vec::new();
    for frame in [
        &b"\xc1"[..],
        b"\x90",
        b"\x92\x07\x01",
        b"\x91\x63",
        b"\x93\x06\xc0\xc0",
        b"",
        b"\xdf\xff\xff\xff\xff",
    ] {
        bytes.push(frame.len() as u8);
        bytes.extend_from_slice(frame);
    }
    for message in [
        handshake(1, 0),
        data("nobody", "x"),
        ping(&["shutdown"]),
        ping(&["echo", "1"]),
        M::ServiceError { error_message: Some("x".into()) },
        M::ConnectionFlowControl {
            connection_id: client.id.as_str().into(),
            connection_type: 1,
            operation: 2,
            extensions: Extensions::default(),
        },
    ] {
        write(&mut bytes, &message);
    }
    // Wherever it is cut.
    for chunk in bytes.chunks(3) {
        server.say_bytes(chunk.to_vec()).await;
    }
    server.say(&data(&client.id, &call("fine"))).await;
    assert_eq!(client.target().await, "fine");

    // A client whose messages cannot be told apart is closed, and its app server hears that it is gone.
    client.send_text(&"x".repeat(1024 * 1024 + 1)).await;
    let (error, _) = client.closed().await;
    assert!(error.unwrap().contains("more than 1048576 bytes"));
    server.closed(&client.id).await;

    // So is a server connection.
    let mut lost = connect(&wire, &mut server, &user_token("bob")).await;
    server.say_bytes(vec![0xff; 5]).await;
    let error = server.next().await;
    assert!(
        matches!(m(&error), M::ServiceError { error_message: Some(text) } if text.contains("cannot be told apart"))
    );
    assert_eq!(server.try_next().await, None);
    assert_eq!(lost.closed().await, (Some("ServerOffline".to_owned()), true));
}

#[tokio::test]
async fn stopping_closes_clients_and_server_connections() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut client = connect(&wire, &mut server, &user_token("ann")).await;
    let begun = std::time::Instant::now();
    let (closed, ()) = tokio::join!(client.closed(), wire.local.stop());
    assert!(closed.1, "{closed:?}");
    while server.try_next().await.is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stateful_client_goes_on_with_another_socket() {
    let wire = Wire::start(builder()).await;
    let token = user_token("ann");
    let negotiate = async || -> Value {
        let path = "/client/negotiate?hub=chat&negotiateVersion=1&useStatefulReconnect=true";
        wire.request(Method::POST, path).bearer_auth(&token).send().await.unwrap().json().await.unwrap()
    };
    // Only where the app servers take part.
    let plain = Server::connect(&wire, "plain").await;
    assert_eq!(negotiate().await.get("useStatefulReconnect"), None);
    let mut server = Server::connect_with(&wire, "s", &stateful_handshake()).await;
    assert_eq!(negotiate().await.get("useStatefulReconnect"), None);
    drop(plain);
    let mut answer = negotiate().await;
    while answer.get("useStatefulReconnect").is_none() {
        answer = negotiate().await;
    }
    let query = format!("hub=chat&id={}&access_token={token}", answer["connectionToken"].as_str().unwrap());
    let mut client = wire.open(&query).await.unwrap();
    client.send(&[r#"{"protocol":"json","version":2}"#]).await;
    let opening = server.next().await;
    let M::OpenConnection { connection_id, .. } = m(&opening) else { panic!() };
    let id = connection_id.into_owned();
    assert_eq!(server.data(&id).await, "{\"protocol\":\"json\",\"version\":2}\u{1e}");
    server.say(&marked(&id, "{}\u{1e}", 1)).await;
    assert_eq!(client.record().await.as_deref(), Some("{}"));
    for target in ["first", "second"] {
        server.say(&marked(&id, &call(target), 2)).await;
        assert_eq!(client.target().await, target);
    }
    let ack = |number: i32| json!({ "type": 8, "sequenceId": number }).to_string();
    let sequence = |number: i32| json!({ "type": 9, "sequenceId": number });
    let called = |target: &str| json!({ "type": 1, "target": target, "arguments": [] }).to_string();
    client.send(&[&ack(1), &called("a")]).await;
    assert_eq!(server.data(&id).await, format!("{}\u{1e}", called("a")));
    drop(client);
    server.say(&marked(&id, &call("third"), 2)).await;
    server.say(&marked(&id, "{\"type\":6}\u{1e}", 3)).await;

    let mut client = wire.open(&query).await.unwrap();
    assert_eq!(client.message().await, Some(sequence(2)));
    assert_eq!(client.target().await, "second");
    assert_eq!(client.target().await, "third");
    let resumed = server.next().await;
    assert!(matches!(m(&resumed), M::ConnectionReconnect { connection_id, .. } if connection_id == id));
    // What it sends again has come already.
    client.send(&[&sequence(1).to_string(), &called("a"), &called("b")]).await;
    assert_eq!(server.data(&id).await, format!("{}\u{1e}", called("b")));
    assert_eq!(client.message().await, Some(json!({ "type": 8, "sequenceId": 2 })));
    // Who says goodbye does not come back.
    client.send(&["{\"type\":7}"]).await;
    assert_eq!(server.data(&id).await, "{\"type\":7}\u{1e}");
    client.leave().await;
    server.closed(&id).await;
    assert_eq!(wire.open(&query).await.err().map(|refused| refused.0), Some(404));
}

//! The whole REST API, from our client to our local service and to the clients connected there.
#![cfg(all(feature = "local", feature = "client"))]

use std::time::Duration;

use crate::wire::{Socket, Wire};
use futures_util::TryStreamExt;
use hubwire::{
    HubConnection,
    local::LocalService,
    service::{
        HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
        hub::{Commands, filter_text},
    },
};
use reqwest::Method;
use serde_json::json;

async fn start() -> (Wire, ServiceClient, HubClient) {
    let wire = Wire::start(LocalService::builder()).await;
    let endpoint = ServiceEndpoint::from_connection_string(&wire.local.connection_string()).unwrap();
    let client = ServiceClient::builder().endpoint(endpoint).build().unwrap();
    let hub = client.hub("chat").unwrap();
    (wire, client, hub)
}

/// The targets that a client gets up to `end`, which is sent to everybody.
async fn heard(hub: &HubClient, clients: &mut [&mut Socket]) -> Vec<Vec<String>> {
    hub.all().send("end", ()).await.unwrap();
    let mut all = Vec::new();
    for client in clients {
        let mut targets = Vec::new();
        loop {
            match client.target().await {
                target if target == "end" => break,
                target => targets.push(target),
            }
        }
        all.push(targets);
    }
    all
}

#[tokio::test]
async fn exclusions_and_several() {
    let (wire, client, hub) = start().await;
    assert!(client.is_healthy().await.unwrap());
    let (mut a, mut b) = (wire.connect_user("alice").await, wire.connect_user("o'brien").await);
    hub.all().excluding([&a.id]).send("not-a", ()).await.unwrap();
    hub.users(["alice", "nobody", "o'brien"]).send("users", ()).await.unwrap();
    hub.connections([&b.id]).send("connections", ()).await.unwrap();
    hub.group("g").add_connection(&a.id).await.unwrap();
    hub.group("h").add_user("o'brien").await.unwrap();
    hub.groups(["g", "h"]).send("groups", ()).await.unwrap();
    hub.group("g").excluding([&a.id]).send("nobody", ()).await.unwrap();
    let heard = heard(&hub, &mut [&mut a, &mut b]).await;
    assert_eq!(heard[0], ["users", "groups"]);
    assert_eq!(heard[1], ["not-a", "users", "connections", "groups"]);
}

#[tokio::test]
async fn existence_membership_and_ends() {
    let (wire, _, hub) = start().await;
    let (mut a1, mut a2) = (wire.connect_user("alice").await, wire.connect_user("alice").await);
    let mut b = wire.connect_user("bob").await;
    assert!(hub.connection(&a1.id).exists().await.unwrap() && hub.user("bob").exists().await.unwrap());
    assert!(!hub.connection("x").exists().await.unwrap() && !hub.user("x").exists().await.unwrap());
    assert!(!hub.group("g").exists().await.unwrap());

    hub.group("g").add_user_for("alice", Duration::from_secs(60)).await.unwrap();
    hub.group("g").add_connection(&b.id).await.unwrap();
    assert!(hub.group("g").exists().await.unwrap());
    assert!(hub.group("g").contains_user("alice").await.unwrap());
    hub.user("alice").remove_from_all_groups().await.unwrap();
    assert!(!hub.group("g").contains_user("alice").await.unwrap());
    hub.connection(&b.id).remove_from_all_groups().await.unwrap();
    assert!(!hub.group("g").exists().await.unwrap());

    hub.user("alice").excluding([&a2.id]).close_connections(Some("one of two")).await.unwrap();
    assert_eq!(a1.closed().await, (Some("one of two".to_owned()), true));
    hub.connection(&a2.id).close(None).await.unwrap();
    assert_eq!(a2.closed().await, (None, true));
    hub.connection("gone").close(None).await.unwrap();
    hub.all().close_connections(Some("all")).await.unwrap();
    assert_eq!(b.closed().await.0.as_deref(), Some("all"));
}

#[tokio::test]
async fn members_are_listed_in_pages() {
    let (wire, _, hub) = start().await;
    let mut sockets = Vec::new();
    for n in 0..5 {
        let socket = wire.connect_user(&format!("user-{n}")).await;
        hub.group("g ä/1").add_connection(&socket.id).await.unwrap();
        sockets.push(socket);
    }
    let mut expected: Vec<_> = sockets
        .iter()
        .enumerate()
        .map(|(n, socket)| (socket.id.clone(), Some(format!("user-{n}"))))
        .collect();
    expected.sort();
    for page_size in [1, 2, 5, 200] {
        for top in [1, 2, 4, 5, 9] {
            let stream = hub.group("g ä/1").connections().page_size(page_size).top(top);
            let listed: Vec<_> = stream.try_collect().await.unwrap();
            let listed: Vec<_> = listed.into_iter().map(|c| (c.connection_id, c.user_id)).collect();
            assert_eq!(listed, expected[..expected.len().min(top as usize)], "{page_size} {top}");
        }
    }
    let all: Vec<_> = hub.group("g ä/1").connections().page_size(2).try_collect().await.unwrap();
    assert_eq!(all.len(), 5);
    let none: Vec<_> = hub.group("empty").connections().try_collect().await.unwrap();
    assert!(none.is_empty());
    let path = "/api/hubs/chat/groups/g/connections?maxpagesize=201";
    assert_eq!(wire.status(Method::GET, path).await.0, 400);
}

#[tokio::test]
async fn a_client_gives_its_result_to_the_caller() {
    let (wire, _, hub) = start().await;
    let access = hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap();
    let token = access.access_token.clone();
    let connection = HubConnection::builder(access.url.as_str())
        .with_access_token(move || std::future::ready(Ok::<_, std::io::Error>(token.clone())))
        .on_invoke("Add", |a: u32, b: u32| async move { Ok::<_, String>(a + b) })
        .on_invoke("Fail", || async { Err::<u32, _>("not today".to_owned()) })
        .connect()
        .await
        .unwrap();
    let id = connection.connection_id().unwrap();
    let client = hub.connection(&id);
    assert_eq!(client.invoke::<u32>("Add", (1, 2)).await.unwrap(), 3);
    let error = client.invoke::<u32>("Fail", ()).await.expect_err("an error of the client");
    let message = error.refusal().and_then(|refusal| refusal.message()).unwrap_or_default();
    assert!(message.contains("not today"), "{error}");
    assert!(client.invoke::<u32>("Unknown", ()).await.is_err());
    assert!(matches!(hub.connection("x").invoke::<u32>("Add", ()).await, Err(ServiceError::NotFound(_))));

    // Whoever leaves while it is asked.
    let mut socket = wire.connect_user("bob").await;
    let (asked, id) = (hub.clone(), socket.id.clone());
    let asking = tokio::spawn(async move { asked.connection(&id).invoke::<u32>("Ask", ("x",)).await });
    let message = socket.message().await.unwrap();
    assert_eq!((&message["target"], &message["arguments"]), (&json!("Ask"), &json!(["x"])));
    assert!(message["invocationId"].is_string());
    socket.leave().await;
    let error = asking.await.unwrap().expect_err("it has left");
    let message = error.refusal().and_then(|refusal| refusal.message()).unwrap_or_default();
    assert!(matches!(error, ServiceError::Failed(_)) && message.contains("disconnected"), "{error}");
    connection.stop().await;
}

#[tokio::test]
async fn streams_go_to_a_client() {
    let (wire, _, hub) = start().await;
    let mut client = wire.connect_user("alice").await;
    let stream = hub.connection(&client.id).stream("7");
    stream.send(&json!({"tick": 1})).await.unwrap();
    stream.send_last(&2).await.unwrap();
    stream.complete(Some("it broke")).await.unwrap();
    stream.complete(None).await.unwrap();
    for expected in [
        json!({"type": 2, "invocationId": "7", "item": {"tick": 1}}),
        json!({"type": 2, "invocationId": "7", "item": 2}),
        json!({"type": 3, "invocationId": "7"}),
        json!({"type": 3, "invocationId": "7", "error": "it broke"}),
        json!({"type": 3, "invocationId": "7"}),
    ] {
        assert_eq!(client.message().await.unwrap(), expected);
    }
    for (path, status) in [("completed=maybe", 400), ("completed=true", 400)] {
        let path = format!("/api/hubs/chat/connections/{}/streams/7/:send?{path}", client.id);
        assert_eq!(wire.status(Method::POST, &path).await.0, status, "no item");
    }
}

#[tokio::test]
async fn commands_are_for_those_who_match() {
    let (wire, _, hub) = start().await;
    let (mut a, mut b) = (wire.connect_user("alice").await, wire.connect_user("o'brien").await);
    let filter = format!("userId eq {}", filter_text("o'brien"));
    let commands = Commands::new().send("first", (1,)).add_to_group("g").send("second", ());
    hub.execute(&filter, commands).await.unwrap();
    hub.execute("'g' in groups", Commands::new().send("in-group", ()).remove_from_group("g")).await.unwrap();
    hub.execute("not ('g' in groups)", Commands::new().send("everybody", ())).await.unwrap();
    let heard = heard(&hub, &mut [&mut a, &mut b]).await;
    assert_eq!(heard[0], ["everybody"]);
    assert_eq!(heard[1], ["first", "second", "in-group", "everybody"]);
    hub.execute(&filter, Commands::new().close_connections(Some("bye"))).await.unwrap();
    assert_eq!(b.closed().await.0.as_deref(), Some("bye"));
    let error = hub.execute("age gt 3", Commands::new()).await.expect_err("no such filter");
    assert!(matches!(error, ServiceError::BadRequest(_)), "{error:?}");
}

#[cfg(feature = "msgpack")]
#[tokio::test]
async fn binary_payloads_arrive() {
    let (wire, _, hub) = start().await;
    let mut client = wire.connect_user("alice").await;
    let text = "x".repeat(70_000);
    hub.clone().message_pack().all().send("m", (1, &text, None::<u8>)).await.unwrap();
    let message = client.message().await.unwrap();
    assert_eq!(message, json!({"type": 1, "target": "m", "arguments": [1, text, null]}));

    let post = |body: &'static [u8]| {
        let token = crate::wire::sign(
            crate::wire::KEY,
            None,
            &json!({"aud": "http://127.0.0.1/api/hubs/chat/:send", "exp": crate::wire::now() + 60}),
        );
        let request = wire.request(Method::POST, "/api/hubs/chat/:send?api-version=2024-12-01");
        request.bearer_auth(token).header("content-type", "application/octet-stream").body(body).send()
    };
    for body in [
        &b""[..],
        b"\x81\xa4json\xa1x",
        b"\x81\xa4json\xc4\x02{}",
        b"\x81\xa4json\xc4\x0b{\"type\":6}\x1e",
        b"\x81\xa4json\xc4\xff{}",
        b"\x80\x80",
        b"\x81\xabmessagepack\xc4\x01x",
        b"\x81\xabmessagepack\xc4\x03\x02\x91\x06",
    ] {
        assert_eq!(post(body).await.unwrap().status(), 400, "{body:?}");
    }
    assert_eq!(
        post(b"\x81\xabmessagepack\xc4\x09\x08\x96\x01\x80\xc0\xa1m\x90\x90").await.unwrap().status(),
        202
    );
    hub.all().send("next", ()).await.unwrap();
    assert_eq!(client.target().await, "next", "JSON clients get nothing that is not for them");
}

//! What app servers ask the service for: sends, groups, questions, closes, client results, keys, new claims.

use hubwire::{
    core::service_protocol::{Extensions, GroupMembers, InstantUtc, ServiceMessage as M, read_claims},
    local::{LocalServiceBuilder, Role},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{END, Server, builder, call, connect, data, m};
use crate::wire::{Wire, application, client_token, now, sign, user_token};

#[tokio::test]
async fn sends_reach_those_who_are_addressed() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut clients = Vec::new();
    for user in ["ann", "ann", "bob"] {
        clients.push(connect(&wire, &mut server, &user_token(user)).await);
    }
    let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
    let id = |n: usize| ids[n].as_str().into();
    let none = Extensions::default;
    for (n, group, ack_id) in [(0, "g", 1), (2, "g", 2), (1, "h", 3), (0, "h", 4)] {
        let (connection_id, group_name) = (id(n), group.into());
        let join = M::JoinGroupWithAck { connection_id, group_name, ack_id, extensions: none() };
        server.say(&join).await;
        assert_eq!(server.ack(ack_id).await.0, 1);
    }
    let text = call("m");
    let payloads = || vec![("json".into(), text.as_bytes())];
    let group = |name: &'static str, excluded_ids, excluded_user_ids, extensions| M::GroupBroadcastData {
        group_name: name.into(),
        excluded_ids,
        payloads: payloads(),
        extensions,
        excluded_user_ids,
        caller_user_id: None,
    };
    let filter = Extensions { filter: Some("userId eq 'bob'".into()), ..none() };
    for (message, receivers) in [
        (M::BroadcastData { excluded_ids: vec![], payloads: payloads(), extensions: none() }, vec![0, 1, 2]),
        (
            M::BroadcastData { excluded_ids: vec![id(1)], payloads: payloads(), extensions: none() },
            vec![0, 2],
        ),
        (
            M::BroadcastData { excluded_ids: vec![], payloads: payloads(), extensions: filter.clone() },
            vec![2],
        ),
        (M::UserData { user_id: "ann".into(), payloads: payloads(), extensions: none() }, vec![0, 1]),
        (
            M::MultiUserData {
                user_ids: vec!["ann".into(), "bob".into()],
                payloads: payloads(),
                extensions: none(),
            },
            vec![0, 1, 2],
        ),
        (
            M::MultiConnectionData {
                connection_ids: vec![id(2), "nobody".into()],
                payloads: payloads(),
                extensions: none(),
            },
            vec![2],
        ),
        (group("g", vec![], vec![], none()), vec![0, 2]),
        (group("g", vec![id(0)], vec![], none()), vec![2]),
        (group("g", vec![], vec!["bob".into()], none()), vec![0]),
        (group("h", vec![], vec![], filter), vec![]),
        (
            M::MultiGroupBroadcastData {
                group_names: vec!["g".into(), "h".into()],
                payloads: payloads(),
                extensions: none(),
            },
            vec![0, 1, 2],
        ),
    ] {
        server.say(&message).await;
        let last = call("last");
        let payloads = vec![("json".into(), last.as_bytes())];
        server.say(&M::BroadcastData { excluded_ids: vec![], payloads, extensions: none() }).await;
        for (n, client) in clients.iter_mut().enumerate() {
            let mut targets = vec![client.target().await];
            while targets.last().is_some_and(|target| target != "last") {
                targets.push(client.target().await);
            }
            let times = usize::from(receivers.contains(&n));
            assert_eq!(targets.len() - 1, times, "{message:?} to {n}");
        }
    }
    // The REST API reaches them, too.
    wire.send("/api/hubs/chat/groups/h/:send", "rest", json!([])).await;
    assert_eq!(clients[1].target().await, "rest");
}

#[tokio::test]
async fn questions_are_answered() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let client = connect(&wire, &mut server, &user_token("ann")).await;
    let second = connect(&wire, &mut server, &user_token("bob")).await;
    let none = Extensions::default;
    let (ann, g) = (|| "ann".into(), || "g".into());
    let mut ack = 10;
    let mut ask = async |message: &dyn Fn(i32) -> M<'static>| {
        ack += 1;
        server.say(&message(ack)).await;
        server.ack(ack).await
    };
    let in_group =
        |ack_id| M::CheckUserInGroupWithAck { user_id: ann(), group_name: g(), ack_id, extensions: none() };
    assert_eq!(ask(&in_group).await.0, 2);
    let ttl = Extensions { ttl: Some(60), ..none() };
    let join =
        |ack_id| M::UserJoinGroupWithAck { user_id: ann(), group_name: g(), ack_id, extensions: ttl.clone() };
    assert_eq!(ask(&join).await.0, 1);
    assert_eq!(ask(&in_group).await.0, 1);
    let exists = |ack_id| M::CheckGroupExistenceWithAck { group_name: g(), ack_id, extensions: none() };
    assert_eq!(ask(&exists).await.0, 1);
    for (user, status) in [("bob", 1), ("eve", 2)] {
        let exists =
            move |ack_id| M::CheckUserExistenceWithAck { user_id: user.into(), ack_id, extensions: none() };
        assert_eq!(ask(&exists).await.0, status);
    }
    let second_id = second.id.clone();
    let join = move |ack_id| M::JoinGroupWithAck {
        connection_id: second_id.clone().into(),
        group_name: g(),
        ack_id,
        extensions: none(),
    };
    assert_eq!(ask(&join).await.0, 1);
    let nobody = |ack_id| M::JoinGroupWithAck {
        connection_id: "nobody".into(),
        group_name: g(),
        ack_id,
        extensions: none(),
    };
    assert_eq!(ask(&nobody).await.0, 2);

    // Both are members, one to a page.
    let (mut members, mut token) = (Vec::new(), None::<String>);
    loop {
        let continuation = token.clone();
        let query = move |ack_id| M::GroupMemberQuery {
            extensions: none(),
            group_name: g(),
            ack_id,
            top: None,
            continuation_token: continuation.clone().map(Into::into),
            max_page_size: Some(1),
        };
        let (status, payload) = ask(&query).await;
        assert_eq!(status, 1);
        let page = GroupMembers::read(&payload).unwrap();
        assert_eq!(page.members.len(), 1);
        members.extend(page.members.iter().map(|member| {
            (member.connection_id.to_string(), member.user_id.as_deref().unwrap_or_default().to_owned())
        }));
        token = page.continuation_token.map(|token| token.to_string());
        if token.is_none() {
            break;
        }
    }
    let mut expected = vec![(client.id.clone(), "ann".to_owned()), (second.id.clone(), "bob".to_owned())];
    expected.sort_unstable();
    assert_eq!(members, expected);

    let leave =
        |ack_id| M::UserLeaveGroupWithAck { user_id: ann(), group_name: None, ack_id, extensions: none() };
    assert_eq!(ask(&leave).await.0, 1);
    assert_eq!(ask(&in_group).await.0, 2);
}

#[tokio::test]
async fn closes_are_acknowledged_and_told() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let none = Extensions::default;
    for (n, close) in [
        |id: &str| M::CloseConnectionWithAck {
            connection_id: id.to_owned().into(),
            reason: Some("enough".into()),
            ack_id: 1,
            extensions: Extensions::default(),
        },
        |_: &str| M::CloseConnectionsWithAck {
            reason: Some("enough".into()),
            ack_id: 1,
            excluded_ids: Vec::new(),
            extensions: Extensions::default(),
        },
        |_: &str| M::CloseUserConnectionsWithAck {
            user_id: "ann".into(),
            reason: Some("enough".into()),
            ack_id: 1,
            excluded_ids: vec!["nobody".into()],
            extensions: Extensions::default(),
        },
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = connect(&wire, &mut server, &user_token("ann")).await;
        server.say(&close(&client.id)).await;
        assert_eq!(client.closed().await, (Some("enough".to_owned()), true), "{n}");
        assert_eq!(server.ack(1).await.0, 1);
        server.closed(&client.id).await;
    }
    let gone = M::CloseConnectionWithAck {
        connection_id: "nobody".into(),
        reason: None,
        ack_id: 2,
        extensions: none(),
    };
    server.say(&gone).await;
    assert_eq!(server.ack(2).await.0, 2);
}

#[tokio::test]
async fn results_of_clients_reach_other_app_servers() {
    let wire = Wire::start(builder()).await;
    let mut host = Server::connect(&wire, "host").await;
    let mut client = connect(&wire, &mut host, &user_token("ann")).await;
    let mut caller = Server::connect(&wire, "caller").await;
    let text =
        format!("{}{END}", json!({ "type": 1, "invocationId": "i", "target": "Ask", "arguments": [] }));
    let ask = |id: &str, client: &str| M::ClientInvocation {
        invocation_id: id.to_owned().into(),
        connection_id: client.to_owned().into(),
        caller_server_id: "caller".into(),
        payloads: vec![("json".into(), text.as_bytes())],
        extensions: Extensions::default(),
    };
    caller.say(&ask("i", &client.id)).await;
    let mapping = caller.next().await;
    assert!(matches!(m(&mapping), M::ServiceMapping { invocation_id, .. } if invocation_id == "i"));
    let passed_on = host.next().await;
    assert!(matches!(m(&passed_on), M::ClientInvocation { invocation_id, .. } if invocation_id == "i"));
    assert_eq!(client.target().await, "Ask");
    let answer = "{\"type\":3,\"invocationId\":\"i\",\"result\":1}";
    client.send(&[answer]).await;
    let answered = host.data(&client.id).await;
    host.say(&M::ClientCompletion {
        invocation_id: "i".into(),
        connection_id: client.id.as_str().into(),
        caller_server_id: "host".into(),
        protocol: Some("json".into()),
        payload: answered.as_bytes(),
        extensions: Extensions::default(),
    })
    .await;
    let result = caller.next().await;
    assert!(matches!(m(&result), M::ClientCompletion { payload, .. } if payload == answered.as_bytes()));

    let failed = |bytes: &[u8], id: &str| match m(bytes) {
        M::ErrorCompletion { invocation_id, error, .. } => {
            assert_eq!(invocation_id, id);
            error.unwrap().into_owned()
        }
        other => panic!("{other:?}"),
    };
    caller.say(&ask("j", "nobody")).await;
    assert!(failed(&caller.next().await, "j").contains("does not exist"));
    caller.say(&ask("k", &client.id)).await;
    caller.next().await;
    assert_eq!(client.target().await, "Ask");
    client.leave().await;
    assert!(failed(&caller.next().await, "k").contains("disconnected"));
}

#[tokio::test]
async fn the_rest_api_calls_clients_past_their_app_server() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut client = connect(&wire, &mut server, &user_token("ann")).await;
    let path = format!("/api/hubs/chat/connections/{}/:invoke", client.id);
    let invoking = wire.rest(Method::POST, &path, Some(json!({ "target": "Ask", "arguments": [] })));
    let answering = async {
        let call = client.message().await.unwrap();
        let id = call["invocationId"].as_str().unwrap();
        client
            .send(&[&json!({ "type": 3, "invocationId": id, "result": 42 }).to_string(), "{\"type\":6}"])
            .await;
    };
    let (response, ()) = tokio::join!(invoking, answering);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "result": 42 }));
    // The app server hears the rest, and nothing of that.
    assert_eq!(server.data(&client.id).await, "{\"type\":6}\u{1e}");
}

/// What a server connection answers to the request for a key: id, key, type and text of the error.
async fn ask_for_key(server: &mut Server, token: &str) -> [Option<String>; 4] {
    let (token, extensions) = (Some(token.to_owned().into()), Extensions::default());
    server.say(&M::AccessKeyRequest { token, kid: None, extensions }).await;
    let answer = server.next().await;
    let M::AccessKeyResponse { kid, access_key, error_type, error_message, .. } = m(&answer) else {
        panic!()
    };
    [kid, access_key, error_type, error_message].map(|text| text.map(|text| text.into_owned()))
}

#[tokio::test]
async fn access_keys_are_exchanged_for_entra_tokens() {
    let applications = [("both", Role::ServiceOwner), ("rest", Role::RestApiOwner)];
    let start = async |port: u16| {
        let add = |builder: LocalServiceBuilder, (name, role): &(&str, Role)| {
            builder.application(application(name, &[*role]))
        };
        Wire::start(applications.iter().fold(builder().port(port), add)).await
    };
    let wire = start(0).await;
    let mut server = Server::connect(&wire, "s").await;
    let [kid, key, error, _] = ask_for_key(&mut server, &wire.entra_token("both").await).await;
    assert_eq!(error, None);
    let claims = json!({ "aud": "http://127.0.0.1/client/?hub=chat", "exp": now() + 60 });
    let token = sign(&key.unwrap(), kid.as_deref(), &claims);
    assert_eq!(wire.negotiate("chat", &token).await.status().as_u16(), 200);
    for (token, reason) in
        [(wire.entra_token("rest").await, "SignalR App Server"), ("x".to_owned(), "refused")]
    {
        let [kid, key, error, text] = ask_for_key(&mut server, &token).await;
        assert!((kid, key) == (None, None) && error.is_some() && text.unwrap().contains(reason));
    }
    // The app server goes on with its key when the service has been restarted.
    let port = wire.local.port();
    drop(server);
    wire.local.stop().await;
    assert_eq!(start(port).await.negotiate("chat", &token).await.status().as_u16(), 200);
}

#[tokio::test]
async fn claims_are_told_and_refreshed() {
    let wire = Wire::start(builder()).await;
    let mut server = Server::connect(&wire, "s").await;
    let mut other = Server::connect_as(&wire, "t", 2).await;
    let token = client_token("chat", json!({ "asrs.s.uid": "ann", "role": "reader" }));
    let negotiated: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
    let secret = negotiated["connectionToken"].as_str().unwrap().to_owned();
    let mut client = wire.open(&format!("hub=chat&id={secret}&access_token={token}")).await.unwrap();
    client.send(&[r#"{"protocol":"json","version":1}"#]).await;
    let (id, _) = server.opened().await;
    assert_eq!(id, negotiated["connectionId"].as_str().unwrap());
    server.say(&data(&id, "{}\u{1e}")).await;
    assert_eq!(client.record().await.as_deref(), Some("{}"));

    let texts = |claims: &[(&str, &str)]| -> Vec<(String, String)> {
        claims.iter().map(|(kind, value)| ((*kind).to_owned(), (*value).to_owned())).collect()
    };
    let told = |payload: &[u8]| -> Vec<(String, String)> {
        let claims = read_claims(payload).unwrap();
        claims.into_iter().map(|(kind, value)| (kind.into_owned(), value.into_owned())).collect()
    };
    let question = |token: &str, ack_id| M::GetConnectionClaims {
        connection_token: token.to_owned().into(),
        ack_id,
        extensions: Extensions::default(),
    };
    // Any server connection may ask; the connection id is no secret, and so no token.
    other.say(&question(&secret, 1)).await;
    let (status, payload) = other.ack(1).await;
    assert_eq!((status, told(&payload)), (1, texts(&[("asrs.s.uid", "ann"), ("role", "reader")])));
    other.say(&question(&id, 2)).await;
    assert_eq!(other.ack(2).await.0, 2);

    let refresh = |token: &str, claims: &[(&str, &str)], ack_id| M::RefreshAuth {
        connection_token: token.to_owned().into(),
        claims: claims.iter().map(|(k, v)| ((*k).to_owned().into(), (*v).to_owned().into())).collect(),
        expire_time: InstantUtc::MAX,
        ack_id,
        extensions: Extensions::default(),
    };
    let claims = [("asrs.s.uid", "ann"), ("role", "writer"), ("role", "reader")];
    other.say(&refresh(&secret, &claims, 3)).await;
    let (status, payload) = other.ack(3).await;
    assert_eq!((status, told(&payload)), (1, texts(&claims)));
    let update = server.next().await;
    let M::UpdateConnectionClaims { connection_id, claims: updated, .. } = m(&update) else { panic!() };
    let updated: Vec<_> = updated.iter().map(|(kind, value)| (&**kind, &**value)).collect();
    assert_eq!((&*connection_id, &*updated), (&*id, &claims[..]));

    // Without claims they stay, and nobody has to hear of it. Another user is refused.
    other.say(&refresh(&secret, &[], 4)).await;
    let (status, payload) = other.ack(4).await;
    assert_eq!((status, told(&payload)), (1, texts(&claims)));
    other.say(&refresh(&secret, &[("asrs.s.uid", "eve")], 5)).await;
    assert_eq!(other.ack(5).await.0, 5);
    other.say(&refresh("nobody", &[], 6)).await;
    assert_eq!(other.ack(6).await.0, 2);

    // A refresh over REST reaches the app server as well.
    let claims = json!([{ "type": "asrs.s.uid", "value": "ann" }, { "type": "role", "value": "owner" }]);
    let body = json!({ "connectionToken": secret, "claims": claims });
    let path = "/api/hubs/chat/connections/:refreshAuth?api-version=2026-07-01";
    let refreshed = wire.rest(Method::POST, path, Some(body)).await;
    assert_eq!(refreshed.status().as_u16(), 200, "{}", refreshed.text().await.unwrap());
    let update = server.next().await;
    let M::UpdateConnectionClaims { claims: updated, .. } = m(&update) else { panic!() };
    assert!(updated.iter().any(|(kind, value)| (&**kind, &**value) == ("role", "owner")), "{updated:?}");
    client.leave().await;
    server.closed(&id).await;
}

//! The local service closes connections with their authentication, and lets it be refreshed.
#![cfg(all(feature = "axum", feature = "client", feature = "local"))]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::support::{dotnet::Dotnet, reference_dir, reference_hub_11, skipped};
use crate::wire::{Socket, Wire};
use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    ConnectionError, HubConnection, RefreshError,
    local::LocalService,
    service::{
        HubClient, NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint, ServiceError,
        credentials::AccessKey, upstream::UpstreamRouter,
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn hub(local: &LocalService) -> HubClient {
    let endpoint = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap()
}

fn for_seconds(seconds: u64, user: &str) -> NegotiateOptions {
    NegotiateOptions::for_user(user).lifetime(Duration::from_secs(seconds)).close_on_expiry()
}

#[tokio::test]
async fn a_connection_ends_with_its_authentication() {
    let local = LocalService::builder().start().await.unwrap();
    let access = hub(&local).negotiate(for_seconds(2, "alice")).await.unwrap();
    let connection = HubConnection::builder(&access.url)
        .with_access_token(move || std::future::ready(Ok::<_, Infallible>(access.access_token.clone())))
        .connect()
        .await
        .unwrap();
    let closed = timeout(PATIENCE, connection.closed()).await.expect("it is closed");
    let expected = ConnectionError::ServerClosed { error: None, allow_reconnect: true };
    assert_eq!(closed, expected);
}

#[tokio::test]
async fn a_connection_that_is_refreshed_outlives_its_first_token() {
    let local = LocalService::builder().start().await.unwrap();
    let hub = hub(&local);
    let (sender, mut asked) = mpsc::unbounded();
    let endpoint = NegotiateService::new(hub.clone(), move |parts| {
        let _ = sender.unbounded_send(parts.uri.path().to_owned());
        for_seconds(6, "alice")
    });
    let app = axum::Router::new().route_service("/chat/{end}", endpoint.authentication_refresh());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let (sender, mut heard) = mpsc::unbounded();
    let connection = HubConnection::builder(url)
        .with_access_token(|| std::future::ready(Ok::<_, Infallible>("of the app".to_owned())))
        .on("m", move |n: u32| drop(sender.unbounded_send(n)))
        .connect()
        .await
        .unwrap();
    let id = connection.connection_id();
    assert_eq!(asked.next().await.as_deref(), Some("/chat/negotiate"));
    // Each comes after half of a token's life, and the last when the first token has expired.
    for _ in 0..3 {
        let refresh = timeout(PATIENCE, asked.next()).await.expect("it is refreshed");
        assert_eq!(refresh.as_deref(), Some("/chat/refresh"));
    }
    hub.user("alice").send("m", (7,)).await.unwrap();
    assert_eq!(timeout(PATIENCE, heard.next()).await.expect("a message"), Some(7));
    assert_eq!(connection.connection_id(), id, "it is the first connection still");
    connection.stop().await;
}

#[tokio::test]
async fn only_the_same_user_is_refreshed() {
    let wire = Wire::start(LocalService::builder()).await;
    let hub = hub(&wire.local);
    let token = crate::wire::user_token("alice");
    let answer: Value = wire.negotiate("chat", &token).await.json().await.unwrap();
    let id = answer["connectionToken"].as_str().unwrap().to_owned();
    let refresh = |id: &str, user| {
        let (hub, id) = (hub.clone(), id.to_owned());
        async move { hub.refresh_authentication(&id, NegotiateOptions::for_user(user)).await }
    };
    assert!(matches!(refresh(&id, "alice").await, Err(ServiceError::NotFound(_))), "it is not open yet");
    let mut socket = wire.open(&format!("hub=chat&id={id}&access_token={token}")).await.unwrap();
    socket.handshake().await;
    refresh(&id, "alice").await.unwrap();
    let error = refresh(&id, "bob").await.expect_err("it is Alice's");
    let code = match &error {
        ServiceError::Forbidden(refusal) => refusal.error_code().map(str::to_owned),
        _ => None,
    };
    assert_eq!(code.as_deref(), Some("ConnectionUserMismatch"), "{error:?}");

    for body in [
        json!({}),
        json!({ "connectionToken": id, "expireTime": "tomorrow" }),
        json!({ "connectionToken": id, "expireTime": 1_893_456_000 }),
        json!({ "connectionToken": id, "expireTime": "2001-01-01T00:00:00Z" }),
        json!({ "connectionToken": id, "expireTime": "1901-01-01T00:00:00Z" }),
        json!({ "connectionToken": id, "expireTime": "2130-01-01T00:00:00Z", "claims": [1] }),
    ] {
        assert_eq!(wire.rest(Method::POST, REFRESH, Some(body.clone())).await.status(), 400, "{body}");
    }
}

const REFRESH: &str = "/api/hubs/chat/connections/:refreshAuth?api-version=2026-07-01";
const CLAIMS: &str = "/api/hubs/chat/connections/claims?api-version=2026-07-01";

/// A client by its own means, and its connection token.
async fn connected(wire: &Wire, token: &str, version: u32) -> (Socket, String) {
    let path = format!("/client/negotiate?hub=chat&negotiateVersion={version}");
    let request = wire.request(Method::POST, &path).bearer_auth(token);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let id = answer["connectionToken"].as_str().or(answer["connectionId"].as_str()).unwrap().to_owned();
    let mut socket = wire.open(&format!("hub=chat&id={id}&access_token={token}")).await.unwrap();
    socket.handshake().await;
    (socket, id)
}

async fn asked(wire: &Wire, method: Method, path: &str, body: Value) -> (u16, Value) {
    let response = wire.rest(method, path, Some(body)).await;
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn what_a_refresh_does_not_say_stays_as_it_is() {
    let wire = Wire::start(LocalService::builder()).await;
    let claim = |name: &str, value: &str| json!({ "type": name, "value": value });
    let end = (crate::wire::now() + 100).to_string();
    let own = json!({
        "asrs.s.uid": "alice", "asrs.s.coae": "true", "asrs.s.aeo": end, "role": ["a", "b"], "level": 7,
        "iss": "azure-signalr",
    });
    let (_socket, id) = connected(&wire, &crate::wire::client_token("chat", own), 1).await;
    let query = || Method::from_bytes(b"QUERY").unwrap();
    let about = |mut more: Value| {
        more["connectionToken"] = json!(id);
        more
    };
    let mut claims = vec![
        claim("asrs.s.aeo", &end),
        claim("asrs.s.coae", "true"),
        claim("asrs.s.uid", "alice"),
        claim("level", "7"),
        claim("role", "a"),
        claim("role", "b"),
    ];
    let answer = asked(&wire, query(), CLAIMS, about(json!({}))).await;
    assert_eq!(answer, (200, json!({ "claims": claims })), "what is of the token itself is not among them");
    for nothing in [
        json!({}),
        json!({ "expireTime": null, "claims": null }),
        json!({ "expireTime": "9999-12-31T23:59:59.9999999Z", "claims": [] }),
        json!({ "expireTime": "9999-12-31T23:59:59.9999999+00:00" }),
    ] {
        let answer = asked(&wire, Method::POST, REFRESH, about(nothing)).await;
        assert_eq!(answer, (200, json!({ "claims": claims })));
    }
    // The claims say when the connection ends: a token is made of them.
    let later =
        asked(&wire, Method::POST, REFRESH, about(json!({ "expireTime": "2130-01-01T00:00:00Z" }))).await;
    claims[0] = claim("asrs.s.aeo", "5049129600");
    assert_eq!(later, (200, json!({ "claims": claims })));
    let others = json!({ "claims": [claim("asrs.s.uid", "alice"), claim("role", "c")] });
    let answer = asked(&wire, Method::POST, REFRESH, about(others)).await;
    claims.truncate(3);
    claims.push(claim("role", "c"));
    assert_eq!(answer, (200, json!({ "claims": claims })));
    assert_eq!(asked(&wire, query(), CLAIMS, about(json!({}))).await, answer);
    let bob = json!({ "claims": [claim("asrs.s.uid", "bob")] });
    assert_eq!(asked(&wire, Method::POST, REFRESH, about(bob)).await.0, 403);
    assert_eq!(asked(&wire, query(), CLAIMS, about(json!({}))).await, answer, "a refusal changes nothing");

    assert_eq!(asked(&wire, query(), CLAIMS, json!({})).await.0, 400);
    assert_eq!(asked(&wire, Method::POST, CLAIMS, about(json!({}))).await.0, 405);
    // A connection id, which others know, is no proof.
    let (_socket, public) = connected(&wire, &crate::wire::user_token("alice"), 0).await;
    for id in ["unknown", &public] {
        for (method, path) in [(query(), CLAIMS), (Method::POST, REFRESH)] {
            assert_eq!(asked(&wire, method, path, json!({ "connectionToken": id })).await.0, 404, "{id}");
        }
    }
}

/// An app server in front of a local service. Each time a client comes, it has another role, and somebody else has to be
/// asked for it; it may change once.
async fn app() -> (LocalService, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let local = LocalService::builder().upstream(format!("{url}/upstream")).start().await.unwrap();
    let hub = hub(&local);
    let upstream = UpstreamRouter::new()
        .access_key(&AccessKey::new(LocalService::EMULATOR_ACCESS_KEY))
        .unwrap()
        .on_message("chat", "Role", |message| async move {
            Ok(message.client().claim("role").unwrap_or_default().to_owned())
        });
    let asked = Arc::new(AtomicU32::new(0));
    let off = NegotiateService::new(hub.clone(), |_| NegotiateOptions::anonymous());
    let endpoint = NegotiateService::new(hub, move |_| {
        let asked = Arc::clone(&asked);
        async move {
            tokio::task::yield_now().await;
            let role = format!("role {}", asked.fetch_add(1, Ordering::Relaxed));
            NegotiateOptions::for_user("alice").claim("role", role)
        }
    })
    .authentication_refresh_if(|change| async move {
        change.previous.get("role") == Some("role 0") && change.new.get("role") == Some("role 1")
    });
    let app = axum::Router::new()
        .route_service("/upstream", upstream)
        .merge(hubwire::axum_routes::negotiate_service("/chat", endpoint))
        .merge(hubwire::axum_routes::negotiate_service("/off", off));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (local, url)
}

#[tokio::test]
async fn the_upstream_hears_the_claims_of_the_last_refresh() {
    let (_local, url) = app().await;
    let connection = HubConnection::builder(format!("{url}/chat"))
        .with_access_token(|| std::future::ready(Ok::<_, Infallible>("of the app".to_owned())))
        .connect()
        .await
        .unwrap();
    assert_eq!(connection.invoke::<String>("Role", ()).await.unwrap(), "role 0");
    assert!(connection.refresh_authentication().await.unwrap().is_some());
    assert_eq!(connection.invoke::<String>("Role", ()).await.unwrap(), "role 1");
    let refused = connection.refresh_authentication().await.unwrap_err();
    assert!(
        matches!(&refused, RefreshError::Refused { status: 403, error: Some(why) } if why == "permission_change_rejected"),
        "{refused:?}"
    );
    assert_eq!(connection.invoke::<String>("Role", ()).await.unwrap(), "role 1");
    connection.stop().await;
}

#[tokio::test]
async fn the_official_client_refreshes_its_authentication() {
    if reference_dir().is_none() {
        skipped("the_official_client_refreshes_its_authentication", "no reference folder");
        return;
    }
    let (_local, url) = app().await;
    let mut client = Dotnet::spawn_11();
    let options = json!({ "url": format!("{url}/chat"), "transport": "webSockets", "token": "of the app" });
    client.command("build", options).await;
    client.command("start", json!({})).await;
    let role = json!({ "target": "Role", "arguments": [], "returns": "string" });
    assert_eq!(client.command("invoke", role.clone()).await, "role 0");
    let lifetime = client.command("refresh", json!({})).await;
    assert!(matches!(lifetime.as_u64(), Some(3598..=3600)), "{lifetime}");
    assert_eq!(client.command("invoke", role).await, "role 1");
    client.command("stop", json!({})).await;
}

/// The same requests are answered by ASP.NET Core 11 and by ours in the same way.
#[tokio::test]
async fn the_endpoint_answers_as_the_released_server_does() {
    let Some(theirs) = reference_hub_11("the_endpoint_answers_as_the_released_server_does") else { return };
    let (_local, ours) = app().await;
    let http = crate::wire::plain_http::plain_http().build().unwrap();
    let token = http.get(format!("{theirs}/token?user=alice")).send().await.unwrap().text().await.unwrap();
    let answer = async |url: String, method: &str, id: Option<&str>| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = http.request(method, url).bearer_auth(token.trim_matches('"'));
        if let Some(id) = id {
            request = request.header("X-SignalR-Connection-Token", id);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for (query, method, id) in [
        ("", "POST", None),
        ("", "POST", Some("")),
        ("", "POST", Some(" ")),
        ("?id=c", "POST", None),
        ("?id=c", "POST", Some("unknown")),
        ("", "GET", Some("unknown")),
        ("", "PUT", None),
        ("", "OPTIONS", None),
    ] {
        let ours = answer(format!("{ours}/chat/refresh{query}"), method, id).await;
        let theirs = answer(format!("{theirs}/refreshing/refresh{query}"), method, id).await;
        assert_eq!(ours, theirs, "{method} {query} {id:?}");
    }
    for method in ["POST", "GET"] {
        let ours = answer(format!("{ours}/off/refresh"), method, Some("c")).await;
        let theirs = answer(format!("{theirs}/hub/refresh"), method, Some("c")).await;
        assert_eq!(ours, theirs, "{method}, where it is off");
    }
}

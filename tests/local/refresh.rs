//! The local service closes connections with their authentication, and lets it be refreshed.
#![cfg(all(feature = "axum", feature = "client", feature = "local"))]

use std::{convert::Infallible, time::Duration};

use crate::wire::Wire;
use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    ConnectionError, HubConnection,
    local::LocalService,
    service::{HubClient, NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint, ServiceError},
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
    let endpoint = NegotiateService::new(hub.clone(), move |parts: &http::request::Parts| {
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

    let path = "/api/hubs/chat/connections/:refreshAuth";
    for body in [
        json!({}),
        json!({ "connectionToken": id }),
        json!({ "connectionToken": id, "expireTime": "tomorrow" }),
        json!({ "connectionToken": id, "expireTime": "2030-01-01T00:00:00Z", "claims": [1] }),
    ] {
        assert_eq!(wire.rest(Method::POST, path, Some(body)).await.status(), 400);
    }
    let body = json!({ "connectionToken": id, "expireTime": "2030-01-01T00:00:00Z" });
    let response = wire.rest(Method::POST, path, Some(body)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "claims": [] }));
}

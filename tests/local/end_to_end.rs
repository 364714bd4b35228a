//! The whole way: an app server authenticates to the local service as a Microsoft Entra application and answers
//! negotiate; clients follow it to the hub, and hear what the server publishes.

#![cfg(all(feature = "axum", feature = "local"))]

use std::time::Duration;

use axum::http::request::Parts;
use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::local::{EntraApplication, LocalService, Role};
use hubwire::service::{
    HubClient, NegotiateOptions, NegotiateRejection, ServiceClient, ServiceEndpoint, ServiceError,
    credentials::{ClientSecret, CredentialError},
};
use hubwire::{CallError, ConnectionError, HubConnection, HubConnectionBuilder};

const SECRET: &str = "the-secret-of-the-application";

async fn local(roles: &[Role]) -> LocalService {
    let application = EntraApplication::new("tenant", "application", SECRET);
    let application = roles.iter().fold(application, |application, role| application.role(*role));
    LocalService::builder().application(application).start().await.unwrap()
}

fn hub(local: &LocalService, secret: &str) -> HubClient {
    let credential = ClientSecret::new("tenant", "application", secret).authority(local.authority());
    let endpoint = ServiceEndpoint::new(local.endpoint(), credential).unwrap();
    ServiceClient::builder().endpoint(endpoint).build().unwrap().hub("chat").unwrap()
}

/// An app server with nothing but a negotiate endpoint; the user is in the query.
async fn app(hub: HubClient) -> String {
    let options = |parts: Parts| match parts.uri.query().and_then(|query| query.strip_prefix("user=")) {
        Some(query) => Ok(NegotiateOptions::for_user(query.split('&').next().unwrap_or_default())),
        None => Err(NegotiateRejection::unauthorized()),
    };
    let router: axum::Router = hubwire::axum_routes::negotiate("/chat", hub, options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A client whose messages can be awaited.
async fn client(builder: HubConnectionBuilder) -> (HubConnection, mpsc::UnboundedReceiver<(String, String)>) {
    let (sender, received) = mpsc::unbounded();
    let connection = builder
        .on("ReceiveMessage", move |from: String, text: String| {
            let _ = sender.unbounded_send((from, text));
        })
        .connect()
        .await
        .unwrap();
    (connection, received)
}

async fn next(received: &mut mpsc::UnboundedReceiver<(String, String)>) -> (String, String) {
    tokio::time::timeout(Duration::from_secs(10), received.next()).await.expect("a message comes").unwrap()
}

fn message(from: &str, text: &str) -> (String, String) {
    (from.to_owned(), text.to_owned())
}

const FULL: &[Role] = &[Role::SignalRAppServer, Role::RestApiOwner];

#[tokio::test]
async fn all_users_and_groups() {
    let local = local(FULL).await;
    let hub = hub(&local, SECRET);
    let url = app(hub.clone()).await;
    let (alice, mut alices) = client(HubConnection::builder(format!("{url}?user=alice"))).await;
    let (bob, mut bobs) = client(HubConnection::builder(format!("{url}?user=bob"))).await;

    hub.all().send("ReceiveMessage", ("all", "hello")).await.unwrap();
    assert_eq!(next(&mut alices).await, message("all", "hello"));
    assert_eq!(next(&mut bobs).await, message("all", "hello"));

    hub.user("alice").send("ReceiveMessage", ("user", "only alice")).await.unwrap();
    assert_eq!(next(&mut alices).await, message("user", "only alice"));

    let admins = hub.group("admins");
    admins.add_connection(&bob.connection_id().unwrap()).await.unwrap();
    admins.send("ReceiveMessage", ("group", "only bob")).await.unwrap();
    // The message for Alice alone did not come to Bob: this is his next one.
    assert_eq!(next(&mut bobs).await, message("group", "only bob"));

    // What was agreed on came from the service, not from the app server.
    let info = alice.connection_info().unwrap();
    assert_eq!(format!("{}/client/", local.endpoint()), info.url.to_string());
    let token = hubwire::ClientToken::parse(info.token.unwrap().secret()).unwrap();
    assert_eq!((token.user_id().as_deref(), token.hub().as_deref()), (Some("alice"), Some("chat")));

    // Serverless mode has no one to answer a call; it says so at once.
    let call = alice.invoke::<()>("SendMessage", ("hello",)).await;
    assert!(matches!(&call, Err(CallError::Server(text)) if text.contains("upstream")), "{call:?}");

    alice.stop().await;
    bob.stop().await;
    local.stop().await;
}

#[tokio::test]
async fn a_wrong_client_secret() {
    let local = local(FULL).await;
    let hub = hub(&local, "not-the-secret");
    let error = hub.negotiate(NegotiateOptions::for_user("alice")).await.unwrap_err();
    assert!(
        matches!(error, ServiceError::Credential(CredentialError::InvalidClientSecret { .. })),
        "{error:?}"
    );
    assert!(error.to_string().contains("AADSTS7000215"), "{error}");
    assert!(!error.to_string().contains("not-the-secret"), "{error}");

    // A client hears that the server failed, and nothing of what is wrong inside.
    let url = app(hub).await;
    let error = HubConnection::builder(format!("{url}?user=alice")).connect().await.unwrap_err();
    assert!(error.status().is_some_and(|status| status >= 500) && error.is_retryable(), "{error:?}");
    assert!(!error.to_string().contains("AADSTS"), "{error}");
}

#[tokio::test]
async fn missing_roles() {
    // To sign tokens that say more than the user takes another role than to publish.
    for (roles, negotiates, publishes) in [
        (&[][..], false, false),
        (&[Role::SignalRAppServer], true, false),
        (&[Role::RestApiOwner], false, true),
        (&[Role::RestApiReader], false, false),
        (&[Role::ServiceOwner], true, true),
    ] {
        let local = local(roles).await;
        let hub = hub(&local, SECRET);
        let options = NegotiateOptions::for_user("alice").claim("role", "reader");
        let negotiated = hub.negotiate(options).await.map(drop);
        let published = hub.all().send("ReceiveMessage", ("a", "b")).await;
        assert_eq!((negotiated.is_ok(), published.is_ok()), (negotiates, publishes), "{roles:?}");
        for (outcome, role) in [(negotiated, "SignalR App Server"), (published, "SignalR REST API Owner")] {
            let Err(error) = outcome else { continue };
            assert!(matches!(error, ServiceError::Forbidden(_)), "{error:?}");
            assert_eq!(error.status(), Some(403));
            assert!(error.to_string().contains(role), "{error}");
        }
    }
}

#[tokio::test]
async fn an_expired_client_token() {
    let local = local(FULL).await;
    let key = jsonwebtoken::EncodingKey::from_secret(LocalService::EMULATOR_ACCESS_KEY.as_bytes());
    let token = |exp: u64| {
        let claims =
            serde_json::json!({ "aud": "http://127.0.0.1/client/?hub=chat", "exp": exp, "nameid": "late" });
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let connect = |token: String| {
        HubConnection::builder(format!("{}/client/?hub=chat", local.endpoint()))
            .with_access_token(move || std::future::ready(Ok::<_, std::convert::Infallible>(token.clone())))
            .connect()
    };
    connect(token(4_000_000_000)).await.unwrap();
    let error = connect(token(1_000_000_000)).await.unwrap_err();
    assert_eq!(error.status(), Some(401), "{error:?}");
    assert!(hubwire::ErrorChain::new(&error).to_string().contains("expired"), "{error:?}");
}

#[tokio::test]
async fn nobody_is_signed_in() {
    let local = local(FULL).await;
    let url = app(hub(&local, SECRET)).await;
    let error = HubConnection::builder(url).connect().await.unwrap_err();
    assert_eq!(error.status(), Some(401), "{error:?}");
}

#[tokio::test]
async fn the_service_goes_away() {
    let local = local(FULL).await;
    let hub = hub(&local, SECRET);
    let url = app(hub.clone()).await;
    let (alice, _) = client(HubConnection::builder(format!("{url}?user=alice"))).await;
    let (closed, ()) = futures_util::join!(alice.closed(), local.stop());
    assert!(
        matches!(
            closed,
            ConnectionError::ServerClosed { allow_reconnect: true, .. } | ConnectionError::Transport(_)
        ),
        "{closed:?}"
    );
    let error = hub.all().send("ReceiveMessage", ("a", "b")).await.unwrap_err();
    assert!(matches!(error, ServiceError::Connection { .. }) && error.is_retryable(), "{error:?}");
}

#[path = "../../examples/hello.rs"]
mod hello;

/// The example that shows the order in which everything starts.
#[tokio::test]
async fn the_whole_of_it_in_one_program() {
    let text = tokio::time::timeout(Duration::from_secs(20), hello::hello()).await.expect("it ends");
    assert_eq!(text.unwrap(), "hello, Alice");
}

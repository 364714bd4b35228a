//! The example of an Azure Functions app, against the local service.
#![cfg(all(feature = "axum", feature = "local", feature = "client"))]

#[path = "../../examples/functions.rs"]
mod example;

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    CallError, HubConnection,
    local::{EntraApplication, LocalService, Role},
    service::configuration::Configuration,
};
use tokio::net::TcpListener;

/// Where the app listens, before there is one.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn run(listener: TcpListener, configuration: &Configuration) {
    let app = example::app(configuration, None).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
}

/// A client, and what it receives.
async fn client(url: &str, name: &str) -> (HubConnection, mpsc::UnboundedReceiver<(String, String)>) {
    let (sender, received) = mpsc::unbounded();
    let connection = HubConnection::builder(format!("{url}/chat"))
        .with_header("x-ms-client-principal-name", name)
        .on("ReceiveMessage", move |user: String, text: String| {
            let _ = sender.unbounded_send((user, text));
        })
        .connect()
        .await
        .unwrap();
    (connection, received)
}

async fn next(received: &mut mpsc::UnboundedReceiver<(String, String)>) -> (String, String) {
    tokio::time::timeout(Duration::from_secs(10), received.next()).await.expect("a message comes").unwrap()
}

#[tokio::test]
async fn clients_of_the_functions_app_talk_to_each_other() {
    let (listener, url) = listen().await;
    let local = LocalService::builder().upstream(format!("{url}/upstream")).start().await.unwrap();
    let settings = [("AzureSignalRConnectionString", local.connection_string())];
    run(listener, &Configuration::new().variables(settings));

    let (alice, mut alices) = client(&url, "alice").await;
    let (_bob, mut bobs) = client(&url, "bob").await;
    alice.invoke::<()>("Say", ("hello",)).await.unwrap();
    let said = ("alice".to_owned(), "hello".to_owned());
    assert_eq!((next(&mut alices).await, next(&mut bobs).await), (said.clone(), said));
    let error = alice.invoke::<()>("Say", (7,)).await.unwrap_err();
    assert!(matches!(&error, CallError::Server(_)), "{error:?}");

    let stranger = HubConnection::builder(format!("{url}/chat")).connect().await;
    assert!(stranger.is_err(), "nobody has signed in");
}

/// With an identity there is no key that signs, so without a validator no upstream request is let in.
#[tokio::test]
async fn the_functions_app_takes_an_identity_of_its_settings() {
    let (listener, url) = listen().await;
    let application = EntraApplication::new("tenantId", "clientId", "clientSecret").role(Role::ServiceOwner);
    let local = LocalService::builder().application(application).upstream(format!("{url}/upstream"));
    let local = local.start().await.unwrap();
    let settings = [
        ("AzureSignalRConnectionString__serviceUri", local.endpoint()),
        ("AzureSignalRConnectionString__clientId", "clientId"),
        ("AzureSignalRConnectionString__clientSecret", "clientSecret"),
        ("AzureSignalRConnectionString__tenantId", "tenantId"),
        ("AZURE_AUTHORITY_HOST", local.authority()),
    ];
    run(listener, &Configuration::new().variables(settings));

    let (alice, _alices) = client(&url, "alice").await;
    let error = alice.invoke::<()>("Say", ("hello",)).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}

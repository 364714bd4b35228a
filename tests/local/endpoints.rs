//! Two services, one of which goes away and comes back under clients that are connected.

#![cfg(all(feature = "axum", feature = "local"))]

use std::time::Duration;

use axum::http::request::Parts;
use futures_channel::mpsc;
use futures_util::{StreamExt, TryStreamExt};
use hubwire::local::{EntraApplication, LocalService, Role};
use hubwire::service::{
    HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError, credentials::ClientSecret,
};
use hubwire::{HubConnection, RetryPolicy};

const SECRET: &str = "the-secret-of-the-application";
/// A message that is sent until it arrives.
const PROBE: u32 = 1000;
const PATIENCE: Duration = Duration::from_secs(20);

async fn entra_service(port: u16) -> LocalService {
    let application = EntraApplication::new("tenant", "application", SECRET).role(Role::ServiceOwner);
    LocalService::builder().application(application).port(port).start().await.unwrap()
}

async fn app(hub: HubClient) -> String {
    let options = |_: Parts| NegotiateOptions::anonymous();
    let router: axum::Router = hubwire::axum_routes::negotiate("/chat", hub, options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A client that reconnects as long as it takes, and what it receives.
async fn client(url: &str) -> (HubConnection, mpsc::UnboundedReceiver<u32>) {
    let (sender, received) = mpsc::unbounded();
    let connection = HubConnection::builder(url)
        .with_automatic_reconnect(RetryPolicy::new(|_| Some(Duration::from_millis(20))))
        .on("Number", move |n: u32| {
            let _ = sender.unbounded_send(n);
        });
    (connection.connect().await.unwrap(), received)
}

/// The next message that is no probe.
async fn next(received: &mut mpsc::UnboundedReceiver<u32>) -> u32 {
    let next = async {
        loop {
            match received.next().await.unwrap() {
                PROBE => {}
                n => return n,
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("a message comes")
}

async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let enough = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, enough).await.is_ok(), "{what} does not come true");
}

#[tokio::test]
async fn clients_and_messages_survive_the_loss_of_a_service() {
    let east = entra_service(0).await;
    let west = LocalService::builder().start().await.unwrap();
    let port = east.port();
    // Each with a credential of its own.
    let secret = ClientSecret::new("tenant", "application", SECRET).authority(east.authority());
    let service = ServiceClient::builder()
        .endpoint(ServiceEndpoint::new(east.endpoint(), secret).unwrap().named("east"))
        .endpoint(
            ServiceEndpoint::from_connection_string(&west.connection_string())
                .unwrap()
                .named("west")
                .secondary(),
        )
        .health_check_interval(Duration::ZERO)
        .build()
        .unwrap();
    let hub = service.hub("chat").unwrap();
    let url = app(hub.clone()).await;
    let online = || service.endpoints().iter().map(|e| e.is_online()).collect::<Vec<_>>();
    let send = async |n: u32| hub.all().send("Number", (n,)).await.unwrap();

    let (alice, mut alices) = client(&url).await;
    send(1).await;
    assert_eq!(next(&mut alices).await, 1);

    east.stop().await;
    let probe = async {
        loop {
            send(PROBE).await;
            let wait = tokio::time::timeout(Duration::from_millis(100), alices.next());
            if wait.await.is_ok_and(|n| n == Some(PROBE)) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, probe).await.expect("alice is at west");
    for n in 2..20 {
        send(n).await;
        assert_eq!(next(&mut alices).await, n);
    }
    assert_eq!(online(), [false, true]);

    let east = entra_service(port).await;
    until("east is back", || async {
        hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
        online() == [true, true]
    })
    .await;
    // New clients go to east again, those at west stay, and everybody gets everything once.
    let (bob, mut bobs) = client(&url).await;
    for n in 20..40 {
        send(n).await;
        assert_eq!((next(&mut alices).await, next(&mut bobs).await), (n, n));
    }
    alice.stop().await;
    bob.stop().await;
    east.stop().await;
    west.stop().await;
}

#[tokio::test]
async fn questions_go_to_the_service_that_knows() {
    let (east, west) =
        (LocalService::builder().start().await.unwrap(), LocalService::builder().start().await.unwrap());
    let endpoint = |service: &LocalService, name| {
        ServiceEndpoint::from_connection_string(&service.connection_string()).unwrap().named(name)
    };
    let service = ServiceClient::builder()
        .endpoint(endpoint(&east, "east"))
        .endpoint(endpoint(&west, "west"))
        .build()
        .unwrap();
    assert!(service.is_healthy().await.unwrap());
    let hub = service.hub("chat").unwrap();
    // Two clients at each, whatever the router would choose.
    let mut connections = Vec::new();
    for at in [&east, &west, &east, &west] {
        let alone = ServiceClient::builder().endpoint(endpoint(at, "")).build().unwrap();
        let url = app(alone.hub("chat").unwrap()).await;
        let name = connections.len();
        let connection = HubConnection::builder(&url)
            .on_invoke("Name", move || async move { Ok::<_, String>(name) })
            .connect()
            .await
            .unwrap();
        let id = connection.connection_id().unwrap();
        hub.group("all").add_connection(&id).await.unwrap();
        connections.push((id, connection));
    }

    for (name, (id, _)) in connections.iter().enumerate() {
        assert!(hub.connection(id).exists().await.unwrap());
        assert_eq!(hub.connection(id).invoke::<usize>("Name", ()).await.unwrap(), name);
    }
    assert!(!hub.connection("nobody").exists().await.unwrap());
    assert!(hub.group("all").exists().await.unwrap());
    assert!(!hub.group("none").exists().await.unwrap());

    let mut expected: Vec<_> = connections.iter().map(|(id, _)| id.clone()).collect();
    expected.sort();
    let found: Vec<_> = hub.group("all").connections().try_collect().await.unwrap();
    let mut found: Vec<_> = found.into_iter().map(|connection| connection.connection_id).collect();
    found.sort();
    assert_eq!(found, expected, "a stream of all");
    let top: Vec<_> = hub.group("all").connections().top(3).try_collect().await.unwrap();
    assert_eq!(top.len(), 3);

    // A page at a time, each by a stream of its own.
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let mut pages = hub.group("all").connections().page_size(1).pages();
        if let Some(token) = token {
            pages = pages.continue_from(token);
        }
        let page = pages.try_next().await.unwrap().unwrap();
        found.extend(page.connections.into_iter().map(|connection| connection.connection_id));
        token = page.continuation_token;
        if token.is_none() {
            break;
        }
    }
    found.sort();
    assert_eq!(found, expected, "pages");
    let elsewhere = hub.group("all").connections().pages().continue_from("https://elsewhere.example.com 1");
    assert!(matches!(elsewhere.try_collect::<Vec<_>>().await, Err(ServiceError::InvalidName { .. })));

    for (_, connection) in connections {
        connection.stop().await;
    }
    east.stop().await;
    west.stop().await;
}

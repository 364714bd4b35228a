//! A hub in an application of actix-web.

use std::{sync::mpsc, thread};

use actix_web::{App, HttpServer, dev::ServerHandle, rt::System, web::ServiceConfig};
use futures_util::StreamExt as _;
use hubwire::server::{HubServer, Identity};
use hubwire::{HubConnection, HubProtocol, Transport};

use crate::conformance_hub::{conformance_hub, in_time};
use crate::hostile::http_client;
use crate::node::run_official_client;

/// Serves a hub at `/chat` on two workers. Its address.
fn serve(hub: HubServer) -> (String, ServerHandle) {
    let (url, server) = serve_with(hubwire::server::actix::hub("/chat/", hub));
    (url + "/chat", server)
}

/// Serves an app on two workers. Its address.
fn serve_with(configure: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static) -> (String, ServerHandle) {
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        System::new().block_on(async move {
            let app = move || App::new().configure(configure.clone());
            let server = HttpServer::new(app).workers(2).disable_signals().bind(("127.0.0.1", 0)).unwrap();
            let url = format!("http://{}", server.addrs()[0]);
            let server = server.run();
            ready.send((url, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    is_ready.recv().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_works() {
    let hub = conformance_hub().build();
    let (url, server) = serve(hub.clone());
    run_official_client(&url).await;
    for transport in [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling] {
        for &protocol in HubProtocol::ALL {
            if (transport, protocol) == (Transport::ServerSentEvents, HubProtocol::MessagePack) {
                continue;
            }
            let client = HubConnection::builder(&url).with_transports(transport).with_protocol(protocol);
            let client = client.connect().await.unwrap();
            assert_eq!(client.invoke::<String>("LargeString", (1_000_000,)).await.unwrap().len(), 1_000_000);
            let items = client.stream::<String>("LargeItems", (200, 20_000)).await.unwrap();
            assert_eq!(items.count().await, 200);
            // Much in both directions at once.
            let echoed = (0..200).map(|_| client.invoke::<String>("Echo", ("x".repeat(20_000),)));
            for text in in_time(futures_util::future::join_all(echoed)).await {
                assert_eq!(text.unwrap().len(), 20_000);
            }
            client.stop().await;
        }
    }
    // Clients of both workers and of this program meet in one hub.
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let here = hub.in_memory(Identity::anonymous()).on("News", move |n: u32| told.send(n).unwrap());
    let _here = here.connect().await.unwrap();
    let there = HubConnection::builder(&url).connect().await.unwrap();
    there.invoke::<()>("ToAll", ("News", 7)).await.unwrap();
    assert_eq!(in_time(heard.recv()).await, Some(7));

    let http = http_client();
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    assert_eq!(status(http.post(format!("{url}/negotiate?access_token=refused"))).await, 401);
    assert_eq!(status(http.post(format!("{url}?id=x")).body("x")).await, 404);
    assert_eq!(status(http.put(&url)).await, 405);
    let upgrade = |request: reqwest::RequestBuilder| {
        let request = request.header("Connection", "Upgrade").header("Upgrade", "websocket");
        request.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    assert_eq!(status(upgrade(http.get(format!("{url}?access_token=refused")))).await, 401);
    assert_eq!(status(upgrade(http.get(format!("{url}?id=unknown")))).await, 404);
    in_time(async { tokio::join!(there.closed(), hub.shut_down()) }).await;
    in_time(server.stop(false)).await;
}

#[cfg(feature = "dashboard")]
#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_is_there() {
    use hubwire::dashboard::DashboardLayer;

    let hub = crate::dashboard::chat().build();
    let layer = DashboardLayer::new().hub_as("chat", &hub);
    let (url, server) = serve_with(move |config| {
        config.configure(layer.actix()).configure(hubwire::server::actix::hub("/chat", hub));
    });
    let http = http_client();
    let status = async |path: &str, header: (&str, &str)| {
        let request = http.get(format!("{url}{path}")).header("accept-encoding", "gzip");
        request.header(header.0, header.1).send().await.unwrap().status().as_u16()
    };
    // The first leads to the second.
    for path in ["/dashboard", "/dashboard/", "/dashboard/page.js"] {
        assert_eq!(status(path, ("accept", "*/*")).await, 200, "{path}");
        assert_eq!(status(path, ("origin", "https://evil.example")).await, 403, "{path}");
    }
    for path in ["/dashboardx", "/dashboard/nowhere"] {
        assert_eq!(status(path, ("accept", "*/*")).await, 404, "{path}");
    }
    let foreign = http.get(format!("{url}/dashboard/hub")).header("origin", "https://evil.example");
    let foreign = foreign.header("connection", "upgrade").header("upgrade", "websocket");
    let foreign = foreign.header("sec-websocket-version", "13");
    let foreign = foreign.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    crate::dashboard::shows_a_client(&url, &format!("{url}/chat"), "selfHosted").await;
    in_time(server.stop(false)).await;
}

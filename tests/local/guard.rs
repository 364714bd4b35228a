//! Who may call the local service, where it listens, and what it is called.
#![cfg(feature = "local")]

use std::net::Ipv6Addr;

use crate::wire::{KEY, Wire, now, sign, user_token};
use hubwire::local::{LocalError, LocalService, LocalServiceBuilder};
use hubwire::service::{ServiceClient, ServiceEndpoint};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error, client::IntoClientRequest},
};

/// The status of a WebSocket's request.
async fn upgrade(wire: &Wire, header: &'static str, value: &str) -> u16 {
    let port = wire.local.port();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let url = format!("ws://127.0.0.1:{port}/client/?hub=chat&access_token={}", user_token("alice"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert(header, value.parse().unwrap());
    match client_async(request, tcp).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

/// The answer to negotiate, and the origin whose pages may read it.
async fn negotiate(wire: &Wire, header: &'static str, value: &str) -> (u16, Option<String>, String) {
    let request = wire.request(Method::POST, "/client/negotiate?hub=chat").bearer_auth(user_token("alice"));
    let response = request.header(header, value).send().await.unwrap();
    let readable = response.headers().get("access-control-allow-origin");
    let readable = readable.map(|origin| origin.to_str().unwrap().to_owned());
    (response.status().as_u16(), readable, response.text().await.unwrap())
}

async fn preflight(wire: &Wire, origin: &str) -> reqwest::Response {
    let request = wire
        .request(Method::OPTIONS, "/client/negotiate?hub=chat")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,x-requested-with")
        .header("access-control-request-private-network", "true");
    request.send().await.unwrap()
}

#[tokio::test]
async fn pages_of_this_machine_may_call_and_others_may_not() {
    let builder = LocalService::builder().allow_origin("https://app.example.com");
    let wire = Wire::start(builder).await;
    let own = wire.local.endpoint().to_owned();
    for origin in [
        "http://localhost:3000",
        "https://a.localhost",
        "http://127.0.0.5",
        "http://[::1]:5173",
        "https://app.example.com",
        &own,
    ] {
        let (status, readable, _) = negotiate(&wire, "origin", origin).await;
        assert_eq!((status, readable.as_deref()), (200, Some(origin)));
        assert_eq!(upgrade(&wire, "origin", origin).await, 101, "{origin}");
        let permitted = preflight(&wire, origin).await;
        assert_eq!(permitted.status(), StatusCode::NO_CONTENT);
        let headers = permitted.headers();
        assert_eq!(headers["access-control-allow-origin"], origin);
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(headers["access-control-allow-headers"], "authorization,x-requested-with");
        assert_eq!(headers["access-control-allow-private-network"], "true");
        assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    }
    for origin in ["https://evil.example", "http://localhost.evil.example", "null", "http://app.example.com"]
    {
        let (status, readable, text) = negotiate(&wire, "origin", origin).await;
        assert_eq!((status, readable), (403, None), "{origin}");
        assert!(text.contains("allow_origin"), "{text}");
        assert_eq!(upgrade(&wire, "origin", origin).await, 403, "{origin}");
        let refused = preflight(&wire, origin).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert!(!refused.headers().contains_key("access-control-allow-origin"));
    }
    // A page of this machine has to see errors, too.
    let request =
        wire.request(Method::POST, "/client/negotiate?hub=chat").header("origin", "http://localhost");
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()["access-control-allow-origin"], "http://localhost");
    assert_eq!(refused.headers()["vary"], "Origin");
}

#[tokio::test]
async fn pages_from_files_come_in_when_they_are_let_in() {
    let wire = Wire::start(LocalService::builder().allow_origin("null")).await;
    for origin in ["null", "file://", "http://localhost:3000"] {
        let (status, readable, _) = negotiate(&wire, "origin", origin).await;
        assert_eq!((status, readable.as_deref()), (200, Some(origin)));
        assert_eq!(upgrade(&wire, "origin", origin).await, 101, "{origin}");
        assert_eq!(preflight(&wire, origin).await.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(negotiate(&wire, "origin", "https://evil.example").await.0, 403);
}

#[tokio::test]
async fn what_pages_embed_without_an_origin_is_refused() {
    let wire = Wire::start(LocalService::builder()).await;
    let embed = |site: &'static str, mode: &'static str| {
        let request = wire.request(Method::HEAD, "/api/health?api-version=2024-12-01");
        request.header("sec-fetch-site", site).header("sec-fetch-mode", mode).send()
    };
    assert_eq!(embed("cross-site", "no-cors").await.unwrap().status(), 403);
    for (site, mode) in [("same-origin", "no-cors"), ("none", "navigate"), ("cross-site", "navigate")] {
        assert_ne!(embed(site, mode).await.unwrap().status(), 403, "{site} {mode}");
    }
}

#[tokio::test]
async fn foreign_names_are_refused() {
    let wire = Wire::start(LocalService::builder().allow_host("signalr.test")).await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "a.localhost",
        "10.1.2.3:8888",
        "[fe80::1]:80",
        "signalr:8888",
        "host.docker.internal",
        "SignalR.test:80",
    ] {
        assert_eq!(negotiate(&wire, "host", host).await.0, 200, "{host}");
        assert_eq!(upgrade(&wire, "host", host).await, 101, "{host}");
    }
    for host in ["evil.example", "evil.example:8888", "127.0.0.1.evil.example", "user@localhost", "a/b", ""] {
        let (status, _, text) = negotiate(&wire, "host", host).await;
        assert_eq!(status, 403, "{host}");
        assert!(text.contains("Host") || text.contains("allow_host"), "{text}");
        assert_eq!(upgrade(&wire, "host", host).await, 403, "{host}");
    }
}

#[tokio::test]
async fn what_is_allowed_has_to_be_an_origin_or_a_host() {
    let start = async |builder: LocalServiceBuilder| builder.start().await.unwrap_err();
    let error = start(LocalService::builder().allow_origin("*")).await;
    assert!(matches!(error, LocalError::InvalidOrigin(_)), "{error}");
    let error = start(LocalService::builder().allow_host("http://a.example")).await;
    assert!(matches!(error, LocalError::InvalidHost { .. }), "{error}");
    for url in ["signalr:8888", "http://signalr/path", "http://signalr?a", "http://user@signalr"] {
        let error = start(LocalService::builder().public_endpoint(url)).await;
        assert!(matches!(error, LocalError::InvalidPublicEndpoint), "{url}");
    }
}

/// A request to a port, by this name of the host, with a key's token.
async fn rest(port: u16, host: &str, method: Method, path: &str, query: &str) -> Value {
    let token = sign(KEY, None, &json!({ "aud": format!("http://{host}{path}"), "exp": now() + 60 }));
    let url = format!("http://127.0.0.1:{port}{path}?api-version=2024-12-01{query}");
    let request = Wire::http().request(method, url).bearer_auth(token).header("host", host);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap_or_default()
}

#[tokio::test]
async fn it_is_called_what_it_is_told() {
    let builder = LocalService::builder().public_endpoint("https://hub.example.org");
    let wire = Wire::start(builder.address([0, 0, 0, 0])).await;
    assert_eq!(wire.local.endpoint(), "https://hub.example.org");
    let said = wire.local.connection_string();
    assert!(said.starts_with("Endpoint=https://hub.example.org;Port=443;AccessKey="), "{said}");
    let mut clients = Vec::new();
    for user in ["alice", "bob"] {
        let mut socket = wire.open(&format!("hub=chat&access_token={}", user_token(user))).await.unwrap();
        socket.handshake().await;
        clients.push(socket);
        let path = format!("/api/hubs/chat/users/{user}/groups/g");
        rest(wire.local.port(), "signalr", Method::PUT, &path, "").await;
    }
    // Links in an answer have the address that was asked, and behind what ends TLS for the service its public one.
    for (host, begins) in
        [("signalr:81", "http://signalr:81/api/"), ("hub.example.org", "https://hub.example.org/api/")]
    {
        let path = "/api/hubs/chat/groups/g/connections";
        let page = rest(wire.local.port(), host, Method::GET, path, "&maxpagesize=1").await;
        assert!(page["nextLink"].as_str().unwrap().starts_with(begins), "{page}");
    }
}

#[tokio::test]
async fn it_listens_where_it_is_told() {
    let wire = Wire::start(LocalService::builder().address(Ipv6Addr::LOCALHOST)).await;
    let port = wire.local.port();
    assert_eq!(wire.local.endpoint(), format!("http://[::1]:{port}"));
    assert!(wire.local.connection_string().starts_with(&format!("Endpoint=http://[::1];Port={port};")));
    assert_eq!(wire.negotiate("chat", &user_token("alice")).await.status(), StatusCode::OK);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    let everywhere = LocalService::builder().address(Ipv6Addr::UNSPECIFIED).start().await.unwrap();
    assert_eq!(everywhere.endpoint(), format!("http://[::1]:{}", everywhere.port()));

    let taken = LocalService::builder().port(everywhere.port()).start().await.unwrap_err();
    assert!(taken.to_string().contains("127.0.0.1"), "{taken}");
    let nowhere = LocalService::builder().address([192, 0, 2, 1]).start().await.unwrap_err();
    assert!(
        matches!(nowhere, LocalError::Listen { .. }) && nowhere.to_string().contains("192.0.2.1"),
        "{nowhere}"
    );
}

#[tokio::test]
async fn its_own_port_speaks_tls_if_told() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let local = LocalService::builder().tls(certificate.clone(), key).start().await.unwrap();
    let endpoint = format!("https://127.0.0.1:{}", local.port());
    assert_eq!((local.endpoint(), local.https_endpoint()), (&*endpoint, Some(&*endpoint)));
    assert_eq!(local.authority(), endpoint);
    assert!(local.connection_string().starts_with("Endpoint=https://127.0.0.1;Port="));
    let service = ServiceEndpoint::from_connection_string(&local.connection_string()).unwrap();
    let service = ServiceClient::builder().endpoint(service).root_certificate(&certificate).build().unwrap();
    let hub = service.hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
    let access = hub.negotiate(hubwire::service::NegotiateOptions::anonymous()).await.unwrap();
    assert!(access.url.starts_with(&endpoint), "{}", access.url);
    let error = LocalService::builder().tls("x", "y").start().await.unwrap_err();
    assert!(matches!(error, LocalError::InvalidHttpsCertificate { .. }), "{error}");
}

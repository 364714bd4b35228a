//! Connections through proxies: every transport with every protocol, and what proxies answer that refuse.
//!
//! Hubs have the name `hub.test` here, which only the proxies of these tests know.

use std::net::SocketAddr;

use hubwire::{
    ConnectionError, ErrorChain, HubConnection, HubConnectionBuilder, Proxy, Transport, TransportErrorKind,
};
use tokio::net::TcpListener;

use crate::fake_hub::FakeHub;
use crate::network::{Authority, Behaviour, TestProxy, TlsFront, address_of, in_a_process};
use crate::suite::{SETUPS, Setup};

const TOKEN: &str = "marked-token";

fn builder(setup: Setup, url: &str) -> HubConnectionBuilder {
    HubConnection::builder(url)
        .with_transports(setup.transport)
        .with_protocol(setup.protocol)
        .with_insecure_http(true)
        .with_access_token(|| async { Ok::<_, String>(TOKEN) })
}

/// Calls the reference hub, and leaves.
async fn call(builder: HubConnectionBuilder, setup: Setup) {
    let hub = builder.connect().await.unwrap_or_else(|error| panic!("{setup:?}: {error}"));
    assert_eq!(hub.connection_info().unwrap().transport, setup.transport);
    assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    hub.stop().await;
}

fn proxy(scheme: &str, proxy: &TestProxy) -> Proxy {
    Proxy::url(&format!("{scheme}://{}", proxy.address)).unwrap()
}

/// A reference hub over plain http.
fn reference(test: &str) -> Option<SocketAddr> {
    crate::support::reference_hub(test).map(address_of)
}

#[tokio::test]
async fn plain_http_is_forwarded_and_web_sockets_get_a_tunnel() {
    let Some(hub) = reference("plain_http_is_forwarded_and_web_sockets_get_a_tunnel") else { return };
    for &setup in SETUPS {
        let test_proxy = TestProxy::http(hub, Behaviour::default()).await;
        let url = format!("http://hub.test:{}/hub", hub.port());
        call(builder(setup, &url).with_proxy(proxy("http", &test_proxy)), setup).await;
        let asked = test_proxy.asked();
        assert!(
            asked[0].starts_with(&format!("POST http://hub.test:{}/hub/negotiate?", hub.port())),
            "{asked:?}"
        );
        let tunnels = asked.iter().filter(|line| line.starts_with("CONNECT ")).count();
        if setup.transport == Transport::WebSockets {
            assert_eq!(asked[1..], [format!("CONNECT hub.test:{} HTTP/1.1", hub.port())], "{setup:?}");
            // The token is for the hub.
            assert!(!test_proxy.seen()[1].contains(TOKEN));
        } else {
            assert_eq!(tunnels, 0, "{asked:?}");
        }
    }
}

#[tokio::test]
async fn https_goes_through_tunnels_alone() {
    let Some(hub) = reference("https_goes_through_tunnels_alone") else { return };
    let authority = Authority::new();
    let front = TlsFront::start(hub, &authority.server(&["hub.test"]), None, rustls::ALL_VERSIONS).await;
    for &setup in SETUPS {
        let test_proxy = TestProxy::http(front.address, Behaviour::default()).await;
        let builder = builder(setup, "https://hub.test/hub").with_root_certificate(&authority.pem);
        call(builder.with_proxy(proxy("http", &test_proxy)), setup).await;
        let seen = test_proxy.seen();
        assert!(!seen.is_empty());
        for head in seen {
            assert!(head.starts_with("CONNECT hub.test:443 HTTP/1.1\r\n") && !head.contains(TOKEN), "{head}");
        }
    }
}

#[tokio::test]
async fn socks5_carries_everything() {
    let Some(hub) = reference("socks5_carries_everything") else { return };
    let authority = Authority::new();
    let front = TlsFront::start(hub, &authority.server(&["hub.test"]), None, rustls::ALL_VERSIONS).await;
    for &setup in SETUPS {
        for (leads_to, url) in [(hub, "http://hub.test/hub"), (front.address, "https://hub.test/hub")] {
            let behaviour = Behaviour { credentials: Some("user:p@ss"), refuses: None };
            let test_proxy = TestProxy::socks5(leads_to, behaviour).await;
            let address = format!("socks5h://user:p%40ss@{}", test_proxy.address);
            let builder = builder(setup, url).with_root_certificate(&authority.pem);
            call(builder.with_proxy(Proxy::url(&address).unwrap()), setup).await;
            let target = if url.starts_with("https") { "hub.test:443" } else { "hub.test:80" };
            let seen = test_proxy.seen();
            assert!(!seen.is_empty() && seen.iter().all(|seen| seen == target), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn socks5_without_h_resolves_names_here() {
    let hub = FakeHub::start().await;
    let test_proxy = TestProxy::socks5(address_of(&hub.url), Behaviour::default()).await;
    let proxy = proxy("socks5", &test_proxy).with_loopback(true);
    let connection =
        HubConnection::builder("http://localhost:81/hub").with_proxy(proxy).connect().await.unwrap();
    assert_eq!(connection.invoke::<i32>("Echo", (7,)).await.unwrap(), 7);
    let seen = test_proxy.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen.starts_with('[')), "{seen:?}");
}

#[tokio::test]
async fn a_proxy_that_speaks_tls() {
    let Some(hub) = reference("a_proxy_that_speaks_tls") else { return };
    let authority = Authority::new();
    let front = TlsFront::start(hub, &authority.server(&["hub.test"]), None, rustls::ALL_VERSIONS).await;
    for &setup in SETUPS {
        for (leads_to, url) in [(hub, "http://hub.test/hub"), (front.address, "https://hub.test/hub")] {
            let test_proxy = TestProxy::http(leads_to, Behaviour::default()).await;
            let identity = authority.server(&["127.0.0.1"]);
            let outer = TlsFront::start(test_proxy.address, &identity, None, rustls::ALL_VERSIONS).await;
            let proxy = Proxy::url(&format!("https://{}", outer.address)).unwrap();
            call(builder(setup, url).with_root_certificate(&authority.pem).with_proxy(proxy), setup).await;
            assert!(!test_proxy.seen().is_empty());
        }
    }
}

#[tokio::test]
async fn credentials_go_to_the_proxy_and_nowhere_else() {
    let Some(hub) = reference("credentials_go_to_the_proxy_and_nowhere_else") else { return };
    let authority = Authority::new();
    let front = TlsFront::start(hub, &authority.server(&["hub.test"]), None, rustls::ALL_VERSIONS).await;
    let behaviour = Behaviour { credentials: Some("user:marked p@ss"), refuses: None };
    for &setup in SETUPS {
        for (leads_to, url) in [(hub, "http://hub.test/hub"), (front.address, "https://hub.test/hub")] {
            let test_proxy = TestProxy::http(leads_to, behaviour.clone()).await;
            let with = |credentials: &str| {
                let address = format!("http://{credentials}{}", test_proxy.address);
                let builder = builder(setup, url).with_root_certificate(&authority.pem);
                builder.with_proxy(Proxy::url(&address).unwrap())
            };
            call(with("user:marked%20p%40ss@"), setup).await;
            for wrong in ["", "user:marked-wrong@"] {
                let builder = with(wrong);
                let shown = format!("{builder:?}");
                let error = builder.connect().await.expect_err("refused");
                assert_eq!(error.kind(), TransportErrorKind::Proxy { status: Some(407) }, "{url}: {error}");
                assert!(!error.is_retryable() && error.status().is_none());
                let shown = format!("{shown} {error} {error:?}");
                assert!(shown.contains("wants a user and a password"), "{shown}");
                assert!(!shown.contains("marked"), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_proxy_answers_instead_of_a_tunnel() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let html =
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n<html>blocked</html";
    for (answer, status, retryable) in [
        (html, Some(403), false),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", Some(401), false),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", Some(502), true),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\nContent-Length: 0\r\n\r\n",
            Some(302),
            false,
        ),
    ] {
        let behaviour = Behaviour { credentials: None, refuses: Some(answer) };
        let test_proxy = TestProxy::http(nowhere, behaviour).await;
        for (url, skip) in
            [("https://hub.test/hub", false), ("https://hub.test/hub", true), ("http://hub.test/hub", true)]
        {
            let builder = builder(Setup::json(Transport::WebSockets), url).with_skip_negotiation(skip);
            let error = builder.with_proxy(proxy("http", &test_proxy)).connect().await.expect_err("refused");
            assert_eq!(error.kind(), TransportErrorKind::Proxy { status }, "{url}: {error}");
            assert_eq!(error.is_retryable(), retryable, "{error}");
            // A token is not renewed, for the server has not refused it.
            assert_eq!(error.status(), None);
            let text = ErrorChain::new(&error).to_string();
            let expected =
                format!("the proxy http://{} refused the connection with status", test_proxy.address);
            assert!(text.contains(&expected), "{text}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_and_a_proxy_that_is_gone() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let behaviour = Behaviour { credentials: None, refuses: Some("SSH-2.0-OpenSSH_9.9\r\n\r\n") };
    let test_proxy = TestProxy::http(nowhere, behaviour).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    for address in [test_proxy.address, gone] {
        for (url, skip) in
            [("https://hub.test/hub", false), ("https://hub.test/hub", true), ("http://hub.test/hub", true)]
        {
            let builder = builder(Setup::json(Transport::WebSockets), url).with_skip_negotiation(skip);
            let proxy = Proxy::url(&format!("http://{address}")).unwrap();
            let error = builder.with_proxy(proxy).connect().await.expect_err("no way");
            let text = ErrorChain::new(&error).to_string();
            assert!(text.contains(&format!("the proxy http://{address}")), "{text}");
        }
    }
}

#[tokio::test]
async fn a_socks_proxy_that_refuses() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let wrong = Behaviour { credentials: Some("user:right"), refuses: None };
    let unreachable = Behaviour { credentials: None, refuses: Some("4") };
    for (behaviour, user) in [(wrong.clone(), ""), (wrong, "user:marked-wrong@"), (unreachable, "")] {
        let test_proxy = TestProxy::socks5(nowhere, behaviour).await;
        for url in ["https://hub.test/hub", "http://hub.test/hub"] {
            let address = format!("socks5h://{user}{}", test_proxy.address);
            let builder = builder(Setup::json(Transport::WebSockets), url);
            let error =
                builder.with_proxy(Proxy::url(&address).unwrap()).connect().await.expect_err("refused");
            assert_eq!(error.kind(), TransportErrorKind::Proxy { status: None }, "{error}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(&format!("the proxy socks5h://{}", test_proxy.address)), "{text}");
            assert!(!text.contains("marked"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_proxy_without_tunnels_leaves_the_other_transports() {
    let Some(hub) = reference("a_proxy_without_tunnels_leaves_the_other_transports") else { return };
    // What squid answers by default to `CONNECT` to any port but 443.
    let refuses = Some("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let test_proxy = TestProxy::http(hub, Behaviour { credentials: None, refuses }).await;
    let builder = HubConnection::builder("http://hub.test/hub").with_insecure_http(true);
    let connection = builder.with_proxy(proxy("http", &test_proxy)).connect().await.unwrap();
    assert_eq!(connection.connection_info().unwrap().transport, Transport::ServerSentEvents);
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
}

#[tokio::test]
async fn this_machine_is_reached_directly() {
    let hub = FakeHub::start().await;
    let test_proxy = TestProxy::http(address_of(&hub.url), Behaviour::default()).await;
    let direct =
        HubConnection::builder(&hub.url).with_proxy(proxy("http", &test_proxy)).connect().await.unwrap();
    assert_eq!(direct.invoke::<i32>("Echo", (7,)).await.unwrap(), 7);
    assert_eq!(test_proxy.seen(), [""; 0]);

    let through = proxy("http", &test_proxy).with_loopback(true);
    let through = HubConnection::builder(&hub.url).with_proxy(through).connect().await.unwrap();
    assert_eq!(through.invoke::<i32>("Echo", (7,)).await.unwrap(), 7);
    assert_eq!(test_proxy.seen().len(), 2);

    let excepted = proxy("http", &test_proxy).with_loopback(true).with_exceptions("127.0.0.0/8");
    HubConnection::builder(&hub.url).with_proxy(excepted).connect().await.unwrap();
    assert_eq!(test_proxy.seen().len(), 2);
}

const CHILD: &str = "HUBWIRE_TEST_URL";

/// Connects with nothing set but the environment, and says what comes of it.
#[tokio::test]
#[ignore = "others run it in a process with an environment"]
async fn connects_by_its_environment() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let connected = HubConnection::builder(url).with_insecure_http(true).connect().await;
    match std::env::var("HUBWIRE_TEST_ERROR") {
        Err(_) => assert_eq!(connected.unwrap().invoke::<i32>("Echo", (7,)).await.unwrap(), 7),
        Ok(expected) => {
            let error = connected.expect_err("it does not connect");
            assert!(matches!(error, ConnectionError::NegotiateRequest { .. }), "{error:?}");
            assert!(ErrorChain::new(&error).to_string().contains(&expected), "{error}");
        }
    }
}

#[tokio::test]
async fn the_environment_chooses_the_proxy() {
    let test = "proxies::connects_by_its_environment";
    let hub = FakeHub::start().await;
    let far = "http://hub.test/hub";
    // The address that a name under `.test` does not have.
    let unknown = ("HUBWIRE_TEST_ERROR", "dns error");
    let test_proxy = TestProxy::http(address_of(&hub.url), Behaviour::default()).await;
    let socks = TestProxy::socks5(address_of(&hub.url), Behaviour::default()).await;
    let (http, socks5h) = (format!("http://{}", test_proxy.address), format!("socks5h://{}", socks.address));

    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let before = test_proxy.seen().len();
        in_a_process(test, &[(CHILD, far), (variable, &http)]).await;
        let asked = test_proxy.asked();
        assert!(asked[before].starts_with("POST http://hub.test/hub/negotiate"), "{variable}: {asked:?}");
        assert_eq!(asked[before + 1..], ["CONNECT hub.test:80 HTTP/1.1"], "{variable}");
    }
    in_a_process(test, &[(CHILD, far), ("ALL_PROXY", &socks5h)]).await;
    let seen = socks.seen();
    assert!(!seen.is_empty() && seen.iter().all(|seen| seen == "hub.test:80"), "{seen:?}");

    let before = test_proxy.seen().len();
    for variables in [
        &[("HTTPS_PROXY", &*http)][..],
        &[("HTTP_PROXY", &http), ("NO_PROXY", "hub.test")],
        &[("HTTP_PROXY", &http), ("no_proxy", "*")],
        &[("HTTP_PROXY", &http), ("REQUEST_METHOD", "GET")],
    ] {
        in_a_process(test, &[&[(CHILD, far), unknown], variables].concat()).await;
    }
    // This machine is none of the proxy's business.
    in_a_process(test, &[(CHILD, &hub.url), ("HTTP_PROXY", &http), ("ALL_PROXY", &http)]).await;
    assert_eq!(test_proxy.seen().len(), before);

    let named =
        ("HUBWIRE_TEST_ERROR", "the environment variable http_proxy does not hold the address of a proxy");
    in_a_process(test, &[(CHILD, far), named, ("http_proxy", "ftp://proxy.test")]).await;
    in_a_process(test, &[(CHILD, &hub.url), ("http_proxy", "ftp://proxy.test")]).await;
}

//! The service's requests through proxies: to the service and to Microsoft Entra, and never to this machine.

use std::net::SocketAddr;

use hubwire::{
    Proxy,
    service::{
        BuildError, RetryOptions, ServiceClient, ServiceClientBuilder, ServiceEndpoint,
        credentials::{AccessKey, ClientSecret},
    },
};

use crate::fakes::{ACCESS_KEY, CLIENT_SECRET, Fake, TOKEN, all_well};
use crate::network::{Authority, Behaviour, TestProxy, TlsFront, address_of, in_a_process};

/// Azure as an Entra application sees it.
fn azure() -> ServiceClientBuilder {
    let credential =
        ClientSecret::new("tenant-1", "application", CLIENT_SECRET).authority("https://login.test");
    let endpoint = ServiceEndpoint::new("https://contoso.test", credential).unwrap();
    ServiceClient::builder().endpoint(endpoint).retry(RetryOptions::none())
}

#[tokio::test]
async fn tokens_and_messages_go_through_the_proxy() {
    let fake = Fake::start(all_well).await;
    let authority = Authority::new();
    let identity = authority.server(&["contoso.test", "login.test"]);
    let front = TlsFront::start(address_of(&fake.url), &identity, None, rustls::ALL_VERSIONS).await;
    let behaviour = || Behaviour { credentials: Some("user:password"), refuses: None };
    let http = TestProxy::http(front.address, behaviour()).await;
    let socks = TestProxy::socks5(front.address, behaviour()).await;
    for (proxy, address) in [
        (&http, format!("http://user:password@{}", http.address)),
        (&socks, format!("socks5h://user:password@{}", socks.address)),
    ] {
        let builder = azure().root_certificate(&authority.pem).proxy(Proxy::url(&address).unwrap());
        let hub = builder.build().unwrap().hub("chat").unwrap();
        hub.all().send("m", ("x",)).await.unwrap();
        let seen = proxy.asked();
        assert!(seen.iter().any(|asked| asked.contains("contoso.test:443")), "{seen:?}");
        assert!(seen.iter().any(|asked| asked.contains("login.test:443")), "{seen:?}");
    }
    assert_eq!((fake.count(TOKEN), fake.count("/api/hubs/chat/:send")), (2, 2));
}

#[test]
fn a_certificate_that_is_not_pem_is_an_error_of_build() {
    let error = azure().root_certificate("marked").build().expect_err("there is no certificate");
    assert!(matches!(error, BuildError::InvalidCertificate { .. }), "{error:?}");
    assert!(error.to_string().contains("there is no certificate") && !error.to_string().contains("marked"));
}

const CHILD: &str = "HUBWIRE_TEST_ENDPOINT";

/// Sends with nothing set but the environment.
#[tokio::test]
#[ignore = "others run it in a process with an environment"]
async fn sends_by_its_environment() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let credential = ClientSecret::new("tenant-1", "application", CLIENT_SECRET).authority(&url);
    for endpoint in [
        ServiceEndpoint::new(&url, credential).unwrap(),
        ServiceEndpoint::new(&url, AccessKey::new(ACCESS_KEY)).unwrap(),
    ] {
        let built = ServiceClient::builder().endpoint(endpoint).retry(RetryOptions::none()).build();
        if let Ok(variable) = std::env::var("HUBWIRE_TEST_VARIABLE") {
            let error = built.expect_err("it does not name a proxy");
            assert!(matches!(&error, BuildError::InvalidProxy { variable: named } if *named == variable));
            assert!(error.to_string().contains(&variable), "{error}");
            continue;
        }
        let sent = built.unwrap().hub("chat").unwrap().all().send("m", ()).await;
        assert_eq!(sent.is_ok(), std::env::var("HUBWIRE_TEST_SENT").is_ok(), "{sent:?}");
    }
}

#[tokio::test]
async fn the_environment_chooses_the_proxy_but_not_for_this_machine() {
    let test = "proxies::sends_by_its_environment";
    let fake = Fake::start(all_well).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let proxy = TestProxy::http(nowhere, Behaviour::default()).await;
    let address = format!("http://{}", proxy.address);
    let variables = [("HTTP_PROXY", &*address), ("HTTPS_PROXY", &address), ("ALL_PROXY", &address)];
    let with = |more: &[(&'static str, &str)]| {
        let all = variables.iter().chain(more);
        all.map(|(name, value)| (*name, (*value).to_owned())).collect::<Vec<_>>()
    };
    // Nobody listens with TLS here: that the proxy is not asked is what counts.
    let secure = format!("https://localhost:{}", address_of(&fake.url).port());
    for more in [&[(CHILD, &*fake.url), ("HUBWIRE_TEST_SENT", "")][..], &[(CHILD, &secure)]] {
        let variables = with(more);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        in_a_process(test, &variables).await;
        assert_eq!(proxy.seen(), [""; 0]);
    }
    let far = [(CHILD, "https://contoso.test"), ("HTTPS_PROXY", &*address)];
    in_a_process(test, &far).await;
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| line == "CONNECT contoso.test:443 HTTP/1.1"),
        "{asked:?}"
    );

    let invalid = [
        (CHILD, "https://contoso.test"),
        ("all_proxy", "ftp://proxy.test"),
        ("HUBWIRE_TEST_VARIABLE", "all_proxy"),
    ];
    in_a_process(test, &invalid).await;
}

//! The emulator in a container: plain http to a host that is named, for development.
#![cfg(feature = "axum")]

use hubwire::service::{
    NegotiateOptions, ServiceClient, ServiceEndpoint,
    configuration::{Configuration, ConfigurationError},
    endpoints::EndpointError,
};

use crate::fakes::{ACCESS_KEY, Fake, all_well};
use crate::network::{address_of, in_a_process};

const HOSTS: &str = "Hubwire:DevelopmentPlainHttpHosts";

/// An address that leads to this machine and is not known for it.
fn elsewhere(fake: &Fake) -> String {
    format!(
        "Endpoint=http://0.0.0.0;Port={};AccessKey={ACCESS_KEY};Version=1.0;",
        address_of(&fake.url).port()
    )
}

#[tokio::test]
async fn an_emulator_elsewhere_is_used_when_it_is_asked_for() {
    let fake = Fake::start(all_well).await;
    let text = elsewhere(&fake);
    let error = ServiceEndpoint::from_connection_string(&text).unwrap_err();
    assert_eq!(error, EndpointError::InsecureUrl { what: "endpoint" });
    for name in ["for_development_over_plain_http", HOSTS] {
        assert!(error.to_string().contains(name), "{error}");
    }
    let endpoint = ServiceEndpoint::for_development_over_plain_http(&text).unwrap();
    let settings = Configuration::new().set("AzureSignalRConnectionString", &text);
    for service in [
        ServiceClient::builder().endpoint(endpoint).build().unwrap(),
        ServiceClient::from_configuration(&settings.set(HOSTS, "signalr-emulator, 0.0.0.0")).unwrap(),
    ] {
        let hub = service.hub("chat").unwrap();
        hub.all().send("m", ()).await.unwrap();
        let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
        assert!(access.url.starts_with("http://0.0.0.0:"), "{}", access.url);
    }
    assert_eq!(fake.count("/api/hubs/chat/:send"), 2);
}

#[test]
fn only_the_hosts_that_are_named_get_plain_http() {
    let emulator =
        "Endpoint=http://signalr-emulator;Port=8888;AccessKey=k;ClientEndpoint=http://localhost:8888";
    let with = |hosts: &[(&str, &str)], text: &str| {
        let settings = Configuration::new().set("AzureSignalRConnectionString", text);
        let settings = hosts.iter().fold(settings, |all, (key, value)| all.set(key, *value));
        let warnings = settings.warnings().unwrap();
        assert_eq!(warnings, [], "{warnings:?}");
        ServiceClient::from_configuration(&settings).map(|client| client.endpoints()[0].endpoint().to_owned())
    };
    for hosts in [
        &[(HOSTS, "signalr-emulator")][..],
        &[("HUBWIRE__DEVELOPMENTPLAINHTTPHOSTS", "host.docker.internal,SignalR-Emulator")],
        &[
            ("Hubwire:DevelopmentPlainHttpHosts:0", "a"),
            ("Hubwire:DevelopmentPlainHttpHosts:1", "signalr-emulator"),
        ],
    ] {
        assert_eq!(with(hosts, emulator).unwrap(), "http://signalr-emulator:8888", "{hosts:?}");
    }
    for hosts in [&[][..], &[(HOSTS, "")], &[(HOSTS, "true")], &[(HOSTS, "*")], &[(HOSTS, "emulator")]] {
        let error = with(hosts, emulator).unwrap_err();
        let insecure = matches!(
            &error,
            ConfigurationError::Endpoint { source: EndpointError::InsecureUrl { what: "endpoint" }, .. }
        );
        assert!(insecure, "{hosts:?}: {error:?}");
    }
    let error = with(&[(HOSTS, "a")], "Endpoint=http://a;AccessKey=k;ServerEndpoint=http://b").unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::Endpoint { source: EndpointError::InsecureUrl { what: "server endpoint" }, .. }
    ));
}

#[test]
fn neither_azure_nor_entra_is_reached_by_plain_http() {
    for text in [
        "Endpoint=http://contoso.service.signalr.net;AccessKey=k",
        "Endpoint=http://contoso.signalr.azure.cn;AccessKey=k",
        "Endpoint=http://CONTOSO.SIGNALR.AZURE.US;AccessKey=k",
        "Endpoint=https://a;AccessKey=k;ServerEndpoint=http://contoso.service.signalr.net",
        "Endpoint=http://emulator;AuthType=azure.msi",
        "Endpoint=http://emulator;AuthType=azure.app;ClientId=c;TenantId=t;ClientSecret=s",
        "Endpoint=http://emulator;AuthType=azure",
    ] {
        let error = ServiceEndpoint::for_development_over_plain_http(text).unwrap_err();
        assert!(matches!(error, EndpointError::PlainHttp { .. }), "{text}: {error:?}");
    }
    assert!(ServiceEndpoint::for_development_over_plain_http("Endpoint=https://a;AccessKey=k").is_ok());
}

const CHILD: &str = "HUBWIRE_TEST_ENDPOINT";

#[tokio::test]
#[ignore = "others run it in a process with an environment"]
async fn sends_without_root_certificates() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let text = format!("Endpoint={url};AccessKey={ACCESS_KEY}");
    let build = |text: &str| {
        let endpoint = ServiceEndpoint::for_development_over_plain_http(text).unwrap();
        ServiceClient::builder().endpoint(endpoint).build()
    };
    build(&text).unwrap().hub("chat").unwrap().all().send("m", ()).await.unwrap();
    assert!(build("Endpoint=https://a;AccessKey=k").is_err(), "https needs roots");
}

/// A container need not have the package `ca-certificates`.
#[cfg(all(unix, not(target_vendor = "apple")))]
#[tokio::test]
async fn plain_http_needs_no_root_certificates() {
    let fake = Fake::start(all_well).await;
    let variables = [(CHILD, &*fake.url), ("SSL_CERT_FILE", "/nonexistent/roots.pem")];
    in_a_process("development::sends_without_root_certificates", &variables).await;
    assert_eq!(fake.count("/api/hubs/chat/:send"), 1);
}

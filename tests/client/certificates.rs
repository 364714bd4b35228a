//! TLS with certificates of one's own: authorities that the system does not know, clients that identify themselves.

use std::net::SocketAddr;

use hubwire::{
    ConnectionError, ErrorChain, HubConnection, HubConnectionBuilder, Transport, TransportErrorKind,
};

use crate::fake_hub::FakeHub;
use crate::network::{Authority, TlsFront, address_of, in_a_process};
use crate::suite::SETUPS;

const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

async fn echoes(builder: HubConnectionBuilder) {
    let hub = builder.connect().await.expect("connects");
    assert_eq!(hub.invoke::<i32>("Echo", (7,)).await.unwrap(), 7);
}

fn url(front: &TlsFront) -> String {
    format!("https://localhost:{}/hub", front.address.port())
}

/// Connects by negotiate, and by a WebSocket alone. Neither works, for the same reason.
async fn refusal(builder: HubConnectionBuilder) -> String {
    let mut texts = Vec::new();
    for skip in [false, true] {
        let builder = builder.clone().with_skip_negotiation(skip);
        let builder = if skip { builder.with_transports(Transport::WebSockets) } else { builder };
        let error = builder.connect().await.expect_err("the certificate is not accepted");
        assert_eq!(error.kind(), TransportErrorKind::Certificate, "{error}");
        assert!(!error.is_retryable() && error.status().is_none());
        texts.push(ErrorChain::new(&error).to_string());
    }
    texts.join("\n")
}

#[tokio::test]
async fn an_authority_of_ones_own() {
    let Some(hub) = crate::support::reference_hub("an_authority_of_ones_own") else { return };
    let (other, authority) = (Authority::new(), Authority::new());
    let front =
        TlsFront::start(address_of(hub), &authority.server(&["localhost"]), None, rustls::ALL_VERSIONS).await;
    for &setup in SETUPS {
        // Added one by one, and in one text.
        let each = |builder: HubConnectionBuilder| {
            builder.with_root_certificate(&other.pem).with_root_certificate(authority.pem.as_bytes())
        };
        let both = |builder: HubConnectionBuilder| {
            builder.with_root_certificate(format!("{}\n{}", other.pem, authority.pem))
        };
        for with_roots in [&each as &dyn Fn(_) -> _, &both] {
            let builder = HubConnection::builder(url(&front)).with_transports(setup.transport);
            let connected = with_roots(builder.with_protocol(setup.protocol)).connect().await.unwrap();
            assert_eq!(connected.connection_info().unwrap().transport, setup.transport);
            assert_eq!(connected.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        }
    }
}

#[tokio::test]
async fn the_certificate_of_an_asp_net_core_server() {
    let test = "the_certificate_of_an_asp_net_core_server";
    let Some(dir) = crate::support::reference_dir() else {
        return crate::support::skipped(test, "no reference hub; HUBWIRE_REFERENCE_DIR names its folder");
    };
    let (_hub, said) = crate::support::start_reference_hub(&dir, &["hub", "--https"]);
    let (plain, secure) = (said["url"].as_str().unwrap(), said["https"].as_str().unwrap());
    let http = crate::plain_http::plain_http().build().unwrap();
    let pem = http.get(format!("{plain}/certificate")).send().await.unwrap().text().await.unwrap();
    for &setup in SETUPS {
        let builder = HubConnection::builder(format!("{secure}/hub"))
            .with_transports(setup.transport)
            .with_protocol(setup.protocol);
        assert!(refusal(builder.clone()).await.contains("from an unknown issuer"));
        let connected = builder.with_root_certificate(&pem).connect().await.unwrap();
        assert_eq!(connected.connection_info().unwrap().transport, setup.transport);
        assert_eq!(connected.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn certificates_that_are_not_accepted_say_why_and_what_to_do() {
    let hub = FakeHub::start().await;
    let (other, authority) = (Authority::new(), Authority::new());
    let hub = address_of(&hub.url);
    let start = |identity| async move { TlsFront::start(hub, &identity, None, rustls::ALL_VERSIONS).await };

    let front = start(authority.server(&["localhost"])).await;
    for builder in [
        HubConnection::builder(url(&front)),
        HubConnection::builder(url(&front)).with_root_certificate(&other.pem),
    ] {
        let text = refusal(builder).await;
        assert!(text.contains("from an unknown issuer"), "{text}");
        assert!(text.contains("with_root_certificate") && text.contains("SSL_CERT_FILE"), "{text}");
    }

    let front = start(authority.expired_server(&["localhost"])).await;
    let text = refusal(HubConnection::builder(url(&front)).with_root_certificate(&authority.pem)).await;
    assert!(text.contains("has expired"), "{text}");

    let front = start(authority.server(&["elsewhere.test"])).await;
    let text = refusal(HubConnection::builder(url(&front)).with_root_certificate(&authority.pem)).await;
    assert!(text.contains("for another host name") && text.contains("elsewhere.test"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_is_named() {
    let hub = FakeHub::start().await;
    let url = hub.url.replace("http://", "https://");
    for skip in [false, true] {
        let builder = HubConnection::builder(&url).with_skip_negotiation(skip);
        let error =
            builder.with_transports(Transport::WebSockets).connect().await.expect_err("there is no TLS");
        let text = ErrorChain::new(&error).to_string();
        assert!(text.contains("does not speak TLS") && text.contains("http://"), "{text}");
    }
}

#[tokio::test]
async fn clients_identify_themselves() {
    let Some(hub) = crate::support::reference_hub("clients_identify_themselves") else { return };
    let authority = Authority::new();
    let client = authority.client();
    for versions in [rustls::ALL_VERSIONS, TLS12] {
        let server = authority.server(&["localhost"]);
        let front = TlsFront::start(address_of(hub), &server, Some(&authority), versions).await;
        for &setup in SETUPS {
            let connected = HubConnection::builder(url(&front))
                .with_transports(setup.transport)
                .with_protocol(setup.protocol)
                .with_root_certificate(&authority.pem)
                .with_client_certificate(&client.certificate, &client.key)
                .connect()
                .await
                .unwrap();
            assert_eq!(connected.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_identify_itself_is_told_to() {
    let hub = FakeHub::start().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server(&["localhost"]);
    let front = TlsFront::start(address_of(&hub.url), &server, Some(&authority), rustls::ALL_VERSIONS).await;
    let builder = HubConnection::builder(url(&front)).with_root_certificate(&authority.pem);
    let text = refusal(builder.clone()).await;
    assert!(text.contains("requires a client certificate; give one to `with_client_certificate`"), "{text}");

    let client = other.client();
    let text = refusal(builder.with_client_certificate(&client.certificate, &client.key)).await;
    assert!(text.contains("does not accept the client certificate"), "{text}");
}

#[test]
fn what_is_not_pem_is_an_error_of_build() {
    let authority = Authority::new();
    let (client, other) = (authority.client(), authority.client());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nbWFya2Vk\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\n!!marked!!\n-----END CERTIFICATE-----\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nbWFya2Vk\n-----END CERTIFICATE-----\n";
    let truncated = &client.key[..client.key.len() / 2];
    let root = |pem: &str| HubConnection::builder("https://hub.test").with_root_certificate(pem);
    let both = |certificate: &str, key: &str| {
        HubConnection::builder("https://hub.test").with_client_certificate(certificate, key)
    };
    for (builder, expected) in [
        (root(""), "root certificate is invalid: there is no certificate"),
        (root("marked"), "root certificate is invalid: there is no certificate"),
        (root(&client.key), "root certificate is invalid: there is no certificate"),
        (root(broken), "root certificate is invalid: the PEM text is malformed"),
        (root(nonsense), "root certificate is invalid"),
        (both("", &client.key), "client certificate is invalid: there is no certificate"),
        (both(broken, &client.key), "client certificate is invalid: the PEM text is malformed"),
        (both(&client.certificate, ""), "client certificate is invalid: there is no private key"),
        (
            both(&client.certificate, &client.certificate),
            "client certificate is invalid: there is no private key",
        ),
        (both(&client.certificate, truncated), "client certificate is invalid: there is no private key"),
        (both(&client.certificate, encrypted), "client certificate is invalid: the key is encrypted"),
        (
            both(&client.certificate, &other.key),
            "client certificate is invalid: the key belongs to another certificate",
        ),
        (both(nonsense, &client.key), "client certificate is invalid"),
    ] {
        let shown = format!("{builder:?} {builder:#?}");
        let error = builder.build().expect_err(expected);
        assert!(matches!(error, ConnectionError::InvalidCertificate { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(expected), "{text} instead of {expected}");
        let shown = format!("{shown} {error:?} {text}");
        assert!(!shown.contains("marked") && !shown.contains("bWFya2Vk"), "{shown}");
    }
}

#[test]
fn keys_are_not_shown() {
    let client = Authority::new().client();
    let one_text = format!("{}{}", client.certificate, client.key);
    let builder = HubConnection::builder("https://hub.test").with_client_certificate(&one_text, &one_text);
    let mut shown = format!("{builder:?} {builder:#?}");
    let hub = builder.build().unwrap();
    shown.push_str(&format!("{hub:?} {hub:#?}"));
    for line in client.key.lines() {
        assert!(!shown.contains(line), "{shown}");
    }
}

const CHILD: &str = "HUBWIRE_TEST_TLS_URL";

/// Trusts what the environment says.
#[tokio::test]
#[ignore = "others run it in a process with an environment"]
async fn connects_with_the_system_s_certificates() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let builder = HubConnection::builder(url);
    let builder = match std::env::var("HUBWIRE_TEST_ROOT") {
        Ok(root) => builder.with_root_certificate(std::fs::read(root).unwrap()),
        Err(_) => builder,
    };
    match std::env::var("HUBWIRE_TEST_ERROR") {
        Ok(expected) => {
            let error = builder.connect().await.expect_err("there are no roots");
            let text = ErrorChain::new(&error).to_string();
            assert!(text.contains(&expected), "{text}");
        }
        Err(_) => echoes(builder).await,
    }
}

/// Elsewhere the certificates are those of the operating system alone.
#[cfg(all(unix, not(target_vendor = "apple")))]
#[tokio::test]
async fn the_environment_names_the_system_s_certificates() {
    let test = "certificates::connects_with_the_system_s_certificates";
    let hub = FakeHub::start().await;
    let hub: SocketAddr = address_of(&hub.url);
    let (system, own) = (Authority::new(), Authority::new());
    let folder = std::env::temp_dir().join(format!("hubwire-certificates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (system_pem, own_pem) = (folder.join("system.pem"), folder.with_extension("pem"));
    std::fs::write(&system_pem, &system.pem).unwrap();
    std::fs::write(&own_pem, &own.pem).unwrap();
    let (file, folder_name) = (system_pem.to_str().unwrap(), folder.to_str().unwrap());

    let front = TlsFront::start(hub, &system.server(&["localhost"]), None, rustls::ALL_VERSIONS).await;
    let url_of_system = url(&front);
    in_a_process(test, &[(CHILD, &url_of_system), ("SSL_CERT_FILE", file)]).await;
    in_a_process(test, &[(CHILD, &url_of_system), ("SSL_CERT_DIR", folder_name)]).await;

    let nothing = folder.join("nothing.pem");
    let empty =
        [("SSL_CERT_FILE", nothing.to_str().unwrap()), ("HUBWIRE_TEST_ERROR", "install the system's root")];
    in_a_process(test, &[&[(CHILD, &*url_of_system)], &empty[..]].concat()).await;

    // Own roots come on top of those.
    let own_root = ("HUBWIRE_TEST_ROOT", own_pem.to_str().unwrap());
    let other_front = TlsFront::start(hub, &own.server(&["localhost"]), None, rustls::ALL_VERSIONS).await;
    for url in [&url_of_system, &url(&other_front)] {
        in_a_process(test, &[(CHILD, url), ("SSL_CERT_FILE", file), own_root]).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::remove_file(&own_pem).unwrap();
}

//! Azure Arc and Service Fabric against fakes of them: what no variable of a process can stand in for.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::platform::Network;

const TOKEN: &str = r#"{"access_token": "msi", "expires_on": "4102444800"}"#;
const SCOPE: &str = "https://signalr.azure.com/.default";

/// A server that answers every request by its head, and the heads that it got.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/token", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &tls {
                    None => serve(stream, &answer, &log).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &answer, &log).await;
                        }
                    }
                }
            }
        });
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// One request of a connection.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &impl Fn(&str) -> String,
    log: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let text = answer(&head);
    log.lock().unwrap().push(head);
    stream.write_all(text.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn fetch(host: Host) -> Result<String, CredentialError> {
    let http = HttpClients::new(&Network::default(), false).unwrap();
    let identity = ManagedIdentity { id: Id::System, host: Some(host) };
    identity.fetch(&http, SCOPE).await.map(|token| token.token.secret().to_owned())
}

/// The agent of Azure Arc, which names this file, and takes this key.
async fn arc(file: PathBuf) -> Server {
    Server::start(
        move |head| match head.contains("authorization: basic key-of-arc\r\n") {
            true => reply("200 OK", "", TOKEN),
            false if head.contains("authorization") => {
                reply("401 Unauthorized", "", r#"{"error_description": "not another-key, or so"}"#)
            }
            false => {
                let header = format!("WWW-Authenticate: Basic realm={}\r\n", file.display());
                reply("401 Unauthorized", &header, "")
            }
        },
        None,
    )
    .await
}

#[tokio::test]
async fn azure_arc_asks_for_a_key_of_its_own_folder() {
    let folder = env::temp_dir().join(format!("hubwire-arc-{}", std::process::id()));
    let keys = folder.join("tokens");
    std::fs::create_dir_all(&keys).unwrap();
    let file = keys.join("1.key");
    std::fs::write(&file, "key-of-arc").unwrap();
    let ask = async |named: &Path| {
        let server = arc(named.to_owned()).await;
        let result = fetch(Host::AzureArc { endpoint: server.url.clone(), keys: keys.clone() }).await;
        (result, server.heads())
    };

    let (token, heads) = ask(&file).await;
    assert_eq!(token.unwrap(), "msi");
    let [first, second] = <[String; 2]>::try_from(heads).unwrap();
    let target = "get /token?api-version=2020-06-01&resource=https%3a%2f%2fsignalr.azure.com http/1.1\r\n";
    for head in [&first, &second] {
        assert!(head.starts_with(target) && head.contains("metadata: true\r\n"), "{head}");
    }

    // What anybody else could name, each readable and with the right content.
    let (outside, other, long) = (folder.join("2.key"), keys.join("3.txt"), keys.join("4.key"));
    for file in [&outside, &other] {
        std::fs::write(file, "key-of-arc").unwrap();
    }
    std::fs::write(&long, "k".repeat(4097)).unwrap();
    let up = keys.join("../2.key");
    let nowhere = PathBuf::new();
    for (file, reason) in [
        (&outside, "own folder"),
        (&other, "own folder"),
        (&up, "own folder"),
        (&nowhere, "own folder"),
        (&long, "himds"),
        (&keys.join("none.key"), "himds"),
    ] {
        let (result, heads) = ask(file).await;
        let error = result.expect_err("a bad challenge");
        assert!(matches!(error, CredentialError::NoManagedIdentity(_)), "{error:?}");
        let text = ErrorChain::new(&error).to_string();
        assert!(text.contains(reason), "{}: {text}", file.display());
        assert_eq!(heads.len(), 1, "nothing was sent: {}", file.display());
    }

    // A key that is refused is not in the error.
    std::fs::write(&file, "another-key").unwrap();
    let (result, _) = ask(&file).await;
    let error = result.expect_err("refused");
    assert!(matches!(error, CredentialError::ManagedIdentityRefused { status: 401, .. }), "{error:?}");
    assert!(!error.to_string().contains("another-key"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn service_fabric_is_known_by_its_thumbprint() {
    let certified = rcgen::generate_simple_self_signed(["fabric".to_owned()]).unwrap();
    let der = certified.cert.der().clone();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
    let thumbprint: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(
        |_| reply("200 OK", "", r#"{"token_type":"Bearer","access_token":"msi","expires_on":4102444800}"#),
        Some(acceptor),
    )
    .await;
    let host = |thumbprint: &str| Host::ServiceFabric {
        endpoint: server.url.clone(),
        header: Secret::new("fabric-header"),
        thumbprint: thumbprint.to_owned(),
    };
    assert_eq!(fetch(host(&thumbprint)).await.unwrap(), "msi");
    let head = server.heads().remove(0);
    let target =
        "get /token?api-version=2019-07-01-preview&resource=https%3a%2f%2fsignalr.azure.com http/1.1\r\n";
    assert!(head.starts_with(target) && head.contains("secret: fabric-header\r\n"), "{head}");

    time::pause();
    let error = fetch(host(&thumbprint.replace(['0', '1', '2', '3'], "4"))).await.expect_err("a stranger");
    assert!(matches!(error, CredentialError::NoManagedIdentity(_)), "{error:?}");
    assert_eq!(server.heads().len(), 1, "the header was not sent");
}

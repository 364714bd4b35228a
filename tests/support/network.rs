//! What stands between a client and a hub: proxies that behave as real ones do, and TLS.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How a proxy behaves.
#[derive(Clone, Default)]
pub(crate) struct Behaviour {
    /// `user:password`, if it wants one.
    pub(crate) credentials: Option<&'static str>,
    /// What it answers to `CONNECT` instead of opening a tunnel, or the code of SOCKS5 that it refuses with.
    pub(crate) refuses: Option<&'static str>,
}

/// A proxy that connects to one address, whatever host it is asked for. As squid does, it passes no `Upgrade` on.
pub(crate) struct TestProxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl TestProxy {
    pub(crate) async fn http(leads_to: SocketAddr, behaviour: Behaviour) -> Self {
        Self::start(leads_to, behaviour, false).await
    }

    pub(crate) async fn socks5(leads_to: SocketAddr, behaviour: Behaviour) -> Self {
        Self::start(leads_to, behaviour, true).await
    }

    async fn start(leads_to: SocketAddr, behaviour: Behaviour, socks: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (behaviour, log) = (behaviour.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    // Clients may go at any time.
                    let _ = match socks {
                        true => serve_socks5(stream, leads_to, &behaviour, &log).await,
                        false => serve_http(stream, leads_to, &behaviour, &log).await,
                    };
                });
            }
        });
        Self { address, seen, server }
    }

    /// What it was asked for so far: the heads of HTTP requests, the targets of SOCKS.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The first lines of these.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen().iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve_http(
    mut client: TcpStream,
    leads_to: SocketAddr,
    behaviour: &Behaviour,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).expect("a head in ASCII");
    log.lock().unwrap().push(head.clone());
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let (method, target) = first.split_once(' ').expect("a request line");
    let target = target.strip_suffix(" HTTP/1.1").expect("HTTP/1.1");
    let headers: Vec<_> = lines.map(|line| line.split_once(": ").expect("a header")).collect();
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Proxy-Authorization"));
    if let Some(wanted) = behaviour.credentials
        && given.is_none_or(|(_, value)| *value != format!("Basic {}", base64(wanted)))
    {
        let challenge = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"test\"\r\n\
                         Content-Length: 4\r\n\r\nno!\n";
        return client.write_all(challenge.as_bytes()).await;
    }
    if method == "CONNECT" {
        if let Some(answer) = behaviour.refuses {
            return client.write_all(answer.as_bytes()).await;
        }
        let mut server = TcpStream::connect(leads_to).await?;
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let Some((_, path)) = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
        return client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    };
    let mut forwarded = format!("{method} /{path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        if !["connection", "upgrade", "proxy-authorization"].contains(&&*name.to_ascii_lowercase()) {
            forwarded.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let mut server = TcpStream::connect(leads_to).await?;
    server.write_all(format!("{forwarded}\r\n").as_bytes()).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// RFC 1928, and RFC 1929 for users and passwords.
async fn serve_socks5(
    mut client: TcpStream,
    leads_to: SocketAddr,
    behaviour: &Behaviour,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    async fn text(client: &mut TcpStream) -> std::io::Result<String> {
        let mut text = vec![0; client.read_u8().await?.into()];
        client.read_exact(&mut text).await?;
        Ok(String::from_utf8(text).expect("ASCII"))
    }
    assert_eq!(client.read_u8().await?, 5);
    let mut methods = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut methods).await?;
    let method = if behaviour.credentials.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        return client.write_all(&[5, 255]).await;
    }
    client.write_all(&[5, method]).await?;
    if let Some(wanted) = behaviour.credentials {
        assert_eq!(client.read_u8().await?, 1);
        let given = format!("{}:{}", text(&mut client).await?, text(&mut client).await?);
        client.write_all(&[1, u8::from(given != wanted)]).await?;
        if given != wanted {
            return Ok(());
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        3 => text(&mut client).await?,
        kind => {
            let mut address = vec![0; if kind == 1 { 4 } else { 16 }];
            client.read_exact(&mut address).await?;
            format!("{address:?}")
        }
    };
    let port = client.read_u16().await?;
    log.lock().unwrap().push(format!("{host}:{port}"));
    let code: u8 = behaviour.refuses.map_or(0, |code| code.parse().expect("a code"));
    client.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    if code == 0 {
        let mut server = TcpStream::connect(leads_to).await?;
        copy_bidirectional(&mut client, &mut server).await?;
    }
    Ok(())
}

fn base64(text: &str) -> String {
    use base64ct::{Base64, Encoding as _};
    Base64::encode_string(text.as_bytes())
}

/// An authority of the test's own, and what it signs.
pub(crate) struct Authority {
    /// Its certificate, as PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        // Two of one name would take each other's certificates for forgeries.
        let name = format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For servers of these names and addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, 2100)
    }

    /// Valid until 2020 only.
    pub(crate) fn expired_server(&self, names: &[&str]) -> Identity {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, 2020)
    }

    pub(crate) fn client(&self) -> Identity {
        self.sign(&["device-7"], ExtendedKeyUsagePurpose::ClientAuth, 2100)
    }

    fn sign(&self, names: &[&str], purpose: ExtendedKeyUsagePurpose, until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "test");
        params.extended_key_usages = vec![purpose];
        params.not_before = rcgen::date_time_ymd(2010, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

/// TLS before a server that speaks plain HTTP.
pub(crate) struct TlsFront {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl TlsFront {
    /// With `clients`, those who connect have to show a certificate of this authority.
    pub(crate) async fn start(
        leads_to: SocketAddr,
        identity: &Identity,
        clients: Option<&Authority>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
        };
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = builder.with_single_cert(chain.map(Result::unwrap).collect(), key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor.accept(stream).into_fallible().await {
                        Ok(mut client) => {
                            if let Ok(mut server) = TcpStream::connect(leads_to).await {
                                let _ = copy_bidirectional(&mut client, &mut server).await;
                            }
                        }
                        Err((_, client)) => drain(client).await,
                    }
                });
            }
        });
        Self { address, server }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads to the end. A socket that is closed with something unread resets the connection, and with it goes the alert.
async fn drain(mut client: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = client.shutdown().await;
    let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
}

/// The address that a URL of this machine leads to.
pub(crate) fn address_of(url: &str) -> SocketAddr {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().parse().expect("an address")
}

/// Runs an ignored test of this binary in a process of its own, with these variables and none about proxies.
pub(crate) async fn in_a_process(test: &str, variables: &[(&str, &str)]) {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "REQUEST_METHOD",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    let output = command.envs(variables.iter().copied()).kill_on_drop(true).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{variables:?}: {said}");
}

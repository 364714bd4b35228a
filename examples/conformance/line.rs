//! TCP connections that can be cut from outside, as a broken network does.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{ConnectInfo, connect_info::Connected},
    http::Request,
    middleware::Next,
    response::Response,
    serve::IncomingStream,
};
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// One connection.
#[derive(Clone)]
pub(crate) struct Line(Arc<State>);

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    reader: AtomicWaker,
    /// The path and the connection token of its latest request.
    request: Mutex<(String, String)>,
}

/// All connections.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<Weak<State>>>>);

impl Lines {
    fn add(&self) -> Line {
        let state = Arc::<State>::default();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(&state));
        Line(state)
    }

    /// Cuts what belongs to a connection token.
    pub(crate) fn cut(&self, id: &str) -> usize {
        self.cut_if(|_, of| of == id)
    }

    /// Cuts what has asked for a path or for what is below it.
    pub(crate) fn cut_path(&self, path: &str) -> usize {
        let path = path.trim_end_matches('/');
        self.cut_if(|of, _| {
            of.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn cut_if(&self, is_meant: impl Fn(&str, &str) -> bool) -> usize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = lines.iter().filter_map(Weak::upgrade).filter(|line| {
            let (path, id) = &*line.request.lock().unwrap_or_else(PoisonError::into_inner);
            is_meant(path, id)
        });
        meant.inspect(|line| line.cut()).count()
    }
}

impl State {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.reader.wake();
    }
}

/// Notes whose connection it is.
pub(crate) async fn track(
    ConnectInfo(Line(line)): ConnectInfo<Line>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let id = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "id")
        .map(|(_, id)| id.into_owned());
    let now = (request.uri().path().to_owned(), id.unwrap_or_default());
    *line.request.lock().unwrap_or_else(PoisonError::into_inner) = now;
    next.run(request).await
}

/// For handlers that cut their own connection.
pub(crate) async fn cut_own(ConnectInfo(Line(line)): ConnectInfo<Line>) {
    line.cut();
    std::future::pending().await
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Its bytes.
pub(crate) struct Stream {
    io: Box<dyn Io>,
    line: Line,
}

impl Stream {
    fn check(&self) -> io::Result<()> {
        match self.line.0.is_cut.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.0.reader.register(cx.waker());
        self.check()?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Takes connections, with TLS or without.
pub(crate) struct Listener {
    accepted: mpsc::Receiver<Stream>,
    address: SocketAddr,
    scheme: &'static str,
}

impl Listener {
    pub(crate) async fn bind(port: u16, lines: Lines) -> io::Result<Self> {
        Self::listen(port, lines, None).await
    }

    /// With a throw-away certificate, which comes as PEM.
    pub(crate) async fn bind_tls(lines: Lines) -> Result<(Self, String), Box<dyn std::error::Error>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let listener = Self::listen(0, lines, Some(TlsAcceptor::from(Arc::new(config)))).await?;
        Ok((listener, made.cert.pem()))
    }

    async fn listen(port: u16, lines: Lines, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let (address, scheme) = (listener.local_addr()?, if tls.is_some() { "https" } else { "http" });
        let (sender, accepted) = mpsc::channel(64);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (sender, line, tls) = (sender.clone(), lines.add(), tls.clone());
                tokio::spawn(async move {
                    let _ = socket.set_nodelay(true);
                    let io: Box<dyn Io> = match tls {
                        // A client that breaks off the handshake is none of ours.
                        Some(tls) => match tls.accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                        None => Box::new(socket),
                    };
                    let _ = sender.send(Stream { io, line }).await;
                });
            }
        });
        Ok(Self { accepted, address, scheme })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self.accepted.recv().await {
            Some(stream) => (stream, self.address),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Listener>> for Line {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().line.clone()
    }
}

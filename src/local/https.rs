//! The https address of a local service: what some clients of Entra authorities insist on.

use std::{io, net::SocketAddr, time::Duration};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many handshakes are under way at a time; the next clients wait in the operating system's queue.
const HANDSHAKES: usize = 256;

/// The connections whose TLS handshake is done.
#[derive(Debug)]
pub(super) struct HttpsListener {
    accepted: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl HttpsListener {
    /// Listens as long as it exists.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(super) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(accept(listener, acceptor, sender));
        Ok(Self { accepted, address })
    }
}

impl Listener for HttpsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The task below ends after this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A client that is slow with its handshake keeps no other waiting.
async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    accepted: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            // It waits a moment where accepting fails, such as without file descriptors.
            (stream, address) = Listener::accept(&mut listener), if handshakes.len() < HANDSHAKES => {
                let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
                handshakes.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => drop(accepted.send((stream, address)).await),
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                });
            }
            Some(_) = handshakes.join_next() => {}
            () = accepted.closed() => return,
        }
    }
}

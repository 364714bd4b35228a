//! Where the local service listens: its main port, and another for https.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    serve::{Listener, ListenerExt},
};
use tokio::{net::TcpListener, sync::watch, time};
use tokio_rustls::TlsAcceptor;

use crate::{
    local::{error::LocalError, https::HttpsListener},
    platform::server_config,
    server::room::{Stop, stopped},
    service::secret::Secret,
};

/// How long a stopping service waits for its clients to disconnect.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A certificate with the chain behind it, and its key, both PEM.
pub(super) type Certificate = (Vec<u8>, Secret);

/// # Errors
/// When the certificate or its key cannot be used.
pub(super) fn acceptor((certificate, key): &Certificate) -> Result<TlsAcceptor, LocalError> {
    let config = server_config(certificate, key.expose().as_bytes());
    let config = config.map_err(|reason| LocalError::InvalidHttpsCertificate { reason })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A port that is taken, with TLS or without.
pub(super) struct Port {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    pub(super) address: SocketAddr,
}

impl Port {
    /// Takes the port, or any free one for 0.
    ///
    /// # Errors
    /// When the address is in use or not allowed.
    pub(super) async fn take(
        address: IpAddr,
        port: u16,
        acceptor: Option<TlsAcceptor>,
    ) -> Result<Self, LocalError> {
        let failed = |source| LocalError::Listen { address, port, source };
        let listener = TcpListener::bind((address, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, acceptor, address })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.acceptor.is_some() { "https" } else { "http" }
    }

    /// Its address as the machine itself calls it: where it listens everywhere, that is the loopback interface.
    pub(super) fn origin(&self) -> String {
        let address = match self.address.ip() {
            IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        format!("{}://{}", self.scheme(), SocketAddr::new(address, self.address.port()))
    }

    /// Answers requests until the service stops.
    ///
    /// # Errors
    /// When the port has no address.
    pub(super) fn open(self, router: Router, stop: watch::Receiver<Stop>) -> Result<(), LocalError> {
        let Self { listener, acceptor, address } = self;
        if let Some(acceptor) = acceptor {
            let listener = HttpsListener::new(listener, acceptor).map_err(|source| LocalError::Listen {
                address: address.ip(),
                port: address.port(),
                source,
            })?;
            tokio::spawn(serve(listener, router, stop));
            return Ok(());
        }
        let listener = listener.tap_io(|stream| {
            // Without it, small messages wait for the acknowledgement of the ones before.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY is not available");
            }
        });
        tokio::spawn(serve(listener, router, stop));
        Ok(())
    }
}

async fn serve<L: Listener<Addr: std::fmt::Debug>>(listener: L, router: Router, stop: watch::Receiver<Stop>) {
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopped(stop.clone()));
    let overdue = async {
        stopped(stop).await;
        time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        _ = serving => {}
        () = overdue => {}
    }
}

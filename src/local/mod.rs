//! An Azure SignalR Service with its own Entra authority, for one machine.
//!
//! [`LocalService`] runs in the process that starts it and listens on the loopback interface only. One port serves
//! what in Azure are three services:
//!
//! - **the Entra authority**: `POST /{tenant}/oauth2/v2.0/token` gives client-credential tokens to the
//!   [`EntraApplication`]s it was told about, for a client secret, a certificate's assertion or a token that they
//!   trust;
//! - **the managed identities** of the machine ([`LocalManagedIdentity`]): `GET /metadata/identity/oauth2/token` as on
//!   a virtual machine, `GET /msi/token` as in App Service;
//! - **the client endpoint**: `POST /client/negotiate`, and at `/client/` WebSockets, Server-Sent Events and long
//!   polling, with the JSON and the MessagePack protocol;
//! - **the REST API**, all of it: messages, groups and connections, invocations of clients and their results, streams,
//!   commands by filter, the authentication refresh and the claims of connections (`QUERY`), the exchange of an Entra token for a temporary access key, and
//!   `:generateToken`.
//!
//! Tokens are checked for signature, audience, expiry and role, and what is refused says why.
//!
//! In **serverless mode**, the default, what clients do is told to an [upstream](LocalServiceBuilder::upstream), signed with
//! the access key; without one, a client that invokes a hub method gets an error in its completion. Streams and uploads of
//! clients are refused there, as Azure SignalR Service refuses them.
//!
//! In **default mode** ([`ServiceMode::Default`]) app servers answer clients: those of `Microsoft.Azure.SignalR` run
//! unchanged with the connection string of this service, or with a managed identity and `AuthType=azure.msi`. They open
//! server connections at `/server/`; what clients call and what hubs send goes through them, groups, users, client
//! results, graceful shutdown with migration, authentication refresh and stateful reconnect (where the app servers of a hub
//! take part in it) included. The REST API reaches the clients of this mode as well. What it does not do there: pausing
//! clients (flow control), asking for further server connections, message tracing, and several instances of the service.
//!
//! Limits: a client has 5 seconds to connect after it has negotiated; its messages have up to 1 MiB, those of the
//! REST API up to 1 MB. A client that does not keep up, so that more than 16 MiB wait for it, is cut off without a
//! Close message, and comes back if it reconnects automatically.
//!
//! It is a service for development and tests: it keeps everything in memory, and lets every web page
//! call it. To outgrow one machine, put the connection string of an
//! [Azure SignalR Service](https://learn.microsoft.com/azure/azure-signalr/signalr-overview) where this one's is.

mod api_error;
mod audience;
mod auth;
mod client;
mod cors;
mod default_mode;
mod entra;
mod error;
mod filter;
mod https;
mod identity_endpoint;
mod keys;
mod message;
mod rest;
mod rest_calls;
mod roles;
mod serverless;
mod service;
mod token_endpoint;
mod transcode;
mod upstream;
mod user_groups;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    serve::{Listener, ListenerExt},
};
use tokio::{net::TcpListener, sync::watch, time};
use tokio_rustls::TlsAcceptor;

pub use default_mode::ServiceMode;
pub use entra::{application::EntraApplication, identity::LocalManagedIdentity};
pub use error::LocalError;
pub use roles::Role;

use crate::{
    core::server::ServerOptions,
    platform::server_config,
    server::{
        connections::Connections,
        random::random_text,
        room::{Room, Stop, stopped},
    },
    service::secret::Secret,
};
use default_mode::{Hubs, hub::Place, server_connection};
use entra::authority::Authority;
use https::HttpsListener;
use keys::KeyRing;
use service::{Origin, Service};
use upstream::Upstream;
use user_groups::UserGroups;

/// The largest hub message of a client.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How long a stopping service waits for its clients to disconnect.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running local service. It stops when it is dropped.
///
/// It listens on 127.0.0.1. Browsers let pages of this machine connect to it; a page from another machine is refused
/// by the browser itself (private network access).
///
/// ```
/// use hubwire::local::{EntraApplication, LocalService, Role};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), hubwire::local::LocalError> {
/// let application = EntraApplication::new("tenant-id", "client-id", "client-secret")
///     .role(Role::SignalRAppServer)
///     .role(Role::RestApiOwner);
/// let local = LocalService::builder().application(application).start().await?;
///
/// println!("service: {}", local.endpoint());
/// println!("Entra authority: {}", local.authority());
/// local.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the service stops when it is dropped"]
pub struct LocalService {
    origin: String,
    https_origin: Option<String>,
    port: u16,
    access_key: Secret,
    identity_header: Secret,
    connections: Arc<Connections>,
    stop: watch::Sender<Stop>,
}

impl LocalService {
    /// The port of the official emulator. A service on this port with the default key is what existing emulator
    /// connection strings mean.
    pub const EMULATOR_PORT: u16 = 8888;

    /// The access key of the official emulator, which is public and the default here too.
    ///
    /// Source: [Azure SignalR Local Emulator](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-emulator).
    pub const EMULATOR_ACCESS_KEY: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH";

    /// Starts to describe a service; without further calls it has a free port and the emulator's key.
    pub fn builder() -> LocalServiceBuilder {
        LocalServiceBuilder {
            port: 0,
            access_key: Secret::new(Self::EMULATOR_ACCESS_KEY),
            applications: Vec::new(),
            identities: Vec::new(),
            token_lifetime: Duration::from_secs(3600),
            mode: ServiceMode::default(),
            upstream: None,
            https: None,
            options: ServerOptions { message_limit: MAX_MESSAGE, ..ServerOptions::default() },
        }
    }

    /// The address of the service: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.origin
    }

    /// The same service over TLS, `https://127.0.0.1:PORT`, if it [has a certificate](LocalServiceBuilder::https).
    #[must_use]
    pub fn https_endpoint(&self) -> Option<&str> {
        self.https_origin.as_deref()
    }

    /// The authority host to give to Entra credentials: [`https_endpoint`](Self::https_endpoint) where there is one,
    /// because credentials of other languages insist on https, else the [`endpoint`](Self::endpoint).
    #[must_use]
    pub fn authority(&self) -> &str {
        self.https_origin.as_deref().unwrap_or(&self.origin)
    }

    /// The address of the metadata service that gives tokens to managed identities, in place of 169.254.169.254. It
    /// is the same address as the endpoint.
    #[must_use]
    pub fn metadata_service(&self) -> &str {
        &self.origin
    }

    /// What App Service calls `IDENTITY_ENDPOINT`.
    #[must_use]
    pub fn identity_endpoint(&self) -> String {
        format!("{}{}", self.origin, identity_endpoint::APP_SERVICE_PATH)
    }

    /// What App Service calls `IDENTITY_HEADER`. It is a secret.
    #[must_use]
    pub fn identity_header(&self) -> &str {
        self.identity_header.expose()
    }

    /// The port that the service listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection string with the access key, in the emulator's form. It is a secret when the key is.
    #[must_use]
    pub fn connection_string(&self) -> String {
        let (port, key) = (self.port, self.access_key.expose());
        format!("Endpoint=http://127.0.0.1;Port={port};AccessKey={key};Version=1.0;")
    }

    /// Stops: sends every client a Close message that allows it to reconnect, and waits until all have left, for
    /// ten seconds at most. The port is free afterwards.
    pub async fn stop(self) {
        self.stop.send_replace(Stop::Now);
        if time::timeout(STOP_TIMEOUT, self.stop.closed()).await.is_err() {
            self.connections.cut_all();
            if time::timeout(STOP_TIMEOUT, self.stop.closed()).await.is_err() {
                tracing::warn!("requests to the local service are still open after it has stopped");
            }
        }
    }
}

/// Describes a [`LocalService`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct LocalServiceBuilder {
    port: u16,
    access_key: Secret,
    applications: Vec<EntraApplication>,
    identities: Vec<LocalManagedIdentity>,
    token_lifetime: Duration,
    mode: ServiceMode,
    upstream: Option<String>,
    https: Option<(Vec<u8>, Secret)>,
    options: ServerOptions,
}

impl LocalServiceBuilder {
    /// The port to listen on. Default: any free port. The official emulator uses [`LocalService::EMULATOR_PORT`].
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The access key. Default: [`LocalService::EMULATOR_ACCESS_KEY`].
    pub fn access_key(mut self, key: impl Into<String>) -> Self {
        self.access_key = Secret::new(key);
        self
    }

    /// Registers an application with the Entra authority. It can be called for several.
    pub fn application(mut self, application: EntraApplication) -> Self {
        self.applications.push(application);
        self
    }

    /// Gives the machine a managed identity. It can be called for several.
    pub fn managed_identity(mut self, identity: LocalManagedIdentity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Who answers clients. Default: [`ServiceMode::Serverless`].
    pub fn service_mode(mut self, mode: ServiceMode) -> Self {
        self.mode = mode;
        self
    }

    /// Where to tell what clients do: a URL in which `{hub}`, `{category}` and `{event}` may stand, such as
    /// `http://localhost:7071/runtime/webhooks/signalr`. None by default. Calls of one client are passed on one after
    /// the other, for up to 100 seconds each; [`UpstreamRouter`](crate::service::upstream::UpstreamRouter) takes them.
    pub fn upstream(mut self, url: impl Into<String>) -> Self {
        self.upstream = Some(url.into());
        self
    }

    /// Listens on another port as well, any free one, over TLS. Credentials for Microsoft Entra of other languages want
    /// an `https` authority. Both texts are PEM: the certificate for `127.0.0.1` with the chain behind it, and its key.
    pub fn https(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<String>) -> Self {
        self.https = Some((certificate.into(), Secret::new(key)));
        self
    }

    /// How long Entra tokens are valid, in whole seconds. Default: one hour. With zero they are expired when they
    /// are issued, which helps in tests.
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// How long a new connection may take for its handshake. Default: 15 seconds. A client token can ask for
    /// another time with its claim `asrs.s.cht`.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.options.handshake_timeout = timeout;
        self
    }

    /// A client gets a ping when nothing else was sent to it for this long. Default: 15 seconds.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.options.keep_alive_interval = interval;
        self
    }

    /// A client that sends nothing, or takes nothing, for this long is given up. Default: 30 seconds.
    pub fn client_timeout(mut self, timeout: Duration) -> Self {
        self.options.client_timeout = timeout;
        self
    }

    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub async fn start(self) -> Result<LocalService, LocalError> {
        let Self {
            port,
            access_key,
            applications,
            identities,
            token_lifetime,
            mode,
            upstream,
            https,
            options,
        } = self;
        if access_key.is_empty() || access_key.expose().contains(';') {
            return Err(LocalError::InvalidAccessKey);
        }
        let identity_header = Secret::new(random_text()?);
        let upstream = upstream.map(|url| Upstream::new(url, access_key.clone())).transpose()?.map(Arc::new);
        let acceptor = https.map(|(certificate, key)| {
            let config = server_config(&certificate, key.expose().as_bytes());
            config.map(|config| TlsAcceptor::from(Arc::new(config)))
        });
        let acceptor =
            acceptor.transpose().map_err(|reason| LocalError::InvalidHttpsCertificate { reason })?;
        let (listener, port) = listen(port).await?;
        let origin = format!("http://127.0.0.1:{port}");
        let entra = Authority::new(applications, identities, token_lifetime, &origin)?;

        let (stop, stopped) = watch::channel(Stop::No);
        let room = Arc::new(Room::new(options, usize::MAX, stopped.clone()));
        let (connections, user_groups) = (room.connections.clone(), Arc::<UserGroups>::default());
        let place = Place {
            connections: connections.clone(),
            user_groups: user_groups.clone(),
            negotiated: room.negotiated.clone(),
        };
        let service = Arc::new(Service {
            origin: origin.clone(),
            keys: KeyRing::new(access_key.expose()),
            entra,
            identity_header: identity_header.clone(),
            room,
            user_groups,
            upstream,
            hubs: (mode == ServiceMode::Default).then(|| Hubs::new(place)),
        });
        let mut https_origin = None;
        if let Some(acceptor) = acceptor {
            let (listener, port) = listen(0).await?;
            let listener = HttpsListener::new(listener, acceptor);
            let listener = listener.map_err(|source| LocalError::Listen { port, source })?;
            let origin = https_origin.insert(format!("https://127.0.0.1:{port}"));
            tokio::spawn(serve(listener, router(service.clone(), origin), stopped.clone()));
        }
        let listener = listener.tap_io(|stream| {
            // Without it, small messages wait for the acknowledgement of the ones before.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY is not available");
            }
        });
        tokio::spawn(serve(listener, router(service, &origin), stopped));
        tracing::info!(%origin, https_origin, "the local service has started");
        Ok(LocalService { origin, https_origin, port, access_key, identity_header, connections, stop })
    }
}

async fn listen(port: u16) -> Result<(TcpListener, u16), LocalError> {
    let failed = |source| LocalError::Listen { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

fn router(service: Arc<Service>, origin: &str) -> Router {
    // axum has to be told that the colon of `:send` is not one of its old captures.
    let mut router = Router::new().without_v07_checks();
    for add in [
        token_endpoint::add_routes,
        identity_endpoint::add_routes,
        client::add_routes,
        server_connection::add_routes,
        rest::add_routes,
        rest_calls::add_routes,
        rest::add_v1_routes,
    ] {
        router = add(router);
    }
    router
        .layer(DefaultBodyLimit::max(rest::MAX_BODY))
        .layer(axum::middleware::from_fn(cors::allow))
        .layer(Extension(Origin(origin.into())))
        .with_state(service)
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

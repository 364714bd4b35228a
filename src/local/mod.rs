//! An Azure SignalR Service with its own Entra authority, for one machine.
//!
//! [`LocalService`] runs in the process that starts it and listens on the loopback interface, or where it is
//! [told to](LocalServiceBuilder::address). One port serves what in Azure are three services:
//!
//! - **the Entra authority**: `POST /{tenant}/oauth2/v2.0/token` gives client-credential tokens to the
//!   [`EntraApplication`]s it was told about, for a client secret, a certificate's assertion or a token that they
//!   trust. Its discovery documents (`/{tenant}/.well-known/openid-configuration`, and the same below `/{tenant}/v2.0`)
//!   and key set (`/{tenant}/discovery/v2.0/keys`) let any library verify them;
//! - **the managed identities** of the machine ([`LocalManagedIdentity`]): `GET /metadata/identity/oauth2/token` as on
//!   a virtual machine, `GET /msi/token` as in App Service;
//! - **the client endpoint**: `POST /client/negotiate`, and at `/client/` WebSockets, Server-Sent Events and long
//!   polling, with the JSON and the MessagePack protocol;
//! - **the REST API**, all of it: messages, groups and connections, invocations of clients and their results, streams,
//!   commands by filter, the authentication refresh and the claims of connections (`QUERY`), the exchange of an Entra token
//!   for a temporary access key, and `:generateToken`.
//!
//! Tokens are checked for signature, audience, expiry and role, and what is refused says why.
//!
//! In **serverless mode**, the default, what clients do is told to [upstreams](UpstreamRule), signed with both access keys
//! and, if a rule says so, with a token of a managed identity; a client that invokes a hub method that no rule matches gets
//! an error in its completion. Streams and uploads of clients are refused there, as Azure SignalR Service refuses them.
//!
//! In **default mode** ([`ServiceMode::Default`]) app servers answer clients: those of `Microsoft.Azure.SignalR` run
//! unchanged with the connection string of this service, or with a managed identity and `AuthType=azure.msi`. They open
//! server connections at `/server/`; what clients call and what hubs send goes through them, groups, users, client
//! results, graceful shutdown with migration, authentication refresh and stateful reconnect (where the app servers of a hub
//! take part in it) included. The REST API reaches the clients of this mode as well. What it does not do there: pausing
//! clients (flow control), asking for further server connections, message tracing, and several instances of the service.
//!
//! **Keys.** There are a primary and a secondary access key, which can be [regenerated](LocalService::regenerate_key) while
//! the service runs, or be [refused](LocalServiceBuilder::local_auth) for good. Temporary keys, the key of the authority and
//! the identity header are derived from the primary access key that the service is started with: what app servers and
//! applications have of an earlier run stays good. With the emulator's key, which is public, anyone can derive them.
//!
//! Limits are those of Azure: a client token has up to 4096 characters (413), a request line 12 KB (414), all headers
//! of a request 16 KB (431). A client has 5 seconds to connect after it has negotiated (404), and 15 seconds for its
//! handshake; its messages have up to 1 MiB, those of the REST API up to 1 MB (413). How many connections there may be
//! is [said](LocalServiceBuilder::max_connections) (429). A client that does not keep up, so that more than 16 MiB wait
//! for it, is cut off without a Close message, and comes back if it reconnects automatically. Each connection is an
//! open file: thousands of them need `ulimit -n 20000` or so where the service is started.
//!
//! Foreign web pages cannot call it, although its default key is public: the pages of this machine can
//! (`http://localhost:3000`), and those that [`allow_origin`](LocalServiceBuilder::allow_origin) names. It answers to
//! `localhost`, addresses, names without dots as container networks have them, names that end in `.internal`, and those
//! that [`allow_host`](LocalServiceBuilder::allow_host) names. Programs are not asked for an origin.
//!
//! It is a service for development and tests, and keeps everything in memory. To outgrow one machine, put the
//! connection string of an [Azure SignalR Service](https://learn.microsoft.com/azure/azure-signalr/signalr-overview)
//! where this one's is.
//!
#![doc = include_str!("emulator.md")]

mod api_error;
mod audience;
mod auth;
mod client;
#[cfg(feature = "dashboard")]
mod dashboard;
mod default_mode;
mod discovery;
mod entra;
mod error;
mod faults;
mod filter;
mod guard;
mod https;
mod identity_endpoint;
mod keys;
mod listen;
mod message;
mod options;
mod request_log;
mod rest;
mod roles;
mod serverless;
mod service;
mod token_endpoint;
mod transcode;
mod upstream;
mod user_groups;

use axum::{Router, extract::DefaultBodyLimit};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task, time};

pub use default_mode::ServiceMode;
pub use entra::{application::EntraApplication, identity::LocalManagedIdentity};
pub use error::LocalError;
pub use faults::{Cut, FaultKind, FaultRule, FaultScope, Faults, InvalidFault};
pub use keys::KeyType;
#[cfg(feature = "cli")]
pub(crate) use request_log::TARGET as REQUESTS;
pub use roles::Role;
pub use upstream::rule::UpstreamRule;

use crate::{
    core::{server::ServerOptions, url::HubUrl},
    server::room::{Room, Slots, Stop},
    service::secret::Secret,
};
use default_mode::{Hubs, hub::Place, server_connection};
use entra::authority::Authority;
use guard::{Gate, Guard};
use keys::{KeyRing, derived_secret};
use listen::{Certificate, Port, acceptor};
use service::Service;
use upstream::Upstream;
use user_groups::UserGroups;

/// The largest hub message of a client.
const MAX_MESSAGE: usize = 1024 * 1024;

/// How long a stopping service waits for its clients to disconnect.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running local service. It stops when it is dropped.
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
    identity_header: Secret,
    service: Arc<Service>,
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
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            public_endpoint: None,
            tls: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            access_key: Secret::new(Self::EMULATOR_ACCESS_KEY),
            secondary_access_key: None,
            local_auth: true,
            applications: Vec::new(),
            identities: Vec::new(),
            service_identity: None,
            token_lifetime: Duration::from_secs(3600),
            mode: ServiceMode::default(),
            upstream: Vec::new(),
            https: None,
            max_connections: usize::MAX,
            options: ServerOptions { message_limit: MAX_MESSAGE, ..ServerOptions::default() },
            #[cfg(feature = "dashboard")]
            dashboard: false,
        }
    }

    /// The address of the service: the [public endpoint](LocalServiceBuilder::public_endpoint) if it was told one, else
    /// `http://127.0.0.1:PORT`, or `https` with [`tls`](LocalServiceBuilder::tls).
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.origin
    }

    /// The address over TLS: the port of [`https`](LocalServiceBuilder::https) if there is one, else the endpoint if
    /// that [has TLS](LocalServiceBuilder::tls).
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

    /// The faults that clients and app servers meet, none to begin with. They are there over HTTP as well: see [`Faults`].
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.service.faults.clone()
    }

    /// The port that the service listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops: no client and no request of the REST API gets in any more (503), calls in progress end, and every client gets a
    /// Close message that allows it to reconnect. It waits until all have left, for fifteen seconds at most. The port is free
    /// afterwards.
    pub async fn stop(self) {
        let Self { service, stop, .. } = self;
        stop.send_replace(Stop::Soon);
        if time::timeout(STOP_TIMEOUT, service.drained()).await.is_err() {
            tracing::debug!("calls are in progress while the local service stops");
        }
        stop.send_replace(Stop::Now);
        let connections = service.room.connections.clone();
        // Everything that still runs has it.
        drop(service);
        if time::timeout(STOP_TIMEOUT, stop.closed()).await.is_err() {
            connections.cut_all();
            if time::timeout(STOP_TIMEOUT, stop.closed()).await.is_err() {
                tracing::warn!("requests to the local service are still open after it has stopped");
            }
        }
    }
}

/// Describes a [`LocalService`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct LocalServiceBuilder {
    address: IpAddr,
    port: u16,
    public_endpoint: Option<String>,
    tls: Option<Certificate>,
    origins: Vec<String>,
    hosts: Vec<String>,
    access_key: Secret,
    secondary_access_key: Option<Secret>,
    local_auth: bool,
    applications: Vec<EntraApplication>,
    identities: Vec<LocalManagedIdentity>,
    service_identity: Option<LocalManagedIdentity>,
    token_lifetime: Duration,
    mode: ServiceMode,
    upstream: Vec<Result<UpstreamRule, LocalError>>,
    https: Option<Certificate>,
    max_connections: usize,
    options: ServerOptions,
    #[cfg(feature = "dashboard")]
    dashboard: bool,
}

impl LocalServiceBuilder {
    /// The port to listen on. Default: any free port. The official emulator uses [`LocalService::EMULATOR_PORT`].
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The address to listen on. Default: 127.0.0.1. In a container it is `0.0.0.0` or `::`, which let in whoever can reach
    /// the container.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// What clients call the service, such as `http://signalr:8888` in a network of containers: what
    /// [`endpoint`](LocalService::endpoint) and the connection string say. Without it they say the address. What the service
    /// answers with addresses in it has the one that the request has asked.
    pub fn public_endpoint(mut self, url: impl Into<String>) -> Self {
        self.public_endpoint = Some(url.into());
        self
    }

    /// Speaks TLS on the port of the service. Both texts are PEM: the certificate with the chain behind it, and its key.
    pub fn tls(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<String>) -> Self {
        self.tls = Some((certificate.into(), Secret::new(key)));
        self
    }

    /// Lets the pages of an origin call, such as `https://app.example.com`. Those of this machine may: `localhost`, names
    /// that end in `.localhost`, 127.0.0.0/8 and `[::1]`, with any port. It can be called for several. `null` lets in pages
    /// from files, those of Electron among them; sandboxed frames of any foreign page come in with them.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Lets the service be called by a name with dots, such as `signalr.default.svc.cluster.local`. Names without dots and
    /// addresses need not be allowed. It can be called for several.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
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

    /// Listens on another port as well, any free one, over TLS. Credentials for Microsoft Entra of other languages want
    /// an `https` authority, while app servers may go on with plain `http`; [`tls`](Self::tls) is for the service's own port.
    /// Both texts are PEM: the certificate for `127.0.0.1` with the chain behind it, and its key.
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

    /// How many connections there may be, those of app servers among them. Further ones are refused with status 429, at
    /// negotiate and when they connect. Default: as many as the machine bears; the free tier of Azure has 20.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit;
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

    /// Serves the [dashboard](crate::dashboard) at `/dashboard/`: who is connected, what was asked lately and how it ended,
    /// and a form to send to anyone. It shows the connection string, and has no login, so there is none at an
    /// [address](Self::address) that other machines reach unless the access key is the public one of the emulator. Pages other
    /// than its own are refused. Default: no.
    #[cfg(feature = "dashboard")]
    pub fn dashboard(mut self, serves: bool) -> Self {
        self.dashboard = serves;
        self
    }

    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub async fn start(self) -> Result<LocalService, LocalError> {
        let Self {
            address,
            port,
            public_endpoint,
            tls,
            origins,
            hosts,
            access_key,
            secondary_access_key,
            local_auth,
            applications,
            identities,
            service_identity,
            token_lifetime,
            mode,
            upstream,
            https,
            max_connections,
            options,
            #[cfg(feature = "dashboard")]
            dashboard,
        } = self;
        let keys = Arc::new(KeyRing::new(access_key.clone(), secondary_access_key, local_auth)?);
        let identity_header = derived_secret(&access_key, "hubwire local service: identity header");
        let rules = upstream.into_iter().collect::<Result<Vec<_>, _>>()?;
        let public = public_endpoint.map(|url| public_url(&url)).transpose()?;
        let guard = Guard::new(&origins, hosts, public.clone())?;
        let tls = tls.as_ref().map(acceptor).transpose()?;
        let https = https.as_ref().map(acceptor).transpose()?;
        let main = Port::take(address, port, tls).await?;
        let second = match https {
            Some(https) => Some(Port::take(address, 0, Some(https)).await?),
            None => None,
        };
        let port = main.address.port();
        let origin = match public {
            Some(url) => url.to_text().trim_end_matches('/').to_owned(),
            None => main.origin(),
        };
        let https_origin = match &second {
            Some(second) => Some(second.origin()),
            None => Some(origin.clone()).filter(|_| main.scheme() == "https"),
        };
        let entra =
            Authority::new(applications, identities, service_identity, token_lifetime, access_key, &origin)?;
        let entra = Arc::new(entra);
        let upstream = Arc::new(Upstream::new(rules, keys.clone(), entra.clone())?);
        let (is_needed, prepared) = (upstream.has_identity(), entra.clone());
        let prepared = task::spawn_blocking(move || prepared.prepare(is_needed)).await;
        if let Err(Ok(panic)) = prepared.map_err(task::JoinError::try_into_panic) {
            std::panic::resume_unwind(panic);
        }

        let (stop, stopped) = watch::channel(Stop::No);
        let mut room = Room::new(options, max_connections, stopped.clone());
        let faults = Faults::new(room.connections.clone());
        room.disturbance = Some(Arc::new(faults.clone()));
        let room = Arc::new(room);
        let user_groups = Arc::<UserGroups>::default();
        let place = Place {
            connections: room.connections.clone(),
            user_groups: user_groups.clone(),
            negotiated: room.negotiated.clone(),
        };
        let service = Arc::new(Service {
            origin: origin.clone(),
            guard,
            faults,
            keys,
            entra,
            identity_header: identity_header.clone(),
            room,
            requests: Arc::new(Slots::new(usize::MAX)),
            user_groups,
            upstream,
            hubs: (mode == ServiceMode::Default).then(|| Hubs::new(place)),
        });
        let local =
            LocalService { origin, https_origin, port, identity_header, service: service.clone(), stop };
        #[cfg(feature = "dashboard")]
        let board = dashboard.then(|| dashboard::board(&service, &local, address));
        for port in second.into_iter().chain([main]) {
            let router = router();
            #[cfg(feature = "dashboard")]
            let router = dashboard::add(router, board.as_ref());
            let gate = Gate { service: service.clone(), scheme: port.scheme() };
            let router = router.layer(axum::middleware::from_fn_with_state(gate, guard::check));
            #[cfg(feature = "dashboard")]
            let router = dashboard::observed(router, &service);
            let router = router.layer(axum::middleware::from_fn(request_log::tell));
            // Before a router looks at the path.
            let router = Router::new()
                .fallback_service(router.with_state(service.clone()))
                .layer(axum::middleware::map_request(rest::canonical));
            port.open(router, stopped.clone())?;
        }
        let LocalService { origin, https_origin, .. } = &local;
        tracing::info!(origin, https_origin, "the local service has started");
        Ok(local)
    }
}

/// A scheme, a host and possibly a port.
fn public_url(text: &str) -> Result<HubUrl, LocalError> {
    let url = HubUrl::parse(text)
        .ok()
        .filter(|url| url.query().is_empty() && matches!(url.path(), "" | "/") && !text.contains(['@', '#']));
    url.ok_or(LocalError::InvalidPublicEndpoint)
}

fn router() -> Router<Arc<Service>> {
    // axum has to be told that the colon of `:send` is not one of its old captures.
    let mut router = Router::new().without_v07_checks();
    for add in [
        token_endpoint::add_routes,
        discovery::add_routes,
        identity_endpoint::add_routes,
        client::add_routes,
        server_connection::add_routes,
        rest::add_routes,
        faults::add_routes,
    ] {
        router = add(router);
    }
    router.layer(DefaultBodyLimit::max(rest::MAX_BODY))
}

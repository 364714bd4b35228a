//! A running local service: what it is called, what opens it, what can be changed while it runs, and its end.

use std::sync::Arc;

use tokio::{sync::watch, time};

use crate::{
    local::{
        error::LocalError,
        faults::Faults,
        keys::{EMULATOR_ACCESS_KEY, KeyType},
        listen::STOP_TIMEOUT,
        routes::IDENTITY_ENDPOINT,
        service::Service,
        upstream::rule::UpstreamRule,
    },
    server::room::Stop,
    service::unix_now,
};

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
    pub(super) https_origin: Option<String>,
    pub(super) port: u16,
    pub(super) service: Arc<Service>,
    pub(super) stop: watch::Sender<Stop>,
}

impl LocalService {
    /// The port of the official emulator. A service on this port with the default key is what existing emulator
    /// connection strings mean.
    pub const EMULATOR_PORT: u16 = 8888;

    /// The access key of the official emulator, which is public and the default here too.
    ///
    /// Source: [Azure SignalR Local Emulator](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-emulator).
    pub const EMULATOR_ACCESS_KEY: &str = EMULATOR_ACCESS_KEY;

    /// The address of the service: the [public endpoint](super::LocalServiceBuilder::public_endpoint) if it was told one, else
    /// `http://127.0.0.1:PORT`, or `https` with [`tls`](super::LocalServiceBuilder::tls).
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.service.access.origin
    }

    /// The address over TLS: the port of [`https`](super::LocalServiceBuilder::https) if there is one, else the endpoint if
    /// that [has TLS](super::LocalServiceBuilder::tls).
    #[must_use]
    pub fn https_endpoint(&self) -> Option<&str> {
        self.https_origin.as_deref()
    }

    /// The authority host to give to Entra credentials: [`https_endpoint`](Self::https_endpoint) where there is one,
    /// because credentials of other languages insist on https, else the [`endpoint`](Self::endpoint).
    #[must_use]
    pub fn authority(&self) -> &str {
        self.https_origin.as_deref().unwrap_or(&self.service.access.origin)
    }

    /// The address of the metadata service that gives tokens to managed identities, in place of 169.254.169.254. It
    /// is the same address as the endpoint.
    #[must_use]
    pub fn metadata_service(&self) -> &str {
        &self.service.access.origin
    }

    /// What App Service calls `IDENTITY_ENDPOINT`.
    #[must_use]
    pub fn identity_endpoint(&self) -> String {
        format!("{}{IDENTITY_ENDPOINT}", self.service.access.origin)
    }

    /// What App Service calls `IDENTITY_HEADER`. It is a secret.
    #[must_use]
    pub fn identity_header(&self) -> &str {
        self.service.identity_header.expose()
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

    /// The connection string with the primary access key, in the emulator's form. It is a secret when the key is. Where
    /// access keys are [refused](super::LocalServiceBuilder::local_auth), it has `AuthType=azure` in place of the key: the
    /// environment of the app says which identity it is (`AZURE_TENANT_ID` and so on, with the
    /// [`authority`](Self::authority) as `AZURE_AUTHORITY_HOST`).
    #[must_use]
    pub fn connection_string(&self) -> String {
        self.connection_string_of(KeyType::Primary)
    }

    /// The connection string with one of the access keys, as [`connection_string`](Self::connection_string).
    #[must_use]
    pub fn connection_string_of(&self, key: KeyType) -> String {
        self.service.access.keys.connection_string(&self.service.access.origin, key)
    }

    /// Puts a new random key in the place of an access key, and gives it; it is a secret. From now on the old one is
    /// refused. Clients that are connected stay, and so do app servers. The keys of app servers with Entra stay good. A restart
    /// has the keys of its builder again.
    ///
    /// ```
    /// use hubwire::local::{KeyType, LocalService};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), hubwire::local::LocalError> {
    /// let local = LocalService::builder().start().await?;
    /// let before = local.connection_string();
    /// local.regenerate_key(KeyType::Primary)?;
    /// assert_ne!(local.connection_string(), before);
    /// # local.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LocalError::Random`]: the operating system gives no random numbers. Then nothing changes.
    pub fn regenerate_key(&self, key: KeyType) -> Result<String, LocalError> {
        let new = self.service.access.keys.regenerate(key, unix_now())?;
        tracing::info!(?key, "an access key was regenerated");
        Ok(new.expose().to_owned())
    }

    /// Replaces the [rules](super::LocalServiceBuilder::upstream_rule) by which clients' events are told to upstreams. What has
    /// happened before is still told by the old ones.
    ///
    /// # Errors
    /// [`LocalError::HttpClient`]: there were no rules yet, and no HTTP client can be set up to follow these. Then nothing
    /// changes.
    pub fn set_upstream(&self, rules: Vec<UpstreamRule>) -> Result<(), LocalError> {
        self.service.upstreams.set(rules)?;
        // Not with the first request, which a client may wait for.
        self.service.access.entra.prepare(self.service.upstreams.has_identity());
        Ok(())
    }

    /// The tenant and the object id of the [identity](super::LocalServiceBuilder::service_identity) that the service has when it
    /// calls an upstream.
    #[must_use]
    pub fn service_identity(&self) -> (&str, &str) {
        let identity = &self.service.access.entra.service;
        (&identity.application.tenant_id, &identity.object_id)
    }

    /// Stops: no client, no app server and no request of the REST API gets in any more (503), and every client gets a Close
    /// message that allows it to reconnect, as soon as no call between it and its upstream or app server is in progress, and
    /// after five seconds at the latest; then app servers are let go. It waits until all have left, for fifteen seconds at
    /// most. The port is free afterwards.
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

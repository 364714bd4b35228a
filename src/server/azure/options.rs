//! What a hub behind Azure SignalR Service is set up with.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    Proxy,
    core::{hub_name, server::ServerOptions},
    platform::Network,
    server::{HubRequest, Identity},
    service::{
        ServiceEndpoint, app_server,
        configuration::{Configuration, ConfigurationError},
        endpoints::{EndpointError, EndpointRole},
        negotiate::TokenAlgorithm,
        server_access::EndpointAccess,
    },
};

/// How many server connections a hub has to each endpoint, as with the official SDK.
const INITIAL_CONNECTIONS: usize = 5;

/// How long server tokens and client tokens are valid, as with the official SDK.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// How long a shutdown waits for clients, as with the official SDK.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// The claims of a client's token.
pub(super) type ClaimsProvider =
    Arc<dyn Fn(&HubRequest<'_>, &Identity) -> Vec<(String, String)> + Send + Sync>;

/// Whether a client stays with the server that it has negotiated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerStickyMode {
    /// Any server of the hub may get the client.
    #[default]
    Disabled,
    /// The server that has negotiated, if it is connected; else any.
    Preferred,
    /// The server that has negotiated, or none. For servers that keep something of a client between negotiate and its
    /// connection.
    Required,
}

/// What becomes of the clients when the server [shuts down](crate::server::HubServer::shut_down_gracefully).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GracefulShutdown {
    /// Their connections end; they may reconnect, and get to another server.
    #[default]
    Off,
    /// No new ones come to this server, and those that it has may go on until they leave or the time is up.
    WaitForClientsClose,
    /// They move to other servers of the hub, and notice nothing of it.
    MigrateClients,
}

/// Why a hub cannot be put behind Azure SignalR Service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AzureSignalRError {
    /// The service cannot have a hub of this name.
    #[error("the name of the hub is not valid: {reason}")]
    HubName {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The application name starts with a letter, and has letters, digits and underscores.
    #[error("the application name must start with a letter and consist of letters, digits and underscores")]
    ApplicationName,
    /// There is no endpoint, or no primary one.
    #[error("a hub needs at least one primary endpoint")]
    NoPrimaryEndpoint,
    /// A connection string, an address or a credential is wrong.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A setting is missing or wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// What connects to the service cannot be set up: a proxy, or a certificate.
    #[error(transparent)]
    Network(#[from] crate::service::BuildError),
}

/// Puts a hub behind Azure SignalR Service in its default mode: see [the module](super).
///
/// Names and defaults are those of `ServiceOptions` of the official SDK for app servers.
#[must_use = "give it to `HubServerBuilder::azure`"]
pub struct AzureSignalR {
    hub: String,
    endpoints: Result<Vec<ServiceEndpoint>, AzureSignalRError>,
    application: Option<String>,
    network: Network,
    algorithm: TokenAlgorithm,
    pub(super) rules: Rules,
}

/// What holds while the hub runs.
pub(super) struct Rules {
    pub(super) initial_connections: usize,
    pub(super) maximum_connections: Option<usize>,
    pub(super) token_lifetime: Duration,
    pub(super) sticky: ServerStickyMode,
    pub(super) shutdown: GracefulShutdown,
    pub(super) shutdown_timeout: Duration,
    pub(super) long_poll_interval: Option<Duration>,
    pub(super) claims: Option<ClaimsProvider>,
}

/// A hub with endpoints that can be connected to.
pub(crate) struct Prepared {
    pub(super) hub: String,
    pub(super) access: Vec<EndpointAccess>,
    pub(super) rules: Rules,
    pub(super) allows_stateful_reconnect: bool,
}

impl Prepared {
    /// Takes away what the service does instead of the hub: it keeps what a client may have to be sent again.
    pub(crate) fn adapt(&mut self, options: ServerOptions) -> ServerOptions {
        self.allows_stateful_reconnect = options.stateful_buffer.is_some();
        ServerOptions { stateful_buffer: None, ..options }
    }
}

impl AzureSignalR {
    /// A hub of this name at one endpoint or several, each with a credential of its own.
    ///
    /// The name is one for all servers of the hub. Servers in .NET have the name of the hub's class, in lower case.
    ///
    /// ```
    /// use hubwire::{server::azure::AzureSignalR, service::{ServiceEndpoint, credentials::ClientSecret}};
    ///
    /// # let secret = String::new() + "s";
    /// let credential = ClientSecret::new("contoso.onmicrosoft.com", "11111111-2222-3333-4444-555555555555", secret);
    /// let azure = AzureSignalR::new("chat", [ServiceEndpoint::new("https://contoso.service.signalr.net", credential)?]);
    /// # drop(azure);
    /// # Ok::<(), hubwire::service::endpoints::EndpointError>(())
    /// ```
    pub fn new(hub: impl Into<String>, endpoints: impl IntoIterator<Item = ServiceEndpoint>) -> Self {
        Self::of(hub.into(), Ok(endpoints.into_iter().collect()))
    }

    /// A hub at the endpoint of a connection string, as the Azure portal shows it. What is wrong with it,
    /// [`HubServerBuilder::azure`](crate::server::HubServerBuilder::azure) says.
    pub fn from_connection_string(hub: impl Into<String>, text: &str) -> Self {
        let endpoint = ServiceEndpoint::from_connection_string(text);
        Self::of(hub.into(), endpoint.map(|endpoint| vec![endpoint]).map_err(Into::into))
    }

    /// A hub at the endpoints that are configured, with the application name that is. [`Configuration`] lists the keys.
    pub fn from_configuration(hub: impl Into<String>, configuration: &Configuration) -> Self {
        match app_server::configured(configuration) {
            Ok((endpoints, application)) => Self { application, ..Self::of(hub.into(), Ok(endpoints)) },
            Err(error) => Self::of(hub.into(), Err(error.into())),
        }
    }

    fn of(hub: String, endpoints: Result<Vec<ServiceEndpoint>, AzureSignalRError>) -> Self {
        Self {
            hub,
            endpoints,
            application: None,
            network: Network::default(),
            algorithm: TokenAlgorithm::default(),
            rules: Rules {
                initial_connections: INITIAL_CONNECTIONS,
                maximum_connections: None,
                token_lifetime: TOKEN_LIFETIME,
                sticky: ServerStickyMode::default(),
                shutdown: GracefulShutdown::default(),
                shutdown_timeout: SHUTDOWN_TIMEOUT,
                long_poll_interval: None,
                claims: None,
            },
        }
    }

    /// Keeps the hubs of several applications on one resource apart. None by default.
    pub fn application_name(self, name: impl Into<String>) -> Self {
        Self { application: Some(name.into()), ..self }
    }

    /// How many server connections the hub has to each endpoint, at least. Default: 5.
    pub fn initial_hub_server_connection_count(mut self, count: usize) -> Self {
        self.rules.initial_connections = count.max(1);
        self
    }

    /// How many server connections the hub has to each endpoint, at most, where the service asks for more. Default: no
    /// limit.
    pub fn max_hub_server_connection_count(mut self, count: usize) -> Self {
        self.rules.maximum_connections = Some(count);
        self
    }

    /// How long the tokens of clients are valid at most, and those that open server connections. Default: one hour.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.token_lifetime = lifetime;
        self
    }

    /// What tokens are signed with. Default: HS256.
    pub fn access_token_algorithm(self, algorithm: TokenAlgorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Whether clients stay with the server that they have negotiated with. Default: no.
    pub fn server_sticky_mode(mut self, mode: ServerStickyMode) -> Self {
        self.rules.sticky = mode;
        self
    }

    /// What becomes of the clients when the server [shuts down](crate::server::HubServer::shut_down_gracefully), and how
    /// long that may take. Default: they end at once.
    pub fn graceful_shutdown(mut self, mode: GracefulShutdown, timeout: Duration) -> Self {
        self.rules.shutdown = mode;
        self.rules.shutdown_timeout = timeout;
        self
    }

    /// How long the service holds a poll of long polling: 1 to 300 seconds. Default: the service's, 5 seconds.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.rules.long_poll_interval = Some(interval);
        self
    }

    /// The claims that go into a client's token, and that the hub sees, instead of those of its
    /// [`Identity`]: for less than all of them, since they have to fit into 4 096 characters.
    ///
    /// ```
    /// # use hubwire::server::azure::AzureSignalR;
    /// # fn example(azure: AzureSignalR) -> AzureSignalR {
    /// azure.claims_provider(|request, identity| {
    ///     let roles = identity.claims().filter(|(name, _)| *name == "role");
    ///     let language = request.headers().get("accept-language").and_then(|value| value.to_str().ok());
    ///     roles.map(|(name, value)| (name.to_owned(), value.to_owned()))
    ///         .chain(language.map(|language| ("language".to_owned(), language.to_owned())))
    ///         .collect()
    /// })
    /// # }
    /// ```
    pub fn claims_provider(
        mut self,
        claims: impl Fn(&HubRequest<'_>, &Identity) -> Vec<(String, String)> + Send + Sync + 'static,
    ) -> Self {
        self.rules.claims = Some(Arc::new(claims));
        self
    }

    /// The proxy for everything that uses https. Default: [`Proxy::from_environment`].
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.network.proxy = proxy;
        self
    }

    /// Trusts the certificates in a PEM text besides those of the operating system.
    pub fn root_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.network.certificates.add_root(pem.as_ref());
        self
    }

    /// Whether all of it makes sense. Nothing is sent yet.
    pub(crate) fn prepare(self) -> Result<Prepared, AzureSignalRError> {
        let Self { hub, endpoints, application, mut network, algorithm, rules } = self;
        hub_name::check(&hub).map_err(|error| AzureSignalRError::HubName { reason: error.reason() })?;
        let application = application.filter(|name| !name.is_empty());
        if application.as_deref().is_some_and(|name| !app_server::is_application_name(name)) {
            return Err(AzureSignalRError::ApplicationName);
        }
        let application = application.map(|name| name.to_ascii_lowercase());
        let endpoints = app_server::distinct(endpoints?);
        if !endpoints.iter().any(|endpoint| endpoint.role() == EndpointRole::Primary) {
            return Err(AzureSignalRError::NoPrimaryEndpoint);
        }
        app_server::check_certificates(&mut network)?;
        let access = endpoints
            .into_iter()
            .map(|endpoint| EndpointAccess::new(endpoint, application.clone(), network.clone(), algorithm));
        let access = access.collect::<Result<_, _>>()?;
        Ok(Prepared { hub: hub.to_ascii_lowercase(), access, rules, allows_stateful_reconnect: false })
    }
}

impl fmt::Debug for AzureSignalR {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureSignalR")
            .field("hub", &self.hub)
            .field("endpoints", &self.endpoints)
            .field("application", &self.application)
            .finish_non_exhaustive()
    }
}

//! What a local service is told before it starts.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use crate::{
    core::server::ServerOptions,
    local::{
        entra::{application::EntraApplication, identity::LocalManagedIdentity},
        error::LocalError,
        keys::EMULATOR_ACCESS_KEY,
        listen::Certificate,
        mode::ServiceMode,
        running::LocalService,
        upstream::rule::UpstreamRule,
    },
    service::secret::Secret,
};

/// The largest hub message of a client.
const MAX_MESSAGE: usize = 1024 * 1024;

/// Describes a [`LocalService`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct LocalServiceBuilder {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) public_endpoint: Option<String>,
    pub(super) tls: Option<Certificate>,
    pub(super) origins: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) access_key: Secret,
    pub(super) secondary_access_key: Option<Secret>,
    pub(super) local_auth: bool,
    pub(super) applications: Vec<EntraApplication>,
    pub(super) identities: Vec<LocalManagedIdentity>,
    pub(super) service_identity: Option<LocalManagedIdentity>,
    pub(super) token_lifetime: Duration,
    pub(super) mode: ServiceMode,
    pub(super) upstream: Vec<Result<UpstreamRule, LocalError>>,
    pub(super) https: Option<Certificate>,
    pub(super) max_connections: usize,
    pub(super) options: ServerOptions,
    #[cfg(feature = "dashboard")]
    pub(super) dashboard: bool,
}

impl LocalService {
    /// Starts to describe a service; without further calls it has a free port and the emulator's key.
    pub fn builder() -> LocalServiceBuilder {
        LocalServiceBuilder {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            public_endpoint: None,
            tls: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            access_key: Secret::new(EMULATOR_ACCESS_KEY),
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
}

impl LocalServiceBuilder {
    /// The port to listen on. Default: any free port. The official emulator uses [`LocalService::EMULATOR_PORT`].
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The address to listen on. Default: 127.0.0.1. In a container it is `0.0.0.0` or `::`, which let in everything that can reach
    /// the container.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// What clients call the service, such as `http://signalr:8888` in a network of containers: what
    /// [`endpoint`](LocalService::endpoint) and the connection string say. Without it they have the address. Answers that
    /// contain the service's address use the one that the request was sent to.
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
    /// that end in `.localhost`, 127.0.0.0/8 and `[::1]`, with any port. Call it once for each. `null` lets in pages
    /// from files, those of Electron among them; sandboxed frames of any foreign page come in with them.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Lets the service be called by a name with dots, such as `signalr.default.svc.cluster.local`. Names without dots and
    /// addresses need not be allowed. Call it once for each.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Registers an application with the Entra authority. Call it once for each.
    pub fn application(mut self, application: EntraApplication) -> Self {
        self.applications.push(application);
        self
    }

    /// Gives the machine a managed identity. Call it once for each.
    pub fn managed_identity(mut self, identity: LocalManagedIdentity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Who answers clients. Default: [`ServiceMode::Serverless`].
    pub fn service_mode(mut self, mode: ServiceMode) -> Self {
        self.mode = mode;
        self
    }

    /// Listens on another port as well, any free one, over TLS. The Entra credentials of other languages need
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
    /// negotiate and when they connect. Default: as many as the machine can hold; the free tier of Azure has 20.
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

    /// Serves the [dashboard](crate::dashboard) at `/dashboard/`: who is connected, recent requests and their outcome,
    /// and a form to send messages. It shows the connection string, and has no login, so it is off at an
    /// [address](Self::address) that other machines reach, unless the access key is the public one of the emulator. Pages other
    /// than its own are refused. Default: no.
    #[cfg(feature = "dashboard")]
    pub fn dashboard(mut self, serves: bool) -> Self {
        self.dashboard = serves;
        self
    }

    /// The primary access key. Default: [`LocalService::EMULATOR_ACCESS_KEY`].
    pub fn access_key(mut self, key: impl Into<String>) -> Self {
        self.access_key = Secret::new(key);
        self
    }

    /// The secondary access key. Default: a random one.
    pub fn secondary_access_key(mut self, key: impl Into<String>) -> Self {
        self.secondary_access_key = Some(Secret::new(key));
        self
    }

    /// Whether access keys are good for anything. Default: yes. If not, only Microsoft Entra ID opens the service, as
    /// for a resource whose local authentication is disabled: requests, server connections and client tokens that an
    /// access key has signed are refused.
    pub fn local_auth(mut self, is_enabled: bool) -> Self {
        self.local_auth = is_enabled;
        self
    }

    /// Where to tell what clients do, whatever it is: a URL in which `{hub}`, `{category}` and `{event}` may stand, such as
    /// `http://localhost:7071/runtime/webhooks/signalr`. It is a [rule](Self::upstream_rule) that matches everything.
    pub fn upstream(mut self, url: impl Into<String>) -> Self {
        self.upstream.push(UpstreamRule::new(url));
        self
    }

    /// Where to tell some of what clients do. Without a rule nothing is told. It can be called for several, of which the
    /// first that matches is followed. Calls of one client are passed on one after the other, for up to 100 seconds each;
    /// [`UpstreamRouter`](crate::service::upstream::UpstreamRouter) takes them.
    pub fn upstream_rule(mut self, rule: UpstreamRule) -> Self {
        self.upstream.push(Ok(rule));
        self
    }

    /// Who the service itself is when it calls an upstream whose rule has a
    /// [managed identity](UpstreamRule::managed_identity). By default an identity of its own in the tenant of the first
    /// application; [`LocalService::service_identity`] says which.
    pub fn service_identity(mut self, identity: LocalManagedIdentity) -> Self {
        self.service_identity = Some(identity);
        self
    }
}

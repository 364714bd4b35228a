//! A target: where to connect, and with what.

use std::{env, sync::Arc, time::Duration};

use crate::{
    HubConnection, HubConnectionBuilder, HubProtocol, Transport,
    cli::{
        context::{
            named::{HeaderValue, Pair},
            options::TargetOptions,
        },
        failure::Failure,
    },
    core::{negotiate::Transports, token::AccessToken, url::HubUrl},
    platform,
    service::{
        ClientAccess, HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
        configuration::{Configuration, ConfigurationError, EndpointSettings},
        credentials::CredentialSettings,
        endpoints::EndpointRole,
        secret::Secret,
    },
};

const CONNECTION: &str = "AzureSignalRConnectionString";
const NO_SERVICE: &str = "set AzureSignalRConnectionString (and no quotes within the value), or give --connection-string env:NAME or \
                          --endpoint URL, or save them with `hubwire context add`";

/// Where a target is.
#[derive(Debug, Clone)]
pub(in crate::cli) enum Place {
    /// A hub by its URL, with all of its query.
    Hub(HubUrl),
    /// A hub of Azure SignalR Service, at the endpoint that clients go to.
    Service(HubClient),
}

/// Where to connect, and with what.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Target {
    place: Place,
    label: String,
    token: Option<Arc<Secret>>,
    headers: Vec<(String, String)>,
    transports: Transports,
    protocol: HubProtocol,
    user: Option<String>,
    claims: Vec<(String, String)>,
    root_certificate: Option<Vec<u8>>,
    insecure_http: bool,
    timeout: Duration,
}

impl Target {
    /// Reads whatever stands elsewhere. Nothing is sent yet.
    pub(in crate::cli) fn new(options: TargetOptions) -> Result<Self, Failure> {
        let (place, label) = place(&options)?;
        let token = match (&options.token, &place) {
            (Some(source), Place::Hub(_)) => Some(Arc::new(source.read()?)),
            (Some(_), Place::Service(_)) => {
                return Err(Failure::usage(
                    "--token is for a hub's URL: the token for a hub of the service is made here",
                )
                .advise("leave out --token, and say with --user and --claim what the token says"));
            }
            (None, _) => None,
        };
        if let (Place::Hub(_), true) = (&place, options.user.is_some() || !options.claims.is_empty()) {
            return Err(Failure::usage(
                "--user and --claim are for a token that is made here, of a hub of the service",
            )
            .advise("give --hub NAME instead of a URL, or a token with --token"));
        }
        let root_certificate = match &options.root_certificate {
            Some(path) => Some(read(path)?),
            None => None,
        };
        let transports = options.transport.iter().map(|&name| Transports::from(Transport::from(name)));
        Ok(Self {
            label,
            token,
            headers: options.headers.iter().map(HeaderValue::read).collect::<Result<_, _>>()?,
            transports: transports.reduce(|all, next| all | next).unwrap_or(Transports::ALL),
            protocol: options.protocol.map(HubProtocol::from).unwrap_or_default(),
            user: options.user,
            claims: options.claims.iter().map(Pair::read).collect::<Result<_, _>>()?,
            root_certificate,
            insecure_http: options.insecure_http,
            timeout: options.timeout.or_default(),
            place,
        })
    }

    pub(in crate::cli) fn place(&self) -> &Place {
        &self.place
    }

    /// What people call it: its URL without the query, or the hub and its service.
    pub(in crate::cli) fn label(&self) -> &str {
        &self.label
    }

    /// The headers of every request.
    pub(in crate::cli) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The transports that are allowed.
    pub(in crate::cli) fn transports(&self) -> Transports {
        self.transports
    }

    pub(in crate::cli) fn protocol(&self) -> HubProtocol {
        self.protocol
    }

    /// How long each step of connecting, and each request, may take.
    pub(in crate::cli) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A PEM text of certificates to trust besides those of the system.
    pub(in crate::cli) fn root_certificate(&self) -> Option<&[u8]> {
        self.root_certificate.as_deref()
    }

    /// What a client token that is made here says.
    pub(in crate::cli) fn client(&self) -> NegotiateOptions {
        let client = self.user.as_ref().map_or_else(NegotiateOptions::anonymous, NegotiateOptions::for_user);
        self.claims.iter().fold(client, |client, (name, value)| client.claim(name, value))
    }

    /// Where a client begins, and with which token: the hub's URL, or the service's address with a token made here.
    pub(in crate::cli) async fn start(&self) -> Result<(HubUrl, Option<AccessToken>), Failure> {
        let hub = match &self.place {
            Place::Hub(url) => {
                return Ok((url.clone(), self.token.as_ref().map(|token| AccessToken::from(token.expose()))));
            }
            Place::Service(hub) => hub,
        };
        let ClientAccess { url, access_token, .. } = obtained(hub.negotiate(self.client()).await)?;
        Ok((HubUrl::parse(&url)?, Some(AccessToken::from(access_token))))
    }

    /// A client token of the service that is made here.
    pub(in crate::cli) async fn access(&self, lifetime: Duration) -> Result<ClientAccess, Failure> {
        match &self.place {
            Place::Hub(_) => Err(Failure::usage("only the service's own tokens can be made here")
                .advise("give --hub NAME, and the service's connection string in the environment or by --connection-string")),
            Place::Service(hub) => obtained(hub.negotiate(self.client().lifetime(lifetime)).await),
        }
    }

    /// Whether plain http may be used at this URL.
    pub(in crate::cli) fn check_scheme(&self, url: &HubUrl) -> Result<(), Failure> {
        // That of a service was checked with the endpoint.
        if url.is_https()
            || url.is_loopback()
            || self.insecure_http
            || matches!(self.place, Place::Service(_))
        {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "{url} is plain http to another machine: tokens and messages could be read on the way"
        ))
        .advise("take https, or give --insecure-http where that does not matter"))
    }

    /// A connection to the target that is not started yet. With a hub of the service, each start gets a new token.
    pub(in crate::cli) async fn connection(&self) -> Result<HubConnectionBuilder, Failure> {
        let (url, _) = self.start().await?;
        self.check_scheme(&url)?;
        let mut builder = HubConnection::builder(url.to_text())
            .with_transports(self.transports)
            .with_protocol(self.protocol)
            .with_handshake_timeout(self.timeout)
            .with_request_timeout(self.timeout)
            .with_insecure_http(true);
        for (name, value) in &self.headers {
            builder = builder.with_header(name, value);
        }
        if let Some(pem) = &self.root_certificate {
            builder = builder.with_root_certificate(pem);
        }
        Ok(match (&self.place, &self.token) {
            (Place::Service(hub), _) => {
                let (hub, client) = (hub.clone(), self.client());
                builder.with_access_token(move || {
                    let (hub, client) = (hub.clone(), client.clone());
                    async move { hub.negotiate(client).await.map(|access| access.access_token) }
                })
            }
            (Place::Hub(_), Some(token)) => {
                let token = Arc::clone(token);
                builder.with_access_token(move || {
                    let token = token.expose().to_owned();
                    async move { Ok::<_, std::convert::Infallible>(token) }
                })
            }
            (Place::Hub(_), None) => builder,
        })
    }
}

fn obtained(access: Result<ClientAccess, ServiceError>) -> Result<ClientAccess, Failure> {
    access.map_err(|error| {
        Failure::new("a client token could not be obtained")
            .because(error)
            .advise("`hubwire doctor` goes through the setup step by step")
    })
}

fn place(options: &TargetOptions) -> Result<(Place, String), Failure> {
    if let Some(url) = &options.url {
        if options.hub.is_some() || options.connection_string.is_some() || options.endpoint.is_some() {
            return Err(Failure::usage("both a hub's URL and a service are given")
                .advise("leave out the URL, or --hub, --connection-string and --endpoint"));
        }
        let url = parse(url)?;
        let mut full = url.clone();
        for parameter in &options.query {
            let (name, value) = parameter.read()?;
            full = full.with_query_parameter(&name, &value);
        }
        return Ok((Place::Hub(full), url.to_string()));
    }
    let Some(name) = &options.hub else {
        return Err(Failure::usage("it is not said which hub is meant").advise(
            "give its URL such as https://example.com/chat, or --hub NAME for one of Azure SignalR Service, or save one with \
             `hubwire context add`",
        ));
    };
    let configuration = configuration(options)?;
    let endpoints = described(options, &configuration)?;
    let settings = clients_endpoint(&endpoints).ok_or_else(|| no_service(options))?.clone();
    let label = format!("hub {name} of {}", settings.endpoint());
    let limit = options.timeout.or_default();
    let builder = ServiceClient::builder().timeout(limit).credential_timeout(limit);
    let endpoint = ServiceEndpoint::try_from(settings).map_err(|error| of_endpoint(options, error.into()))?;
    let mut builder = builder.endpoint(endpoint);
    if let Some(application) = &options.application_name {
        builder = builder.application_name(application);
    }
    if let Some(path) = &options.root_certificate {
        builder = builder.root_certificate(read(path)?);
    }
    Ok((Place::Service(named_hub(&builder.build()?, name)?), label))
}

/// A hub of the service by its name.
pub(in crate::cli) fn named_hub(service: &ServiceClient, name: &str) -> Result<HubClient, Failure> {
    service.hub(name).map_err(|error| Failure::from(error).of_usage())
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))
}

fn parse(url: &str) -> Result<HubUrl, Failure> {
    platform::absolute_url(url).map_err(|error| {
        let failure = Failure::usage("the hub's URL cannot be used").because(error);
        if url.contains("://") {
            failure
        } else {
            failure.advise("write it in full, such as https://example.com/chat")
        }
    })
}

/// Clients go to one endpoint: the first primary one.
fn clients_endpoint(all: &[EndpointSettings]) -> Option<&EndpointSettings> {
    all.iter().find(|settings| settings.role() == EndpointRole::Primary)
}

/// The endpoints of the settings.
fn described(
    options: &TargetOptions,
    configuration: &Configuration,
) -> Result<Vec<EndpointSettings>, Failure> {
    configuration.endpoints().map_err(|error| match error {
        ConfigurationError::NoConnection { .. } => match unreadable_variable() {
            Some(failure) => failure,
            None => Failure::from(error).advise(NO_SERVICE),
        },
        error => of_endpoint(options, error.into()),
    })
}

/// A failure that wrong usage is to blame for, where a flag names the endpoint.
fn of_endpoint(options: &TargetOptions, failure: Failure) -> Failure {
    if options.endpoint.is_none() {
        return failure;
    }
    Failure::usage(failure.message().replace(&format!("the setting {CONNECTION}:serviceUri"), "--endpoint"))
}

/// A variable of the service whose value is no text is as good as none to the settings.
fn unreadable_variable() -> Option<Failure> {
    let (name, _) = env::vars_os().find(|(name, value)| {
        let is_of_service =
            name.to_str().is_some_and(|name| name.to_lowercase().contains(&CONNECTION.to_lowercase()));
        is_of_service && value.to_str().is_none()
    })?;
    Some(
        Failure::usage(format!("the environment variable {} is not UTF-8", name.display()))
            .advise("set it to the connection string of the service as it is in the portal"),
    )
}

fn no_service(options: &TargetOptions) -> Failure {
    match &options.connection_string {
        Some(source) => Failure::new(format!("{source} has no connection string of a primary endpoint")),
        None => Failure::new("no connection string and no endpoint of Azure SignalR Service is set")
            .advise(NO_SERVICE),
    }
}

/// The settings of the service: of the environment, or what the options say together with the identity in the environment.
fn configuration(options: &TargetOptions) -> Result<Configuration, Failure> {
    let identity = || {
        let of_identity = |name: &str| {
            let name = name.to_ascii_lowercase();
            (name.starts_with("azure_") && !name.starts_with("azure__")) || name.starts_with("hubwire_")
        };
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Configuration::new().variables(variables.filter(|(name, _)| of_identity(name)))
    };
    Ok(match (&options.connection_string, &options.endpoint) {
        (Some(source), _) => identity().set(CONNECTION, source.read()?.expose()),
        (None, Some(endpoint)) => identity().set(format!("{CONNECTION}:serviceUri"), endpoint),
        (None, None) => Configuration::from_environment(),
    })
}

/// The endpoint of a target that clients go to, and its access key if that is how it is used.
pub(in crate::cli) fn endpoint_and_key(options: &TargetOptions) -> Result<(String, Option<Secret>), Failure> {
    let endpoints = described(options, &configuration(options)?)?;
    let settings = clients_endpoint(&endpoints).ok_or_else(|| no_service(options))?;
    let key = match settings.credential() {
        CredentialSettings::AccessKey(key) => Some(Secret::new(key.secret())),
        _ => None,
    };
    Ok((settings.endpoint(), key))
}

/// The service of a target, at all of its endpoints: to publish, and to check.
pub(in crate::cli) fn service(options: &TargetOptions) -> Result<ServiceClient, Failure> {
    let configuration = configuration(options)?;
    if described(options, &configuration)?.is_empty() {
        return Err(no_service(options));
    }
    let limit = options.timeout.or_default();
    let builder = ServiceClient::builder().timeout(limit).credential_timeout(limit);
    // It may have a limit of its own, which a flag changes.
    let mut builder =
        builder.configuration(&configuration).map_err(|error| of_endpoint(options, error.into()))?;
    if let Some(limit) = options.timeout.given() {
        builder = builder.timeout(limit);
    }
    if let Some(application) = &options.application_name {
        builder = builder.application_name(application);
    }
    if let Some(path) = &options.root_certificate {
        builder = builder.root_certificate(read(path)?);
    }
    Ok(builder.build()?)
}

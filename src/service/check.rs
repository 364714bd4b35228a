//! What is wrong with a configuration, in plain words.
//!
//! For every endpoint:
//!
//! 1. configuration: what is most likely a mistake in the connection string;
//! 2. health: is there an Azure SignalR Service, does it let this machine in, do the clocks agree;
//! 3. token: does the credential give one, and for the right audience;
//! 4. access key: may it be exchanged for one;
//! 5. REST API: may messages be sent (to a group that nobody is in);
//! 6. negotiation: does a client get in with what it is given.

use std::{fmt, time::Duration};

use futures_util::future::join_all;
use reqwest::{Client, Method, Response, StatusCode, header};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    access_key::SigningKeys,
    client::{ServiceClient, Shared},
    connection_string::ConnectionStringWarning,
    error::{CredentialError, Operation, ServiceError},
    jwt,
    negotiate::{self, NegotiateOptions},
    payload::Payload,
    random,
    rest::{self, API_VERSION, RestCredential},
    unix_now,
};

/// One step. Each is a request or two.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// Tokens are valid from the second they are made, so a clock that is ahead is noticed early.
const TOLERATED_SKEW: u64 = 60;
const AUDIENCE: &str = "https://signalr.azure.com";
const HUB: &str = "hubwire_check";

/// What [`ServiceClient::check`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckStep {
    /// Whether the connection string says what is most likely not meant. It is there only if it does.
    Configuration,
    /// Whether the service answers at all, and whether the clocks agree.
    Health,
    /// Whether the credential gives an Entra token.
    Token,
    /// Whether the Entra token can be exchanged for an access key.
    AccessKey,
    /// Whether messages can be sent.
    RestApi,
    /// Whether a client gets access, and gets in with it.
    Negotiation,
}

impl fmt::Display for CheckStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Health => "health",
            Self::Token => "Entra token",
            Self::AccessKey => "access key",
            Self::RestApi => "REST API",
            Self::Negotiation => "negotiation",
        })
    }
}

/// What is wrong, and in its text how to mend it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CheckProblem {
    /// The connection string says what is most likely not meant.
    #[error("in the connection string, {0}")]
    ConnectionString(#[source] ConnectionStringWarning),
    /// Nobody answers at the address.
    #[error(
        "the service cannot be reached: {0}. Check the endpoint's address, DNS, and firewall and proxy settings"
    )]
    Unreachable(#[source] ServiceError),
    /// Somebody answers who is no Azure SignalR Service.
    #[error(
        "what answers is not Azure SignalR Service (status {status}). Check the endpoint's address, which looks like \
         https://NAME.service.signalr.net, and a reverse proxy's path"
    )]
    NotTheService {
        /// The status of its answer.
        status: u16,
    },
    /// The service is there and not well.
    #[error(
        "the service says that it is not well (status {status}). Try again in a few minutes; if it stays so, see \
         Resource health in the portal"
    )]
    Unhealthy {
        /// The status of its answer.
        status: u16,
    },
    /// The network access control of the resource keeps this machine out.
    #[error(
        "the network access control of the resource does not let this machine in. Allow the traffic kinds \"REST API\" \
         and \"Client connection\" for the public endpoint under Networking in the portal, or go through the private \
         endpoint; the exchange for an access key counts as REST API"
    )]
    NetworkRule,
    /// The clocks of this machine and of the service are apart.
    #[error(
        "the clock of this machine is {seconds} seconds {} that of the service, so tokens are not valid yet or not \
         any more. Synchronize it (NTP)",
        .ahead.then_some("ahead of").unwrap_or("behind")
    )]
    ClockSkew {
        /// How far they are apart.
        seconds: u64,
        /// Whether this machine's is the later one.
        ahead: bool,
    },
    /// The credential gives no Entra token; the text says what is wrong with it.
    #[error("the credential gives no token: {0}")]
    Credential(#[source] CredentialError),
    /// The Entra token is for something else than Azure SignalR Service.
    #[error(
        "the token is for {audience}, not for https://signalr.azure.com. Set the scope to \
         https://signalr.azure.com/.default"
    )]
    Audience {
        /// Its audience.
        audience: String,
    },
    /// The service does not accept a token that Entra has given.
    #[error(
        "the service does not accept the token of tenant {tenant}. The resource most likely belongs to another \
         tenant: ask that tenant for the token, with an application that is registered or consented there"
    )]
    TenantMismatch {
        /// The tenant that the token is of.
        tenant: String,
    },
    /// The service does not accept the access key.
    #[error(
        "the service does not accept the access key. Either the key is not the present one (take it from Keys in the \
         portal), or local authentication is disabled for the resource (disableLocalAuth); then use Microsoft Entra"
    )]
    KeyRefused,
    /// A role is missing.
    #[error(
        "{operation} is not allowed. Assign the role \"{}\" or \"{}\" on the SignalR resource to {identity}; an \
         assignment takes up to 30 minutes to work, and Owner or Contributor of the subscription are of no use here",
        .operation.roles()[0], .operation.roles()[1]
    )]
    MissingRole {
        /// What is not allowed.
        operation: Operation,
        /// Who it is not allowed to: the application or the identity, as the token names it.
        identity: String,
    },
    /// The service does not let a client in that has a good token.
    #[error(
        "clients are refused with status {status} at {url}. Behind a reverse proxy, it must pass on /client/ with \
         the query, the Authorization header and WebSockets"
    )]
    ClientRefused {
        /// The status.
        status: u16,
        /// Where clients go.
        url: String,
    },
    /// The resource has as many connections as it takes.
    #[error(
        "the resource takes no more connections (status 429). Add units, or another endpoint: a free resource takes \
         20, others 1 000 for each unit, those of servers included"
    )]
    TooManyConnections,
    /// The step took too long.
    #[error("there was no answer within {} seconds. Try again, and check network and proxy settings", .after.as_secs())]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// Something else; the text says what.
    #[error("{0}")]
    Other(#[source] ServiceError),
}

/// How a step went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// Well; with what was found.
    Passed(String),
    /// Not as it could, but it works: there is another way, which the negotiation took, or it is a warning.
    Limited(CheckProblem),
    /// Not at all.
    Failed(CheckProblem),
}

/// What [`ServiceClient::check`] has found. Its `Display` is a line for every step; it holds no secrets.
#[derive(Debug, Clone)]
pub struct CheckReport {
    endpoints: Vec<EndpointReport>,
}

impl CheckReport {
    /// Whether clients can connect and messages can be sent, at every endpoint.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems().next().is_none()
    }

    /// What was found at each endpoint.
    #[must_use]
    pub fn endpoints(&self) -> &[EndpointReport] {
        &self.endpoints
    }

    /// What is wrong, at each endpoint the cause before its consequences.
    pub fn problems(&self) -> impl Iterator<Item = &CheckProblem> {
        self.endpoints.iter().flat_map(EndpointReport::problems)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, report) in self.endpoints.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{report}")?;
        }
        Ok(())
    }
}

/// What [`ServiceClient::check`] has found at one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointReport {
    endpoint: String,
    findings: Vec<(CheckStep, CheckOutcome)>,
}

impl EndpointReport {
    /// The endpoint's name, if it has one, and its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The steps that were taken, in order. What cannot work after a failure is left out.
    pub fn findings(&self) -> impl Iterator<Item = (CheckStep, &CheckOutcome)> {
        self.findings.iter().map(|(step, outcome)| (*step, outcome))
    }

    /// What is wrong, the cause before its consequences.
    pub fn problems(&self) -> impl Iterator<Item = &CheckProblem> {
        self.findings.iter().filter_map(|(_, outcome)| match outcome {
            CheckOutcome::Failed(problem) => Some(problem),
            _ => None,
        })
    }

    fn add(&mut self, step: CheckStep, result: Result<String, CheckProblem>) -> bool {
        let outcome = result.map_or_else(CheckOutcome::Failed, CheckOutcome::Passed);
        let passed = matches!(outcome, CheckOutcome::Passed(_));
        self.findings.push((step, outcome));
        passed
    }
}

impl fmt::Display for EndpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint)?;
        for (step, outcome) in &self.findings {
            match outcome {
                CheckOutcome::Passed(found) => write!(f, "\n  ok       {step}: {found}")?,
                CheckOutcome::Limited(problem) => write!(f, "\n  limited  {step}: {problem}")?,
                CheckOutcome::Failed(problem) => write!(f, "\n  problem  {step}: {problem}")?,
            }
        }
        Ok(())
    }
}

impl ServiceClient {
    /// Goes the whole way once, at every endpoint, from the address to a client's negotiation, and says what does not
    /// work and how to mend it. Nothing is changed; one message goes to a group that nobody is in. Each step takes 20 seconds at most.
    ///
    /// Source of what roles allow: [Azure built-in roles](https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/web-and-mobile).
    ///
    /// ```no_run
    /// # async fn example(service: hubwire::service::ServiceClient) {
    /// let report = service.check().await;
    /// if !report.is_ok() {
    ///     eprintln!("{report}");
    /// }
    /// # }
    /// ```
    pub async fn check(&self) -> CheckReport {
        let all = self.0.endpoints.all();
        CheckReport { endpoints: join_all(all.iter().map(|shared| check(shared))).await }
    }
}

async fn check(shared: &Shared) -> EndpointReport {
    let warnings = shared.endpoint.warnings().iter().cloned().map(|warning| {
        (CheckStep::Configuration, CheckOutcome::Limited(CheckProblem::ConnectionString(warning)))
    });
    let mut report = EndpointReport { endpoint: shared.endpoint.label(), findings: warnings.collect() };
    if !report.add(CheckStep::Health, step(health(shared)).await) {
        return report;
    }
    let mut identity = Identity::default();
    if let RestCredential::Entra(_) = &shared.rest.credential {
        let token = step(token(shared)).await.map(|found| {
            identity = found;
            format!("{identity} of tenant {}", identity.tenant)
        });
        if !report.add(CheckStep::Token, token) {
            return report;
        }
    }
    let explain = |error: ServiceError| identity.explain(error);
    if let SigningKeys::Exchanged(keys) = &shared.keys {
        let key = step(async { keys.current().await.map_err(explain) }).await;
        report.add(CheckStep::AccessKey, key.map(|_| "the token was exchanged for one".to_owned()));
    }
    report.add(CheckStep::RestApi, step(send(shared, &explain)).await);
    let negotiated = report.add(CheckStep::Negotiation, step(negotiated(shared, &explain)).await);
    if negotiated {
        for (step, outcome) in &mut report.findings {
            if *step == CheckStep::AccessKey
                && let CheckOutcome::Failed(problem) = outcome
            {
                *outcome = CheckOutcome::Limited(problem.clone());
            }
        }
    }
    report
}

async fn step<T>(work: impl Future<Output = Result<T, CheckProblem>>) -> Result<T, CheckProblem> {
    timeout(STEP_TIMEOUT, work).await.unwrap_or(Err(CheckProblem::Timeout { after: STEP_TIMEOUT }))
}

/// The identity that a token is of.
#[derive(Debug, Default)]
struct Identity {
    /// Empty with an access key.
    tenant: String,
    client_id: String,
    object_id: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.client_id.as_str(), self.object_id.as_str()) {
            ("", "") => f.write_str("the identity of the credential"),
            (client, "") => write!(f, "the application {client}"),
            ("", object) => write!(f, "the identity with the object id {object}"),
            (client, object) => write!(f, "the application {client} (object id {object})"),
        }
    }
}

impl Identity {
    /// The problem behind an error of a call that was authenticated.
    fn explain(&self, error: ServiceError) -> CheckProblem {
        match error {
            ServiceError::Unauthorized(_) if self.tenant.is_empty() => CheckProblem::KeyRefused,
            ServiceError::Unauthorized(_) => CheckProblem::TenantMismatch { tenant: self.tenant.clone() },
            ServiceError::Forbidden(_) if self.tenant.is_empty() => CheckProblem::NetworkRule,
            ServiceError::Forbidden(refusal) => {
                CheckProblem::MissingRole { operation: refusal.operation(), identity: self.to_string() }
            }
            ServiceError::NotFound(refusal) => CheckProblem::NotTheService { status: refusal.status() },
            ServiceError::Credential(error) => CheckProblem::Credential(error),
            error @ ServiceError::Connection { .. } => CheckProblem::Unreachable(error),
            error => CheckProblem::Other(error),
        }
    }
}

/// Health needs no token, so a 403 has to do with the network.
async fn health(shared: &Shared) -> Result<String, CheckProblem> {
    let url = format!("{}api/health?api-version={API_VERSION}", shared.endpoint.server_base());
    let response = request(&shared.rest.client, Method::HEAD, &url, None).await?;
    match response.status().as_u16() {
        200..300 => {}
        401 | 403 => return Err(CheckProblem::NetworkRule),
        status @ 500.. => return Err(CheckProblem::Unhealthy { status }),
        status => return Err(CheckProblem::NotTheService { status }),
    }
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| azure_core::time::parse_rfc7231(date).ok());
    if let Some(theirs) = theirs.and_then(|time| u64::try_from(time.unix_timestamp()).ok()) {
        let ours = unix_now();
        if ours.abs_diff(theirs) > TOLERATED_SKEW {
            return Err(CheckProblem::ClockSkew { seconds: ours.abs_diff(theirs), ahead: ours > theirs });
        }
    }
    Ok("the service answers".to_owned())
}

async fn token(shared: &Shared) -> Result<Identity, CheckProblem> {
    let RestCredential::Entra(tokens) = &shared.rest.credential else { return Ok(Identity::default()) };
    let token = tokens.lease().await.map_err(|error| Identity::default().explain(error))?;
    // Tokens are not ours to look into; where one cannot be read, the service will say what it thinks of it.
    let claims = jwt::parts(token.value.expose()).map(|(_, _, claims, _)| claims).unwrap_or_default();
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let audience = claim("aud");
    if !audience.is_empty() && audience.trim_end_matches('/') != AUDIENCE {
        return Err(CheckProblem::Audience { audience });
    }
    let or = |first: String, second: String| if first.is_empty() { second } else { first };
    Ok(Identity {
        tenant: or(claim("tid"), "(not named)".to_owned()),
        client_id: or(claim("appid"), claim("azp")),
        object_id: claim("oid"),
    })
}

/// Sends a message where nobody hears it.
async fn send(
    shared: &Shared,
    explain: &impl Fn(ServiceError) -> CheckProblem,
) -> Result<String, CheckProblem> {
    let path = format!("api/hubs/{HUB}/groups/check-{:016x}/:send", random::number());
    let message = Payload::json_call("check", ()).map_err(explain)?;
    let request = rest::Request::new(Operation::Send, Method::POST, path).payload(message);
    shared.rest.call(&request).await.map(|_| "a message was accepted".to_owned()).map_err(explain)
}

/// Gets access as a negotiate endpoint does, and asks the service as a client does.
async fn negotiated(
    shared: &Shared,
    explain: &impl Fn(ServiceError) -> CheckProblem,
) -> Result<String, CheckProblem> {
    let options = NegotiateOptions::anonymous().lifetime(Duration::from_secs(60));
    let access = negotiate::negotiate(shared, HUB, &options).await.map_err(explain)?;
    let (base, query) = access.url.split_once('?').unwrap_or((&access.url, ""));
    let url = format!("{base}negotiate?{query}&negotiateVersion=1");
    let response = request(&shared.rest.client, Method::POST, &url, Some(&access.access_token)).await?;
    match response.status() {
        StatusCode::OK => Ok("a client gets in".to_owned()),
        StatusCode::UNAUTHORIZED if matches!(shared.keys, SigningKeys::Fixed(_)) => {
            Err(CheckProblem::KeyRefused)
        }
        // The token is good, and REST requests were let in.
        StatusCode::FORBIDDEN if !shared.endpoint.has_client_endpoint() => Err(CheckProblem::NetworkRule),
        StatusCode::TOO_MANY_REQUESTS => Err(CheckProblem::TooManyConnections),
        status => Err(CheckProblem::ClientRefused { status: status.as_u16(), url: base.to_owned() }),
    }
}

async fn request(
    client: &Client,
    method: Method,
    url: &str,
    token: Option<&str>,
) -> Result<Response, CheckProblem> {
    let mut request = client.request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.map_err(|error| {
        let source = std::sync::Arc::new(error.without_url());
        CheckProblem::Unreachable(ServiceError::Connection { operation: Operation::CheckHealth, source })
    })
}

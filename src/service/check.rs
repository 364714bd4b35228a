//! What is wrong with a setup, and how to fix it. [`ServiceClient::check`] gives a [`CheckReport`].
//!
//! For every endpoint:
//!
//! 1. configuration: what is most likely a mistake in the connection string;
//! 2. health: is it Azure SignalR Service, does it accept requests of this machine, do the clocks agree;
//! 3. token: does the credential give one, for the right audience;
//! 4. access key: can the token be exchanged for one;
//! 5. REST API: may messages be sent (to an empty group);
//! 6. negotiation: can a client connect with what it is given.
//!
//! A reverse proxy may pass on no more than is needed: the hubs' own paths and those of clients. What it keeps back is a
//! limit, and no fault, if messages are accepted and clients get in.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::{Client, Method, Response, StatusCode, header};
use serde_json::Value;

use crate::core::{Cause, ErrorChain};
use crate::service::{
    client::ServiceClient,
    clock::unix_now,
    connection_string::ConnectionStringWarning,
    credentials::{credential::DEFAULT_SCOPE, error::CredentialError},
    endpoints::connected::ConnectedEndpoint,
    error::{Operation, ServiceError},
    http::body::{read_body, within},
    hub::negotiation,
    jwt::Token,
    negotiate::options::NegotiateOptions,
    random,
    rest::{
        exchange::is_page,
        keys::SigningKeys,
        payload::Payload,
        request::{Request, RestCredential},
        scope::Scope,
    },
};

/// One step, unless the client's own limit is shorter. Each is a request or two.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// Tokens are valid from the second they are made, so a clock that is ahead is noticed early.
const TOLERATED_SKEW: u64 = 60;
const MAX_ANSWER: usize = 64 * 1024;
const HUB: &str = "hubwire_check";
const HEALTH: &str = "/api/health";
const EXCHANGE: &str = "/api/v1/auth/accessKey";

/// What [`ServiceClient::check`] checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckStep {
    /// Whether there is a likely mistake in the connection string. The step is left out if there is none.
    Configuration,
    /// Whether the service answers, and whether the clocks agree.
    Health,
    /// Whether the credential gives an Entra token.
    Token,
    /// Whether the Entra token can be exchanged for an access key.
    AccessKey,
    /// Whether messages can be sent.
    RestApi,
    /// Whether a client gets access, and can connect with it.
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

/// What is wrong. The text says how to fix it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CheckProblem {
    /// There is a likely mistake in the connection string.
    #[error("there is a likely mistake in the connection string")]
    ConnectionString(#[source] ConnectionStringWarning),
    /// The address does not answer.
    #[error(
        "the service cannot be reached; check the endpoint's address, DNS, and firewall and proxy settings"
    )]
    Unreachable(#[source] ServiceError),
    /// The endpoint is not Azure SignalR Service.
    #[error(
        "the endpoint is not Azure SignalR Service (status {status}). Check its address, which has the form \
         https://NAME.service.signalr.net, and a reverse proxy's path"
    )]
    NotTheService {
        /// The status of its answer.
        status: u16,
    },
    /// The service is not healthy.
    #[error(
        "the service reports that it is not healthy (status {status}). Try again in a few minutes; if this persists, see \
         Resource health in the portal"
    )]
    Unhealthy {
        /// The status of its answer.
        status: u16,
    },
    /// The network access control of the resource refuses this machine.
    #[error(
        "the network access control of the resource refuses this machine. Allow the traffic kinds \"REST API\" \
         and \"Client connection\" for the public endpoint under Networking in the portal, or use the private \
         endpoint; the exchange for an access key counts as REST API"
    )]
    NetworkRule,
    /// The clocks of this machine and of the service are apart.
    #[error(
        "the clock of this machine is {seconds} seconds {} that of the service, so tokens are not valid yet or no \
         longer valid. Synchronize it (NTP)",
        .ahead.then_some("ahead of").unwrap_or("behind")
    )]
    ClockSkew {
        /// How far they are apart.
        seconds: u64,
        /// Whether this machine's is the later one.
        ahead: bool,
    },
    /// The credential gives no Entra token; the text says what is wrong with it.
    #[error("the credential gives no token")]
    Credential(#[source] CredentialError),
    /// Something on the way does not pass a path on that the service has. The rest works.
    #[error(
        "{path} is answered with status {status} and not by the service, although messages are accepted and clients can \
         connect: most likely a reverse proxy does not pass it on. {}",
        without(.path)
    )]
    NotPassedOn {
        /// The path.
        path: &'static str,
        /// The status of the answer.
        status: u16,
    },
    /// The Entra token is for something else than the endpoint's scope names.
    #[error(
        "the token is for {audience}, not for {expected}. The credential has to ask for the scope {expected}/.default"
    )]
    Audience {
        /// Its audience.
        audience: String,
        /// What the scope names: `https://signalr.azure.com`, unless another one was set.
        expected: String,
    },
    /// The service does not accept a token that Entra has given.
    #[error(
        "the service does not accept the token of tenant {tenant}. The resource most likely belongs to another \
         tenant: ask that tenant for the token, with an application that is registered or consented there. If a scope \
         was set, try without it"
    )]
    TenantMismatch {
        /// The tenant that the token is of.
        tenant: String,
    },
    /// The service does not accept the access key.
    #[error(
        "the service does not accept the access key. Either the key is not the current one (take it from Keys in the \
         portal), or local authentication is disabled for the resource (disableLocalAuth); then use Microsoft Entra"
    )]
    KeyRefused,
    /// A role is missing.
    #[error(
        "{operation} is not allowed. Assign the role \"{}\" or \"{}\" on the SignalR resource to {identity}; an \
         assignment takes up to 30 minutes to work, and Owner or Contributor of the subscription do not include it",
        .operation.roles()[0], .operation.roles()[1]
    )]
    MissingRole {
        /// What is not allowed.
        operation: Operation,
        /// Who it is not allowed to: the application or the identity, as the token names it.
        identity: String,
    },
    /// The service refuses a client that has a valid token, or something else answers in its place.
    #[error(
        "clients do not get in: their negotiation at {url} is refused, or not answered by the service (status \
         {status}). Behind a reverse proxy, it must pass on /client/ with the query, the Authorization header and \
         WebSockets"
    )]
    ClientRefused {
        /// The status.
        status: u16,
        /// Where clients go.
        url: String,
    },
    /// The resource has reached its limit of connections.
    #[error(
        "the resource has reached its limit of connections (status 429). Add units, or another endpoint: the limit is \
         20 for a free resource, else 1 000 for each unit, connections of servers included"
    )]
    TooManyConnections,
    /// The step took too long.
    #[error("there was no answer within {after:?}. Try again, and check network and proxy settings")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// Something else; the text says what.
    #[error(transparent)]
    Other(ServiceError),
}

/// What does not work where a path is not passed on, and what to do.
fn without(path: &str) -> &'static str {
    match path {
        HEALTH => {
            "Let it pass on HEAD requests: among several endpoints, one whose health is not known is taken for offline"
        }
        _ => {
            "Let it pass on GET requests: until then, clients get tokens that the service makes, without claims and \
             options of their own"
        }
    }
}

/// How a step went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// It works; with what was found.
    Passed(String),
    /// It works, but not as it could: the negotiation took another way, or it is a warning.
    Limited(CheckProblem),
    /// It does not work.
    Failed(CheckProblem),
}

/// A step that was taken, and how it went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckFinding {
    /// The step.
    pub step: CheckStep,
    /// How it went.
    pub outcome: CheckOutcome,
    /// How long it took.
    pub took: Duration,
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
            write!(f, "{}{report}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// What [`ServiceClient::check`] has found at one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointReport {
    endpoint: String,
    findings: Vec<CheckFinding>,
}

impl EndpointReport {
    /// The endpoint's name, if it has one, and its address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The steps that were taken, in order. Steps that cannot work after a failure are left out.
    #[must_use]
    pub fn findings(&self) -> &[CheckFinding] {
        &self.findings
    }

    /// What is wrong, the cause before its consequences.
    pub fn problems(&self) -> impl Iterator<Item = &CheckProblem> {
        self.findings.iter().filter_map(|finding| match &finding.outcome {
            CheckOutcome::Failed(problem) => Some(problem),
            _ => None,
        })
    }

    fn add(&mut self, step: CheckStep, (result, took): (Result<String, CheckProblem>, Duration)) -> bool {
        let outcome = result.map_or_else(CheckOutcome::Failed, CheckOutcome::Passed);
        let passed = matches!(outcome, CheckOutcome::Passed(_));
        self.findings.push(CheckFinding { step, outcome, took });
        passed
    }
}

impl fmt::Display for EndpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint)?;
        for CheckFinding { step, outcome, .. } in &self.findings {
            match outcome {
                CheckOutcome::Passed(found) => write!(f, "\n  ok       {step}: {found}")?,
                CheckOutcome::Limited(problem) => {
                    write!(f, "\n  limited  {step}: {}", ErrorChain::new(problem))?
                }
                CheckOutcome::Failed(problem) => {
                    write!(f, "\n  problem  {step}: {}", ErrorChain::new(problem))?
                }
            }
        }
        Ok(())
    }
}

impl ServiceClient {
    /// Tries every step once, at every endpoint, from the address to a client's negotiation, and says what does not
    /// work and how to fix it. Nothing is changed; one message goes to an empty group. Each step takes 20 seconds at
    /// most, or as long as a request may take ([`timeout`](crate::service::ServiceClientBuilder::timeout)) if that is less. What a reverse proxy keeps back although nobody needs it is a limit in the report, and no problem.
    ///
    /// [The guide](crate::service::entra_guide#6-check-the-setup) has a cure for everything that it may say.
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
        let all = self.connected();
        CheckReport { endpoints: join_all(all.iter().map(|shared| check(shared))).await }
    }
}

async fn check(shared: &ConnectedEndpoint) -> EndpointReport {
    let limit = shared.rest.timeout.min(STEP_TIMEOUT);
    let warnings = shared.endpoint.warnings().iter().cloned().map(|warning| CheckFinding {
        step: CheckStep::Configuration,
        outcome: CheckOutcome::Limited(CheckProblem::ConnectionString(warning)),
        took: Duration::ZERO,
    });
    let mut report = EndpointReport { endpoint: shared.endpoint.label(), findings: warnings.collect() };
    // Without the service's own answer nothing is decided yet.
    let (health, took) = step(limit, health(shared)).await;
    let (health, hidden) = match health {
        Ok(Health::Well) => (Ok("the service answers".to_owned()), None),
        Ok(Health::Hidden { status, problem }) => (Err(problem), Some(status)),
        Err(problem) => (Err(problem), None),
    };
    if !report.add(CheckStep::Health, (health, took)) && hidden.is_none() {
        return report;
    }
    let mut identity = Identity::default();
    if let RestCredential::Entra(_) = &shared.rest.credential {
        let (token, took) = step(limit, token(shared)).await;
        let token = token.map(|found| {
            identity = found;
            format!("{identity} of tenant {}", identity.tenant)
        });
        if !report.add(CheckStep::Token, (token, took)) {
            return report;
        }
    }
    let explain = |error: ServiceError| identity.explain(error);
    if let SigningKeys::Exchanged(keys) = &shared.keys {
        let (key, took) = step(limit, async { keys.current().await.map_err(explain) }).await;
        report.add(CheckStep::AccessKey, (key.map(|_| "the token was exchanged for one".to_owned()), took));
    }
    let sends = report.add(CheckStep::RestApi, step(limit, send(shared, &explain)).await);
    let negotiated = report.add(CheckStep::Negotiation, step(limit, negotiated(shared, &explain)).await);
    for CheckFinding { step, outcome, .. } in &mut report.findings {
        let CheckOutcome::Failed(problem) = outcome else { continue };
        let limit = match (*step, hidden) {
            (CheckStep::Health, Some(status)) if sends && negotiated => {
                CheckProblem::NotPassedOn { path: HEALTH, status }
            }
            (CheckStep::AccessKey, _) if negotiated => exchange_limit(problem),
            _ => continue,
        };
        *outcome = CheckOutcome::Limited(limit);
    }
    report
}

/// What a failed exchange is where clients get in nevertheless.
fn exchange_limit(problem: &CheckProblem) -> CheckProblem {
    match problem {
        CheckProblem::NotTheService { status } => {
            CheckProblem::NotPassedOn { path: EXCHANGE, status: *status }
        }
        CheckProblem::Other(ServiceError::InvalidResponse { .. }) => {
            CheckProblem::NotPassedOn { path: EXCHANGE, status: 200 }
        }
        problem => problem.clone(),
    }
}

/// Takes a step within its limit.
async fn step<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, CheckProblem>>,
) -> (Result<T, CheckProblem>, Duration) {
    let began = Instant::now();
    (within(limit, work, || CheckProblem::Timeout { after: limit }).await, began.elapsed())
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

enum Health {
    Well,
    /// Something that is not the service answers, or the service itself says that it is not well.
    Hidden {
        status: u16,
        problem: CheckProblem,
    },
}

/// Health needs no token, so a 403 has to do with the network.
async fn health(shared: &ConnectedEndpoint) -> Result<Health, CheckProblem> {
    let response = request(&shared.rest.client, Method::HEAD, &shared.health_url(), None).await?;
    let hidden = |status, problem| Ok(Health::Hidden { status, problem });
    match response.status().as_u16() {
        status @ 200..300 if is_page(&response) => {
            return hidden(status, CheckProblem::NotTheService { status });
        }
        200..300 => {}
        status @ (401 | 403) => return hidden(status, CheckProblem::NetworkRule),
        status @ 500.. => return hidden(status, CheckProblem::Unhealthy { status }),
        status => return hidden(status, CheckProblem::NotTheService { status }),
    }
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| azure_core::time::parse_rfc7231(date).ok());
    if let Some(theirs) = theirs.and_then(|time| u64::try_from(time.unix_timestamp()).ok()) {
        let ours = unix_now();
        if ours.abs_diff(theirs) > TOLERATED_SKEW {
            return Err(CheckProblem::ClockSkew { seconds: ours.abs_diff(theirs), ahead: ours > theirs });
        }
    }
    Ok(Health::Well)
}

async fn token(shared: &ConnectedEndpoint) -> Result<Identity, CheckProblem> {
    let RestCredential::Entra(tokens) = &shared.rest.credential else { return Ok(Identity::default()) };
    let token = tokens.lease().await.map_err(CheckProblem::Credential)?;
    // An Entra token may be opaque. If it cannot be read, the service decides whether it is valid.
    let claims = Token::parse(token.value.expose()).map(|token| token.claims).unwrap_or_default();
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let audience = claim("aud");
    let scope = shared.endpoint.token_scope();
    if !audience.is_empty() && !is_for(&audience, scope) {
        return Err(CheckProblem::Audience { audience, expected: resource(scope).to_owned() });
    }
    let or = |first: String, second: String| if first.is_empty() { second } else { first };
    Ok(Identity {
        tenant: or(claim("tid"), "(not named)".to_owned()),
        client_id: or(claim("appid"), claim("azp")),
        object_id: claim("oid"),
    })
}

/// What a scope is for: `https://signalr.azure.com` of `https://signalr.azure.com/.default`.
fn resource(scope: &str) -> &str {
    scope.strip_suffix("/.default").unwrap_or(scope).trim_end_matches('/')
}

/// Whether a token with this audience is one for the scope. It names the resource by its URI or, in tokens of version 2,
/// by the id of its application, which the URI of another resource does not tell.
fn is_for(audience: &str, scope: &str) -> bool {
    let (audience, resource) = (audience.trim_end_matches('/'), resource(scope));
    let is_id = audience.len() == 36 && audience.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    audience.eq_ignore_ascii_case(resource) || (is_id && scope != DEFAULT_SCOPE)
}

/// Sends a message to an empty group.
async fn send(
    shared: &ConnectedEndpoint,
    explain: &impl Fn(ServiceError) -> CheckProblem,
) -> Result<String, CheckProblem> {
    let group = Scope::group(&format!("check-{:016x}", random::number())).map_err(explain)?;
    let message = Payload::json_call("check", ()).map_err(explain)?;
    let request = Request::to_hub(Operation::Send, Method::POST, HUB, group, ":send");
    let request = request.and_then(|request| request.payload(message)).map_err(explain)?;
    shared.rest.call(&request).await.map(|_| "a message was accepted".to_owned()).map_err(explain)
}

/// Gets access as a negotiate endpoint does, and asks the service as a client does.
async fn negotiated(
    shared: &ConnectedEndpoint,
    explain: &impl Fn(ServiceError) -> CheckProblem,
) -> Result<String, CheckProblem> {
    let options = NegotiateOptions::anonymous().lifetime(Duration::from_secs(60));
    let access = negotiation::negotiate(shared, HUB, &options).await.map_err(explain)?;
    let (base, query) = access.url.split_once('?').unwrap_or((&access.url, ""));
    let url = format!("{base}negotiate?{query}&negotiateVersion=1");
    let response = request(&shared.rest.client, Method::POST, &url, Some(&access.access_token)).await?;
    match response.status() {
        StatusCode::OK => {
            // A page with status 200 is not an answer.
            let answer = read_body(response, MAX_ANSWER).await.unwrap_or_default();
            match serde_json::from_slice::<serde_json::Map<String, Value>>(&answer) {
                Ok(_) => Ok("a client can connect".to_owned()),
                Err(_) => Err(CheckProblem::ClientRefused { status: 200, url: base.to_owned() }),
            }
        }
        StatusCode::UNAUTHORIZED if matches!(shared.keys, SigningKeys::Fixed(_)) => {
            Err(CheckProblem::KeyRefused)
        }
        // The token is valid, and REST requests were accepted.
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
        let source = Cause::new(error.without_url());
        CheckProblem::Unreachable(ServiceError::Connection { operation: Operation::CheckHealth, source })
    })
}

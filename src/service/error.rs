//! What can go wrong: a call of the service, at one endpoint or at several, and the setup of a client.
//!
//! [`ServiceError`] is why a call failed. It names the [`Operation`], holds the
//! [`Refusal`] of the service if there was one, and says what to do.

use std::{fmt, time::Duration};

use crate::{
    core::{ErrorChain, token::claims::USER},
    serialize::SerializeError,
    service::credentials::error::{Cause, CredentialError},
};

/// What was being done at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Exchanging an Entra token for a temporary access key, which signs client tokens.
    ExchangeAccessKey,
    /// Asking whether the service is healthy.
    CheckHealth,
    /// Having the service make a client token (`:generateToken`).
    GenerateToken,
    /// Giving a connection new credentials before its present ones end.
    RefreshAuthentication,
    /// Asking for the claims of a connection.
    ReadClaims,
    /// Sending a message to clients.
    Send,
    /// Adding a connection or a user to a group, or removing it.
    ManageGroup,
    /// Closing connections of clients.
    CloseConnections,
    /// Asking whether a connection, a user or a group exists, or whether a user is in a group.
    CheckExistence,
    /// Listing the connections in a group.
    ListConnections,
    /// Calling a method of a client for its result.
    Invoke,
    /// Sending an item to a stream of a client, or ending the stream.
    Stream,
    /// Executing commands for the connections that match a filter.
    Execute,
}

impl Operation {
    /// Built-in roles of which an application needs one for this, the least powerful ones. "SignalR Service Owner"
    /// may do everything.
    ///
    /// Source: [Azure built-in roles](https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/web-and-mobile).
    #[must_use]
    pub fn roles(self) -> [&'static str; 2] {
        match self {
            Self::ExchangeAccessKey => ["SignalR App Server", "SignalR Service Owner"],
            Self::CheckExistence | Self::ListConnections | Self::CheckHealth | Self::ReadClaims => {
                ["SignalR REST API Reader", "SignalR REST API Owner"]
            }
            _ => ["SignalR REST API Owner", "SignalR Service Owner"],
        }
    }
}

impl Operation {
    /// What an application without the roles for this operation may be able to do instead.
    fn alternative(self) -> &'static str {
        match self {
            Self::ExchangeAccessKey => {
                "; with the role \"SignalR REST API Owner\" clients can negotiate by EntraStrategy::GenerateToken, \
                 without claims and options of their own"
            }
            Self::GenerateToken => {
                "; with the role \"SignalR App Server\" clients can negotiate by EntraStrategy::AccessKey"
            }
            _ => "",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExchangeAccessKey => "exchanging the Entra token for an access key",
            Self::GenerateToken => "making a client token",
            Self::RefreshAuthentication => "refreshing the authentication of a connection",
            Self::ReadClaims => "asking for the claims of a connection",
            Self::Send => "sending a message",
            Self::ManageGroup => "changing a group",
            Self::CloseConnections => "closing connections",
            Self::CheckExistence => "asking whether something exists",
            Self::ListConnections => "listing the connections of a group",
            Self::Invoke => "calling a method of a client",
            Self::Stream => "sending to a stream of a client",
            Self::Execute => "executing commands",
            Self::CheckHealth => "asking for its health",
        })
    }
}

/// The service's answer to a request that it refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub(in crate::service) operation: Operation,
    pub(in crate::service) status: u16,
    pub(in crate::service) error_code: Option<String>,
    pub(in crate::service) message: Option<String>,
    pub(in crate::service) retry_after: Option<Duration>,
    /// Whether it is not the service's own word, but that of something in its place.
    pub(in crate::service) foreign: bool,
}

impl Refusal {
    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The header `x-ms-error-code`, such as `Error.Connection.NotExisted`, as the service writes it.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        self.error_code.as_deref()
    }

    /// Whether the service answered with this error code. Case does not matter, as in the official SDK.
    #[must_use]
    pub fn has_error_code(&self, code: &str) -> bool {
        self.error_code.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(code))
    }

    /// The service's own words, cut to a few hundred characters.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// How long to wait before the next request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Azure SignalR Service answered {} with status {}", self.operation, self.status)?;
        if let Some(code) = &self.error_code {
            write!(f, " ({code})")?;
        }
        if let Some(message) = &self.message {
            write!(f, " and \"{message}\"")?;
        }
        Ok(())
    }
}

/// Why a call of the service failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No Entra token could be obtained, so nothing was sent to the service.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Status 401. With an access key: take the current key, and check that local authentication is not disabled.
    /// With Entra: the application has to belong to the tenant of the SignalR resource.
    #[error(
        "{0}: the credential was not accepted; check the access key and that local authentication is not disabled, \
         or with Entra the tenant and the scope, and that the application has the role {roles} on the SignalR \
         resource (an assignment takes up to 30 minutes to work)",
        roles = Roles(.0.operation)
    )]
    Unauthorized(Refusal),
    /// Status 403. Assign one of the roles that the text names, on the SignalR resource, to the application that
    /// the credential belongs to; or let this machine through the resource's network access control.
    #[error(
        "{0}: the application needs the role {roles} on the SignalR resource (an assignment takes up to 30 minutes \
         to work), and the network access control of the resource must allow REST API calls from here{alternative}",
        roles = Roles(.0.operation), alternative = .0.operation.alternative()
    )]
    Forbidden(Refusal),
    /// Status 404. Without an error code the endpoint is not one of Azure SignalR Service.
    #[error(
        "{0}: check the endpoint's address; with an error code, the connection, user or group does not exist"
    )]
    NotFound(Refusal),
    /// Status 400: an argument is wrong, and sending it again does not help.
    #[error("{0}: an argument is not valid")]
    BadRequest(Refusal),
    /// Status 429: too much at once. Try again after [`Refusal::retry_after`].
    #[error("{0}: slow down and try again later")]
    Throttled(Refusal),
    /// Status 413: the request is larger than the service takes, which is 1 MB. Send less at once.
    #[error("{0}: it takes requests of up to 1 MB; send less at once")]
    TooLarge(Refusal),
    /// Any other status. From 500 on the fault is with the service; try again later.
    #[error("{0}")]
    Failed(Refusal),
    /// The service cannot be reached. Check the address, the network and the proxy settings.
    #[error(
        "no connection to Azure SignalR Service for {operation}; check the endpoint's address and the network"
    )]
    Connection {
        /// What was being done.
        operation: Operation,
        /// What the HTTP client says.
        #[source]
        source: Cause,
    },
    /// The service did not answer in time. Whether the request was carried out is not known.
    #[error("Azure SignalR Service did not answer {operation} within {after:?}")]
    Timeout {
        /// What was being done.
        operation: Operation,
        /// The limit.
        after: Duration,
    },
    /// What answered is not Azure SignalR Service, such as the page of a portal or a gateway, or the service answered with
    /// something that is not an answer to the request. Check the endpoint's address and what is between.
    #[error(
        "Azure SignalR Service gave no valid answer to {operation}: {reason}; check the endpoint's address"
    )]
    InvalidResponse {
        /// What was being done.
        operation: Operation,
        /// What is wrong.
        reason: &'static str,
    },
    /// The name of a hub, group, user, connection or method is not possible.
    #[error("the name of the {what} is not valid: {reason}")]
    InvalidName {
        /// What it names.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The filter of [`HubClient::execute`](crate::service::HubClient::execute) is empty. The service would carry out the
    /// commands for every connection of the hub.
    #[error("the filter is empty, which would match every client; to reach all of them, use hub.all()")]
    EmptyFilter,
    /// An argument of a call or an item of a stream cannot be serialized.
    #[error("the arguments cannot be serialized")]
    Arguments(#[source] SerializeError),
    /// A message is larger than the service takes by its REST API, which is 1 MB, in the encoding that it is sent in.
    /// Nothing was sent. Send less at once, or a link to it.
    #[error(
        "the request would have {length} bytes, and the REST API of Azure SignalR Service takes 1 MB (1048576 bytes); \
         send less at once"
    )]
    MessageTooLarge {
        /// The length of the request's body in bytes.
        length: usize,
    },
    /// A parameter of the request's address is too long: the ids that are excluded (all of them together), a filter, the
    /// reason for closing, a user id. The service takes request lines of up to 12 K, percent-encoded. Nothing was sent.
    /// Shorten it, exclude fewer ids, or put their clients into a group.
    #[error(
        "the parameter {parameter} is too long for {operation}: the request line would have {length} bytes, and \
         Azure SignalR Service takes up to 12 K (12288 bytes)"
    )]
    ParameterTooLong {
        /// What was being done.
        operation: Operation,
        /// The parameter that takes most of it, by its name in the REST API: `excluded`, `filter`, `reason`,
        /// `userId`; or `name`, of the user, the group or the connection.
        parameter: &'static str,
        /// The length of the request line in bytes.
        length: usize,
    },
    /// The client's result of an invocation is of another type than was asked for.
    #[error("the result of the client is not of the type that was asked for")]
    Result(#[source] Cause),
    /// The service takes tokens of up to 4 096 characters. Leave claims out: those that take most are named.
    #[error("the client token would have {length} of at most 4096 characters; the largest claims are {}", Largest(.largest))]
    TokenTooLong {
        /// The token's length in characters.
        length: usize,
        /// The largest claims, by name and length of their JSON, the largest first.
        largest: Vec<(String, usize)>,
    },
    /// Claims under `asrs.s.` are the service's own: they set the user id, the transports, the expiry.
    #[error("the claim {name} is reserved for the service; use the options for what it controls")]
    ReservedClaim {
        /// The claim.
        name: String,
    },
    /// A claim or the user id (`asrs.s.uid`) would read as another claim in the header that upstream handlers get them in:
    /// a user could give itself a role by its name. Leave it out, or say that no upstream reads claims, with
    /// [`allow_ambiguous_claims`](crate::service::NegotiateOptions::allow_ambiguous_claims).
    #[error(
        "{} would read as another claim in the headers of upstream requests; {}, or allow it with \
         NegotiateOptions::allow_ambiguous_claims where no upstream reads claims",
        ClaimName(.name), if is_user_id(.name) { "identify the user by something else" } else { "leave it out" }
    )]
    AmbiguousClaim {
        /// The claim.
        name: String,
    },
    /// A claim without a name, or with a control character in its name, its value or the user id (`asrs.s.uid`), such as a line
    /// break: in the headers of upstream requests all claims would be lost by it. Where no upstream reads claims,
    /// [`allow_ambiguous_claims`](crate::service::NegotiateOptions::allow_ambiguous_claims) lets those characters through.
    #[error("{} is not valid: {reason}", ClaimName(.name))]
    InvalidClaim {
        /// The claim.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The user id is empty or blank, which the service takes for an anonymous client. Reject a client that has to sign in
    /// ([`NegotiateRejection::unauthorized`](crate::service::NegotiateRejection::unauthorized)); one without a user is
    /// [`NegotiateOptions::anonymous`](crate::service::NegotiateOptions::anonymous).
    #[error(
        "the user id is empty; reject a client that has to sign in, and use NegotiateOptions::anonymous() without a user"
    )]
    EmptyUserId,
    /// Several endpoints were given and none is available, for the reasons that are named; or the router chose none.
    #[error("no endpoint of Azure SignalR Service is available: {}", Failures(.failures))]
    NoEndpointAvailable {
        /// What is wrong with each.
        failures: Vec<EndpointFailure>,
    },
    /// Endpoints that are online have refused, or failed to answer; others may have done what was asked. Making the
    /// same call again makes it at all of them, so a message reaches the clients of the others twice.
    #[error("done at {succeeded} endpoints of Azure SignalR Service, but not at {}", Failures(.failures))]
    EndpointsFailed {
        /// How many have done it.
        succeeded: usize,
        /// What the others said.
        failures: Vec<EndpointFailure>,
    },
    /// A value of an option is outside of what the service takes.
    #[error("the {option} of a client must be {range}")]
    InvalidOption {
        /// The option.
        option: &'static str,
        /// What it can be.
        range: &'static str,
    },
    /// Tokens that the service makes carry a user id and nothing else: leave the option out, or use
    /// `EntraStrategy::AccessKey`, which needs the role "SignalR App Server" or "SignalR Service Owner".
    #[error(
        "a client token that the service makes cannot carry the {option}; leave it out, or negotiate by \
         EntraStrategy::AccessKey, which needs the role \"SignalR App Server\" or \"SignalR Service Owner\""
    )]
    NeedsAccessKey {
        /// What it cannot carry.
        option: &'static str,
    },
    /// What the client has authenticated with has ended. It has to sign in again.
    #[error("the client's own authentication has expired; it has to sign in again")]
    AuthenticationExpired,
    /// The lifetime of a client token is zero or beyond the year 9999.
    #[error("the lifetime of a client token must be more than zero and end before the year 10000")]
    InvalidLifetime,
}

impl ServiceError {
    /// The HTTP status that the service answered with, if it answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(Refusal::status)
    }

    /// The service's answer, if there was one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Unauthorized(refusal)
            | Self::Forbidden(refusal)
            | Self::NotFound(refusal)
            | Self::BadRequest(refusal)
            | Self::Throttled(refusal)
            | Self::TooLarge(refusal)
            | Self::Failed(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Without the service's words, if they quote a secret of the request. A text so short that it is a part of any
    /// sentence is not a secret.
    pub(in crate::service) fn without(mut self, secret: &str) -> Self {
        if let Self::Unauthorized(refusal)
        | Self::Forbidden(refusal)
        | Self::NotFound(refusal)
        | Self::BadRequest(refusal)
        | Self::Throttled(refusal)
        | Self::Failed(refusal) = &mut self
        {
            refusal.message.take_if(|message| secret.len() >= 8 && message.contains(secret));
        }
        self
    }

    /// Whether the same call may succeed later with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Credential(error) => error.is_retryable(),
            Self::Throttled(_) | Self::Connection { .. } | Self::Timeout { .. } => true,
            // A router that chose none may choose another time.
            Self::NoEndpointAvailable { failures } => {
                failures.is_empty() || failures.iter().any(|failure| failure.error.is_retryable())
            }
            Self::Failed(refusal) => refusal.status >= 500 || refusal.status == 408,
            _ => false,
        }
    }
}

impl ServiceError {
    /// Whether it says that the endpoint is down, or that something else answers in its place, not what was wrong with
    /// the call.
    pub(in crate::service) fn is_outage(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } | Self::InvalidResponse { .. } => true,
            _ => self.refusal().is_some_and(|refusal| refusal.foreign || refusal.status >= 500),
        }
    }

    /// Whether the service is right there and does not know what the call is about.
    pub(in crate::service) fn is_absence(&self) -> bool {
        const CODES: [&str; 5] = [
            "Error.Connection.NotExisted",
            "Warning.Connection.NotExisted",
            "Warning.User.NotExisted",
            "Warning.Group.NotExisted",
            "Info.User.NotInGroup",
        ];
        matches!(self, Self::NotFound(refusal) if CODES.iter().any(|code| refusal.has_error_code(code)))
    }

    /// Whether the client's own user id or claims are why nothing was sent.
    pub(in crate::service) fn is_of_client(&self) -> bool {
        matches!(self, Self::AmbiguousClaim { .. } | Self::InvalidClaim { .. })
    }

    /// Whether the call failed at the endpoint, so that it may succeed at another one, which has another credential.
    pub(in crate::service) fn is_of_endpoint(&self) -> bool {
        let answer = matches!(
            self,
            Self::Credential(_) | Self::InvalidResponse { .. } | Self::NoEndpointAvailable { .. }
        );
        answer || self.is_outage() || self.refusal().is_some()
    }
}

/// What went wrong at one of several endpoints.
#[derive(Debug, Clone)]
pub struct EndpointFailure {
    name: String,
    endpoint: String,
    error: ServiceError,
}

impl EndpointFailure {
    pub(in crate::service) fn new(name: &str, endpoint: String, error: ServiceError) -> Self {
        Self { name: name.to_owned(), endpoint, error }
    }

    pub(in crate::service) fn into_error(self) -> ServiceError {
        self.error
    }

    /// The endpoint's name, empty unless one was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The endpoint's address.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> &ServiceError {
        &self.error
    }
}

struct Failures<'a>(&'a [EndpointFailure]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the router chose none");
        }
        for (index, EndpointFailure { name, endpoint, error }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match name.as_str() {
                "" => write!(f, "{separator}{endpoint}: {}", ErrorChain::new(error))?,
                name => write!(f, "{separator}{name} ({endpoint}): {}", ErrorChain::new(error))?,
            }
        }
        Ok(())
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            400 => Self::BadRequest(refusal),
            401 => Self::Unauthorized(refusal),
            403 => Self::Forbidden(refusal),
            404 => Self::NotFound(refusal),
            413 => Self::TooLarge(refusal),
            429 => Self::Throttled(refusal),
            _ => Self::Failed(refusal),
        }
    }
}

struct Roles(Operation);

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0.roles();
        write!(f, "\"{first}\" or \"{second}\"")
    }
}

/// The user id is a claim of the token, under a name that applications do not know.
fn is_user_id(name: &str) -> bool {
    name == USER
}

struct ClaimName<'a>(&'a str);

impl fmt::Display for ClaimName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            name if is_user_id(name) => f.write_str("the user id"),
            "" => f.write_str("a claim"),
            // A line break in it must not begin a line of the log.
            name => write!(f, "the claim {}", name.escape_debug()),
        }
    }
}

struct Largest<'a>(&'a [(String, usize)]);

impl fmt::Display for Largest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, length)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} ({length})")?;
        }
        Ok(())
    }
}

/// Why a [`ServiceClient`](crate::service::ServiceClient) cannot be built.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No endpoint was given. Add one with [`ServiceClientBuilder::endpoint`](crate::service::ServiceClientBuilder::endpoint).
    #[error("the service client needs an endpoint")]
    NoEndpoint,
    /// All endpoints are secondary, or would be. One has to be primary: secondary ones only stand in.
    #[error("the service client needs a primary endpoint; make one of its endpoints primary")]
    NoPrimaryEndpoint,
    /// An application name starts with a letter and consists of letters, digits and underscores.
    #[error("an application name starts with a letter and consists of letters, digits and underscores")]
    InvalidApplicationName,
    /// An environment variable does not hold the address of a proxy.
    #[error(
        "the environment variable {variable} does not hold the address of a proxy, such as http://proxy.example.com:3128"
    )]
    InvalidProxy {
        /// Its name.
        variable: &'static str,
    },
    /// A certificate is invalid.
    #[error("{reason}")]
    InvalidCertificate {
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be set up; most likely the system has no root certificates.
    #[error("the HTTP client could not be set up; check that the system has root certificates")]
    HttpClient(#[source] Cause),
}

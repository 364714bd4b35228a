//! What a client token says about a client, and what a client needs to connect.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{core::negotiate::Transports, service::http::url::parameter};

const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// Who signs the tokens of clients when the service is used with Microsoft Entra. With an access key of the resource
/// there is nothing to choose: it signs.
///
/// | | needs one of the roles | claims and options |
/// | --- | --- | --- |
/// | [`AccessKey`](Self::AccessKey) | "SignalR App Server", "SignalR Service Owner" | all |
/// | [`GenerateToken`](Self::GenerateToken) | "SignalR REST API Owner", "SignalR Service Owner" | user id and lifetime |
///
/// Source: [Authorize with Microsoft Entra](https://learn.microsoft.com/azure/azure-signalr/signalr-concept-authorize-azure-active-directory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EntraStrategy {
    /// [`AccessKey`](Self::AccessKey); where the application's roles do not allow it (status 403), or a proxy does not
    /// pass the exchange on, and the options need nothing else, [`GenerateToken`](Self::GenerateToken). After a 403,
    /// the exchange for an access key is tried again after five minutes.
    #[default]
    Automatic,
    /// This program signs, with a temporary access key that it exchanges the Entra token for. One request an hour.
    AccessKey,
    /// The service signs: `:generateToken`, one request for every client. The lifetime is rounded up to minutes.
    GenerateToken,
}

/// What client tokens are signed with: HMAC with one of these hash functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-512.
    Hs512,
}

impl TokenAlgorithm {
    /// Its name in the header of a token.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs512 => "HS512",
        }
    }
}

/// What a client token says about the client.
///
/// ```
/// use std::time::Duration;
/// use hubwire::service::{NegotiateOptions, negotiate::Transport};
///
/// let options = NegotiateOptions::for_user("alice")
///     .claim("role", "moderator")
///     .claim("role", "member")
///     .lifetime(Duration::from_secs(15 * 60))
///     .close_on_expiry()
///     .transports(Transport::WebSockets);
/// ```
#[derive(Clone)]
pub struct NegotiateOptions {
    pub(super) user_id: Option<String>,
    pub(super) claims: Vec<(String, String)>,
    pub(super) ambiguous_claims: bool,
    pub(super) endpoint_count: Option<u32>,
    pub(super) lifetime: Duration,
    pub(super) strategy: EntraStrategy,
    pub(super) authentication_expiry: Option<SystemTime>,
    pub(super) close_on_expiry: bool,
    pub(super) diagnostic: bool,
    pub(super) detailed_errors: bool,
    pub(super) transports: Option<Transports>,
    pub(super) long_poll_interval: Option<Duration>,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) original_request: Option<(String, String)>,
    pub(super) request_id: Option<String>,
    pub(super) culture: Option<(String, String)>,
    /// The app server that the client is for, and how much.
    pub(super) sticky: Option<(String, &'static str)>,
}

impl NegotiateOptions {
    /// An anonymous client; messages to users do not reach it.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            user_id: None,
            claims: Vec::new(),
            ambiguous_claims: false,
            endpoint_count: None,
            lifetime: DEFAULT_LIFETIME,
            strategy: EntraStrategy::default(),
            authentication_expiry: None,
            close_on_expiry: false,
            diagnostic: false,
            detailed_errors: false,
            transports: None,
            long_poll_interval: None,
            handshake_timeout: None,
            original_request: None,
            request_id: None,
            culture: None,
            sticky: None,
        }
    }

    /// A client of this user. User ids are case-sensitive. One that is empty or blank is refused by [`HubClient::negotiate`]
    /// ([`ServiceError::EmptyUserId`]), since upstreams would take the client for an anonymous one.
    ///
    /// [`HubClient::negotiate`]: crate::service::HubClient::negotiate
    /// [`ServiceError::EmptyUserId`]: crate::service::ServiceError::EmptyUserId
    #[must_use]
    pub fn for_user(id: impl Into<String>) -> Self {
        Self { user_id: Some(id.into()), ..Self::anonymous() }
    }

    /// The user, unless the client is anonymous.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// A parameter of the query that the client's negotiate request came with, decoded; of several with one name the
    /// first. Names are compared without case. An [`EndpointRouter`](crate::service::endpoints::EndpointRouter) may go by it.
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.original_request.as_ref()?;
        parameter(query, name)
    }

    /// Adds a claim, which hubs and upstream handlers see. A name that occurs several times becomes a list. Names
    /// that start with `asrs.s.` are the service's own and are refused by [`HubClient::negotiate`]
    /// ([`ServiceError::ReservedClaim`]).
    ///
    /// The service tells upstream handlers about claims in one header, `name: value, name: value`, without escaping. A
    /// claim, or a user id, that would read as another claim there, such as the name `Bob, role: admin`, is refused too
    /// ([`ServiceError::AmbiguousClaim`]), unless [`allow_ambiguous_claims`](Self::allow_ambiguous_claims) says that no
    /// upstream reads them. A mere comma, as in `Doe, Jane`, only cuts the value short there. With a control
    /// character, such as a line break, all claims are lost there, so that is refused too, and an empty name always
    /// ([`ServiceError::InvalidClaim`]).
    ///
    /// All claims together have to fit into a token of 4 096 characters.
    ///
    /// [`HubClient::negotiate`]: crate::service::HubClient::negotiate
    /// [`ServiceError::ReservedClaim`]: crate::service::ServiceError::ReservedClaim
    /// [`ServiceError::InvalidClaim`]: crate::service::ServiceError::InvalidClaim
    /// [`ServiceError::AmbiguousClaim`]: crate::service::ServiceError::AmbiguousClaim
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claims.push((name.into(), value.into()));
        self
    }

    /// Lets claims and a user id through that upstream handlers would read as other claims, or lose by control characters:
    /// for services that have no upstream, or one that looks at no claim.
    #[must_use]
    pub fn allow_ambiguous_claims(self) -> Self {
        Self { ambiguous_claims: true, ..self }
    }

    /// How many endpoints the app server of the hub is connected to, as the official SDK for app servers tells the
    /// service when there are several. Without it, nothing is said about that, as by the Management SDK.
    #[must_use]
    pub fn endpoint_count(self, count: u32) -> Self {
        Self { endpoint_count: Some(count), ..self }
    }

    /// How long the token is valid, one hour by default; parts of a second are rounded up. It is checked when a
    /// client connects, and with Server-Sent Events and long polling on every later request too. A temporary access
    /// key of Entra is good for 90 minutes; whether the service takes a token for longer than its key is not
    /// documented.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    /// Who signs the token with Microsoft Entra, [`EntraStrategy::Automatic`] by default.
    #[must_use]
    pub fn entra_strategy(self, strategy: EntraStrategy) -> Self {
        Self { strategy, ..self }
    }

    /// When what the client has signed in with ends, such as its session or the token that it came with: the client
    /// token ends then too, if not before. At a [refresh](crate::service::HubClient::refresh_authentication) it is the
    /// connection's new end. A time that has passed is [refused](crate::service::ServiceError::AuthenticationExpired).
    #[must_use]
    pub fn authentication_expiry(self, at: SystemTime) -> Self {
        Self { authentication_expiry: Some(at), ..self }
    }

    /// Has the service close the connection when [the authentication ends](Self::authentication_expiry), or with the token
    /// where that is not said. By default a WebSocket outlives both. The client may reconnect, with a new token.
    ///
    /// Source: [CloseOnAuthenticationExpire](https://github.com/Azure/azure-signalr/blob/dev/specs/CloseOnAuthenticationExpire.md).
    #[must_use]
    pub fn close_on_expiry(self) -> Self {
        Self { close_on_expiry: true, ..self }
    }

    /// Marks a diagnostic client: the service writes what it does into its diagnostic logs.
    #[must_use]
    pub fn diagnostic(self) -> Self {
        Self { diagnostic: true, ..self }
    }

    /// Lets the client see details of errors. Off by default, since they may say more than a client should know.
    #[must_use]
    pub fn detailed_errors(self) -> Self {
        Self { detailed_errors: true, ..self }
    }

    /// The transports that the client may use, all by default; one or several such as
    /// `Transport::WebSockets | Transport::LongPolling`.
    #[must_use]
    pub fn transports(self, transports: impl Into<Transports>) -> Self {
        Self { transports: Some(transports.into()), ..self }
    }

    /// How long the service holds a long poll at most: 1 to 300 seconds, 5 by default; rounded up to seconds.
    #[must_use]
    pub fn long_poll_interval(self, interval: Duration) -> Self {
        Self { long_poll_interval: Some(interval), ..self }
    }

    /// How long the client may take for its handshake: 1 to 30 seconds, 15 by default; rounded up to seconds.
    #[must_use]
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        Self { handshake_timeout: Some(timeout), ..self }
    }

    /// The path and query of the client's negotiate request, to be carried on to the service: hubs on an app server
    /// and upstream handlers see them. The path is without its percent-encoding, the query with it. The parameters
    /// `hub`, `id`, `access_token` and all that start with `asrs.` or `asrs_` are left out, since they mean something
    /// to the service. A request id comes with them.
    #[must_use]
    pub fn original_request(self, path: impl Into<String>, query: impl Into<String>) -> Self {
        Self { original_request: Some((path.into(), query.into())), ..self }
    }

    /// The id that the service's diagnostic logs name the client's connection by, instead of a random one: for
    /// instance that of a trace.
    #[must_use]
    pub fn request_id(self, id: impl Into<String>) -> Self {
        Self { request_id: Some(id.into()), ..self }
    }

    /// The culture and the user-interface culture of the client, such as `de-DE`: hubs on an app server take them on.
    #[must_use]
    pub fn culture(self, culture: impl Into<String>, ui_culture: impl Into<String>) -> Self {
        Self { culture: Some((culture.into(), ui_culture.into())), ..self }
    }

    /// Names the app server that the client is for, and whether it has to be that one.
    #[cfg(feature = "server")]
    pub(crate) fn sticky(self, server_id: &str, mode: &'static str) -> Self {
        Self { sticky: Some((server_id.to_owned(), mode)), ..self }
    }

    pub(in crate::service) fn strategy(&self) -> EntraStrategy {
        self.strategy
    }

    pub(in crate::service) fn has_original_request(&self) -> bool {
        self.original_request.is_some()
    }

    /// What of these options a token of the service's own making cannot carry.
    pub(in crate::service) fn beyond_generated(&self) -> Option<&'static str> {
        [
            (!self.claims.is_empty(), "claims"),
            (self.endpoint_count.is_some(), "number of endpoints"),
            (self.close_on_expiry, "closing on expiry"),
            (self.sticky.is_some(), "app server"),
            (self.diagnostic, "mark of a diagnostic client"),
            (self.detailed_errors, "detailed errors"),
            (self.transports.is_some(), "set of transports"),
            (self.long_poll_interval.is_some(), "long-poll interval"),
            (self.handshake_timeout.is_some(), "handshake timeout"),
        ]
        .into_iter()
        .find_map(|(is_set, name)| is_set.then_some(name))
    }
}

impl Default for NegotiateOptions {
    fn default() -> Self {
        Self::anonymous()
    }
}

impl fmt::Debug for NegotiateOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of claims and queries are the caller's; names say enough.
        let names: Vec<&str> = self.claims.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("NegotiateOptions")
            .field("user_id", &self.user_id)
            .field("claims", &names)
            .field("lifetime", &self.lifetime)
            .field("strategy", &self.strategy)
            .field("path", &self.original_request.as_ref().map(|(path, _)| path))
            .finish_non_exhaustive()
    }
}

/// What a client needs to connect: it serializes to the answer of a negotiate endpoint,
/// `{"url": …, "accessToken": …}`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ClientAccess {
    /// Where to connect.
    pub url: String,
    /// What to connect with. Keep it out of logs.
    pub access_token: String,
    /// How long the token is valid from now.
    #[serde(skip)]
    pub expires_in: Duration,
}

impl fmt::Debug for ClientAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("ClientAccess")
            .field("url", &url)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

//! What a refresh changes of a connection's authentication, and what comes of it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{
    core::token::{
        USER_ID_CLAIMS,
        claims::{EXPIRY, is_of_token, name_in_hub},
    },
    service::{
        clock::unix_now,
        error::ServiceError,
        negotiate::{
            options::{EntraStrategy, NegotiateOptions},
            token::{self, Claims},
        },
    },
};

/// What a refresh changes of a connection's authentication. What is not said stays as it is: its claims, and when it ends.
///
/// [`NegotiateOptions`] are taken as well: their user and claims replace those of the connection.
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use hubwire::service::{HubClient, NegotiateOptions, negotiate::RefreshOptions};
///
/// # async fn example(hub: HubClient, connection_token: &str) -> Result<(), hubwire::service::ServiceError> {
/// let session_ends = SystemTime::now() + Duration::from_secs(3600);
/// // The same claims for longer,
/// hub.refresh_authentication(connection_token, RefreshOptions::keep_claims().authentication_expiry(session_ends)).await?;
/// // or others.
/// let alice = NegotiateOptions::for_user("alice").claim("role", "moderator").authentication_expiry(session_ends);
/// hub.refresh_authentication(connection_token, alice).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RefreshOptions {
    pub(in crate::service) options: NegotiateOptions,
    pub(in crate::service) keeps_claims: bool,
}

impl RefreshOptions {
    /// The connection keeps its claims.
    #[must_use]
    pub fn keep_claims() -> Self {
        Self { options: NegotiateOptions::anonymous(), keeps_claims: true }
    }

    /// When what the client has signed in with ends now: a connection that
    /// [closes with it](NegotiateOptions::close_on_expiry) closes then, and the token ends then too, if not before.
    /// Without it, the connection closes when it would have.
    #[must_use]
    pub fn authentication_expiry(self, at: SystemTime) -> Self {
        Self { options: self.options.authentication_expiry(at), ..self }
    }

    /// How long the new token is valid at most, one hour by default; parts of a second are rounded up.
    #[must_use]
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { options: self.options.lifetime(lifetime), ..self }
    }

    /// Who signs the token with Microsoft Entra, [`EntraStrategy::Automatic`] by default.
    #[must_use]
    pub fn entra_strategy(self, strategy: EntraStrategy) -> Self {
        Self { options: self.options.entra_strategy(strategy), ..self }
    }
}

impl From<NegotiateOptions> for RefreshOptions {
    fn from(options: NegotiateOptions) -> Self {
        Self { options, keeps_claims: false }
    }
}

/// What a client gets for a refresh: it serializes to the answer of a refresh endpoint,
/// `{"accessToken": …, "tokenLifetimeSeconds": …}`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RefreshedAccess {
    /// What to connect with from now on. Keep it out of logs.
    pub access_token: String,
    /// How long the token is valid from now, in whole seconds when it is serialized.
    #[serde(rename = "tokenLifetimeSeconds", serialize_with = "whole_seconds")]
    pub expires_in: Duration,
    /// The claims of the connection, as the service has them now. The token is made of them.
    #[serde(skip)]
    pub claims: ConnectionClaims,
}

fn whole_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

impl fmt::Debug for RefreshedAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshedAccess")
            .field("expires_in", &self.expires_in)
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// The claims of a connection, as the service has them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnectionClaims(Vec<Claim>);

/// One claim on the wire.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    #[serde(rename = "type")]
    name: String,
    #[serde(deserialize_with = "text")]
    value: String,
}

/// A value is a text. A service that gives another kind of JSON means its text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

impl ConnectionClaims {
    /// The user, unless the client is anonymous.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        let value = |name| self.0.iter().find(|claim| claim.name == name).map(|claim| claim.value.as_str());
        USER_ID_CLAIMS.into_iter().find_map(value)
    }

    /// The first claim with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The claims that the application has given, in the service's order; a name may occur several times. Those that
    /// say something to the service are not among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|Claim { name, value }| Some((name_in_hub(name)?, value.as_str())))
    }

    /// One by one, those that say something to the service among them.
    #[cfg(feature = "server")]
    pub(in crate::service) fn into_pairs(self) -> Vec<(String, String)> {
        self.0.into_iter().map(|Claim { name, value }| (name, value)).collect()
    }

    #[cfg(feature = "server")]
    pub(in crate::service) fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| Claim { name, value }).collect())
    }

    /// Those that a token with these options has.
    pub(in crate::service) fn of(options: &NegotiateOptions) -> Result<Self, ServiceError> {
        let validity = token::validity(options, unix_now())?;
        Ok(Self::from(&token::claims(options, validity.expires_at)?))
    }

    pub(in crate::service) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they go into a token.
    pub(in crate::service) fn to_token(&self) -> Claims {
        let mut claims = Claims::with_capacity(self.0.len());
        for Claim { name, value } in self.0.iter().filter(|claim| !is_of_token(&claim.name)) {
            token::add(&mut claims, name.clone(), value);
        }
        claims
    }

    /// When the connection closes with its authentication, in seconds since the Unix epoch, if it does.
    pub(in crate::service) fn expiry(&self) -> Option<u64> {
        self.0.iter().find(|claim| claim.name == EXPIRY)?.value.parse().ok()
    }

    /// Whether they say more than who the user is.
    pub(in crate::service) fn are_beyond_user(&self) -> bool {
        self.0.iter().any(|claim| !is_of_token(&claim.name) && !USER_ID_CLAIMS.contains(&claim.name.as_str()))
    }
}

impl<'de> Deserialize<'de> for ConnectionClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl From<&Claims> for ConnectionClaims {
    fn from(claims: &Claims) -> Self {
        let one = |name: &str, value: &Value| Claim {
            name: name.to_owned(),
            value: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        };
        let each = claims.iter().flat_map(|(name, value)| {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            values.iter().map(move |value| one(name, value))
        });
        Self(each.collect())
    }
}

impl Serialize for ConnectionClaims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Debug for ConnectionClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of claims are the caller's; names say enough.
        f.debug_list().entries(self.0.iter().map(|claim| &claim.name)).finish()
    }
}

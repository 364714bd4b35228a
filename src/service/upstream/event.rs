//! What upstream handlers receive, and the error that they return.

use serde::de::DeserializeOwned;

use crate::{core::HubProtocol, service::http::url::parameter};

/// A client as the service describes it to an upstream handler.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    pub(super) hub: String,
    pub(super) connection_id: String,
    pub(super) user_id: Option<String>,
    pub(super) claims: Vec<(String, String)>,
    pub(super) query: String,
}

impl UpstreamClient {
    /// The hub that the client is connected to, as the service writes it.
    #[must_use]
    pub fn hub(&self) -> &str {
        &self.hub
    }

    /// The id of the connection, to send to or to add to a group.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// The user, unless the client is anonymous.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// A claim of the client's token; of several with one name the first. For information only: never decide by it what
    /// the client may do. The service writes all claims into one header and escapes nothing, so claims with `,` or `: ` in
    /// them are cut or lost, and a client whose token has a claim of its own choice, such as a display name, can forge
    /// others by it: `Bob, role: admin`. [`NegotiateOptions::claim`] refuses such a value; tokens that others make may have
    /// one. Look up by [`user_id`](Self::user_id) what a user may do.
    ///
    /// [`NegotiateOptions::claim`]: crate::service::NegotiateOptions::claim
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All claims, each name once. Never decide by them what the client may do: see [`claim`](Self::claim).
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        self.claims.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The query that the client connected with.
    #[cfg(feature = "cli")]
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// A parameter of the query that the client connected with, decoded; of several with one name the first. Names
    /// are compared without case.
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        parameter(&self.query, name)
    }
}

/// `X-ASRS-User-Claims`: `type: value, type: value`, unescaped. Read as the official extension does: entries that
/// are not exactly two parts are dropped, the first value of a type stays.
pub(super) fn parse_claims(header: &str) -> Vec<(String, String)> {
    let mut claims: Vec<(String, String)> = Vec::new();
    for entry in header.split(',') {
        let mut parts = entry.split(": ").filter(|part| !part.is_empty()).map(str::trim);
        if let (Some(name), Some(value), None) = (parts.next(), parts.next(), parts.next())
            && !claims.iter().any(|(known, _)| known == name)
        {
            claims.push((name.to_owned(), value.to_owned()));
        }
    }
    claims
}

/// A client has called a method of the hub.
#[derive(Debug, Clone)]
pub struct UpstreamMessage {
    pub(super) client: UpstreamClient,
    pub(super) method: String,
    pub(super) invocation_id: Option<String>,
    pub(super) arguments: Vec<u8>,
    pub(super) protocol: HubProtocol,
}

impl UpstreamMessage {
    /// The client that calls.
    #[must_use]
    pub fn client(&self) -> &UpstreamClient {
        &self.client
    }

    /// The method, as the client wrote it.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The id by which the client waits for the result.
    #[cfg(feature = "cli")]
    pub(crate) fn invocation_id(&self) -> Option<&str> {
        self.invocation_id.as_deref()
    }

    /// Whether the client waits for the result; it does after `invoke`, not after `send`.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.invocation_id.is_some()
    }

    /// The arguments as a tuple, such as `(String, u32)`, or as a `Vec` where all are of one type. One argument is
    /// `(T,)`.
    ///
    /// # Errors
    /// When their number or types are others; passed on with `?`, the client is told so.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, UpstreamError> {
        let decoded = match self.protocol {
            HubProtocol::Json => serde_json::from_slice(&self.arguments).map_err(|error| error.to_string()),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => {
                let arguments = crate::core::codec::Payload::MessagePack(&self.arguments);
                crate::payload::Decode::decode(arguments, crate::property_names::PropertyNames::AsDeclared)
                    .map_err(|error| error.to_string())
            }
        };
        decoded.map_err(|error| {
            tracing::debug!(method = self.method, error, "arguments of another type than the handler's");
            UpstreamError::new(format!(
                "The arguments of '{}' have other types or another number.",
                self.method
            ))
        })
    }
}

/// Why a handler fails. The text is what the client sees: the error of its call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpstreamError(String);

impl UpstreamError {
    /// An error with a text for the client. Leave details of the inside out of it.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_as_the_official_extension_reads_them() {
        let claims = |header| parse_claims(header);
        let one = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            claims("sub: user1, role: admin, role: guest, url: http://x: y"),
            [one("sub", "user1"), one("role", "admin")]
        );
        assert_eq!(claims("a: , : b, c:d, e: f: g,h: i"), [one("", "b"), one("h", "i")]);
        assert_eq!(claims(""), []);
    }

    #[test]
    fn parameters_of_the_query() {
        let mut client = UpstreamClient {
            hub: "chat".into(),
            connection_id: "c".into(),
            user_id: None,
            claims: Vec::new(),
            query: "?a=%20x+y&b&=c&&A=1".into(),
        };
        assert_eq!(client.query_parameter("A").as_deref(), Some(" x y"));
        assert_eq!(client.query_parameter("b").as_deref(), Some(""));
        assert_eq!(client.query_parameter("x"), None);
        client.query = String::new();
        assert_eq!(client.query_parameter("a"), None);
    }
}

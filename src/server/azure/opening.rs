//! Who a client is that the service tells of: its claims, and the request that it came with.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    core::{
        HubProtocol,
        service_protocol::{
            Claims,
            codes::{INSTANCE, MIGRATE_FROM},
        },
        token::claims,
    },
    server::{Identity, query::Query},
};

/// The claim with the user id, where the token does not have the service's own: ASP.NET Core's default.
const NAME_IDENTIFIER: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier";

/// What is known of a client before its handshake.
pub(super) struct Opening {
    pub(super) identity: Identity,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    pub(super) instance: String,
    /// Whether it comes from another server, which has answered its handshake.
    pub(super) is_migrated: bool,
    pub(super) protocol: Option<HubProtocol>,
}

impl Opening {
    pub(super) fn new(
        claims: &Claims<'_>,
        headers: &crate::core::service_protocol::Headers<'_>,
        query: Option<&str>,
        protocol: Option<&str>,
    ) -> Self {
        let mut known = HeaderMap::new();
        for (name, values) in headers {
            // What HTTP does not allow in a header did not come in one.
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            for value in values.iter().flatten() {
                if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                    known.append(&name, value);
                }
            }
        }
        let text = |name: &str| known.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            identity: identity(claims),
            instance: text(INSTANCE).to_owned(),
            is_migrated: !text(MIGRATE_FROM).is_empty(),
            headers: known,
            query: Query::parse(query.map(|query| query.strip_prefix('?').unwrap_or(query))),
            protocol: protocol.and_then(HubProtocol::from_name),
        }
    }
}

/// Who the claims of a token say a client is.
pub(super) fn identity(said: &Claims<'_>) -> Identity {
    let mut identity = Identity::anonymous();
    let user = said.iter().find(|(name, _)| name == claims::USER);
    let user = user.or_else(|| said.iter().find(|(name, _)| name == NAME_IDENTIFIER));
    if let Some((_, user)) = user {
        identity = Identity::user(&**user);
    }
    for (name, value) in said {
        if let Some(name) = claims::name_in_hub(name) {
            identity = identity.claim(name, &**value);
        }
    }
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_the_users_and_not_the_tokens() {
        let claim = |name: &'static str, value: &'static str| (name.into(), value.into());
        let claims = vec![
            claim("asrs.s.uid", "ann"),
            claim("asrs.s.aut", "Bearer"),
            claim("asrs.u.aud", "theirs"),
            claim("aud", "https://service"),
            claim("exp", "1"),
            claim("iss", "azure-signalr"),
            claim("role", "admin"),
            claim("role", "writer"),
            claim(NAME_IDENTIFIER, "somebody"),
        ];
        let expected = Identity::user("ann")
            .claim("aud", "theirs")
            .claim("role", "admin")
            .claim("role", "writer")
            .claim(NAME_IDENTIFIER, "somebody");
        assert_eq!(identity(&claims), expected);
        assert_eq!(
            identity(&claims[8..].to_vec()).claim("x", "y"),
            Identity::user("somebody").claim(NAME_IDENTIFIER, "somebody").claim("x", "y")
        );
        assert_eq!(identity(&vec![claim("asrs.s.uid", "")]), Identity::user(""));
        assert_eq!(identity(&vec![claim("nameid", "n")]), Identity::anonymous().claim("nameid", "n"));
    }

    #[test]
    fn the_request_is_the_clients() {
        let headers = vec![
            ("X-Colour".into(), vec![Some("green".into()), None, Some("blue".into())]),
            ("Asrs-Instance-Id".into(), vec![Some("i1".into())]),
            ("not a name".into(), vec![Some("x".into())]),
            ("x-broken".into(), vec![Some("a\nb".into())]),
        ];
        let opening =
            Opening::new(&Vec::new(), &headers, Some("?hub=chat&colour=r%20d"), Some("messagepack"));
        assert_eq!(opening.headers.get_all("x-colour").iter().count(), 2);
        assert!(opening.headers.len() == 3 && !opening.headers.contains_key("x-broken"));
        assert_eq!((opening.instance.as_str(), opening.is_migrated), ("i1", false));
        assert_eq!(opening.query.first("colour"), Some("r d"));
        assert_eq!(opening.protocol, Some(HubProtocol::MessagePack));
    }
}

//! Who a client is, for the headers of its events.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    core::token::claims::name_of_user,
    server::{claims::SharedClaims, negotiated::Negotiation, query::without_token},
};

/// A client whose events are told.
#[derive(Debug, Clone)]
pub(in crate::local) struct Client {
    pub(in crate::local) negotiation: Negotiation,
    pub(in crate::local) claims: Arc<SharedClaims>,
    /// With the `?` in front.
    pub(super) query: String,
}

impl Client {
    /// The token is for the service alone, so it is not in the query.
    pub(in crate::local) fn new(
        negotiation: Negotiation,
        claims: Arc<SharedClaims>,
        query: Option<&str>,
    ) -> Self {
        Self { negotiation, claims, query: without_token(query) }
    }

    /// The claims that it has now as `type: value, type: value`, without escapes, and without those of the service.
    pub(super) fn claims(&self) -> String {
        let claims = self.claims.get();
        let own = claims.iter().filter_map(|(name, value)| Some((name_of_user(name)?, value)));
        let texts = own.flat_map(|(name, value)| {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            values.iter().map(move |value| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            })
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_describe_the_client() {
        let negotiation =
            Negotiation { connection_id: "c".into(), hub: "chat".into(), ..Negotiation::default() };
        let claims = json!({"asrs.s.uid": "a", "role": ["x", "y"], "asrs.u.aud": "z", "n": 1});
        let claims = claims.as_object().cloned().unwrap_or_default();
        let claims = Arc::new(SharedClaims::new(claims));
        let client = Client::new(negotiation, claims, Some("hub=chat&access_token=secret&a=1"));
        assert_eq!(client.query, "?hub=chat&a=1");
        let claims = client.claims();
        let mut parts: Vec<_> = claims.split(", ").collect();
        parts.sort_unstable();
        assert_eq!(parts, ["aud: z", "n: 1", "role: x", "role: y"]);
    }
}

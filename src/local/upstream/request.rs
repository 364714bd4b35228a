//! Requests to an upstream.

use std::time::Duration;

use axum::http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use crate::{
    local::upstream::{Client, Upstream, rule::Target},
    server::negotiated::Negotiation,
    service::unix_now,
};

/// How long an upstream may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(100);
/// The longest answer, as in Azure.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

pub(super) const JSON: &str = "application/json";
pub(super) const MESSAGE_PACK: &str = "application/x-msgpack";

/// What an upstream has answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// With a status and a body. What failed on the way counts as status 500.
    With(u16, Vec<u8>),
    TooLarge,
}

impl Upstream {
    pub(super) async fn post(
        &self,
        target: Target,
        client: &Client,
        category: &'static str,
        event: &str,
        (kind, body): (&'static str, Vec<u8>),
    ) -> Answered {
        let Negotiation { connection_id, hub, user, .. } = &client.negotiation;
        let claims = client.claims();
        let signature = self.keys.signature(connection_id);
        let token = target
            .resource
            .map(|resource| format!("Bearer {}", self.entra.issue_to_service(&resource, unix_now())));
        let Some(http) = self.client.get() else { return Answered::With(500, Vec::new()) };
        let mut request = http.post(target.url).timeout(TIMEOUT);
        for (name, value) in [
            ("x-asrs-connection-id", Some(connection_id.as_str())),
            ("x-asrs-hub", Some(hub.as_str())),
            ("x-asrs-category", Some(category)),
            ("x-asrs-event", Some(event)),
            ("x-asrs-signature", signature.as_deref()),
            ("x-asrs-user-id", Some(user.as_deref().unwrap_or_default())),
            ("x-asrs-user-claims", Some(claims.as_str())),
            ("x-asrs-client-query", Some(client.query.as_str())),
            (AUTHORIZATION.as_str(), token.as_deref()),
        ] {
            // What is no header's value, such as a user id with a line break, is left out.
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(value.as_bytes())) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let answered =
            answered(request.header(CONTENT_TYPE, kind).body(body)).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the upstream gave no answer");
                Answered::With(500, Vec::new())
            });
        if !matches!(answered, Answered::With(200 | 204, _)) {
            let status = if let Answered::With(status, _) = answered { Some(status) } else { None };
            tracing::warn!(hub, category, event, status, "the upstream refused an event");
        }
        answered
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Result<Answered, reqwest::Error> {
    let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
    let (status, mut body) = (response.status().as_u16(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(Answered::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answered::With(status, body))
}

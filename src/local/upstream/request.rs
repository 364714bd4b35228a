//! Requests to an upstream.

use std::time::{Duration, Instant};

use axum::http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use crate::{
    core::{ErrorChain, url::HubUrl},
    local::upstream::{
        client::Client,
        rule::{Target, public},
        upstreams::Upstreams,
    },
    server::{
        negotiated::Negotiation,
        observe::{Kind, Observed},
    },
    service::unix_now,
};

/// How long an upstream may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(100);
/// The longest answer, as in Azure.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

// Categories of events, and the events of the category of connections.
pub(super) const CONNECTIONS: &str = "connections";
pub(super) const MESSAGES: &str = "messages";
pub(super) const CONNECTED: &str = "connected";
pub(super) const DISCONNECTED: &str = "disconnected";

/// What an upstream has answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// With a status and a body. What failed on the way counts as status 500.
    With(u16, Vec<u8>),
    TooLarge,
}

impl Upstreams {
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
        let (begun, path) = (Instant::now(), path_of(&target.url));
        let url = public(&target.url).to_owned();
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
            // What cannot be the value of a header, such as a user id with a line break, is left out.
            if let Some(Ok(value)) = value.map(|value| HeaderValue::from_bytes(value.as_bytes())) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let result = answered(request.header(CONTENT_TYPE, kind).body(body)).await;
        if let Some(observer) = self.observer.get() {
            let observed = Observed::of(Kind::Upstream, hub, connection_id, user.as_deref()).took(begun);
            let target =
                Some(if category == MESSAGES { event.to_owned() } else { format!("{category}/{event}") });
            let observed = Observed { method: Some("POST".to_owned()), path: Some(path), target, ..observed };
            observer.record(match &result {
                Ok(Answered::With(status, _)) => observed.answered(*status, None),
                Ok(Answered::TooLarge) => observed.failed("the answer is too large"),
                // Its text may name the address, whose query may be a secret.
                Err(error) if error.is_timeout() => observed.failed("the upstream took too long"),
                Err(error) if error.is_connect() => observed.failed("the upstream cannot be reached"),
                Err(_) => observed.failed("the upstream gave no answer"),
            });
        }
        let is_answered = result.is_ok();
        let answered = result.unwrap_or_else(|error| {
            let error = ErrorChain::new(&error);
            tracing::warn!(url, hub, category, event, %error, "the upstream gave no answer");
            Answered::With(500, Vec::new())
        });
        match answered {
            Answered::With(200 | 204, _) => {}
            Answered::With(status, _) if is_answered => {
                tracing::warn!(url, hub, category, event, status, "the upstream refused an event");
            }
            Answered::With(..) => {}
            Answered::TooLarge => {
                tracing::warn!(
                    url,
                    hub,
                    category,
                    event,
                    limit = MAX_ANSWER,
                    "the upstream's answer is too large"
                );
            }
        }
        answered
    }
}

/// The path of an address, without the query, which may be a secret.
fn path_of(url: &str) -> String {
    match HubUrl::parse(url) {
        Ok(url) if !url.path().is_empty() => url.path().to_owned(),
        _ => "/".to_owned(),
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

//! What clients do, told to an upstream, as the service in serverless mode tells it.
//!
//! Every connection has a task of its own for it, so that its events arrive one after the other: connected, the
//! calls in their order, disconnected.
//!
//! Source: [Upstream endpoints](https://learn.microsoft.com/azure/azure-signalr/concept-upstream).

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{
    core::{
        json,
        message::{HubMessage, Invocation, Outcome},
        url::{HubUrl, encode_data},
    },
    local::{
        LocalError,
        connections::encode,
        negotiated::Negotiation,
        outbox::{Outbox, Outgoing},
    },
    platform::tls::http_client_builder,
    service::{secret::Secret, upstream_signature},
};

/// How long an upstream may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(100);
/// The longest answer, as in Azure.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// How many calls of one client may wait.
const MAX_WAITING: usize = 256;

/// An upstream and how to reach it.
#[derive(Debug)]
pub(super) struct Upstream {
    /// With `{hub}`, `{category}` and `{event}` in it.
    template: String,
    client: reqwest::Client,
    access_key: Secret,
}

impl Upstream {
    pub(super) fn new(template: String, access_key: Secret) -> Result<Self, LocalError> {
        let client = http_client_builder().ok().and_then(|builder| builder.no_proxy().build().ok());
        let upstream = Self { template, client: client.ok_or(LocalError::HttpClient)?, access_key };
        let example = upstream.url("hub", "messages", "event");
        HubUrl::parse(&example).map_err(|_| LocalError::InvalidUpstream)?;
        Ok(upstream)
    }

    fn url(&self, hub: &str, category: &str, event: &str) -> String {
        self.template
            .replace("{hub}", &encode_data(hub))
            .replace("{category}", &encode_data(category))
            .replace("{event}", &encode_data(event))
    }

    /// Makes a request and gives status and body. What fails on the way counts as status 500.
    async fn post(&self, client: &Client, category: &str, event: &str, body: String) -> (u16, Vec<u8>) {
        let Negotiation { connection_id, hub, user } = &client.negotiation;
        let signature = upstream_signature(self.access_key.expose(), connection_id);
        let mut request = self.client.post(self.url(hub, category, event)).timeout(TIMEOUT);
        for (name, value) in [
            ("x-asrs-connection-id", connection_id.as_str()),
            ("x-asrs-hub", hub.as_str()),
            ("x-asrs-category", category),
            ("x-asrs-event", event),
            ("x-asrs-signature", signature.as_str()),
            ("x-asrs-user-id", user.as_deref().unwrap_or_default()),
            ("x-asrs-user-claims", client.claims.as_str()),
            ("x-asrs-client-query", client.query.as_str()),
        ] {
            // What is no header's value, such as a user id with a line break, is left out.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let answered = async {
            let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
                body.extend_from_slice(&chunk);
                if body.len() > MAX_ANSWER {
                    return Ok((500, Vec::new()));
                }
            }
            Ok::<_, reqwest::Error>((response.status().as_u16(), body))
        };
        let (status, body) = answered.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the upstream cannot be reached");
            (500, Vec::new())
        });
        if !(200..300).contains(&status) {
            tracing::warn!(hub, category, event, status, "the upstream refused an event");
        }
        (status, body)
    }
}

/// Who a client is, for the headers of its events.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) negotiation: Negotiation,
    claims: String,
    query: String,
}

impl Client {
    /// Claims as `type: value, type: value`, without escapes, and without those of the token and of the service. The
    /// token is no business of the upstream's, so it is not in the query.
    pub(super) fn new(negotiation: Negotiation, claims: &Map<String, Value>, query: Option<&str>) -> Self {
        let own =
            |name: &str| matches!(name, "aud" | "exp" | "iat" | "nbf" | "iss") || name.starts_with("asrs.s.");
        let claims: Vec<String> = claims
            .iter()
            .filter(|(name, _)| !own(name))
            .flat_map(|(name, value)| {
                let name = name.strip_prefix("asrs.u.").unwrap_or(name);
                let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                values.iter().map(move |value| match value {
                    Value::String(text) => format!("{name}: {text}"),
                    other => format!("{name}: {other}"),
                })
            })
            .collect();
        let pairs = query.unwrap_or_default().split('&');
        let query: Vec<&str> = pairs.filter(|pair| !pair.starts_with("access_token=")).collect();
        Self { negotiation, claims: claims.join(", "), query: format!("?{}", query.join("&")) }
    }
}

enum Event {
    Call { target: String, invocation_id: Option<String>, body: String },
    Disconnected(Option<String>),
}

/// Where a connection leaves its events.
#[derive(Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<Event>,
    /// Room for the last event, whatever waits.
    last: mpsc::OwnedPermit<Event>,
}

impl Events {
    /// Begins with the event of the connection itself.
    pub(super) fn start(upstream: Arc<Upstream>, client: Client, outbox: Arc<Outbox>) -> Option<Self> {
        let (queue, events) = mpsc::channel(MAX_WAITING + 1);
        let last = queue.clone().try_reserve_owned().ok()?;
        tokio::spawn(tell(upstream, client, outbox, events));
        Some(Self { queue, last })
    }

    /// Passes a client's call on, and gives what to answer at once if it cannot be.
    pub(super) fn call(&self, call: &Invocation<'_, &str>) -> Result<(), &'static str> {
        if !call.stream_ids.is_empty() {
            return Err("Streams are not supported in serverless mode.");
        }
        let (target, id) = (call.target.as_ref(), call.invocation_id.as_deref());
        let mut body = encode(&HubMessage::Invocation(call.clone())).to_string();
        body.truncate(body.trim_end_matches('\u{1e}').len());
        let event = Event::Call {
            target: target.to_owned(),
            invocation_id: id.filter(|id| !id.is_empty()).map(str::to_owned),
            body,
        };
        self.queue.try_send(event).map_err(|_| "Too many calls wait for the upstream.")
    }

    /// Tells that the connection has ended.
    pub(super) fn end(self, error: Option<String>) {
        self.last.send(Event::Disconnected(error));
    }
}

async fn tell(
    upstream: Arc<Upstream>,
    client: Client,
    outbox: Arc<Outbox>,
    mut events: mpsc::Receiver<Event>,
) {
    upstream.post(&client, "connections", "connected", json!({ "type": 10 }).to_string()).await;
    while let Some(event) = events.recv().await {
        match event {
            Event::Call { target, invocation_id, body } => {
                let (status, body) = upstream.post(&client, "messages", &target, body).await;
                if let Some(id) = invocation_id {
                    outbox.push(Outgoing::Message(completion(&id, status, &body)));
                }
            }
            Event::Disconnected(error) => {
                let body = json!({ "type": 11, "error": error }).to_string();
                upstream.post(&client, "connections", "disconnected", body).await;
                return;
            }
        }
    }
}

/// What the client gets for the upstream's answer.
fn completion(id: &str, status: u16, body: &[u8]) -> axum::extract::ws::Utf8Bytes {
    let text = std::str::from_utf8(body).unwrap_or("?");
    let text = text.strip_suffix('\u{1e}').unwrap_or(text);
    let outcome = match status {
        200..300 if body.is_empty() => Outcome::Void,
        200..300 => match json::parse(text) {
            Ok(Some(HubMessage::Completion { invocation_id, outcome, .. })) if invocation_id == id => outcome,
            _ => Outcome::Error(
                "The upstream answered with something that is no completion of this call.".into(),
            ),
        },
        status => Outcome::Error(format!("Invocation failed, status code {status}").into()),
    };
    encode(&HubMessage::Completion { headers: Vec::new(), invocation_id: id.into(), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_completions() {
        let text = |status, body: &str| completion("7", status, body.as_bytes()).to_string();
        let ok = "{\"type\":3,\"invocationId\":\"7\",\"result\":{\"a\":1}}\u{1e}";
        assert_eq!(text(200, ok), ok);
        assert_eq!(text(204, ""), "{\"type\":3,\"invocationId\":\"7\"}\u{1e}");
        assert!(text(200, "nonsense").contains("no completion of this call"));
        assert!(text(200, &ok.replace('7', "8")).contains("no completion of this call"));
        assert!(text(404, "").contains("Invocation failed, status code 404"));
    }

    #[test]
    fn headers_describe_the_client() {
        let negotiation = Negotiation { connection_id: "c".into(), hub: "chat".into(), user: None };
        let claims = json!({"asrs.s.uid": "a", "role": ["x", "y"], "asrs.u.aud": "z", "n": 1, "exp": 5});
        let claims = claims.as_object().cloned().unwrap_or_default();
        let client = Client::new(negotiation, &claims, Some("hub=chat&access_token=secret&a=1"));
        assert_eq!(client.query, "?hub=chat&a=1");
        let mut parts: Vec<_> = client.claims.split(", ").collect();
        parts.sort_unstable();
        assert_eq!(parts, ["aud: z", "n: 1", "role: x", "role: y"]);
    }
}

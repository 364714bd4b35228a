//! What clients do, told to an upstream, as the service in serverless mode tells it.
//!
//! Every connection has a task of its own for it, so that its events arrive one after the other: connected, the
//! calls in their order, disconnected.
//!
//! Source: [Upstream endpoints](https://learn.microsoft.com/azure/azure-signalr/concept-upstream).

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    Proxy,
    core::{
        Cause, HubProtocol,
        framing::RECORD_SEPARATOR,
        json,
        message::{HubMessage, Invocation, Outcome},
        msgpack,
        url::{HubUrl, encode_data},
    },
    local::error::LocalError,
    platform::Network,
    server::{calls::Answer, claims::SharedClaims, negotiated::Negotiation, outbox::Outbox},
    service::{http::body::read_body, secret::Secret, upstream::signature::sign},
};

/// How long an upstream may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(100);
/// The longest answer, as in Azure.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
const JSON: &str = "application/json";
const MESSAGE_PACK: &str = "application/x-msgpack";

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
        let network = Network { proxy: Proxy::none(), ..Network::default() };
        let builder =
            network.http_client_builder().map_err(|error| LocalError::HttpClient(Cause::new(error)))?;
        let client = builder.build().map_err(|error| LocalError::HttpClient(Cause::new(error)))?;
        let upstream = Self { template, client, access_key };
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
    async fn post(
        &self,
        client: &Client,
        category: &str,
        event: &str,
        (kind, body): (&'static str, Vec<u8>),
    ) -> (u16, Vec<u8>) {
        let Negotiation { connection_id, hub, user, .. } = &client.negotiation;
        let claims = client.claims();
        let signature = sign(self.access_key.expose(), connection_id);
        let mut request = self.client.post(self.url(hub, category, event)).timeout(TIMEOUT);
        for (name, value) in [
            ("x-asrs-connection-id", connection_id.as_str()),
            ("x-asrs-hub", hub.as_str()),
            ("x-asrs-category", category),
            ("x-asrs-event", event),
            ("x-asrs-signature", signature.as_str()),
            ("x-asrs-user-id", user.as_deref().unwrap_or_default()),
            ("x-asrs-user-claims", claims.as_str()),
            ("x-asrs-client-query", client.query.as_str()),
        ] {
            // What is no header's value, such as a user id with a line break, is left out.
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let request = request.header(CONTENT_TYPE, kind).body(body);
        let answered = async {
            let response = request.send().await.map_err(reqwest::Error::without_url)?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
                response.status().as_u16(),
                read_body(response, MAX_ANSWER).await?,
            ))
        };
        let (status, body) = answered.await.unwrap_or_else(|error| {
            tracing::warn!(error, "the upstream gave no answer");
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
    claims: Arc<SharedClaims>,
    query: String,
}

impl Client {
    /// The token is no business of the upstream's, so it is not in the query.
    pub(super) fn new(negotiation: Negotiation, claims: Arc<SharedClaims>, query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&');
        let query: Vec<&str> = pairs.filter(|pair| !pair.starts_with("access_token=")).collect();
        Self { negotiation, claims, query: format!("?{}", query.join("&")) }
    }

    /// The claims that it has now as `type: value, type: value`, without escapes, and without those of the service.
    fn claims(&self) -> String {
        let claims = self.claims.get();
        let own = claims.iter().filter(|(name, _)| !name.starts_with("asrs.s."));
        let texts = own.flat_map(|(name, value)| {
            let name = name.strip_prefix("asrs.u.").unwrap_or(name);
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            values.iter().map(move |value| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            })
        });
        texts.collect::<Vec<_>>().join(", ")
    }
}

enum Event {
    /// With the number to answer with, and the id that the client gave it.
    Call {
        call: Option<u64>,
        target: String,
        invocation_id: Option<String>,
        body: Vec<u8>,
    },
    Disconnected(Option<String>),
}

/// Where a connection leaves its events.
#[derive(Debug)]
pub(super) struct Events {
    protocol: HubProtocol,
    queue: mpsc::Sender<Event>,
    /// Room for the last event, whatever waits.
    last: mpsc::OwnedPermit<Event>,
}

impl Events {
    /// Begins with the event of the connection itself.
    pub(super) fn start(upstream: Arc<Upstream>, client: Client, outbox: Arc<Outbox>) -> Option<Self> {
        let (queue, events) = mpsc::channel(MAX_WAITING + 1);
        let last = queue.clone().try_reserve_owned().ok()?;
        let protocol = outbox.protocol;
        tokio::spawn(tell(upstream, client, outbox, events));
        Some(Self { protocol, queue, last })
    }

    /// Passes a client's call on, and gives what to answer at once if it cannot be.
    pub(super) fn call<P: AsRef<[u8]> + Clone>(
        &self,
        call: Option<u64>,
        invocation: &Invocation<'_, P>,
    ) -> Result<(), &'static str> {
        let event = Event::Call {
            call,
            target: invocation.target.to_string(),
            invocation_id: invocation.invocation_id.as_deref().map(str::to_owned),
            body: body(self.protocol, invocation),
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
    let protocol = outbox.protocol;
    let told = |body: Value| (JSON, body.to_string().into_bytes());
    upstream.post(&client, "connections", "connected", told(json!({ "type": 10 }))).await;
    while let Some(event) = events.recv().await {
        match event {
            Event::Call { call, target, invocation_id, body } => {
                let kind = match protocol {
                    HubProtocol::Json => JSON,
                    HubProtocol::MessagePack => MESSAGE_PACK,
                };
                let (status, body) = upstream.post(&client, "messages", &target, (kind, body)).await;
                if let (Some(call), Some(id)) = (call, invocation_id) {
                    outbox.answer(call, answer(protocol, &id, status, &body));
                }
            }
            Event::Disconnected(error) => {
                let event = told(json!({ "type": 11, "error": error }));
                upstream.post(&client, "connections", "disconnected", event).await;
                return;
            }
        }
    }
}

/// A call as upstreams get it: in the client's protocol, without what says where a message ends.
fn body<P: AsRef<[u8]> + Clone>(protocol: HubProtocol, call: &Invocation<'_, P>) -> Vec<u8> {
    let mut body = Vec::new();
    protocol.write(&mut body, &HubMessage::Invocation(call.clone()));
    match protocol {
        HubProtocol::Json => body.truncate(body.len().saturating_sub(1)),
        HubProtocol::MessagePack => {
            body.drain(..prefix_width(&body));
            // Of the six elements the last, the list of stream ids, is empty and stays out.
            if let Some(header) = body.first_mut() {
                *header = 0x95;
            }
            body.pop();
        }
    }
    body
}

/// The width of the length that a MessagePack message begins with.
fn prefix_width(message: &[u8]) -> usize {
    message.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1)
}

/// What the client gets for the upstream's answer.
fn answer(protocol: HubProtocol, id: &str, status: u16, body: &[u8]) -> Answer {
    fn outcome<P: AsRef<[u8]>>(message: Option<HubMessage<'_, P>>, id: &str) -> Option<Answer> {
        match message {
            Some(HubMessage::Completion { invocation_id, outcome, .. }) if invocation_id == id => {
                Some(match outcome {
                    Outcome::Void => Outcome::Void,
                    Outcome::Value(value) => Outcome::Value(value.as_ref().to_vec()),
                    Outcome::Error(error) => Outcome::Error(error.into_owned().into()),
                })
            }
            _ => None,
        }
    }
    if !(200..300).contains(&status) {
        return Outcome::Error(format!("Invocation failed, status code {status}").into());
    }
    if body.is_empty() {
        return Outcome::Void;
    }
    let answered = match protocol {
        HubProtocol::Json => {
            let text = std::str::from_utf8(body.strip_suffix(&[RECORD_SEPARATOR]).unwrap_or(body));
            let message = text.ok().and_then(|text| json::parse(text).ok().flatten());
            outcome(message, id)
        }
        HubProtocol::MessagePack => {
            // Upstreams send it with its length, as a client would get it, or without.
            let unprefixed = body.get(prefix_width(body)..).unwrap_or_default();
            [body, unprefixed].into_iter().find_map(|bytes| outcome(msgpack::parse(bytes).ok().flatten(), id))
        }
    };
    answered.unwrap_or_else(|| {
        Outcome::Error("The upstream answered with something that is not a completion of this call.".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_the_upstream() {
        let answer = |status, body: &str| answer(HubProtocol::Json, "7", status, body.as_bytes());
        let is_error = |answer, part: &str| matches!(answer, Outcome::Error(error) if error.contains(part));
        let ok = "{\"type\":3,\"invocationId\":\"7\",\"result\":{\"a\":1}}\u{1e}";
        let value = Outcome::Value(b"{\"a\":1}".to_vec());
        assert_eq!(answer(200, ok), value);
        assert_eq!(answer(200, ok.trim_end_matches('\u{1e}')), value);
        assert_eq!(answer(204, ""), Outcome::Void);
        assert_eq!(
            answer(200, "{\"type\":3,\"invocationId\":\"7\",\"error\":\"no\"}"),
            Outcome::Error("no".into())
        );
        assert!(is_error(answer(200, "nonsense"), "not a completion of this call"));
        assert!(is_error(answer(200, &ok.replace('7', "8")), "not a completion of this call"));
        assert!(is_error(answer(404, ""), "Invocation failed, status code 404"));
    }

    #[test]
    fn answers_in_messagepack_are_those_of_the_upstream() {
        let answer = |status, body: &[u8]| answer(HubProtocol::MessagePack, "7", status, body);
        let ok = b"\x07\x95\x03\x80\xa17\x03\x01";
        assert_eq!(answer(200, ok), Outcome::Value(vec![1]));
        assert_eq!(answer(200, &ok[1..]), Outcome::Value(vec![1]));
        assert_eq!(answer(204, b""), Outcome::Void);
        for (status, body) in [(200, &b"{}"[..]), (200, b"\x95\x03\x80\xa18\x03\x01"), (500, ok)] {
            assert!(matches!(answer(status, body), Outcome::Error(_)), "{body:?}");
        }
    }

    #[test]
    fn calls_have_no_length_and_no_stream_ids() {
        let call = Invocation {
            headers: Vec::new(),
            invocation_id: None,
            target: "m".into(),
            arguments: &b"\x91\x01"[..],
            stream_ids: Vec::new(),
        };
        assert_eq!(body(HubProtocol::MessagePack, &call), b"\x95\x01\x80\xc0\xa1m\x91\x01");
        let HubMessage::Invocation(call) = HubMessage::Invocation(call).map(|_| "[1]") else { panic!() };
        assert_eq!(body(HubProtocol::Json, &call), br#"{"type":1,"target":"m","arguments":[1]}"#);
    }

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

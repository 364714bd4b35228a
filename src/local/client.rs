//! The client endpoint: the second negotiation, and the WebSocket's way in.
//!
//! Source: [TransportProtocols.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/TransportProtocols.md).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{
        RawQuery, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use crate::{
    local::{
        Service,
        auth::{bearer, is_client_audience},
        keys::random_text,
        negotiated::{Negotiation, OpenError},
        query::Query,
        socket::{self, Session},
        upstream,
    },
    service::unix_now,
};

/// Azure refuses longer client tokens.
const MAX_TOKEN_LENGTH: usize = 4096;

/// The bit of WebSockets in the transport mask of the claim `asrs.s.htt`.
const WEB_SOCKETS: u64 = 1;

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    let open = get(open);
    router.route("/client/negotiate", post(negotiate)).route("/client", open.clone()).route("/client/", open)
}

/// A client that has shown a good token.
#[derive(Debug)]
struct Client {
    hub: String,
    claims: Map<String, Value>,
}

impl Client {
    fn identify(service: &Service, headers: &HeaderMap, query: &Query) -> Result<Self, Refusal> {
        let mut hubs = query.all("hub");
        let hub = match (hubs.next(), hubs.next()) {
            (Some(hub), None) => hub.to_ascii_lowercase(),
            (None, _) => return Err(Refusal::Request("The query parameter hub is missing.")),
            (Some(_), Some(_)) => {
                return Err(Refusal::Request("The query parameter hub is there more than once."));
            }
        };
        if !is_hub_name(&hub) {
            return Err(Refusal::Request("The query parameter hub is not the name of a hub."));
        }
        let token = bearer(headers).or_else(|| query.first("access_token")).ok_or(Refusal::NoToken)?;
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Refusal::LongToken);
        }
        match service.keys.verify(token, unix_now(), |audience| is_client_audience(audience, &hub)) {
            Ok(claims) => Ok(Self { hub, claims }),
            Err(error) => Err(Refusal::Token(format!(
                "The client token was refused: {error}. The audience of this request is {}/client/?hub={hub}.",
                service.origin
            ))),
        }
    }

    fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// The user id by the service's rule: `asrs.s.uid`, else the name identifier. A claim that occurs more than
    /// once is an array, of which the first counts.
    fn user(&self) -> Option<&str> {
        ["asrs.s.uid", "nameid", "sub"].into_iter().find_map(|name| match self.claims.get(name)? {
            Value::String(text) => Some(text.as_str()),
            Value::Array(list) => list.first().and_then(Value::as_str),
            _ => None,
        })
    }

    /// The time for the handshake that the token asks for.
    fn handshake_timeout(&self) -> Option<Duration> {
        let seconds = self.claim("asrs.s.cht")?.parse().ok().filter(|s| (1..=30).contains(s))?;
        Some(Duration::from_secs(seconds))
    }

    fn may_use_web_sockets(&self) -> bool {
        let mask = self.claim("asrs.s.htt").and_then(|mask| mask.parse::<u64>().ok());
        mask.is_none_or(|mask| mask & WEB_SOCKETS != 0)
    }
}

/// Whether a text in lower case can be the name of a hub, with or without an application's prefix.
pub(super) fn is_hub_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_`,.[]".contains(c);
    name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(allowed)
}

async fn negotiate(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    let transports = if client.may_use_web_sockets() {
        json!([{ "transport": "WebSockets", "transferFormats": ["Text", "Binary"] }])
    } else {
        json!([])
    };
    let connection_id = random_text()?;
    let version = query.first("negotiateVersion").and_then(|v| v.parse().ok()).unwrap_or(0_u32).min(1);
    let mut answer = json!({
        "negotiateVersion": version,
        "connectionId": connection_id,
        "availableTransports": transports,
    });
    // Clients of version 0 connect with the connection id.
    let mut token = connection_id.clone();
    if version > 0 {
        token = random_text()?;
        answer["connectionToken"] = token.as_str().into();
    }
    let user = client.user().map(str::to_owned);
    service.negotiated.insert(token, Negotiation { connection_id, hub: client.hub, user }, Instant::now());
    Ok(Json(answer))
}

async fn open(
    State(service): State<Arc<Service>>,
    RawQuery(raw_query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let query = Query::parse(raw_query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    let upgrade = upgrade.map_err(|_| Refusal::Request("The local service has WebSockets only."))?;
    if !client.may_use_web_sockets() {
        return Err(Refusal::Request("The client token does not allow WebSockets (claim asrs.s.htt)."));
    }
    let (user, now) = (client.user(), Instant::now());
    // Azure also takes clients that come with a token and have not negotiated here.
    let (token, negotiation) = match query.first("id") {
        Some(id) => (Some(id.to_owned()), service.negotiated.open(id, &client.hub, user, now)?),
        None => {
            let connection_id = random_text()?;
            (None, Negotiation { connection_id, hub: client.hub.clone(), user: user.map(str::to_owned) })
        }
    };
    let handshake_timeout = client.handshake_timeout().unwrap_or(service.timeouts.handshake);
    let told = upstream::Client::new(negotiation.clone(), &client.claims, raw_query.as_deref());
    let session = Session { negotiation, told, handshake_timeout, lease: Lease { service, token } };
    Ok(upgrade
        .read_buffer_size(socket::READ_BUFFER)
        .max_message_size(socket::MAX_FRAME)
        .max_frame_size(socket::MAX_FRAME)
        .on_upgrade(|socket| session.run(socket)))
}

/// Keeps a connection token taken for as long as its connection lives, even if the upgrade never comes about.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) service: Arc<Service>,
    token: Option<String>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            self.service.negotiated.close(token);
        }
    }
}

/// Why a client does not get in. Clients show the text, so it says what to do about it.
#[derive(Debug)]
enum Refusal {
    Request(&'static str),
    NoToken,
    LongToken,
    Token(String),
    Open(OpenError),
    NoRandomNumbers,
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<getrandom::Error> for Refusal {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "the operating system gives no random numbers");
        Self::NoRandomNumbers
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match &self {
            Self::Request(text) => (StatusCode::BAD_REQUEST, *text),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "The request has no client token, neither as a bearer token nor as the query parameter access_token.",
            ),
            Self::LongToken => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The client token is longer than 4096 characters; give it fewer claims.",
            ),
            Self::Token(text) => (StatusCode::UNAUTHORIZED, text.as_str()),
            Self::Open(OpenError::Unknown) => (
                StatusCode::NOT_FOUND,
                "No connection with that id: negotiate first, and connect within 5 seconds with the same user and hub.",
            ),
            Self::Open(OpenError::Taken) => {
                (StatusCode::CONFLICT, "The connection with that id is open already.")
            }
            Self::NoRandomNumbers => (StatusCode::INTERNAL_SERVER_ERROR, "There are no random numbers."),
        };
        tracing::debug!(%status, text, "the local service refused a client");
        let mut response = (status, text.to_owned()).into_response();
        let challenge = match &self {
            Self::NoToken => Some("Bearer".to_owned()),
            Self::Token(text) => {
                Some(format!("Bearer error=\"invalid_token\", error_description=\"{text}\""))
            }
            _ => None,
        };
        if let Some(challenge) = challenge.and_then(|text| HeaderValue::try_from(text).ok()) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(claims: Value) -> Client {
        let claims = claims.as_object().cloned().unwrap_or_default();
        Client { hub: "chat".into(), claims }
    }

    #[test]
    fn the_user_id_follows_the_rule_of_the_service() {
        for (claims, user) in [
            (json!({"asrs.s.uid": "a", "nameid": "b", "sub": "c"}), Some("a")),
            (json!({"nameid": "b", "sub": "c"}), Some("b")),
            (json!({"sub": ["c", "d"]}), Some("c")),
            (json!({"asrs.s.uid": ""}), Some("")),
            (json!({"name": "x"}), None),
        ] {
            assert_eq!(client(claims.clone()).user(), user, "{claims}");
        }
    }

    #[test]
    fn claims_set_timeout_and_transports() {
        for (claims, seconds) in
            [(json!({"asrs.s.cht": "7"}), Some(7)), (json!({"asrs.s.cht": "31"}), None), (json!({}), None)]
        {
            assert_eq!(client(claims).handshake_timeout(), seconds.map(Duration::from_secs));
        }
        for (claims, may) in
            [(json!({"asrs.s.htt": "7"}), true), (json!({"asrs.s.htt": "6"}), false), (json!({}), true)]
        {
            assert_eq!(client(claims).may_use_web_sockets(), may);
        }
    }

    #[test]
    fn hub_names() {
        for name in ["chat", "app_chat", "a`1", "a.b[c,d]", &"a".repeat(128)] {
            assert!(is_hub_name(name), "{name}");
        }
        for name in ["", "1a", "_a", "a b", "a/b", "a\"b", "ü", &"a".repeat(129)] {
            assert!(!is_hub_name(name), "{name}");
        }
    }
}

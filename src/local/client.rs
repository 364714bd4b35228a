//! The client endpoint: the second negotiation, and the way in for every transport.
//!
//! Source: [TransportProtocols.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/TransportProtocols.md).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        RawQuery, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, UPGRADE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use crate::{
    core::{hub_name, token::USER_ID_CLAIMS},
    local::{
        Service,
        auth::{bearer, is_client_audience},
        exchange::{self, Exchange, Polled},
        keys::random_text,
        negotiated::{Negotiation, OpenError, Ways},
        query::Query,
        session::Session,
        transport::{MAX_FRAME, READ_BUFFER, Transport},
        upstream,
    },
    service::unix_now,
};

/// Azure refuses longer client tokens.
const MAX_TOKEN_LENGTH: usize = 4096;

/// How long a poll waits for a message unless the claim `asrs.s.ttl` says otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

const NO_ID: &str = "The query parameter id is missing; negotiate first.";

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    let open = get(open).post(send).delete(leave);
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

    fn user(&self) -> Option<&str> {
        user_of(&self.claims)
    }

    /// When the connection ends with the client's authentication, if the token says that it does.
    fn expiry(&self) -> Option<u64> {
        let closes = self.claim("asrs.s.coae").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if closes { self.claim("asrs.s.aeo")?.parse().ok() } else { None }
    }

    /// The time for the handshake that the token asks for.
    fn handshake_timeout(&self) -> Option<Duration> {
        let seconds = self.claim("asrs.s.cht")?.parse().ok().filter(|s| (1..=30).contains(s))?;
        Some(Duration::from_secs(seconds))
    }

    /// How long a poll may wait for something to answer with.
    fn poll_interval(&self) -> Duration {
        let seconds = self.claim("asrs.s.ttl").and_then(|text| text.parse().ok());
        seconds.filter(|s| (1..=300).contains(s)).map_or(POLL_INTERVAL, Duration::from_secs)
    }

    /// Whether the mask of the claim `asrs.s.htt` has the transport's bit.
    fn may_use(&self, transport: Kind) -> bool {
        let mask = self.claim("asrs.s.htt").and_then(|mask| mask.parse::<u64>().ok());
        mask.is_none_or(|mask| mask & transport as u64 != 0)
    }
}

/// The user id by the service's rule: `asrs.s.uid`, else the name identifier. A claim that occurs more than once is an
/// array, of which the first counts.
pub(super) fn user_of(claims: &Map<String, Value>) -> Option<&str> {
    USER_ID_CLAIMS.into_iter().find_map(|name| match claims.get(name)? {
        Value::String(text) => Some(text.as_str()),
        Value::Array(list) => list.first().and_then(Value::as_str),
        _ => None,
    })
}

/// A transport, with its bit in the mask of the claim `asrs.s.htt`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    WebSockets = 1,
    ServerSentEvents = 2,
    LongPolling = 4,
}

impl Kind {
    const ALL: [Self; 3] = [Self::WebSockets, Self::ServerSentEvents, Self::LongPolling];

    /// As in the answer to negotiate.
    fn described(self) -> Value {
        match self {
            Self::WebSockets => json!({ "transport": "WebSockets", "transferFormats": ["Text", "Binary"] }),
            Self::ServerSentEvents => json!({ "transport": "ServerSentEvents", "transferFormats": ["Text"] }),
            Self::LongPolling => json!({ "transport": "LongPolling", "transferFormats": ["Text", "Binary"] }),
        }
    }
}

/// Whether a text in lower case can be the name of a hub, with or without an application's prefix.
pub(super) fn is_hub_name(name: &str) -> bool {
    hub_name::check(name).is_ok()
}

async fn negotiate(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    let allowed = Kind::ALL.into_iter().filter(|&transport| client.may_use(transport));
    let transports: Vec<Value> = allowed.map(Kind::described).collect();
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
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let kind = match &upgrade {
        Ok(_) => Kind::WebSockets,
        Err(_) if headers.contains_key(UPGRADE) => {
            return Err(Refusal::Request("The request is no good WebSocket handshake."));
        }
        Err(_) if accepted.contains("text/event-stream") => Kind::ServerSentEvents,
        Err(_) => Kind::LongPolling,
    };
    if !client.may_use(kind) {
        let text = "The client token does not allow this transport (claim asrs.s.htt).";
        return Err(Refusal::Request(text));
    }
    let opening = Opening { service, client, query, raw_query };
    match (kind, upgrade) {
        (_, Ok(upgrade)) => opening.web_socket(upgrade),
        (Kind::ServerSentEvents, _) => opening.server_sent_events(),
        _ => opening.poll().await,
    }
}

/// A request that opens a connection, or polls one.
struct Opening {
    service: Arc<Service>,
    client: Client,
    query: Query,
    raw_query: Option<String>,
}

impl Opening {
    fn web_socket(self, upgrade: WebSocketUpgrade) -> Result<Response, Refusal> {
        // Azure also takes clients that come with a token and have not negotiated here.
        let session = if self.query.first("id").is_some() {
            self.negotiated_session(None)?
        } else {
            let connection_id = random_text()?;
            let (hub, user) = (self.client.hub.clone(), self.client.user().map(str::to_owned));
            self.session(Negotiation { connection_id, hub, user }, None, &Ways::default())
        };
        Ok(upgrade
            .read_buffer_size(READ_BUFFER)
            .max_message_size(MAX_FRAME)
            .max_frame_size(MAX_FRAME)
            .on_upgrade(|socket| session.run(Transport::WebSocket(Box::new(socket)))))
    }

    fn server_sent_events(self) -> Result<Response, Refusal> {
        let (transport, exchange, body) = exchange::server_sent_events();
        let session = self.negotiated_session(Some(exchange))?;
        tokio::spawn(session.run(Transport::Http(transport)));
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache, no-store")];
        Ok((headers, body).into_response())
    }

    /// The first poll opens the connection and is answered at once.
    async fn poll(self) -> Result<Response, Refusal> {
        let polled = match exchange_of(&self.service, &self.client, &self.query)? {
            Some(exchange) if exchange.is_polled() => exchange.poll(self.client.poll_interval()).await,
            Some(_) => return Err(Refusal::Open(OpenError::Taken)),
            None => {
                let (transport, exchange) = exchange::long_polling();
                let session = self.negotiated_session(Some(exchange))?;
                tokio::spawn(session.run(Transport::Http(transport)));
                Polled::Nothing
            }
        };
        let (status, body) = match polled {
            Polled::Messages(body) => (StatusCode::OK, body),
            Polled::Nothing => (StatusCode::OK, Bytes::new()),
            Polled::End => (StatusCode::NO_CONTENT, Bytes::new()),
        };
        let headers = [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-cache, no-store")];
        Ok((status, headers, body).into_response())
    }

    /// The session of a client that has negotiated.
    fn negotiated_session(self, exchange: Option<Arc<Exchange>>) -> Result<Session, Refusal> {
        let id = self.query.first("id").ok_or(Refusal::Request(NO_ID))?.to_owned();
        let Client { hub, .. } = &self.client;
        let ways = Ways { exchange, ..Ways::default() };
        let negotiation =
            self.service.negotiated.open(&id, hub, self.client.user(), &ways, Instant::now())?;
        Ok(self.session(negotiation, Some(id), &ways))
    }

    fn session(self, negotiation: Negotiation, token: Option<String>, ways: &Ways) -> Session {
        let Self { service, client, raw_query, .. } = self;
        ways.expiry.send_replace(client.expiry());
        let handshake_timeout = client.handshake_timeout().unwrap_or(service.timeouts.handshake);
        let told = upstream::Client::new(negotiation.clone(), &client.claims, raw_query.as_deref());
        let expiry = ways.expiry.subscribe();
        Session { negotiation, told, handshake_timeout, expiry, lease: Lease { service, token } }
    }
}

/// Where the requests of a connection go, if it is open and made of requests.
fn exchange_of(service: &Service, client: &Client, query: &Query) -> Result<Option<Arc<Exchange>>, Refusal> {
    let id = query.first("id").ok_or(Refusal::Request(NO_ID))?;
    Ok(service.negotiated.exchange(id, &client.hub, client.user()))
}

/// Takes what a client sends that has no WebSocket.
async fn send(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    let exchange = exchange_of(&service, &client, &query)?.ok_or(OpenError::Unknown)?;
    exchange.send(body).await.map_err(|_| OpenError::Unknown)?;
    Ok(StatusCode::OK)
}

/// Ends a connection of long polls.
async fn leave(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    exchange_of(&service, &client, &query)?.ok_or(OpenError::Unknown)?.leave();
    Ok(StatusCode::ACCEPTED)
}

/// Keeps a connection token taken for as long as its connection lives, even if an upgrade never comes about.
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
        for (claims, seconds) in
            [(json!({"asrs.s.ttl": "300"}), 300), (json!({"asrs.s.ttl": "301"}), 5), (json!({}), 5)]
        {
            assert_eq!(client(claims).poll_interval(), Duration::from_secs(seconds));
        }
        for (claims, may) in [
            (json!({"asrs.s.htt": "7"}), [true; 3]),
            (json!({"asrs.s.htt": "6"}), [false, true, true]),
            (json!({"asrs.s.htt": "1"}), [true, false, false]),
            (json!({}), [true; 3]),
        ] {
            assert_eq!(Kind::ALL.map(|kind| client(claims.clone()).may_use(kind)), may);
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

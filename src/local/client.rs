//! The client endpoint: the second negotiation, and the way in for every transport.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{
        RawQuery, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value};

use crate::{
    core::{hub_name, negotiate::Transports, token::USER_ID_CLAIMS},
    local::{
        api_error::{RETRY_SOON, TOO_MANY_CONNECTIONS},
        audience::{bearer, is_client_audience},
        default_mode::{client_connection::RelayedClient, visitor},
        serverless::Serverless,
        service::Service,
        upstream,
    },
    server::{
        claims::SharedClaims,
        endpoint::{self, Admission, Opening, Refusal as ServerRefusal},
        observe::{Reason, Who},
        query::Query,
        session::Session,
    },
    service::unix_now,
};

/// Azure refuses longer client tokens.
const MAX_TOKEN_LENGTH: usize = 4096;

/// How long a poll waits for a message unless the claim `asrs.s.ttl` says otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    let open = get(open).post(send).delete(leave);
    router.route("/client/negotiate", post(negotiate)).route("/client", open.clone()).route("/client/", open)
}

/// A client that has shown a good token.
#[derive(Debug)]
struct Client {
    hub: String,
    claims: Map<String, Value>,
    shared: Arc<SharedClaims>,
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
        match service
            .keys
            .verify(token, unix_now(), |audience| is_client_audience(&service.guard, audience, &hub))
        {
            Ok(claims) => {
                // What is said of the token itself ends with it.
                let mut kept = claims.clone();
                kept.retain(|name, _| !matches!(name.as_str(), "aud" | "exp" | "iat" | "iss" | "nbf"));
                Ok(Self { hub, shared: Arc::new(SharedClaims::new(kept)), claims })
            }
            Err(error) => Err(Refusal::Token(format!(
                "The client token was refused: {error}. The audience of this request is {}/client/?hub={hub}.",
                service.origin
            ))),
        }
    }

    fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// What its claims say that it may do.
    fn admission(&self) -> Admission {
        Admission {
            hub: self.hub.clone(),
            user: user_of(&self.claims).map(str::to_owned),
            transports: self.transports(),
            handshake_timeout: self.handshake_timeout(),
            poll_interval: self.poll_interval(),
            expiry: self.expiry(),
            claims: self.shared.clone(),
            lifetime: None,
            address: None,
            may_resume: false,
        }
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

    /// The mask of the claim `asrs.s.htt`, of which bits that stand for no transport mean nothing.
    fn transports(&self) -> Transports {
        let mask = self.claim("asrs.s.htt").and_then(|mask| mask.parse::<u64>().ok());
        mask.map_or(Transports::ALL, |mask| Transports::from_mask((mask & 0xff) as u8))
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

/// Whether a text in lower case can be the name of a hub, with or without an application's prefix.
pub(super) fn is_hub_name(name: &str) -> bool {
    hub_name::check(name).is_ok()
}

async fn negotiate(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    let may_resume = service.hubs.as_ref().is_some_and(|hubs| hubs.allows_stateful_reconnect(&client.hub));
    let admission = Admission { may_resume, ..client.admission() };
    let who = Who(admission.user.clone());
    Ok((Extension(who), endpoint::negotiate(&service.room, admission, &query)?))
}

async fn open(
    State(service): State<Arc<Service>>,
    RawQuery(raw_query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let query = Query::parse(raw_query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    let opening = Opening {
        room: &service.room,
        client: client.admission(),
        query: &query,
        headers: &headers,
        upgrade,
    };
    if service.hubs.is_some() {
        let visitor = visitor(&client.shared, &headers, raw_query.as_deref(), query.first("id"));
        let opened =
            endpoint::open(opening, |admitted| RelayedClient { service: service.clone(), admitted, visitor });
        return Ok(opened.await?);
    }
    let opened = endpoint::open(opening, |admitted| {
        let (negotiation, claims) = (admitted.negotiation.clone(), client.shared.clone());
        let told = upstream::Client::new(negotiation, claims, raw_query.as_deref());
        Session { admitted, dispatcher: Serverless::new(service.clone(), told) }
    });
    Ok(opened.await?)
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
    Ok(endpoint::send(&service.room, &client.admission(), &query, body).await?)
}

/// Ends a connection of long polls.
async fn leave(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service, &headers, &query)?;
    Ok(endpoint::leave(&service.room, &client.admission(), &query)?)
}

/// Why a client does not get in. Clients show the text, so it says what to do about it.
#[derive(Debug)]
enum Refusal {
    Request(&'static str),
    NoToken,
    LongToken,
    Token(String),
    Full(&'static str),
    Server(ServerRefusal),
}

impl From<ServerRefusal> for Refusal {
    fn from(refusal: ServerRefusal) -> Self {
        match refusal {
            ServerRefusal::Transport => {
                Self::Request("The client token does not allow this transport (claim asrs.s.htt).")
            }
            ServerRefusal::Busy => Self::Full(TOO_MANY_CONNECTIONS),
            ServerRefusal::Full => {
                Self::Full("Too many connections are negotiated and not open; try again in some seconds.")
            }
            refusal => Self::Server(refusal),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match &self {
            Self::Request(text) => (StatusCode::BAD_REQUEST, (*text).to_owned()),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "The request has no client token, neither as a bearer token nor as the query parameter access_token."
                    .to_owned(),
            ),
            Self::LongToken => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The client token is longer than 4096 characters; give it fewer claims.".to_owned(),
            ),
            Self::Token(text) => (StatusCode::UNAUTHORIZED, text.clone()),
            Self::Full(text) => (StatusCode::TOO_MANY_REQUESTS, (*text).to_owned()),
            Self::Server(refusal) => (refusal.status(), refusal.to_string()),
        };
        tracing::debug!(%status, text, "the local service refused a client");
        let reason = Extension(Reason(text.clone().into()));
        let mut response = (status, reason, text).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SOON);
        }
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
    use serde_json::json;

    use super::*;
    use crate::core::negotiate::Transport;

    fn client(claims: Value) -> Client {
        let claims = claims.as_object().cloned().unwrap_or_default();
        Client { hub: "chat".into(), claims, shared: Arc::default() }
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
            assert_eq!(client(claims.clone()).admission().user.as_deref(), user, "{claims}");
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
            let all = [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling];
            let transports = client(claims).transports();
            assert_eq!(all.map(|transport| transports.contains(transport)), may);
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

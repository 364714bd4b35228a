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
    core::{hub_name, negotiate::Transports},
    local::{
        access::Access,
        api_error::{RETRY_SOON, TOO_MANY_CONNECTIONS},
        default_mode::{RelayedClient, Visitor},
        mode::Mode,
        serverless::ServerlessClient,
        service::Service,
        token::{bearer, user_of},
        upstream,
    },
    server::{
        claims::SharedClaims,
        endpoint::{self, Admission, Opening, Refusal as ServerRefusal},
        observe::{Reason, Who},
        query::Query,
        session::{Admitted, Session},
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
    fn identify(access: &Access, headers: &HeaderMap, query: &Query) -> Result<Self, Refusal> {
        let mut hubs = query.all("hub");
        let hub = match (hubs.next(), hubs.next()) {
            (Some(hub), None) => hub.to_ascii_lowercase(),
            (None, _) => return Err(Refusal::Request("The query parameter hub is missing.")),
            (Some(_), Some(_)) => {
                return Err(Refusal::Request("The query parameter hub is there more than once."));
            }
        };
        if hub_name::check(&hub).is_err() {
            return Err(Refusal::Request("The query parameter hub is not the name of a hub."));
        }
        let token = bearer(headers).or_else(|| query.first("access_token")).ok_or(Refusal::NoToken)?;
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(Refusal::LongToken);
        }
        match access.client_claims(token, &hub, unix_now()) {
            Ok(claims) => {
                // What is said of the token itself ends with it.
                let mut kept = claims.clone();
                kept.retain(|name, _| !matches!(name.as_str(), "aud" | "exp" | "iat" | "iss" | "nbf"));
                Ok(Self { hub, shared: Arc::new(SharedClaims::new(kept)), claims })
            }
            Err(error) => Err(Refusal::Token(format!(
                "The client token was refused: {error}. The audience of this request is {}/client/?hub={hub}.",
                access.origin
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

async fn negotiate(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service.access, &headers, &query)?;
    let may_resume = service.mode.hubs().is_some_and(|hubs| hubs.allows_stateful_reconnect(&client.hub));
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
    let client = Client::identify(&service.access, &headers, &query)?;
    let opening = Opening {
        room: &service.room,
        client: client.admission(),
        query: &query,
        headers: &headers,
        upgrade,
    };
    let opened = match &service.mode {
        Mode::Default(hubs) => {
            let visitor = Visitor::new(&client.shared, &headers, raw_query.as_deref(), query.first("id"));
            let (hubs, faults) = (hubs.clone(), service.faults.clone());
            endpoint::open(opening, |admitted| RelayedClient { hubs, faults, admitted, visitor }).await
        }
        Mode::Serverless(shared) => {
            let (shared, claims) = (shared.clone(), client.shared.clone());
            let session = |admitted: Admitted| {
                let told = upstream::Client::new(admitted.negotiation.clone(), claims, raw_query.as_deref());
                Session { admitted, dispatcher: ServerlessClient::new(shared, told) }
            };
            endpoint::open(opening, session).await
        }
    };
    Ok(opened?)
}

/// Takes what a client sends that has no WebSocket.
async fn send(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service.access, &headers, &query)?;
    Ok(endpoint::send(&service.room, &client.admission(), &query, body).await?)
}

/// Ends a connection of long polls.
async fn leave(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let query = Query::parse(query.as_deref());
    let client = Client::identify(&service.access, &headers, &query)?;
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
}

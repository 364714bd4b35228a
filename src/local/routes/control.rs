//! Control over HTTP: `/_hubwire/faults`, `/_hubwire/cut` and `/_hubwire/keys`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    local::{
        faults::{Cut, FaultRule, FaultScope},
        keys::KeyType,
        service::Service,
        token::bearer,
    },
    service::unix_now,
};

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router
        .route("/_hubwire/faults", get(read).put(set).delete(clear))
        .route("/_hubwire/cut", post(cut))
        .route("/_hubwire/keys/{key}", post(regenerate))
}

/// A caller that has shown an access key.
struct KeyHolder;

impl FromRequestParts<Arc<Service>> for KeyHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let named = parts.headers.get("x-hubwire-key").and_then(|key| key.to_str().ok());
        let key = named.or_else(|| bearer(&parts.headers)).unwrap_or_default();
        if service.access.keys.is_access_key(key) { Ok(Self) } else { Err(Refusal::Key) }
    }
}

/// Why a request is refused.
enum Refusal {
    Key,
    Request(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Key => (
                StatusCode::UNAUTHORIZED,
                "Give the access key of the service in the header X-Hubwire-Key, or in Authorization after Bearer."
                    .to_owned(),
            ),
            Self::Request(message) => (StatusCode::BAD_REQUEST, message),
        };
        (status, Json(json!({ "message": message }))).into_response()
    }
}

fn parsed<'b, T: Deserialize<'b>>(body: &'b [u8], what: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::Request(format!("The body is not {what}: {error}.")))
}

fn listed(service: &Service) -> Json<Value> {
    let rules = service.faults.rules().into_iter().map(|(rule, hits)| {
        let mut rule = json!(rule);
        rule["hits"] = hits.into();
        rule
    });
    Json(rules.collect())
}

/// Puts a new key in the place of the primary or the secondary one.
async fn regenerate(
    State(service): State<Arc<Service>>,
    _: KeyHolder,
    Path(key): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let key = match &*key {
        "primary" => KeyType::Primary,
        "secondary" => KeyType::Secondary,
        _ => return Err(Refusal::Request("The key to regenerate is primary or secondary.".to_owned())),
    };
    let new = service.access.keys.regenerate(key, unix_now());
    let new =
        new.map_err(|_| Refusal::Request("The operating system gives no random numbers.".to_owned()))?;
    tracing::info!(?key, "an access key was regenerated");
    Ok(Json(json!({ "accessKey": new.expose() })))
}

async fn read(State(service): State<Arc<Service>>, _: KeyHolder) -> Json<Value> {
    listed(&service)
}

async fn set(State(service): State<Arc<Service>>, _: KeyHolder, body: Bytes) -> Result<Json<Value>, Refusal> {
    let rules: Vec<FaultRule> = parsed(&body, "a list of rules")?;
    service.faults.set(rules).map_err(|error| Refusal::Request(format!("A rule is not valid: {error}.")))?;
    Ok(listed(&service))
}

async fn clear(State(service): State<Arc<Service>>, _: KeyHolder) -> StatusCode {
    service.faults.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CutBody {
    #[serde(default)]
    when: FaultScope,
    how: How,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    Silently,
    Close,
    Error,
    Expired,
}

async fn cut(State(service): State<Arc<Service>>, _: KeyHolder, body: Bytes) -> Result<Json<Value>, Refusal> {
    let CutBody { when, how, error } = parsed(&body, "a cut")?;
    if when.names_requests() {
        let text = "A cut is about hub, user, connection and group; kind and path are for rules.";
        return Err(Refusal::Request(text.to_owned()));
    }
    let how = match how {
        How::Silently => Cut::Silently,
        How::Close => Cut::Close,
        How::Error => Cut::Error(error.unwrap_or_else(|| "The connection was cut.".to_owned())),
        How::Expired => Cut::Expired,
    };
    Ok(Json(json!({ "connections": service.faults.cut(&when, &how) })))
}

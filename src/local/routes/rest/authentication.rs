//! The authentication refresh of .NET 11: claims of connections, and new ones.

use axum::{
    Json,
    http::{Method, header::ALLOW},
    response::{IntoResponse, Response},
};
use azure_core::time::parse_rfc3339;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    body::{JsonBody, json_text},
    call::Call,
    connections::not_found,
};
use crate::{
    core::token::claims::LAST_SECOND,
    local::{
        api_error::ApiError,
        roles::Action,
        token::{renew, user_of},
    },
    server::{claims::Claims, negotiated::RefreshError},
    service::unix_now,
};

/// What a connection's authentication is from now on. What is missing or null stays as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshBody {
    #[serde(alias = "ConnectionToken")]
    connection_token: String,
    #[serde(alias = "ExpireTime")]
    expire_time: Option<String>,
    #[serde(alias = "Claims")]
    claims: Option<Vec<Claim>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimsBody {
    #[serde(alias = "ConnectionToken")]
    connection_token: String,
}

#[derive(Deserialize)]
struct Claim {
    #[serde(rename = "type", alias = "Type")]
    kind: String,
    #[serde(alias = "Value")]
    value: Value,
}

pub(super) async fn refresh(call: Call, body: Result<JsonBody, ApiError>) -> Result<Json<Value>, ApiError> {
    let hub = call.hub(Action::ConnectionWrite)?;
    let RefreshBody { connection_token, expire_time, claims } = of_connection(&body?.0)?;
    let expiry = expire_time.as_deref().map(deadline).transpose()?.flatten();
    let claims = claims.filter(|claims| !claims.is_empty()).map(by_name);
    let user = claims.as_ref().map(user_of);
    let change = |known: &mut Claims, ends| renew(known, claims.as_ref(), ends);
    match call.service.room.negotiated.refresh(&connection_token, &hub, user, expiry, change) {
        Ok(claims) => {
            if let Some(hubs) = call.service.mode.hubs() {
                hubs.refreshed(&hub, &connection_token);
            }
            Ok(listed(&claims))
        }
        Err(RefreshError::Unknown) => Err(not_found("ConnectionNotFound")),
        Err(RefreshError::OtherUser) => Err(ApiError::other_user()),
    }
}

/// `QUERY`, the method of RFC 10008 for questions that have a body: the token stays out of logs.
pub(super) async fn claims(
    method: Method,
    call: Call,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, ApiError> {
    if method.as_str() != "QUERY" {
        let refused = ApiError::method_not_allowed("The claims of a connection are asked for with QUERY.");
        return Ok(([(ALLOW, "QUERY")], refused).into_response());
    }
    let hub = call.hub(Action::ConnectionRead)?;
    let ClaimsBody { connection_token } = of_connection(&body?.0)?;
    let claims = call.service.room.negotiated.claims(&connection_token, &hub);
    claims.map(|claims| listed(&claims).into_response()).ok_or_else(|| not_found("ConnectionNotFound"))
}

fn of_connection<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_str(json_text(body)?)
        .map_err(|error| ApiError::bad_request("body", format!("The body is not valid: {error}.")))
}

/// When a connection is no longer authenticated. The end of all time leaves it as it is.
fn deadline(text: &str) -> Result<Option<u64>, ApiError> {
    let invalid = |what: &str| Err(ApiError::bad_request("expireTime", format!("expireTime {what}.")));
    let Ok(time) = parse_rfc3339(text) else { return invalid("is not a time in the form of RFC 3339") };
    match u64::try_from(time.unix_timestamp()) {
        Ok(LAST_SECOND..) => Ok(None),
        Ok(seconds) if seconds > unix_now() => Ok(Some(seconds)),
        _ => invalid("has passed"),
    }
}

fn by_name(list: Vec<Claim>) -> Claims {
    let mut claims = Claims::new();
    for Claim { kind, value } in list {
        match claims.get_mut(&kind) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(claims.insert(kind, value)),
        }
    }
    claims
}

fn listed(claims: &Claims) -> Json<Value> {
    let each = claims.iter().flat_map(|(name, value)| {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        values.iter().map(move |value| {
            // The value of a claim is a text, whatever it is in a token.
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({ "type": name, "value": text })
        })
    });
    Json(json!({ "claims": each.collect::<Vec<_>>() }))
}

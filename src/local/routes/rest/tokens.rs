//! Tokens for clients, and keys to sign them with.

use axum::{Json, response::IntoResponse};
use serde_json::json;

use super::call::Call;
use crate::{
    local::{access::Caller, api_error::ApiError, roles::Action},
    service::{jwt::Validity, unix_now},
};

/// `:generateToken` without `minutesToExpire`.
const DEFAULT_MINUTES: i32 = 60;

pub(super) async fn exchange_key(call: Call) -> Result<impl IntoResponse, ApiError> {
    if matches!(call.caller, Caller::KeyHolder) {
        return Err(ApiError::unauthorized("Only an Entra token can be exchanged for an access key."));
    }
    call.caller.authorize(Action::KeyIssue)?;
    let key = call.service.access.keys.issue(unix_now())?;
    Ok(Json(json!({ "KeyId": key.id, "AccessKey": key.text.expose() })))
}

pub(super) async fn generate(call: Call) -> Result<impl IntoResponse, ApiError> {
    let hub = call.plain_hub(Action::ClientTokenIssue)?;
    let minutes = call.number("minutesToExpire", 1, i32::MAX)?.unwrap_or(DEFAULT_MINUTES);
    let now = unix_now();
    let validity =
        Validity { issued_at: now, expires_at: now.saturating_add(u64::from(minutes.unsigned_abs()) * 60) };
    let user: Vec<_> = call.query.first("userId").map(|user| ("nameid", user)).into_iter().collect();
    let audience = format!("{}/client/?hub={hub}", call.service.access.origin);
    Ok(Json(json!({ "token": call.service.access.keys.sign(&user, validity, &audience) })))
}

//! The REST API.
//!
//! Source: [Azure SignalR Service data plane REST API](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api).

use std::{collections::HashMap, sync::Arc, time::Duration, time::Instant};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request, State},
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_TYPE, request::Parts},
    response::IntoResponse,
    routing::{delete, get, head, post, put},
};
use serde_json::json as json_value;

use crate::{
    core::{
        ProtocolError,
        json::{
            self,
            reader::{Reader, as_string},
        },
        message::{HubMessage, Invocation},
        msgpack,
    },
    local::{
        api_error::ApiError,
        auth::Caller,
        client::is_hub_name,
        message::{from_encoded, from_json},
        roles::Action,
        service::{Origin, Service},
        user_groups::UserGroups,
    },
    server::{
        connections::{Connections, Target},
        message::Message,
        query::Query,
    },
    service::{jwt::Validity, unix_now},
};

const API_VERSIONS: [&str; 5] = ["2022-06-01", "2022-11-01", "2023-07-01", "2024-12-01", "2026-07-01"];

/// Azure takes bodies of 1 MB.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// `:generateToken` without `minutesToExpire`.
const DEFAULT_TOKEN_MINUTES: u64 = 60;

#[rustfmt::skip]
pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router
        .route("/api/health", head(health))
        .route("/api/auth/accessKey", get(exchange_key))
        .route("/api/hubs/{hub}/:generateToken", post(generate_token))
        .route("/api/hubs/{hub}/:send", post(send_to_all))
        .route("/api/hubs/{hub}/:closeConnections", post(close_all))
        .route("/api/hubs/{hub}/connections/{connection}", head(connection_exists).delete(close_connection))
        .route("/api/hubs/{hub}/connections/{connection}/:send", post(send_to_connection))
        .route("/api/hubs/{hub}/connections/{connection}/groups", delete(leave_all_groups))
        .route("/api/hubs/{hub}/groups/{group}", head(group_exists))
        .route("/api/hubs/{hub}/groups/{group}/:send", post(send_to_group))
        .route("/api/hubs/{hub}/groups/{group}/:closeConnections", post(close_group))
        .route("/api/hubs/{hub}/groups/{group}/connections/{connection}", put(join_group).delete(leave_group))
        .route("/api/hubs/{hub}/users/{user}", head(user_exists))
        .route("/api/hubs/{hub}/users/{user}/:send", post(send_to_user))
        .route("/api/hubs/{hub}/users/{user}/:closeConnections", post(close_user))
        .route("/api/hubs/{hub}/users/{user}/groups", delete(user_leave_all_groups))
        .route("/api/hubs/{hub}/users/{user}/groups/{group}",
            head(user_in_group).put(user_join_group).delete(user_leave_group))
}

/// The first version, which SDKs for Azure Functions and older servers still use.
#[rustfmt::skip]
pub(super) fn add_v1_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router
        .route("/api/v1/health", head(health))
        .route("/api/v1/auth/accessKey", get(exchange_key))
        .route("/api/v1/hubs/{hub}", post(send_to_all))
        .route("/api/v1/hubs/{hub}/connections/{connection}",
            get(connection_exists).post(send_to_connection).delete(close_connection))
        .route("/api/v1/hubs/{hub}/groups/{group}", get(group_exists).post(send_to_group))
        .route("/api/v1/hubs/{hub}/groups/{group}/connections/{connection}", put(join_group).delete(leave_group))
        .route("/api/v1/hubs/{hub}/groups/{group}/users/{user}",
            get(user_in_group).put(user_join_group).delete(user_leave_group))
        .route("/api/v1/hubs/{hub}/users/{user}", get(user_exists).post(send_to_user))
        .route("/api/v1/hubs/{hub}/users/{user}/groups", delete(user_leave_all_groups))
}

/// A call with its parameters. Who makes it is known by then; what they may do is checked by [`Call::hub`], the
/// only way to the hub.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    caller: Caller,
    path: HashMap<String, String>,
    pub(super) query: Query,
    /// The address that the caller has for the service.
    pub(super) origin: Arc<str>,
    v1: bool,
}

impl FromRequestParts<Arc<Service>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, ApiError> {
        let path = Path::from_request_parts(parts, service).await;
        let Path(path) = path.map_err(|_| ApiError::bad_request("path", "The path is not valid UTF-8."))?;
        let query = Query::parse(parts.uri.query());
        let v1 = parts.uri.path().starts_with("/api/v1/");
        let origin =
            parts.extensions.get().map_or_else(|| (*service.origin).into(), |Origin(origin)| origin.clone());
        let call = Self {
            service: service.clone(),
            caller: Caller::identify(service, &parts.headers, parts.uri.path())?,
            path,
            query,
            origin,
            v1,
        };
        if !v1 && !call.query.first("api-version").is_some_and(|version| API_VERSIONS.contains(&version)) {
            let versions = API_VERSIONS.join(", ");
            let message = format!("The query parameter api-version is required; it is one of {versions}.");
            return Err(ApiError::bad_request("api-version", message));
        }
        Ok(call)
    }
}

impl Call {
    pub(super) fn connections(&self) -> &Connections {
        &self.service.room.connections
    }

    fn user_groups(&self) -> &UserGroups {
        &self.service.user_groups
    }

    /// The hub, with the application's prefix, for a caller who may do this with it.
    pub(super) fn hub(&self, action: Action) -> Result<String, ApiError> {
        self.caller.authorize(action)?;
        let hub = self.path.get("hub").map(String::as_str).unwrap_or_default();
        let hub = match self.query.first("application") {
            Some(application) if !self.v1 && !application.is_empty() => format!("{application}_{hub}"),
            _ => hub.to_owned(),
        };
        let hub = hub.to_ascii_lowercase();
        if is_hub_name(&hub) {
            Ok(hub)
        } else {
            Err(ApiError::bad_request(
                "hub",
                "A hub's name is a letter and up to 127 letters, digits and underscores.",
            ))
        }
    }

    pub(super) fn parameter(&self, name: &'static str) -> Result<&str, ApiError> {
        let value = self.path.get(name).map(String::as_str).unwrap_or_default();
        if value.trim().is_empty() {
            return Err(ApiError::bad_request(name, format!("The {name} is blank.")));
        }
        Ok(value)
    }

    pub(super) fn connection(&self) -> Result<&str, ApiError> {
        self.parameter("connection")
    }

    fn user(&self) -> Result<&str, ApiError> {
        self.parameter("user")
    }

    pub(super) fn group(&self) -> Result<&str, ApiError> {
        let group = self.parameter("group")?;
        if group.chars().count() > 1024 {
            return Err(ApiError::bad_request("group", "The name of a group has at most 1024 characters."));
        }
        Ok(group)
    }

    fn send(&self, hub: &str, target: Target<'_>, message: &Message) -> StatusCode {
        let excluded: Vec<_> = self.query.all("excluded").collect();
        self.connections().send(hub, target, &excluded, message);
        StatusCode::ACCEPTED
    }

    fn close(&self, hub: &str, target: Target<'_>) -> StatusCode {
        let excluded: Vec<_> = self.query.all("excluded").collect();
        let reason = self.query.first("reason").filter(|reason| !reason.is_empty());
        self.connections().close(hub, target, &excluded, reason);
        StatusCode::NO_CONTENT
    }

    /// The versions differ in what they answer to some calls that worked.
    fn status(&self, current: StatusCode, v1: StatusCode) -> StatusCode {
        if self.v1 { v1 } else { current }
    }
}

/// The body of a send, encoded as the hub message that clients get.
struct Payload(Message);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_binary =
            matches!(content_type(&request), "application/octet-stream" | "application/x-msgpack");
        if is_binary {
            return binary_message(&read_body(request, state).await?).map(Self);
        }
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        encode_invocation(&body, None).map(Self)
    }
}

/// A body of JSON, not looked into.
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = content_type(&request);
        let is_json = kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("text/json");
        if request.headers().contains_key(CONTENT_TYPE) && !is_json {
            return Err(ApiError::unsupported_media_type());
        }
        read_body(request, state).await.map(Self)
    }
}

/// The media type without its parameters.
fn content_type(request: &Request) -> &str {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::too_large()
        } else {
            ApiError::bad_request("body", "The body cannot be read.")
        }
    })
}

/// The message of a binary payload, a MessagePack map from the names of protocols to whole messages. Clients of a
/// protocol that is not there get nothing.
fn binary_message(body: &[u8]) -> Result<Message, ApiError> {
    let invalid =
        |what: &str| ApiError::bad_request("body", format!("The binary payload is not valid: {what}."));
    let malformed = |error: ProtocolError| invalid(&error.to_string());
    let mut reader = msgpack::reader::Reader::new(body);
    let (mut json, mut msgpack) = (None, None);
    for _ in 0..reader.map().map_err(malformed)? {
        let name = reader.text().map_err(malformed)?;
        let message =
            binary(reader.value().map_err(malformed)?).ok_or_else(|| invalid("a message is no bytes"))?;
        match name {
            Some(json::NAME) => json = Some(message),
            Some(msgpack::NAME) => msgpack = Some(message),
            _ => {}
        }
    }
    reader.end().map_err(malformed)?;
    from_encoded(json, msgpack).map_err(|what| invalid(&what))
}

/// The bytes of a MessagePack value, if they are what it is.
fn binary(value: &[u8]) -> Option<&[u8]> {
    match *value.first()? {
        0xc4 => value.get(2..),
        0xc5 => value.get(3..),
        0xc6 => value.get(5..),
        _ => None,
    }
}

/// Reads `{"target", "arguments"}`, whatever the case of the names, and writes the message.
pub(super) fn encode_invocation(body: &[u8], invocation_id: Option<&str>) -> Result<Message, ApiError> {
    let body = std::str::from_utf8(body)
        .map_err(|_| ApiError::bad_request("body", "The body is not UTF-8."))?
        .trim_start_matches('\u{feff}');
    let (mut target, mut arguments) = (None, "[]");
    let mut reader = Reader::new(body);
    let read = reader.object(|name, value| {
        if name.eq_ignore_ascii_case("target") {
            target = as_string(value)?;
        } else if name.eq_ignore_ascii_case("arguments") && value != "null" {
            arguments = value;
        }
        Ok(())
    });
    read.and_then(|()| reader.end())
        .map_err(|error| ApiError::bad_request("body", format!("The body is not a JSON object: {error}.")))?;
    let target = target.filter(|target| !target.is_empty());
    let target = target.ok_or_else(|| ApiError::bad_request("target", "The target is missing or empty."))?;
    if !arguments.starts_with('[') {
        return Err(ApiError::bad_request("arguments", "The arguments are not an array."));
    }
    from_json(&HubMessage::Invocation(Invocation {
        headers: Vec::new(),
        invocation_id: invocation_id.map(Into::into),
        target,
        arguments,
        stream_ids: Vec::new(),
    }))
    .map_err(not_transcoded)
}

/// What MessagePack clients could not get, nobody does.
pub(super) fn not_transcoded(error: serde_json::Error) -> ApiError {
    ApiError::bad_request("body", format!("The body cannot be written as MessagePack: {error}."))
}

pub(super) type Answer = Result<StatusCode, ApiError>;

/// What is wrong with a body matters only to those who may send it.
type Body = Result<Payload, ApiError>;

/// Needs no token.
async fn health() -> StatusCode {
    StatusCode::OK
}

async fn exchange_key(
    State(service): State<Arc<Service>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let caller = Caller::identify(&service, &headers, uri.path())?;
    if matches!(caller, Caller::KeyHolder) {
        return Err(ApiError::unauthorized("Only an Entra token can be exchanged for an access key."));
    }
    caller.authorize(Action::KeyIssue)?;
    let key = service.keys.issue(unix_now())?;
    Ok(Json(json_value!({ "KeyId": key.id, "AccessKey": key.text.expose() })))
}

async fn generate_token(call: Call) -> Result<impl IntoResponse, ApiError> {
    let hub = call.hub(Action::ClientTokenIssue)?;
    let minutes = match call.query.first("minutesToExpire") {
        None => DEFAULT_TOKEN_MINUTES,
        Some(text) => text.parse().ok().filter(|&minutes: &u64| minutes >= 1).ok_or_else(|| {
            ApiError::bad_request("minutesToExpire", "minutesToExpire is a whole number from 1.")
        })?,
    };
    let now = unix_now();
    let validity = Validity { issued_at: now, expires_at: now.saturating_add(minutes.saturating_mul(60)) };
    let user: Vec<_> = call.query.first("userId").map(|user| ("nameid", user)).into_iter().collect();
    let audience = format!("{}/client/?hub={hub}", call.service.origin);
    Ok(Json(json_value!({ "token": call.service.keys.sign(&user, validity, &audience) })))
}

async fn send_to_all(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::HubSend)?;
    Ok(call.send(&hub, Target::All, &body?.0))
}

async fn send_to_group(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::GroupSend)?;
    Ok(call.send(&hub, Target::Group(call.group()?), &body?.0))
}

async fn send_to_user(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::UserSend)?;
    Ok(call.send(&hub, Target::User(call.user()?), &body?.0))
}

async fn send_to_connection(call: Call, body: Body) -> Answer {
    let hub = call.hub(Action::ConnectionSend)?;
    Ok(call.send(&hub, Target::Connection(call.connection()?), &body?.0))
}

async fn close_all(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    Ok(call.close(&hub, Target::All))
}

async fn close_group(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    Ok(call.close(&hub, Target::Group(call.group()?)))
}

async fn close_user(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    Ok(call.close(&hub, Target::User(call.user()?)))
}

async fn close_connection(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionWrite)?;
    let target = Target::Connection(call.connection()?);
    if !call.connections().exists(&hub, target) {
        return Err(no_connection("Warning.Connection.NotExisted"));
    }
    call.close(&hub, target);
    Ok(call.status(StatusCode::OK, StatusCode::ACCEPTED))
}

async fn connection_exists(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionRead)?;
    let exists = call.connections().exists(&hub, Target::Connection(call.connection()?));
    if exists { Ok(StatusCode::OK) } else { Err(no_connection("Warning.Connection.NotExisted")) }
}

pub(super) fn no_connection(header: &'static str) -> ApiError {
    ApiError::not_found(header, "There is no connection with this id.")
}

async fn group_exists(call: Call) -> Answer {
    let hub = call.hub(Action::GroupRead)?;
    if call.connections().exists(&hub, Target::Group(call.group()?)) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found("Warning.Group.NotExisted", "There is no connection in this group."))
}

async fn user_exists(call: Call) -> Answer {
    let hub = call.hub(Action::UserRead)?;
    if call.connections().exists(&hub, Target::User(call.user()?)) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found("Warning.User.NotExisted", "There is no connection of this user."))
}

async fn join_group(call: Call) -> Answer {
    let hub = call.hub(Action::GroupWrite)?;
    if call.connections().add_to_group(&hub, call.connection()?, call.group()?) {
        return Ok(StatusCode::OK);
    }
    Err(no_connection("Error.Connection.NotExisted"))
}

async fn leave_group(call: Call) -> Answer {
    let hub = call.hub(Action::GroupWrite)?;
    call.connections().remove_from_group(&hub, call.connection()?, Some(call.group()?));
    Ok(StatusCode::OK)
}

async fn leave_all_groups(call: Call) -> Answer {
    let hub = call.hub(Action::GroupWrite)?;
    call.connections().remove_from_group(&hub, call.connection()?, None);
    Ok(StatusCode::OK)
}

async fn user_in_group(call: Call) -> Answer {
    let hub = call.hub(Action::UserRead)?;
    if call.user_groups().contains(call.connections(), &hub, call.user()?, call.group()?, Instant::now()) {
        return Ok(StatusCode::OK);
    }
    Err(ApiError::not_found("Info.User.NotInGroup", "The user is not in this group."))
}

async fn user_join_group(call: Call) -> Answer {
    let hub = call.hub(Action::UserWrite)?;
    let ttl = match call.query.first("ttl") {
        None => None,
        Some(text) => {
            let seconds = text.parse().map_err(|_| {
                ApiError::bad_request("ttl", "ttl is a whole number of seconds, not less than 0.")
            })?;
            Some(Duration::from_secs(seconds))
        }
    };
    call.user_groups().add(call.connections(), &hub, call.user()?, call.group()?, ttl, Instant::now());
    Ok(call.status(StatusCode::OK, StatusCode::ACCEPTED))
}

async fn user_leave_group(call: Call) -> Answer {
    let hub = call.hub(Action::UserWrite)?;
    call.user_groups().remove(call.connections(), &hub, call.user()?, Some(call.group()?));
    Ok(call.status(StatusCode::NO_CONTENT, StatusCode::ACCEPTED))
}

async fn user_leave_all_groups(call: Call) -> Answer {
    let hub = call.hub(Action::UserWrite)?;
    call.user_groups().remove(call.connections(), &hub, call.user()?, None);
    Ok(call.status(StatusCode::NO_CONTENT, StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::HubProtocol, server::message::Frame};

    fn in_json(message: &Message) -> Option<String> {
        match message.frame(HubProtocol::Json) {
            Some(Frame::Text(text)) => Some(text.to_string()),
            _ => None,
        }
    }

    #[test]
    fn bodies_become_messages() {
        let message = "{\"type\":1,\"target\":\"m\",\"arguments\":[1, {\"a\":null}]}\u{1e}";
        for body in [
            "{\"target\":\"m\",\"arguments\":[1, {\"a\":null}]}",
            "{\"Target\":\"m\",\"Arguments\":[1, {\"a\":null}]}",
            "\u{feff} {\"ARGUMENTS\": [1, {\"a\":null}] , \"other\":0,\"tArget\":\"m\"}\n",
        ] {
            let encoded = encode_invocation(body.as_bytes(), None);
            assert_eq!(encoded.ok().and_then(|m| in_json(&m)).as_deref(), Some(message), "{body}");
        }
        for body in ["{\"target\":\"m\"}", "{\"target\":\"m\",\"arguments\":null}"] {
            let encoded = encode_invocation(body.as_bytes(), None);
            let message = "{\"type\":1,\"target\":\"m\",\"arguments\":[]}\u{1e}";
            assert_eq!(encoded.ok().and_then(|m| in_json(&m)).as_deref(), Some(message), "{body}");
        }
        for body in [
            &b""[..],
            b"[]",
            b"{\"arguments\":[]}",
            b"{\"target\":\"\"}",
            b"{\"target\":1}",
            b"{\"target\":\"m\",\"arguments\":{}}",
            b"{\"target\":\"m\"} x",
            b"{\"target\":\"m\",\"arguments\":[\x1e]}",
            b"\xff",
        ] {
            assert!(encode_invocation(body, None).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}

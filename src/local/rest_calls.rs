//! The newer part of the REST API: invocations of clients, streams, lists, and commands by filter.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use azure_core::time::parse_rfc3339;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::time;

use crate::{
    core::{
        json::reader::Reader,
        message::{HubMessage, Outcome},
    },
    local::{
        api_error::ApiError,
        client::user_of,
        filter::Filter,
        message::{answer_to_json, from_json},
        rest::{Answer, Call, JsonBody, encode_invocation, no_connection, not_transcoded},
        roles::Action,
        service::Service,
    },
    server::{connections::Target, message::Message, negotiated::RefreshError},
};

/// How long Azure keeps a call for a client's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

const MAX_PAGE: usize = 200;
const MAX_STREAM_ID: usize = 100;

#[rustfmt::skip]
pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router
        .route("/api/hubs/{hub}/:execute", post(execute))
        .route("/api/hubs/{hub}/connections/:refreshAuth", post(refresh_authentication))
        .route("/api/hubs/{hub}/connections/{connection}/:invoke", post(invoke))
        .route("/api/hubs/{hub}/connections/{connection}/streams/{stream}/:send", post(send_item))
        .route("/api/hubs/{hub}/connections/{connection}/streams/{stream}/:complete", post(complete_stream))
        .route("/api/hubs/{hub}/groups/{group}/connections", get(list_group))
}

async fn invoke(call: Call, body: Result<JsonBody, ApiError>) -> Result<impl IntoResponse, ApiError> {
    let hub = call.hub(Action::ConnectionSend)?;
    let JsonBody(body) = body?;
    // What is wrong with the body is said before the client hears anything.
    encode_invocation(&body, None)?;
    let size = body.len();
    let message = move |id: &str| encode_invocation(&body, Some(id)).unwrap_or_default();
    let invocation = call
        .connections()
        .call(&hub, call.connection()?, size, message)
        .ok_or_else(|| no_connection("Warning.Connection.NotExisted"))?;
    let protocol = invocation.protocol;
    match time::timeout(ANSWER_TIMEOUT, invocation.answer()).await {
        Ok(Some(answer)) => {
            let result = answer_to_json(protocol, answer).map_err(ApiError::client_error)?;
            Ok(([(CONTENT_TYPE, "application/json")], format!("{{\"result\":{result}}}")))
        }
        Ok(None) => Err(no_connection("Warning.Connection.NotExisted")),
        Err(_) => Err(ApiError::no_answer()),
    }
}

impl Call {
    fn stream(&self) -> Result<&str, ApiError> {
        let id = self.parameter("stream")?;
        if id.chars().count() > MAX_STREAM_ID {
            return Err(ApiError::bad_request("stream", "The id of a stream has at most 100 characters."));
        }
        Ok(id)
    }

    fn send_to_stream(&self, hub: &str, message: &HubMessage<'_, &str>) -> Result<(), ApiError> {
        let message = from_json(message).map_err(not_transcoded)?;
        self.connections().send(hub, Target::Connection(self.connection()?), &[], &message);
        Ok(())
    }

    fn end_stream(&self, hub: &str, error: Option<&str>) -> Result<(), ApiError> {
        let outcome = error.map_or(Outcome::Void, |error| Outcome::Error(error.into()));
        let invocation_id = self.stream()?.into();
        self.send_to_stream(hub, &HubMessage::Completion { headers: Vec::new(), invocation_id, outcome })
    }
}

async fn send_item(call: Call, body: Result<JsonBody, ApiError>) -> Answer {
    let hub = call.hub(Action::ConnectionSend)?;
    let JsonBody(body) = body?;
    let invalid = || ApiError::bad_request("body", "The item is not JSON.");
    let text = std::str::from_utf8(&body).map_err(|_| invalid())?;
    let mut reader = Reader::new(text);
    let item = reader.value().map_err(|_| invalid())?;
    reader.end().map_err(|_| invalid())?;
    let last = match call.query.first("completed") {
        None => false,
        Some(text) => text
            .to_ascii_lowercase()
            .parse()
            .map_err(|_| ApiError::bad_request("completed", "completed is true or false."))?,
    };
    let invocation_id = call.stream()?.into();
    call.send_to_stream(&hub, &HubMessage::StreamItem { headers: Vec::new(), invocation_id, item })?;
    if last {
        call.end_stream(&hub, None)?;
    }
    Ok(StatusCode::ACCEPTED)
}

async fn complete_stream(call: Call) -> Answer {
    let hub = call.hub(Action::ConnectionSend)?;
    call.end_stream(&hub, call.query.first("reason"))?;
    Ok(StatusCode::ACCEPTED)
}

async fn list_group(call: Call) -> Result<Json<Value>, ApiError> {
    let hub = call.hub(Action::GroupRead)?;
    let number =
        |name: &'static str, max: usize| match call.query.first(name) {
            None => Ok(None),
            Some(text) => text.parse().ok().filter(|n| (1..=max).contains(n)).map(Some).ok_or_else(|| {
                ApiError::bad_request(name, format!("{name} is a whole number from 1 to {max}."))
            }),
        };
    let page_size = number("maxpagesize", MAX_PAGE)?.unwrap_or(MAX_PAGE);
    let top = number("top", i32::MAX as usize)?;
    let count = top.map_or(page_size, |top| top.min(page_size));
    let (members, more) =
        call.connections().list(&hub, call.group()?, call.query.first("continuationToken"), count);
    let value: Vec<_> = members
        .iter()
        .map(|(id, user)| match user {
            Some(user) => json!({ "connectionId": **id, "userId": user }),
            None => json!({ "connectionId": **id }),
        })
        .collect();
    let left = top.map(|top| top - members.len());
    let mut answer = json!({ "value": value });
    if let Some((last, _)) = members.last()
        && more
        && left != Some(0)
    {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query: Vec<(&str, String)> = ["application", "api-version", "maxpagesize"]
            .into_iter()
            .filter_map(|name| Some((name, encoded(call.query.first(name)?))))
            .collect();
        query.extend(left.map(|left| ("top", left.to_string())));
        query.push(("continuationToken", encoded(last)));
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (origin, hub) = (&call.service.origin, call.parameter("hub")?);
        let group = encoded(call.group()?);
        let link = format!("{origin}/api/hubs/{hub}/groups/{group}/connections?{}", query.join("&"));
        answer["nextLink"] = link.into();
    }
    Ok(Json(answer))
}

/// What a connection's authentication is from now on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refresh {
    connection_token: String,
    expire_time: String,
    claims: Option<Vec<Claim>>,
}

#[derive(Deserialize)]
struct Claim {
    #[serde(rename = "type")]
    kind: String,
    value: Value,
}

async fn refresh_authentication(
    call: Call,
    body: Result<JsonBody, ApiError>,
) -> Result<Json<Value>, ApiError> {
    let hub = call.hub(Action::ConnectionWrite)?;
    let invalid = |what: String| ApiError::bad_request("body", format!("The refresh is not valid: {what}."));
    let refresh: Refresh = serde_json::from_slice(&body?.0).map_err(|error| invalid(error.to_string()))?;
    let expiry = parse_rfc3339(&refresh.expire_time)
        .ok()
        .and_then(|time| u64::try_from(time.unix_timestamp()).ok())
        .ok_or_else(|| invalid("expireTime is no time in the form of RFC 3339".to_owned()))?;
    let claims = refresh.claims.unwrap_or_default();
    let mut by_name = Map::new();
    for Claim { kind, value } in &claims {
        by_name.entry(kind.as_str()).or_insert_with(|| value.clone());
    }
    let user = (!claims.is_empty()).then(|| user_of(&by_name));
    match call.service.room.negotiated.refresh(&refresh.connection_token, &hub, user, expiry) {
        Ok(()) => {
            let claims = claims.into_iter().map(|claim| json!({ "type": claim.kind, "value": claim.value }));
            Ok(Json(json!({ "claims": claims.collect::<Vec<_>>() })))
        }
        Err(RefreshError::Unknown) => Err(no_connection("ConnectionNotFound")),
        Err(RefreshError::OtherUser) => Err(ApiError::other_user()),
    }
}

/// A command as it is sent. An enum with a tag could not hold JSON as it is.
#[derive(Deserialize)]
struct Command {
    #[serde(rename = "type")]
    kind: Kind,
    message: Option<Box<RawValue>>,
    group: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
enum Kind {
    SendMessage,
    JoinGroup,
    LeaveGroup,
    CloseConnection,
}

/// A command that can be carried out.
enum Step {
    Send(Message),
    Join(String),
    Leave(String),
    Close(Option<String>),
}

impl Command {
    fn into_step(self) -> Result<Step, ApiError> {
        let group = self.group.filter(|group| !group.trim().is_empty());
        let group = group.ok_or_else(|| ApiError::bad_request("group", "A command needs a group."));
        match self.kind {
            Kind::SendMessage => {
                let message = self.message.as_deref().map_or("", RawValue::get);
                encode_invocation(message.as_bytes(), None).map(Step::Send)
            }
            Kind::JoinGroup => group.map(Step::Join),
            Kind::LeaveGroup => group.map(Step::Leave),
            Kind::CloseConnection => Ok(Step::Close(self.reason)),
        }
    }
}

async fn execute(call: Call, body: Result<JsonBody, ApiError>) -> Answer {
    // Each kind of command needs its own action; Azure has no one for all of them.
    let hub = call.hub(Action::HubSend)?;
    call.hub(Action::GroupWrite)?;
    call.hub(Action::ConnectionWrite)?;
    let filter = Filter::parse(call.query.first("filter").unwrap_or_default())
        .map_err(|error| ApiError::bad_request("filter", format!("{error}.")))?;
    let commands: Vec<Command> = serde_json::from_slice(&body?.0)
        .map_err(|error| ApiError::bad_request("body", format!("The commands are not valid: {error}.")))?;
    let steps = commands.into_iter().map(Command::into_step).collect::<Result<Vec<_>, _>>()?;
    let connections = call.connections();
    for id in connections.matching(&hub, |id, user, groups| filter.matches(id, user, groups)) {
        let target = Target::Connection(&id);
        for step in &steps {
            match step {
                Step::Send(message) => connections.send(&hub, target, &[], message),
                Step::Join(group) => {
                    connections.add_to_group(&hub, &id, group);
                }
                Step::Leave(group) => connections.remove_from_group(&hub, &id, Some(group)),
                Step::Close(reason) => connections.close(&hub, target, &[], reason.as_deref()),
            }
        }
    }
    Ok(StatusCode::ACCEPTED)
}

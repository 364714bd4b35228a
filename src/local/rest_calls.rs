//! The newer part of the REST API: invocations of clients, streams, lists, and commands by filter.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    http::{
        Method, StatusCode,
        header::{ALLOW, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use azure_core::time::parse_rfc3339;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
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
    server::{claims::Claims, connections::Target, message::Message, negotiated::RefreshError},
    service::unix_now,
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
        // axum's routers of methods do not know QUERY.
        .route("/api/hubs/{hub}/connections/claims", any(connection_claims))
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
        let (origin, hub) = (&call.origin, call.parameter("hub")?);
        let group = encoded(call.group()?);
        let link = format!("{origin}/api/hubs/{hub}/groups/{group}/connections?{}", query.join("&"));
        answer["nextLink"] = link.into();
    }
    Ok(Json(answer))
}

/// What a connection's authentication is from now on. What is missing or null stays as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefreshBody {
    connection_token: String,
    expire_time: Option<String>,
    claims: Option<Vec<Claim>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimsBody {
    connection_token: String,
}

#[derive(Deserialize)]
struct Claim {
    #[serde(rename = "type")]
    kind: String,
    value: Value,
}

/// The end of the year 9999, `DateTimeOffset.MaxValue` in .NET: how SDKs write that nothing is said of the end.
const NO_END: u64 = 253_402_300_799;

async fn refresh_authentication(
    call: Call,
    body: Result<JsonBody, ApiError>,
) -> Result<Json<Value>, ApiError> {
    let hub = call.hub(Action::ConnectionWrite)?;
    let RefreshBody { connection_token, expire_time, claims } = of_connection(&body?.0)?;
    let expiry = expire_time.as_deref().map(deadline).transpose()?.flatten();
    let claims = claims.filter(|claims| !claims.is_empty()).map(by_name);
    let user = claims.as_ref().map(user_of);
    let change = |known: &mut Claims, ends: Option<u64>| {
        if let Some(claims) = &claims {
            known.clone_from(claims);
        }
        // A token that is made of them ends with the connection.
        if let Some(ends) = ends {
            known.insert("asrs.s.coae".to_owned(), "true".into());
            known.insert("asrs.s.aeo".to_owned(), ends.to_string().into());
        }
    };
    match call.service.room.negotiated.refresh(&connection_token, &hub, user, expiry, change) {
        Ok(claims) => {
            if let Some(hubs) = &call.service.hubs {
                hubs.refreshed(&hub, &connection_token);
            }
            Ok(listed(&claims))
        }
        Err(RefreshError::Unknown) => Err(no_connection("ConnectionNotFound")),
        Err(RefreshError::OtherUser) => Err(ApiError::other_user()),
    }
}

/// `QUERY`, the method of RFC 10008 for questions that have a body: the token stays out of logs.
async fn connection_claims(
    method: Method,
    call: Call,
    body: Result<JsonBody, ApiError>,
) -> Result<Response, ApiError> {
    if method.as_str() != "QUERY" {
        return Ok((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "QUERY")]).into_response());
    }
    let hub = call.hub(Action::ConnectionRead)?;
    let ClaimsBody { connection_token } = of_connection(&body?.0)?;
    let claims = call.service.room.negotiated.claims(&connection_token, &hub);
    claims.map(|claims| listed(&claims).into_response()).ok_or_else(|| no_connection("ConnectionNotFound"))
}

fn of_connection<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request("body", format!("The body is not valid: {error}.")))
}

/// When a connection is no longer authenticated. The end of all time leaves it as it is.
fn deadline(text: &str) -> Result<Option<u64>, ApiError> {
    let invalid = |what: &str| Err(ApiError::bad_request("expireTime", format!("expireTime {what}.")));
    let Ok(time) = parse_rfc3339(text) else { return invalid("is not a time in the form of RFC 3339") };
    match u64::try_from(time.unix_timestamp()) {
        Ok(NO_END..) => Ok(None),
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

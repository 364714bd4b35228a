//! Commands for all connections that meet a condition.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    body::{JsonBody, encode_invocation, json_text},
    call::{Answer, Call, check_group},
};
use crate::{
    local::{api_error::ApiError, filter::Filter, roles::Action},
    server::{connections::Target, message::Message},
};

/// A command as it is sent. An enum with a tag could not hold JSON as it is.
#[derive(Deserialize)]
struct Command {
    #[serde(rename = "type", alias = "Type")]
    kind: Kind,
    #[serde(alias = "Message")]
    message: Option<Box<RawValue>>,
    #[serde(alias = "Group")]
    group: Option<String>,
    #[serde(alias = "Reason")]
    reason: Option<String>,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(alias = "sendMessage")]
    SendMessage,
    #[serde(alias = "joinGroup")]
    JoinGroup,
    #[serde(alias = "leaveGroup")]
    LeaveGroup,
    #[serde(alias = "closeConnection")]
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
        let group = self.group.unwrap_or_default();
        match self.kind {
            Kind::SendMessage => {
                let message = self.message.as_deref().map_or("", RawValue::get);
                encode_invocation(message.as_bytes(), None).map(Step::Send)
            }
            Kind::JoinGroup => check_group(&group).map(|()| Step::Join(group)),
            Kind::LeaveGroup => check_group(&group).map(|()| Step::Leave(group)),
            Kind::CloseConnection => Ok(Step::Close(self.reason)),
        }
    }
}

/// There is no parameter for the application: a hub is named with its prefix.
pub(super) async fn execute(call: Call, body: Result<JsonBody, ApiError>) -> Answer {
    // Each kind of command needs its own action; Azure has no single one for all of them.
    let hub = call.plain_hub(Action::HubSend)?;
    call.plain_hub(Action::GroupWrite)?;
    call.plain_hub(Action::ConnectionWrite)?;
    let filter = Filter::parse(call.query.first("filter").unwrap_or_default())
        .map_err(|error| ApiError::bad_request("filter", format!("The filter is not valid: {error}.")))?;
    let commands: Vec<Command> = serde_json::from_str(json_text(&body?.0)?)
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
                Step::Close(reason) => connections.close_for_now(&hub, target, &[], reason.as_deref()),
            }
        }
    }
    Ok(StatusCode::ACCEPTED)
}

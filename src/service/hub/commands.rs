//! Commands for all connections that match a filter.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    arguments::Arguments,
    serialize::SerializeError,
    service::{
        error::ServiceError,
        rest::payload::{Payload, json_arguments},
    },
};

/// What [`HubClient::execute`](crate::service::HubClient::execute) carries out, in this order.
#[derive(Debug, Clone)]
#[must_use = "commands do nothing until they are executed"]
pub struct Commands(Result<Vec<Command>, ServiceError>);

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type")]
enum Command {
    SendMessage {
        message: Message,
    },
    JoinGroup {
        group: String,
    },
    LeaveGroup {
        group: String,
    },
    CloseConnection {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

#[derive(Debug, Clone, Serialize)]
struct Message {
    target: String,
    arguments: Box<RawValue>,
}

impl Default for Commands {
    fn default() -> Self {
        Self::new()
    }
}

impl Commands {
    /// No command yet.
    pub fn new() -> Self {
        Self(Ok(Vec::new()))
    }

    /// Calls a method of the clients. Arguments that cannot be serialized are an error when the commands are executed.
    pub fn send(self, method: &str, arguments: impl Arguments) -> Self {
        let arguments = json_arguments(method, arguments).and_then(|json| {
            RawValue::from_string(json).map_err(|error| ServiceError::Arguments(SerializeError::new(error)))
        });
        match arguments {
            Ok(arguments) => {
                self.and(Command::SendMessage { message: Message { target: method.to_owned(), arguments } })
            }
            Err(error) => Self(self.0.and(Err(error))),
        }
    }

    /// Adds the connections to a group.
    pub fn add_to_group(self, name: impl Into<String>) -> Self {
        self.and(Command::JoinGroup { group: name.into() })
    }

    /// Removes the connections from a group.
    pub fn remove_from_group(self, name: impl Into<String>) -> Self {
        self.and(Command::LeaveGroup { group: name.into() })
    }

    /// Closes the connections. The reason is the error text of the Close message that they get.
    pub fn close_connections(self, reason: Option<&str>) -> Self {
        self.and(Command::CloseConnection { reason: reason.map(str::to_owned) })
    }

    fn and(mut self, command: Command) -> Self {
        if let Ok(commands) = &mut self.0 {
            commands.push(command);
        }
        self
    }

    pub(super) fn into_payload(self) -> Result<Payload, ServiceError> {
        Payload::json(&self.0?)
    }
}

/// A text as a filter has it: in single quotes, with those in it doubled.
///
/// ```
/// assert_eq!(hubwire::service::hub::filter_text("o'brien"), "'o''brien'");
/// ```
#[must_use]
pub fn filter_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

//! What the Functions host takes from a custom handler.

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    arguments::Arguments,
    serialize::SerializeError,
    service::{error::ServiceError, rest::payload::json_arguments},
};

/// The answer of a custom handler to the Functions host.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionResponse {
    outputs: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_value: Option<Value>,
}

impl FunctionResponse {
    /// An answer with nothing in it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an output binding, by its name in `function.json`: for a binding `signalR` a [`SignalROutput`], or a list of
    /// them.
    ///
    /// # Errors
    /// [`ServiceError::Arguments`] when the value does not serialize.
    pub fn output(
        mut self,
        name: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Self, ServiceError> {
        self.outputs.insert(name.into(), json(value)?);
        Ok(self)
    }

    /// Adds a line to the function's log.
    #[must_use]
    pub fn log(mut self, line: impl Into<String>) -> Self {
        self.logs.push(line.into());
        self
    }

    /// The result of the function: of a `signalRTrigger` for a message, what the client's `invoke` gets.
    ///
    /// # Errors
    /// [`ServiceError::Arguments`] when the value does not serialize.
    pub fn return_value(self, value: &(impl Serialize + ?Sized)) -> Result<Self, ServiceError> {
        Ok(Self { return_value: Some(json(value)?), ..self })
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> Result<Value, ServiceError> {
    serde_json::to_value(value).map_err(|error| ServiceError::Arguments(SerializeError::new(error)))
}

/// What the output binding `signalR` does: sends a message, or changes a group.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct SignalROutput(Output);

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Output {
    Message {
        target: String,
        arguments: Box<RawValue>,
        #[serde(flatten)]
        to: Option<Receiver>,
    },
    Group {
        action: &'static str,
        #[serde(flatten)]
        member: Receiver,
        #[serde(rename = "groupName", skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
}

#[derive(Debug, Clone, Serialize)]
enum Receiver {
    #[serde(rename = "userId")]
    User(String),
    #[serde(rename = "groupName")]
    Group(String),
    #[serde(rename = "connectionId")]
    Connection(String),
}

impl SignalROutput {
    /// Calls a method of all clients, or of those that are named with one of [`to_user`](Self::to_user),
    /// [`to_group`](Self::to_group) and [`to_connection`](Self::to_connection).
    ///
    /// # Errors
    /// [`ServiceError::Arguments`] when an argument does not serialize, [`ServiceError::InvalidName`] for an empty method.
    pub fn send(method: &str, arguments: impl Arguments) -> Result<Self, ServiceError> {
        let arguments = RawValue::from_string(json_arguments(method, arguments)?);
        let arguments = arguments.map_err(|error| ServiceError::Arguments(SerializeError::new(error)))?;
        Ok(Self(Output::Message { target: method.to_owned(), arguments, to: None }))
    }

    /// Sends the message to a user only.
    #[must_use]
    pub fn to_user(self, id: impl Into<String>) -> Self {
        self.to(Receiver::User(id.into()))
    }

    /// Sends the message to a group only.
    #[must_use]
    pub fn to_group(self, name: impl Into<String>) -> Self {
        self.to(Receiver::Group(name.into()))
    }

    /// Sends the message to a connection only.
    #[must_use]
    pub fn to_connection(self, id: impl Into<String>) -> Self {
        self.to(Receiver::Connection(id.into()))
    }

    /// Adds a user to a group.
    #[must_use]
    pub fn add_user_to_group(id: impl Into<String>, group: impl Into<String>) -> Self {
        Self::group("add", Receiver::User(id.into()), Some(group.into()))
    }

    /// Removes a user from a group.
    #[must_use]
    pub fn remove_user_from_group(id: impl Into<String>, group: impl Into<String>) -> Self {
        Self::group("remove", Receiver::User(id.into()), Some(group.into()))
    }

    /// Removes a user from all groups.
    #[must_use]
    pub fn remove_user_from_all_groups(id: impl Into<String>) -> Self {
        Self::group("removeAll", Receiver::User(id.into()), None)
    }

    /// Adds a connection to a group.
    #[must_use]
    pub fn add_connection_to_group(id: impl Into<String>, group: impl Into<String>) -> Self {
        Self::group("add", Receiver::Connection(id.into()), Some(group.into()))
    }

    /// Removes a connection from a group.
    #[must_use]
    pub fn remove_connection_from_group(id: impl Into<String>, group: impl Into<String>) -> Self {
        Self::group("remove", Receiver::Connection(id.into()), Some(group.into()))
    }

    fn group(action: &'static str, member: Receiver, group: Option<String>) -> Self {
        Self(Output::Group { action, member, group })
    }

    fn to(mut self, receiver: Receiver) -> Self {
        // A group action has its member already.
        if let Output::Message { to, .. } = &mut self.0 {
            *to = Some(receiver);
        }
        self
    }
}

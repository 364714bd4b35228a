//! What the Functions host takes from a custom handler.

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    arguments::Arguments,
    serialize::SerializeError,
    service::{
        error::ServiceError,
        rest::{payload::json_arguments, scope::Name},
    },
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

/// A call of a method, which becomes a [`SignalROutput`] once it is said who gets it. There is exactly one way to say so: the
/// binding sends what names nobody to everybody, and of several receivers only to one.
#[derive(Debug, Clone)]
#[must_use = "a message goes to nobody until it is said who gets it"]
pub struct SignalRMessage {
    target: String,
    arguments: Box<RawValue>,
}

impl SignalRMessage {
    /// To all clients of the hub.
    #[must_use]
    pub fn to_all(self) -> SignalROutput {
        self.to(None)
    }

    /// To a user.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as for an empty id, which the binding would take for everybody.
    pub fn to_user(self, id: impl Into<String>) -> Result<SignalROutput, ServiceError> {
        Ok(self.to(Some(Receiver::User(named("user", id)?))))
    }

    /// To a group.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as for an empty name, which the binding would take for everybody.
    pub fn to_group(self, name: impl Into<String>) -> Result<SignalROutput, ServiceError> {
        Ok(self.to(Some(Receiver::Group(named("group", name)?))))
    }

    /// To a connection.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as for an empty id, which the binding would take for everybody.
    pub fn to_connection(self, id: impl Into<String>) -> Result<SignalROutput, ServiceError> {
        Ok(self.to(Some(Receiver::Connection(named("connection", id)?))))
    }

    fn to(self, to: Option<Receiver>) -> SignalROutput {
        let Self { target, arguments } = self;
        SignalROutput(Output::Message { target, arguments, to })
    }
}

/// A receiver or a group, by the rules of the REST API, which the binding sends by as well.
fn named(what: &'static str, name: impl Into<String>) -> Result<String, ServiceError> {
    let name = name.into();
    Name::new(what, &name)?;
    Ok(name)
}

impl SignalROutput {
    /// Calls a method of those clients that are named with one of [`to_all`](SignalRMessage::to_all),
    /// [`to_user`](SignalRMessage::to_user), [`to_group`](SignalRMessage::to_group) and
    /// [`to_connection`](SignalRMessage::to_connection).
    ///
    /// # Errors
    /// [`ServiceError::Arguments`] when an argument does not serialize, [`ServiceError::InvalidName`] for an empty method.
    pub fn send(method: &str, arguments: impl Arguments) -> Result<SignalRMessage, ServiceError> {
        let arguments = RawValue::from_string(json_arguments(method, arguments)?);
        let arguments = arguments.map_err(|error| ServiceError::Arguments(SerializeError::new(error)))?;
        Ok(SignalRMessage { target: method.to_owned(), arguments })
    }

    /// Adds a user to a group.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as when one of the two is empty.
    pub fn add_user_to_group(id: impl Into<String>, group: impl Into<String>) -> Result<Self, ServiceError> {
        Self::group("add", Receiver::User(named("user", id)?), Some(named("group", group)?))
    }

    /// Removes a user from a group.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as when one of the two is empty.
    pub fn remove_user_from_group(
        id: impl Into<String>,
        group: impl Into<String>,
    ) -> Result<Self, ServiceError> {
        Self::group("remove", Receiver::User(named("user", id)?), Some(named("group", group)?))
    }

    /// Removes a user from all groups.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as for an empty id.
    pub fn remove_user_from_all_groups(id: impl Into<String>) -> Result<Self, ServiceError> {
        Self::group("removeAll", Receiver::User(named("user", id)?), None)
    }

    /// Adds a connection to a group.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as when one of the two is empty.
    pub fn add_connection_to_group(
        id: impl Into<String>,
        group: impl Into<String>,
    ) -> Result<Self, ServiceError> {
        Self::group("add", Receiver::Connection(named("connection", id)?), Some(named("group", group)?))
    }

    /// Removes a connection from a group.
    ///
    /// # Errors
    /// [`ServiceError::InvalidName`], such as when one of the two is empty.
    pub fn remove_connection_from_group(
        id: impl Into<String>,
        group: impl Into<String>,
    ) -> Result<Self, ServiceError> {
        Self::group("remove", Receiver::Connection(named("connection", id)?), Some(named("group", group)?))
    }

    fn group(action: &'static str, member: Receiver, group: Option<String>) -> Result<Self, ServiceError> {
        Ok(Self(Output::Group { action, member, group }))
    }
}

//! What the Functions host sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::core::Cause;

/// Why a request of the Functions host cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// The body is not what the host sends to custom handlers. With `enableForwardingHttpRequest` functions with an HTTP
    /// trigger get the client's own request instead.
    #[error("the body is not a request of the Functions host to a custom handler")]
    Request(#[source] Cause),
    /// There is nothing of this name: it is the `name` of a binding in `function.json`, or one of its `parameterNames`.
    #[error("the request has nothing of the name {name}; it is the name of a binding in function.json")]
    Missing {
        /// The name.
        name: String,
    },
    /// What is there is of another type than was asked for. What it is stays out of the error, for it may be a token.
    #[error("{name} of the request is not of the type {wanted}")]
    Type {
        /// The name.
        name: String,
        /// The Rust type that was asked for.
        wanted: &'static str,
    },
}

/// A request of the Functions host to a custom handler.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct FunctionRequest {
    /// The input bindings, the trigger among them, by their names.
    #[serde(rename = "Data", default)]
    pub data: Map<String, Value>,
    /// What the trigger tells besides, such as the arguments that `parameterNames` name.
    #[serde(rename = "Metadata", default)]
    pub metadata: Map<String, Value>,
}

impl FunctionRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`FunctionError::Request`].
    pub fn parse(body: &[u8]) -> Result<Self, FunctionError> {
        serde_json::from_slice(body).map_err(|error| FunctionError::Request(Cause::new(error)))
    }

    /// The event of a `signalRTrigger`, by the name of its binding.
    ///
    /// # Errors
    /// See [`FunctionError`].
    pub fn signalr_trigger(&self, name: &str) -> Result<SignalRTrigger, FunctionError> {
        self.input(name)
    }

    /// The value of any input binding, by its name, such as of a `signalRConnectionInfo`.
    ///
    /// # Errors
    /// See [`FunctionError`].
    pub fn input<T: DeserializeOwned>(&self, name: &str) -> Result<T, FunctionError> {
        read(&self.data, name)
    }

    /// An argument of the call, by its name in the trigger's `parameterNames`.
    ///
    /// # Errors
    /// See [`FunctionError`].
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<T, FunctionError> {
        read(&self.metadata, name)
    }
}

/// A value as the host writes it: an object as it is, and everything else as a text with JSON in it, texts too. An object
/// that the host binds as a text is a text within a text then.
fn read<T: DeserializeOwned>(values: &Map<String, Value>, name: &str) -> Result<T, FunctionError> {
    let named = values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let (_, value) = named.ok_or_else(|| FunctionError::Missing { name: name.to_owned() })?;
    let within = |value: &Value| value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let once = within(value);
    let twice = once.as_ref().and_then(within);
    let read = |value: &Value| T::deserialize(value.clone());
    let plain = || read(value).map_err(|_| another_type::<T>(name));
    [once, twice].iter().flatten().find_map(|value| read(value).ok()).map_or_else(plain, Ok)
}

fn another_type<T>(name: &str) -> FunctionError {
    FunctionError::Type { name: name.to_owned(), wanted: std::any::type_name::<T>() }
}

/// An event of a client, as a `signalRTrigger` describes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct SignalRTrigger {
    /// The hub.
    pub hub: String,
    /// `connections` or `messages`.
    pub category: String,
    /// `connected`, `disconnected`, or the method that was called.
    pub event: String,
    /// The client's connection.
    pub connection_id: String,
    /// The user, unless the client is anonymous.
    #[serde(default)]
    pub user_id: Option<String>,
    /// What the method was called with.
    #[serde(default, deserialize_with = "list")]
    pub arguments: Vec<Value>,
    /// Why the client has disconnected, if it was an error.
    #[serde(default)]
    pub error: Option<String>,
    /// Headers of the service's request, by their names.
    #[serde(default, deserialize_with = "texts")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// The client's query.
    #[serde(default, deserialize_with = "texts")]
    pub query: BTreeMap<String, Vec<String>>,
    /// Claims of the client's token. Never decide by them what the client may do: see
    /// [`UpstreamClient::claim`](crate::service::upstream::UpstreamClient::claim).
    #[serde(default, deserialize_with = "texts")]
    pub claims: BTreeMap<String, Vec<String>>,
}

impl SignalRTrigger {
    /// The arguments as a tuple, such as `(String, u32)`, or as a `Vec` where all are of one type. One argument is `(T,)`.
    ///
    /// # Errors
    /// [`FunctionError::Type`] when their number or types are others.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, FunctionError> {
        T::deserialize(Value::from(self.arguments.clone())).map_err(|_| another_type::<T>("Arguments"))
    }
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Versions of the extension write one text, or a list of texts.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        None,
        One(String),
        Several(Vec<String>),
    }
    let read: Option<BTreeMap<String, Texts>> = Option::deserialize(deserializer)?;
    let as_list = |texts| match texts {
        Texts::None => Vec::new(),
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    };
    Ok(read.unwrap_or_default().into_iter().map(|(name, texts)| (name, as_list(texts))).collect())
}

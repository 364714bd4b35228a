//! Events of Azure SignalR Service in Azure Event Grid: clients that have connected and disconnected, in serverless mode.
//!
//! [`EventGridMessage::parse`] reads what Event Grid posts to a webhook, in its own schema and in that of CloudEvents:
//!
//! ```
//! use hubwire::service::event_grid::{EventGridMessage, SignalREventType};
//!
//! # fn handle(body: &[u8]) -> Result<Option<String>, serde_json::Error> {
//! for message in EventGridMessage::parse(body)? {
//!     match message {
//!         EventGridMessage::SignalR(event) if event.kind == SignalREventType::ClientConnectionConnected => {
//!             println!("{:?} is at the hub {}", event.data.user_id, event.data.hub_name);
//!         }
//!         // Event Grid asks a new webhook whether it wants the events: this is the body of its answer.
//!         EventGridMessage::Validation { code } => {
//!             return Ok(Some(format!(r#"{{"validationResponse":"{code}"}}"#)));
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(None)
//! # }
//! ```
//!
//! Anyone can post to a webhook: protect it as Event Grid's documentation says, with an Entra application or a secret in
//! its URL.
//!
//! Source: [Azure SignalR as an Event Grid source](https://learn.microsoft.com/azure/event-grid/event-schema-azure-signalr).

use serde::{Deserialize, Serialize};
use serde_json::Value;

const VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SignalREventType {
    /// A client has connected.
    #[serde(rename = "Microsoft.SignalRService.ClientConnectionConnected")]
    ClientConnectionConnected,
    /// A client has disconnected.
    #[serde(rename = "Microsoft.SignalRService.ClientConnectionDisconnected")]
    ClientConnectionDisconnected,
}

/// An event of Azure SignalR Service. It is read from either schema, and written as a CloudEvent's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignalREvent {
    /// Names the event. Event Grid may deliver one twice, with the same id.
    pub id: String,
    /// The resource id of the SignalR resource: `topic` in Event Grid's schema.
    #[serde(alias = "topic")]
    pub source: String,
    /// `/hub/{hub}`.
    pub subject: String,
    /// What has happened: `eventType` in Event Grid's schema.
    #[serde(rename = "type", alias = "eventType")]
    pub kind: SignalREventType,
    /// When the event was made, as RFC 3339 writes it: `eventTime` in Event Grid's schema.
    #[serde(alias = "eventTime")]
    pub time: String,
    /// The client, and its hub.
    pub data: SignalREventData,
}

/// The client of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SignalREventData {
    /// When it happened, as RFC 3339 writes it.
    pub timestamp: String,
    /// The hub.
    pub hub_name: String,
    /// The connection.
    pub connection_id: String,
    /// The user, unless the client is anonymous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Why the client has disconnected, if it was an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// One of the things that Event Grid posts to a webhook.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventGridMessage {
    /// An event of Azure SignalR Service.
    SignalR(SignalREvent),
    /// Event Grid asks whether the webhook wants the events of a new subscription. The answer has the code as
    /// `validationResponse`.
    Validation {
        /// The code.
        code: String,
    },
    /// Something else.
    Other(Value),
}

impl EventGridMessage {
    /// Reads the body of a request: a list in Event Grid's schema, a list or one object as CloudEvents.
    ///
    /// # Errors
    /// When the body is not JSON, or an event of Azure SignalR Service is incomplete.
    pub fn parse(body: &[u8]) -> Result<Vec<Self>, serde_json::Error> {
        let all = match serde_json::from_slice(body)? {
            Value::Array(all) => all,
            one => vec![one],
        };
        all.into_iter().map(Self::read).collect()
    }

    fn read(message: Value) -> Result<Self, serde_json::Error> {
        let kind = message.get("eventType").or_else(|| message.get("type")).cloned().unwrap_or_default();
        if kind.as_str() == Some(VALIDATION)
            && let Some(code) = message.pointer("/data/validationCode").and_then(Value::as_str)
        {
            return Ok(Self::Validation { code: code.to_owned() });
        }
        if SignalREventType::deserialize(&kind).is_err() {
            return Ok(Self::Other(message));
        }
        SignalREvent::deserialize(message).map(Self::SignalR)
    }
}

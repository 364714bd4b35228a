//! Azure Functions in Rust: what the Functions host sends to a custom handler for a `signalRTrigger`, and what it takes
//! for the output binding `signalR`.
//!
//! The host calls a custom handler over HTTP, at the path of the function's name, with a [`FunctionRequest`] in JSON, and
//! reads a [`FunctionResponse`]:
//!
//! ```
//! use hubwire::service::functions::{FunctionRequest, FunctionResponse, SignalROutput};
//!
//! # fn handle(body: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
//! let request = FunctionRequest::parse(body)?;
//! // The names of the bindings are those in function.json.
//! let call = request.signalr_trigger("invocation")?;
//! let (text,): (String,) = call.arguments()?;
//! let message = SignalROutput::send("ReceiveMessage", (call.user_id.as_deref(), text))?.to_group("readers")?;
//! let response = FunctionResponse::new().output("messages", &[message])?.return_value(&"thanks")?;
//! # Ok(serde_json::to_vec(&response)?)
//! # }
//! ```
//!
//! `function.json` of it:
//!
//! ```json
//! { "bindings": [
//!   { "type": "signalRTrigger", "direction": "in", "name": "invocation", "hubName": "chat", "category": "messages",
//!     "event": "Say" },
//!   { "type": "signalR", "direction": "out", "name": "messages", "hubName": "chat" } ] }
//! ```
//!
//! With `enableForwardingHttpRequest` in `host.json`, functions with an HTTP trigger get requests as they are instead: the
//! negotiate endpoint and the [`UpstreamRouter`](crate::service::upstream::UpstreamRouter) need that, and nothing of this
//! module. The upstream then also serves clients of MessagePack, and checks the service's identity itself; the trigger
//! leaves that to the host, which checks no signature as soon as one endpoint has no access key.
//!
//! Sources: [custom handlers](https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers), the
//! [trigger](https://learn.microsoft.com/azure/azure-functions/functions-bindings-signalr-service-trigger), the
//! [output binding](https://learn.microsoft.com/azure/azure-functions/functions-bindings-signalr-service-output).

mod request;
mod response;

pub use request::{FunctionError, FunctionRequest, SignalRTrigger};
pub use response::{FunctionResponse, SignalRMessage, SignalROutput};

//! Serverless upstream: what clients do, as HTTP requests of the service to this program.
//!
//! 1. `request`: method, content type, the `X-ASRS-…` headers.
//! 2. `signature` and `entra`: does the request come from the service? Checked before the body is read.
//! 3. `event`: who the client is, and what it did.
//! 4. `router`: the handler for it, and its result as a completion for the client.
//!
//! Source: [Upstream endpoints](https://learn.microsoft.com/azure/azure-signalr/concept-upstream).

mod entra;
mod event;
pub(crate) mod request;
pub(crate) mod router;
pub(crate) mod signature;

pub use entra::{EntraTokenValidator, EntraTokenValidatorBuilder, ValidatorError};
pub use event::{UpstreamClient, UpstreamError, UpstreamMessage};
pub use router::UpstreamRouter;
pub use signature::UpstreamKeys;

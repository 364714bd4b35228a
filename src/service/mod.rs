//! Azure SignalR Service for Rust services.
//!
//! From a credential to a message:
//!
//! 1. A [`ServiceEndpoint`] is an address and a credential: an [`AccessKey`], a [`ClientSecret`] of a Microsoft Entra
//!    application, or any `TokenCredential` of `azure_identity`.
//! 2. A [`ServiceClient`] gets tokens and keys, keeps them and renews them.
//! 3. A [`HubClient`] gives clients access ([`HubClient::negotiate`]) and sends them messages.
//! 4. A [`NegotiateService`] is the HTTP endpoint that browsers ask for access.
//! 5. An [`UpstreamRouter`] is the HTTP endpoint that the service, in serverless mode, calls for what clients do.
//!
//! Secrets stay out of `Debug`, errors and logs, and URLs are shown without their query.

mod access_key;
#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "axum")]
pub mod axum;
mod cache;
mod check;
mod client;
mod connection_string;
mod cors;
mod credential;
mod endpoint;
mod entra;
mod error;
mod http;
mod hub;
pub(crate) mod jwt;
mod negotiate;
mod negotiate_endpoint;
mod random;
mod rest;
pub(crate) mod secret;
mod tower;
mod upstream;

use std::time::SystemTime;

pub use crate::core::negotiate::{Transport, Transports};
pub use check::{CheckOutcome, CheckProblem, CheckReport, CheckStep};
pub use client::{BuildError, ServiceClient, ServiceClientBuilder};
pub use connection_string::{AuthKind, ConnectionString, ConnectionStringError};
pub use credential::{AccessKey, Credential};
pub use endpoint::{EndpointError, ServiceEndpoint};
pub use entra::ClientSecret;
pub use error::{CredentialError, Operation, Refusal, ServiceError};
pub use hub::{Clients, Group, HubClient};
pub use negotiate::{ClientAccess, EntraStrategy, NegotiateOptions};
pub use negotiate_endpoint::NegotiateRejection;
pub use tower::NegotiateService;
pub use upstream::{
    EntraTokenValidator, EntraTokenValidatorBuilder, UpstreamClient, UpstreamError, UpstreamMessage,
    UpstreamRouter, ValidatorError,
};

#[cfg(feature = "local")]
pub(crate) use upstream::sign as upstream_signature;

/// Seconds since the Unix epoch.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

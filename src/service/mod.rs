//! Azure SignalR Service for Rust services.
//!
//! From a credential to a message:
//!
//! 1. A [`ServiceEndpoint`] is an address and a [`Credential`](credentials::Credential): an
//!    [`AccessKey`](credentials::AccessKey), or any of Microsoft Entra ID.
//! 2. A [`ServiceClient`] gets tokens and keys, keeps them and renews them.
//! 3. A [`HubClient`] gives clients access ([`HubClient::negotiate`]) and sends them messages.
//! 4. A [`NegotiateService`] is the HTTP endpoint that browsers ask for access.
//! 5. An [`UpstreamRouter`](upstream::UpstreamRouter) is the HTTP endpoint that the service, in serverless mode, calls
//!    for what clients do.
//!
//! A [`ServiceClient`] may have several endpoints: clients are sent to one of them, messages go to all.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`credentials`] | access keys, and every kind of Microsoft Entra credential |
//! | [`connection_string`], [`configuration`] | endpoints from settings, with warnings for likely mistakes |
//! | [`endpoints`] | several endpoints, and routers that choose among them |
//! | [`negotiate`] | who signs the tokens of clients, and with which transports they may connect |
//! | [`hub`] | the receivers of a message: users, groups, connections; commands |
//! | [`upstream`] | events of clients in serverless mode |
//! | [`functions`], [`event_grid`] | what Azure Functions and Azure Event Grid send, as types |
//! | [`web`] | the negotiate endpoint for tower, axum and actix-web |
//! | [`check`] | what is wrong with a setup, and how to fix it |
//! | [`error`](mod@error) | what a failed call says |
//!
//! [`entra_guide`] leads from an empty subscription to a running app server with Microsoft Entra; [`operations_guide`] is about
//! several regions, domains, proxies, new keys, and what the service shows of itself.
//!
//! Secrets stay out of `Debug`, errors and logs, and URLs are shown without their query.

#[cfg(any(doc, doctest))]
#[doc = include_str!("entra_guide.md")]
pub mod entra_guide {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("operations_guide.md")]
pub mod operations_guide {}

#[cfg(feature = "server")]
pub(crate) mod app_server;
pub mod check;
mod client;
mod clock;
pub mod configuration;
pub mod connection_string;
pub mod credentials;
pub mod endpoints;
pub mod error;
pub mod event_grid;
pub mod functions;
pub(crate) mod http;
pub mod hub;
pub(crate) mod jwt;
pub(crate) mod limits;
pub mod negotiate;
mod random;
mod rest;
pub(crate) mod secret;
#[cfg(feature = "server")]
pub(crate) mod server_access;
pub mod upstream;
pub mod web;

#[cfg(all(test, feature = "client"))]
mod error_chains;

pub use client::{ServiceClient, ServiceClientBuilder};
pub use endpoints::endpoint::ServiceEndpoint;
pub use error::{BuildError, ServiceError};
pub use hub::hub_client::HubClient;
#[cfg(feature = "unstable-machines")]
#[doc(hidden)]
pub use jwt::SigningKey;
pub use negotiate::options::{ClientAccess, NegotiateOptions};
pub use rest::retry::RetryOptions;
pub use web::{rejection::NegotiateRejection, tower::NegotiateService};

#[cfg(feature = "local")]
pub(crate) use {clock::unix_now, credentials::credential::DEFAULT_SCOPE};

//! Azure SignalR Service for Rust services.
//!
//! From a credential to a message:
//!
//! 1. A [`ServiceEndpoint`] is an address and a [`Credential`]: an [`AccessKey`], or any of Microsoft Entra ID.
//! 2. A [`ServiceClient`] gets tokens and keys, keeps them and renews them.
//! 3. A [`HubClient`] gives clients access ([`HubClient::negotiate`]) and sends them messages.
//! 4. A [`NegotiateService`] is the HTTP endpoint that browsers ask for access.
//! 5. An [`UpstreamRouter`] is the HTTP endpoint that the service, in serverless mode, calls for what clients do.
//!
//! A [`ServiceClient`] may have several endpoints: clients are sent to one of them, messages go to all.
//!
//! `entra_guide` leads from an empty subscription to a running app server with Microsoft Entra.
//!
//! Secrets stay out of `Debug`, errors and logs, and URLs are shown without their query.

#[cfg(any(doc, doctest))]
#[doc = include_str!("entra_guide.md")]
pub mod entra_guide {}

mod access_key;
#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "axum")]
pub mod axum;
mod cache;
mod check;
mod client;
mod clients;
mod cloud;
mod commands;
mod configuration;
mod connection;
mod connection_string;
mod cors;
mod credential;
mod credential_settings;
mod endpoint;
mod endpoints;
mod entra;
mod error;
mod group;
mod group_connections;
mod health;
mod http;
mod hub;
pub(crate) mod jwt;
mod negotiate;
mod negotiate_endpoint;
mod payload;
mod random;
mod rest;
mod retry;
mod router;
pub(crate) mod secret;
mod tower;
mod upstream;

use std::time::SystemTime;

pub use crate::core::negotiate::{Transport, Transports};
pub use check::{CheckOutcome, CheckProblem, CheckReport, CheckStep, EndpointReport};
pub use client::{BuildError, ServiceClient, ServiceClientBuilder};
pub use clients::{AllClients, Several, User, UserConnections};
pub use cloud::{Cloud, UnknownCloud};
pub use commands::{Commands, filter_text};
pub use configuration::{Configuration, ConfigurationError, ConfigurationWarning, EndpointSettings};
pub use connection::{ClientStream, Connection};
pub use connection_string::{ConnectionString, ConnectionStringError, ConnectionStringWarning};
pub use credential::{AccessKey, Credential};
pub use credential_settings::{AuthKind, CertificateLocation, CredentialSettings, ManagedIdentityId};
pub use endpoint::{EndpointError, EndpointRole, ServiceEndpoint};
pub use entra::{
    AzureCli, CertificateError, ClientCertificate, ClientSecret, CredentialChain, EnvironmentCredential,
    FederatedCredential, ManagedIdentity, SigningAlgorithm, WorkloadIdentity,
};
pub use error::{CredentialError, EndpointFailure, Operation, Refusal, ServiceError};
pub use group::Group;
pub use group_connections::{ConnectionPage, ConnectionPages, GroupConnection, GroupConnections};
pub use hub::HubClient;
pub use negotiate::{ClientAccess, EntraStrategy, NegotiateOptions};
pub use negotiate_endpoint::NegotiateRejection;
pub use retry::RetryOptions;
pub use router::{DefaultRouter, EndpointRouter, EndpointStatus, choose_endpoint};
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

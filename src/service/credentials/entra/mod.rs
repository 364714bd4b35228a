//! Tokens of Microsoft Entra ID: one file for each kind of credential.
//!
//! Applications prove who they are with a client secret or with an assertion: a token that is signed with a
//! certificate, or that comes from an identity that the application trusts (federated credential, workload
//! identity). A managed identity gets its token from the machine it runs on.

mod application;
pub(in crate::service) mod azure_cli;
pub(in crate::service) mod azure_developer_cli;
pub(in crate::service) mod client_certificate;
pub(in crate::service) mod client_secret;
mod developer_tool;
pub(in crate::service) mod environment;
mod expiry;
pub(in crate::service) mod federated;
mod http;
pub(in crate::service) mod managed_identity;
pub(in crate::service) mod variables;
pub(in crate::service) mod workload_identity;

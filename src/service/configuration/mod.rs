//! Settings of the environment, of `local.settings.json` and of `appsettings.json`, by the keys of the official SDKs.
//!
//! [`Configuration`] lists the keys; [`ServiceClient::from_configuration`] builds a client. [`EndpointSettings`] is one
//! endpoint as it is described, [`ConfigurationWarning`] what is most likely a mistake, [`ConfigurationError`] why
//! settings cannot be used.
//!
//! [`ServiceClient::from_configuration`]: crate::service::ServiceClient::from_configuration

pub(super) mod endpoints;
pub(super) mod error;
mod identity;
pub(crate) mod json;
mod keys;
pub(crate) mod names;
pub(super) mod settings;
mod warnings;

pub use endpoints::EndpointSettings;
pub use error::ConfigurationError;
pub use settings::Configuration;
pub use warnings::ConfigurationWarning;

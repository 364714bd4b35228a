//! How a program proves who it is: access keys, and the identities of Microsoft Entra ID.
//!
//! | credential | who it is for |
//! | --- | --- |
//! | [`AccessKey`] | local authentication, also with the emulator |
//! | [`ClientSecret`], [`ClientCertificate`] | an application that keeps a credential of its own |
//! | [`FederatedCredential`] | an application that trusts another identity, such as a managed one |
//! | [`ManagedIdentity`] | a program on an Azure virtual machine, in App Service or in Functions |
//! | [`WorkloadIdentity`] | a program in Kubernetes |
//! | [`EnvironmentCredential`] | whatever the variables `AZURE_…` describe |
//! | [`AzureCli`] | a developer who has run `az login` |
//! | [`CredentialChain`] | the first of several that works |
//!
//! Each of them is a [`Credential`], and so is any `Arc<dyn TokenCredential>` of `azure_core`. [`CredentialSettings`]
//! is what a connection string or a configuration says about one. [`CredentialError`] is why a credential gave no
//! token, [`InvalidCredential`] why it cannot be used as it is described.

pub(in crate::service) mod access_key;
pub(in crate::service) mod cache;
mod certificate;
mod certificate_error;
mod chain;
pub(in crate::service) mod cloud;
mod conversions;
pub(in crate::service) mod credential;
mod encrypted_key;
pub(in crate::service) mod entra;
pub(in crate::service) mod error;
mod file;
pub(in crate::service) mod kind;
mod pem;
pub(in crate::service) mod settings;
pub(in crate::service) mod source;
pub(in crate::service) mod token_cache;

#[cfg(feature = "redis")]
pub(crate) use self::credential::EntraTokens;
pub use access_key::AccessKey;
pub use certificate::SigningAlgorithm;
pub use certificate_error::CertificateError;
pub use chain::CredentialChain;
pub use cloud::{Cloud, UnknownCloud};
pub use credential::Credential;
pub use entra::{
    azure_cli::AzureCli, client_certificate::ClientCertificate, client_secret::ClientSecret,
    environment::EnvironmentCredential, federated::FederatedCredential, managed_identity::ManagedIdentity,
    workload_identity::WorkloadIdentity,
};
pub use error::{CredentialError, InvalidCredential, TriedCredential};
pub use kind::AuthKind;
pub use settings::{CertificateLocation, CredentialSettings, ManagedIdentityId};

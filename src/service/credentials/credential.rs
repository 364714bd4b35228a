//! How an endpoint authenticates: an access key or a source of Entra tokens.

use std::{fmt, sync::Arc};

use azure_core::credentials::{AccessToken, TokenCredential};

use crate::service::{
    credentials::{
        access_key::AccessKey,
        error::{Cause, CredentialError, InvalidCredential},
        source::TokenSource,
    },
    http::clients::HttpClients,
};

/// The scope of Azure SignalR Service, the same in every cloud.
pub(in crate::service) const DEFAULT_SCOPE: &str = "https://signalr.azure.com/.default";

/// How a [`ServiceEndpoint`](crate::service::ServiceEndpoint) authenticates: an [`AccessKey`], any of the Entra
/// credentials of [this module](crate::service::credentials), or an `Arc<dyn TokenCredential>`: a credential of
/// `azure_identity` or of your own.
#[derive(Clone)]
pub struct Credential(pub(in crate::service) Kind);

#[derive(Clone)]
pub(in crate::service) enum Kind {
    AccessKey(AccessKey),
    Token(Arc<dyn TokenSource>),
}

impl Credential {
    /// Checks what can be checked without a request.
    pub(in crate::service) fn check(&self) -> Result<(), InvalidCredential> {
        match &self.0 {
            Kind::AccessKey(key) if key.secret().is_empty() => {
                Err(InvalidCredential::Part { what: "access key" })
            }
            Kind::AccessKey(_) => Ok(()),
            Kind::Token(source) => source.check(),
        }
    }
}

impl From<AccessKey> for Credential {
    fn from(key: AccessKey) -> Self {
        Self(Kind::AccessKey(key))
    }
}

impl From<Arc<dyn TokenCredential>> for Credential {
    fn from(credential: Arc<dyn TokenCredential>) -> Self {
        Self(Kind::Token(Arc::new(Foreign(credential))))
    }
}

impl<T: TokenCredential + 'static> From<Arc<T>> for Credential {
    fn from(credential: Arc<T>) -> Self {
        Self::from(credential as Arc<dyn TokenCredential>)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::AccessKey(key) => key.fmt(f),
            Kind::Token(source) => source.fmt(f),
        }
    }
}

/// A credential of another crate.
struct Foreign(Arc<dyn TokenCredential>);

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it shows of itself is not known.
        f.write_str("TokenCredential")
    }
}

#[async_trait::async_trait]
impl TokenSource for Foreign {
    fn name(&self) -> &'static str {
        "TokenCredential"
    }

    async fn fetch(&self, _: &HttpClients, scope: &str) -> Result<AccessToken, CredentialError> {
        let token = self.0.get_token(&[scope], None).await;
        token.map_err(|error| CredentialError::Other(Cause::new(error)))
    }
}

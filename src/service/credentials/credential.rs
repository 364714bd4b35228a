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
pub(crate) const DEFAULT_SCOPE: &str = "https://signalr.azure.com/.default";

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

/// Entra tokens of a credential for something that is not Azure SignalR Service. Nothing is cached.
#[cfg(feature = "redis")]
pub(crate) struct EntraTokens {
    source: Arc<dyn TokenSource>,
    http: HttpClients,
}

#[cfg(feature = "redis")]
impl EntraTokens {
    /// How long one request may take, its retries included.
    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

    /// `None` for an access key, which gives no tokens.
    pub(crate) fn new(credential: &Credential) -> Result<Option<Self>, crate::service::error::BuildError> {
        match &credential.0 {
            Kind::AccessKey(_) => Ok(None),
            Kind::Token(source) => {
                let http = HttpClients::new(&crate::platform::Network::default(), false)?;
                Ok(Some(Self { source: Arc::clone(source), http }))
            }
        }
    }

    pub(crate) async fn fetch(&self, scope: &str) -> Result<AccessToken, CredentialError> {
        let elapsed = || CredentialError::Timeout { after: Self::TIMEOUT };
        crate::service::http::body::within(Self::TIMEOUT, self.source.fetch(&self.http, scope), elapsed).await
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

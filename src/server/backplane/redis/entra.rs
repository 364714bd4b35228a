//! Microsoft Entra for Azure Managed Redis and Azure Cache for Redis: the user is the object id of the identity, the
//! password is its access token.

use std::{sync::Arc, time::SystemTime};

use super::{RedisBackplane, RedisCredentials, RedisSettingsError};
use crate::{
    Cause,
    service::{
        credentials::{Credential, EntraTokens},
        jwt::Token,
    },
};

/// The scope of both services, the same in every cloud.
const SCOPE: &str = "https://redis.azure.com/.default";

impl RedisBackplane {
    /// Authenticates with Microsoft Entra at Azure Managed Redis or Azure Cache for Redis, by any of the
    /// [credentials](crate::service::credentials) of Azure SignalR Service that give tokens. The user is the object id that
    /// a token is for; the connection is authenticated again before a token expires.
    ///
    /// Let the identity in first: an access policy assignment with *Data Owner Access Policy*, or one that allows
    /// `+subscribe +unsubscribe +publish +hello +ping` on the channels.
    ///
    /// ```no_run
    /// use hubwire::{server::backplane::RedisBackplane, service::credentials::ManagedIdentity};
    ///
    /// # fn run() -> Result<(), hubwire::server::backplane::RedisSettingsError> {
    /// let redis = RedisBackplane::new("rediss://contoso.redis.cache.windows.net:6380")?
    ///     .entra(ManagedIdentity::system_assigned())?;
    /// # drop(redis);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the credential is an access key, or requests for tokens cannot be set up.
    pub fn entra(mut self, credential: impl Into<Credential>) -> Result<Self, RedisSettingsError> {
        let tokens = EntraTokens::new(&credential.into());
        let tokens = tokens.map_err(|error| RedisSettingsError::Credential(error.to_string()))?;
        let tokens = tokens.ok_or_else(|| {
            RedisSettingsError::Credential("an access key gives no Entra tokens".to_owned())
        })?;
        let tokens = Arc::new(tokens);
        self.settings.credentials = Some(Arc::new(move || {
            let tokens = tokens.clone();
            Box::pin(async move {
                let token = tokens.fetch(SCOPE).await.map_err(Cause::new)?;
                let user = object_id(token.token.secret()).ok_or("the Entra token names no object id")?;
                let expires = SystemTime::from(token.expires_on);
                Ok(RedisCredentials::new(user, token.token.secret()).expires(expires))
            })
        }));
        Ok(self)
    }
}

/// Whom a token is for: its claim `oid`.
fn object_id(token: &str) -> Option<String> {
    Some(Token::parse(token)?.claims.get("oid")?.as_str()?.to_owned())
}

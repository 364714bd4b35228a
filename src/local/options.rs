//! What a local service is told of its keys and upstreams, when it starts and later.

use crate::{
    local::{KeyType, LocalError, LocalManagedIdentity, LocalService, LocalServiceBuilder, UpstreamRule},
    service::{secret::Secret, unix_now},
};

impl LocalService {
    /// The connection string with the primary access key, in the emulator's form. It is a secret when the key is. Where
    /// access keys are [refused](LocalServiceBuilder::local_auth), it has `AuthType=azure` in place of the key: the
    /// environment of the app says which identity it is (`AZURE_TENANT_ID` and so on, with the
    /// [`authority`](Self::authority) as `AZURE_AUTHORITY_HOST`).
    #[must_use]
    pub fn connection_string(&self) -> String {
        self.connection_string_of(KeyType::Primary)
    }

    /// The connection string with one of the access keys, as [`connection_string`](Self::connection_string).
    #[must_use]
    pub fn connection_string_of(&self, key: KeyType) -> String {
        self.service.keys.connection_string(&self.origin, key)
    }

    /// Puts a new random key in the place of an access key, and gives it; it is a secret. From now on the old one is
    /// refused. Clients that are connected stay, and so do app servers. The keys of app servers with Entra stay good.
    ///
    /// ```
    /// use hubwire::local::{KeyType, LocalService};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), hubwire::local::LocalError> {
    /// let local = LocalService::builder().start().await?;
    /// let before = local.connection_string();
    /// local.regenerate_key(KeyType::Primary)?;
    /// assert_ne!(local.connection_string(), before);
    /// # local.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LocalError::Random`]: the operating system gives no random numbers. Then nothing changes.
    pub fn regenerate_key(&self, key: KeyType) -> Result<String, LocalError> {
        let new = self.service.keys.regenerate(key, unix_now())?;
        tracing::info!(?key, "an access key was regenerated");
        Ok(new.expose().to_owned())
    }

    /// Replaces the [rules](LocalServiceBuilder::upstream_rule) by which clients' events are told to upstreams. What has
    /// happened before is still told by the old ones.
    ///
    /// # Errors
    /// [`LocalError::HttpClient`]: there were no rules yet, and no HTTP client can be set up to follow these. Then nothing
    /// changes.
    pub fn set_upstream(&self, rules: Vec<UpstreamRule>) -> Result<(), LocalError> {
        self.service.upstream.set(rules)?;
        // Not with the first request, which a client may wait for.
        self.service.entra.prepare(self.service.upstream.has_identity());
        Ok(())
    }

    /// The tenant and the object id of the [identity](LocalServiceBuilder::service_identity) that the service has when it
    /// calls an upstream.
    #[must_use]
    pub fn service_identity(&self) -> (&str, &str) {
        let identity = &self.service.entra.service;
        (&identity.application.tenant_id, &identity.object_id)
    }
}

impl LocalServiceBuilder {
    /// The primary access key. Default: [`LocalService::EMULATOR_ACCESS_KEY`].
    pub fn access_key(mut self, key: impl Into<String>) -> Self {
        self.access_key = Secret::new(key);
        self
    }

    /// The secondary access key. Default: a random one.
    pub fn secondary_access_key(mut self, key: impl Into<String>) -> Self {
        self.secondary_access_key = Some(Secret::new(key));
        self
    }

    /// Whether access keys are good for anything. Default: yes. If not, only Microsoft Entra ID opens the service, as
    /// for a resource whose local authentication is disabled: requests, server connections and client tokens that an
    /// access key has signed are refused.
    pub fn local_auth(mut self, is_enabled: bool) -> Self {
        self.local_auth = is_enabled;
        self
    }

    /// Where to tell what clients do, whatever it is: a URL in which `{hub}`, `{category}` and `{event}` may stand, such as
    /// `http://localhost:7071/runtime/webhooks/signalr`. It is a [rule](Self::upstream_rule) that matches everything.
    pub fn upstream(mut self, url: impl Into<String>) -> Self {
        self.upstream.push(UpstreamRule::new(url));
        self
    }

    /// Where to tell some of what clients do. Without a rule nothing is told. It can be called for several, of which the
    /// first that matches is followed. Calls of one client are passed on one after the other, for up to 100 seconds each;
    /// [`UpstreamRouter`](crate::service::upstream::UpstreamRouter) takes them.
    pub fn upstream_rule(mut self, rule: UpstreamRule) -> Self {
        self.upstream.push(Ok(rule));
        self
    }

    /// Who the service itself is when it calls an upstream whose rule has a
    /// [managed identity](UpstreamRule::managed_identity). By default an identity of its own in the tenant of the first
    /// application; [`LocalService::service_identity`] says which.
    pub fn service_identity(mut self, identity: LocalManagedIdentity) -> Self {
        self.service_identity = Some(identity);
        self
    }
}

//! What server connections in default mode need of an endpoint: its address, tokens, and the keys that come over them.

use std::{sync::Arc, time::Duration};

use crate::{
    core::{token::AccessToken, url::encode_data},
    platform::Network,
    service::{
        clock::unix_now,
        credentials::cache::Lease,
        endpoints::{
            connected::{ConnectedEndpoint, Setup},
            endpoint::{EndpointRole, ServiceEndpoint},
        },
        error::{BuildError, ServiceError},
        hub::negotiation,
        jwt::{self, Validity},
        negotiate::{
            options::{ClientAccess, NegotiateOptions, TokenAlgorithm},
            refresh::ConnectionClaims,
        },
        rest::{keys::SigningKeys, request::RestCredential},
        secret::Secret,
    },
};

/// An endpoint in default mode, with the tokens and keys that its hubs share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EndpointAccess {
    connected: Arc<ConnectedEndpoint>,
    pub(crate) network: Network,
}

/// A token for a server connection. It remembers where it is from, so that it can be replaced.
pub(crate) struct ServerToken {
    pub(crate) text: AccessToken,
    lease: Option<Lease<Arc<Secret>>>,
}

impl EndpointAccess {
    /// Prepares an endpoint. Nothing is sent yet.
    pub(crate) fn new(
        endpoint: ServiceEndpoint,
        application: Option<String>,
        network: Network,
        algorithm: TokenAlgorithm,
    ) -> Result<Self, BuildError> {
        let application = application.filter(|name| !name.is_empty()).map(|name| name.to_lowercase());
        let setup = Setup { application, network: network.clone(), algorithm, ..Setup::default() };
        Ok(Self { connected: ConnectedEndpoint::new(endpoint, &setup)?, network })
    }

    /// Name and address, for people to read.
    pub(crate) fn label(&self) -> String {
        self.connected.endpoint.label()
    }

    pub(crate) fn endpoint(&self) -> &ServiceEndpoint {
        &self.connected.endpoint
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.connected.endpoint.role() == EndpointRole::Primary
    }

    /// Whether tokens of Microsoft Entra ID open server connections; clients' tokens are signed by keys of the service then,
    /// which come over server connections.
    pub(crate) fn uses_entra(&self) -> bool {
        matches!(self.connected.keys, SigningKeys::Exchanged(_))
    }

    /// Whether tokens go there in plain http, as to this machine.
    pub(crate) fn is_plain(&self) -> bool {
        self.connected.endpoint.server_url().scheme() == "http"
    }

    /// Where a server connection of the hub is opened.
    pub(crate) fn server_url(&self, hub: &str, connection: &str, target: Option<&str>) -> String {
        let (base, hub) = (self.connected.endpoint.server_base(), self.hub(hub));
        let mut url = format!("{base}server/?hub={}&cid={}", encode_data(&hub), encode_data(connection));
        if let Some(target) = target {
            url.push_str("&target=");
            url.push_str(&encode_data(target));
        }
        url
    }

    /// A hub's name within the service: in lower case, behind the application's.
    pub(crate) fn hub(&self, hub: &str) -> String {
        self.connected.prefixed(&hub.to_lowercase())
    }

    /// A token that opens a server connection.
    pub(crate) async fn server_token(
        &self,
        hub: &str,
        server_id: &str,
        lifetime: Duration,
    ) -> Result<ServerToken, ServiceError> {
        let key = match (&self.connected.rest.credential, &self.connected.keys) {
            (RestCredential::Entra(tokens), _) => {
                let lease = tokens.lease().await?;
                return Ok(ServerToken { text: lease.value.expose().into(), lease: Some(lease) });
            }
            (RestCredential::Key(_), SigningKeys::Fixed(key)) | (RestCredential::Key(key), _) => key,
        };
        let issued_at = unix_now();
        let expires_at = issued_at.saturating_add(lifetime.as_secs());
        let audience = format!("{}server/?hub={}", self.connected.endpoint.audience_base(), self.hub(hub));
        let text = key.sign([("nameid", server_id)], Validity { issued_at, expires_at }, &audience);
        Ok(ServerToken { text: text.as_str().into(), lease: None })
    }

    /// The service did not take the token: the next one is another.
    pub(crate) async fn replace(&self, token: &ServerToken) {
        if let (RestCredential::Entra(tokens), Some(lease)) = (&self.connected.rest.credential, &token.lease)
        {
            // The next attempt says what is wrong.
            let _ = tokens.renew(lease).await;
        }
    }

    /// A key that came over a server connection.
    pub(crate) fn install_key(&self, key_id: &str, key: &str) {
        if let SigningKeys::Exchanged(keys) = &self.connected.keys {
            keys.install(jwt::Key::new(key, Some(key_id)));
        }
    }

    /// Access for a client of the hub, at this endpoint.
    pub(crate) async fn client_access(
        &self,
        hub: &str,
        options: &NegotiateOptions,
    ) -> Result<ClientAccess, ServiceError> {
        negotiation::negotiate(&self.connected, &hub.to_lowercase(), options).await
    }

    /// A token of claims that the service has for a client, and how long it is valid.
    pub(crate) async fn token_of(
        &self,
        hub: &str,
        claims: Vec<(String, String)>,
        options: &NegotiateOptions,
    ) -> Result<(String, Duration), ServiceError> {
        let claims = ConnectionClaims::from_pairs(claims);
        negotiation::token_of(&self.connected, &hub.to_lowercase(), &claims, options).await
    }
}

//! Who signs a client token, and what happens to the connection that it is renewed for.

use std::time::Duration;

use azure_core::time::{OffsetDateTime, to_rfc3339};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::token::SERVICE_LIMIT;
use crate::platform;
use crate::service::{
    clock::unix_now,
    endpoints::connected::ConnectedEndpoint,
    error::{Operation, ServiceError},
    jwt::{self, Validity},
    negotiate::{
        client_url::client_url,
        options::{ClientAccess, EntraStrategy, NegotiateOptions},
        refresh::{ConnectionClaims, RefreshOptions, RefreshedAccess},
        token::{self, Claims},
    },
    rest::{
        keys::{ExchangedKeys, SigningKeys, is_refusal},
        payload::Payload,
        request,
    },
    secret::Secret,
};

/// The version that has the authentication refresh.
const REFRESH_VERSION: &str = "2026-07-01";

/// Access for a client of a hub.
pub(in crate::service) async fn negotiate(
    shared: &ConnectedEndpoint,
    hub: &str,
    options: &NegotiateOptions,
) -> Result<ClientAccess, ServiceError> {
    // What is wrong with the options is said before anything is asked of the service.
    let validity = token::validity(options, unix_now())?;
    let claims = token::claims(options, validity.expires_at)?;
    let prefixed = shared.prefixed(hub);
    let url = client_url(&shared.endpoint.client_base(), &prefixed, options);
    let (user, beyond) = (options.user_id(), options.beyond_generated());
    let request = Request { shared, name: hub, hub: prefixed, user, beyond, claims, validity };
    let (access_token, expires_in) = request.token(options.strategy()).await?;
    Ok(ClientAccess { url, access_token, expires_in })
}

/// Tells the service what a connection's authentication is from now on, and makes the client a token of what it answers.
pub(in crate::service) async fn refresh(
    shared: &ConnectedEndpoint,
    hub: &str,
    connection_token: &str,
    refresh: &RefreshOptions,
) -> Result<RefreshedAccess, ServiceError> {
    let RefreshOptions { options, keeps_claims } = refresh;
    // What is wrong with the options is said before anything is changed, and so is a key that cannot be obtained.
    let validity = token::validity(options, unix_now())?;
    let claims = ConnectionClaims::from(&token::claims(options, validity.expires_at)?);
    let beyond = options.beyond_generated();
    if let SigningKeys::Exchanged(keys) = &shared.keys {
        match (options.strategy(), beyond) {
            (EntraStrategy::GenerateToken, Some(option)) => {
                return Err(ServiceError::NeedsAccessKey { option });
            }
            (EntraStrategy::AccessKey, _) | (EntraStrategy::Automatic, Some(_)) => {
                drop(keys.current().await?);
            }
            (EntraStrategy::GenerateToken | EntraStrategy::Automatic, None) => {}
        }
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        connection_token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expire_time: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        claims: Option<&'a ConnectionClaims>,
    }
    #[derive(Deserialize)]
    struct Answer {
        claims: ConnectionClaims,
    }
    let body = Body {
        connection_token,
        expire_time: token::deadline(options, validity.expires_at).map(rfc3339),
        claims: (!keeps_claims).then_some(&claims),
    };
    let operation = Operation::RefreshAuthentication;
    let request = of_connections(operation, Method::POST, hub, ":refreshAuth")?;
    let Answer { claims: answered } = shared.rest.json(&request.payload(Payload::json(&body)?)?).await?;
    if answered.is_empty() && !claims.is_empty() {
        return Err(ServiceError::InvalidResponse { operation, reason: "there are no claims in it" });
    }

    let (access_token, expires_in) = signed_for(shared, hub, &answered, options, validity).await?;
    Ok(RefreshedAccess { access_token, expires_in, claims: answered })
}

/// A token of the claims that the service has of a connection.
async fn signed_for(
    shared: &ConnectedEndpoint,
    hub: &str,
    claims: &ConnectionClaims,
    options: &NegotiateOptions,
    mut validity: Validity,
) -> Result<Signed, ServiceError> {
    // The token does not outlive the authentication that the connection closes with.
    if let Some(end) = claims.expiry().filter(|end| *end > validity.issued_at) {
        validity.expires_at = validity.expires_at.min(end);
    }
    let beyond = options.beyond_generated();
    let request = Request {
        shared,
        name: hub,
        hub: shared.prefixed(hub),
        user: claims.user_id(),
        beyond: beyond.or(claims.are_beyond_user().then_some("claims")),
        claims: claims.to_token(),
        validity,
    };
    request.token(options.strategy()).await
}

/// A token of claims that an app server has told the service by itself.
#[cfg(feature = "server")]
pub(in crate::service) async fn token_of(
    shared: &ConnectedEndpoint,
    hub: &str,
    claims: &ConnectionClaims,
    options: &NegotiateOptions,
) -> Result<Signed, ServiceError> {
    let validity = token::validity(options, unix_now())?;
    signed_for(shared, hub, claims, options, validity).await
}

/// What the service has of a connection.
pub(in crate::service) async fn connection_claims(
    shared: &ConnectedEndpoint,
    hub: &str,
    connection_token: &str,
) -> Result<ConnectionClaims, ServiceError> {
    #[derive(Deserialize)]
    struct Answer {
        claims: ConnectionClaims,
    }
    // RFC 10008: it asks, as GET does, and has a body, which keeps the token out of logs.
    let query = Method::from_bytes(b"QUERY").unwrap_or(Method::POST);
    let operation = Operation::ReadClaims;
    let request = of_connections(operation, query, hub, "claims")?;
    let body = Payload::json(&json!({ "connectionToken": connection_token }))?;
    let Answer { claims } = shared.rest.json(&request.payload(body)?).await?;
    Ok(claims)
}

fn of_connections(
    operation: Operation,
    method: Method,
    hub: &str,
    action: &str,
) -> Result<request::Request, ServiceError> {
    let path = format!("connections/{action}");
    Ok(request::Request::to_prefixed_hub(operation, method, hub, &path)?.version(REFRESH_VERSION))
}

fn rfc3339(seconds: u64) -> String {
    // A token's expiry is before the year 10000, which is as far as the format goes.
    let seconds = i64::try_from(seconds).unwrap_or_default();
    to_rfc3339(&OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
}

struct Request<'a> {
    shared: &'a ConnectedEndpoint,
    name: &'a str,
    /// With the application's prefix.
    hub: String,
    user: Option<&'a str>,
    /// What the service's own tokens cannot carry, if there is such a thing.
    beyond: Option<&'static str>,
    claims: Claims,
    validity: Validity,
}

/// A token, and how long it is valid from now.
type Signed = (String, Duration);

impl Request<'_> {
    async fn token(self, strategy: EntraStrategy) -> Result<Signed, ServiceError> {
        match &self.shared.keys {
            SigningKeys::Fixed(key) => self.signed(key),
            SigningKeys::Exchanged(keys) => match strategy {
                EntraStrategy::AccessKey => self.signed(&*keys.current().await?),
                EntraStrategy::GenerateToken => match self.beyond {
                    Some(option) => Err(ServiceError::NeedsAccessKey { option }),
                    None => self.generated().await,
                },
                EntraStrategy::Automatic => self.automatic(keys).await,
            },
        }
    }

    async fn automatic(self, keys: &ExchangedKeys) -> Result<Signed, ServiceError> {
        let needs_key = self.beyond.is_some();
        if !needs_key && keys.was_refused() {
            return self.generated().await;
        }
        match keys.current().await {
            Ok(key) => self.signed(&key),
            Err(refused) if !needs_key && is_refusal(&refused) => match self.generated().await {
                // The other way does not work either: the first refusal names the roles for both.
                Err(error) if !error.is_retryable() => Err(refused),
                other => other,
            },
            Err(error) => Err(error),
        }
    }

    fn signed(self, key: &jwt::Key) -> Result<Signed, ServiceError> {
        let audience = format!("{}client/?hub={}", self.shared.endpoint.audience_base(), self.hub);
        // A token ends on a whole second, so that it lives up to a second less than its lifetime says.
        let expires_at = Duration::from_secs(self.validity.expires_at);
        let token = token::sign(key, &audience, self.claims, self.validity)?;
        Ok((token, expires_at.saturating_sub(platform::unix_now())))
    }

    /// The application's prefix goes into the path: the call has no parameter for it.
    async fn generated(self) -> Result<Signed, ServiceError> {
        #[derive(Deserialize)]
        struct Answer {
            token: Secret,
        }
        let operation = Operation::GenerateToken;
        let minutes = (self.validity.expires_at - self.validity.issued_at).div_ceil(60);
        let mut request =
            request::Request::to_prefixed_hub(operation, Method::POST, self.name, ":generateToken")?
                .query("minutesToExpire", &minutes.to_string());
        if let Some(user) = self.user {
            request = request.query("userId", user);
        }
        let answer: Answer = self.shared.rest.json(&request).await?;
        let is_token = |text: &str| {
            (1..=SERVICE_LIMIT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !is_token(answer.token.expose()) {
            return Err(ServiceError::InvalidResponse { operation, reason: "there is no token in it" });
        }
        Ok((answer.token.expose().to_owned(), Duration::from_secs(minutes.saturating_mul(60))))
    }
}

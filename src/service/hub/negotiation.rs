//! Who signs a client token, and what happens to the connection that it is renewed for.

use std::time::Duration;

use azure_core::time::{OffsetDateTime, to_rfc3339};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::platform;
use crate::service::{
    clock::unix_now,
    endpoints::connected::ConnectedEndpoint,
    error::{Operation, ServiceError},
    jwt::{self, Validity},
    negotiate::{
        client_url::client_url,
        options::{ClientAccess, EntraStrategy, NegotiateOptions},
        token::{self, Claims},
    },
    rest::{
        keys::{ExchangedKeys, SigningKeys},
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
    let request = Request { shared, name: hub, hub: shared.prefixed(hub), options, claims, validity };
    match &shared.keys {
        SigningKeys::Fixed(key) => request.signed(key),
        SigningKeys::Exchanged(keys) => match options.strategy() {
            EntraStrategy::AccessKey => request.signed(&*keys.current().await?),
            EntraStrategy::GenerateToken => match options.beyond_generated() {
                Some(option) => Err(ServiceError::NeedsAccessKey { option }),
                None => request.generated().await,
            },
            EntraStrategy::Automatic => request.automatic(keys).await,
        },
    }
}

/// Tells the service that a connection stays authenticated until a later time, and gives the client a token for it.
pub(in crate::service) async fn refresh(
    shared: &ConnectedEndpoint,
    hub: &str,
    connection_token: &str,
    options: &NegotiateOptions,
) -> Result<ClientAccess, ServiceError> {
    let access = negotiate(shared, hub, options).await?;
    let expires_at = (platform::unix_now() + access.expires_in).as_secs();
    let one = |name: &str, value: &Value| json!({ "type": name, "value": value });
    let claims: Vec<Value> = token::claims(options, expires_at)?
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Array(values) => values.iter().map(|value| one(name, value)).collect(),
            value => vec![one(name, value)],
        })
        .collect();
    let body = json!({
        "connectionToken": connection_token,
        "expireTime": rfc3339(expires_at),
        "claims": claims,
    });
    let operation = Operation::RefreshAuthentication;
    let request =
        request::Request::to_prefixed_hub(operation, Method::POST, hub, "connections/:refreshAuth")?;
    shared.rest.call(&request.version(REFRESH_VERSION).payload(Payload::json(&body)?)?).await?;
    Ok(access)
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
    options: &'a NegotiateOptions,
    claims: Claims,
    validity: Validity,
}

impl Request<'_> {
    async fn automatic(self, keys: &ExchangedKeys) -> Result<ClientAccess, ServiceError> {
        let needs_key = self.options.beyond_generated().is_some();
        if !needs_key && keys.was_refused() {
            return self.generated().await;
        }
        match keys.current().await {
            Ok(key) => self.signed(&key),
            Err(refused @ ServiceError::Forbidden(_)) if !needs_key => match self.generated().await {
                // The other way does not work either: the first refusal names the roles for both.
                Err(error) if !error.is_retryable() => Err(refused),
                other => other,
            },
            Err(error) => Err(error),
        }
    }

    fn signed(self, key: &jwt::Key) -> Result<ClientAccess, ServiceError> {
        let audience = format!("{}client/?hub={}", self.shared.endpoint.audience_base(), self.hub);
        // A token ends on a whole second, so that it lives up to a second less than its lifetime says.
        let expires_at = Duration::from_secs(self.validity.expires_at);
        Ok(ClientAccess {
            url: client_url(&self.shared.endpoint.client_base(), &self.hub, self.options),
            access_token: token::sign(key, &audience, self.claims, self.validity)?,
            expires_in: expires_at.saturating_sub(platform::unix_now()),
        })
    }

    /// The application's prefix goes into the path: the call has no parameter for it.
    async fn generated(self) -> Result<ClientAccess, ServiceError> {
        #[derive(Deserialize)]
        struct Answer {
            token: Secret,
        }
        let operation = Operation::GenerateToken;
        let minutes = (self.validity.expires_at - self.validity.issued_at).div_ceil(60);
        let mut request =
            request::Request::to_prefixed_hub(operation, Method::POST, self.name, ":generateToken")?
                .query("minutesToExpire", &minutes.to_string());
        if let Some(user) = self.options.user_id() {
            request = request.query("userId", user);
        }
        let answer: Answer = self.shared.rest.json(&request).await?;
        let is_token = |text: &str| {
            (1..=token::MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !is_token(answer.token.expose()) {
            return Err(ServiceError::InvalidResponse { operation, reason: "there is no token in it" });
        }
        Ok(ClientAccess {
            url: client_url(&self.shared.endpoint.client_base(), &self.hub, self.options),
            access_token: answer.token.expose().to_owned(),
            expires_in: Duration::from_secs(minutes.saturating_mul(60)),
        })
    }
}

//! Client tokens of this server's own, HS256, as those of the reference hub. The key is public: it guards nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::server::{HubRequest, Identity, Rejection};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value};

const ISSUER: &str = "reference-hub";

const KEY: &[u8] = b"a reference key that guards nothing at all, 64 bytes long .....";

/// A token of a user for so many seconds; with a negative number it has expired already.
pub(crate) fn create(user: &str, seconds: f64, role: Option<&str>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut claims = Map::new();
    for (name, value) in [("sub", user), ("iss", ISSUER), ("aud", ISSUER)] {
        claims.insert(name.into(), value.into());
    }
    for (name, at) in [("iat", now), ("nbf", now + seconds.min(0.0) - 1.0), ("exp", now + seconds)] {
        claims.insert(name.into(), (at as u64).into());
    }
    claims.extend(role.map(|role| ("role".into(), role.into())));
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(KEY)).unwrap_or_default()
}

/// Who a client is by its token.
pub(crate) fn authenticate(request: &HubRequest<'_>) -> std::future::Ready<Result<Identity, Rejection>> {
    std::future::ready(request.access_token().and_then(identity).ok_or_else(Rejection::unauthorized))
}

fn identity(token: &str) -> Option<Identity> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    validation.validate_nbf = true;
    validation.leeway = 0;
    let decoded =
        jsonwebtoken::decode::<Map<String, Value>>(token, &DecodingKey::from_secret(KEY), &validation);
    let claims = decoded.ok()?.claims;
    let mut identity = Identity::user(claims.get("sub")?.as_str()?);
    for (name, value) in &claims {
        match value {
            Value::String(text) => identity = identity.claim(name, text),
            Value::Array(values) => {
                identity =
                    values.iter().filter_map(Value::as_str).fold(identity, |of, text| of.claim(name, text));
            }
            other => identity = identity.claim(name, other.to_string()),
        }
    }
    let ends = UNIX_EPOCH + Duration::from_secs(claims.get("exp")?.as_u64()?);
    Some(identity.expires(ends))
}

//! The tokens of requests: where they stand, the audiences that they have to be made for, and the users that they name.

use std::borrow::Cow;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;

use serde_json::Value;

use crate::{
    core::{
        http::bearer_token,
        token::{
            USER_ID_CLAIMS,
            claims::{CLOSES_ON_EXPIRY, EXPIRY},
        },
        url::HubUrl,
    },
    local::guard::Guard,
    server::{claims::Claims, query::Query},
};

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    bearer_token(headers.get(AUTHORIZATION)?.to_str().ok()?)
}

/// The user id by the service's rule: `asrs.s.uid`, else the name identifier. A claim that occurs more than once is an
/// array, of which the first counts.
pub(super) fn user_of(claims: &Claims) -> Option<&str> {
    USER_ID_CLAIMS.into_iter().find_map(|name| match claims.get(name)? {
        Value::String(text) => Some(text.as_str()),
        Value::Array(list) => list.first().and_then(Value::as_str),
        _ => None,
    })
}

/// Gives a connection other claims, where there are some, and the end of its authentication, where it has one: a token
/// that is made of the claims ends with it.
pub(super) fn renew(known: &mut Claims, claims: Option<&Claims>, ends: Option<u64>) {
    if let Some(claims) = claims {
        known.clone_from(claims);
    }
    if let Some(ends) = ends {
        known.insert(CLOSES_ON_EXPIRY.to_owned(), "true".into());
        known.insert(EXPIRY.to_owned(), ends.to_string().into());
    }
}

/// Whether a client token with this audience opens the hub. The official SDK writes the host without its port, some
/// others with it, so the port does not matter; the hub has to be in lower case.
pub(super) fn is_client_audience(guard: &Guard, audience: &str, hub: &str) -> bool {
    is_hub_audience(guard, audience, "/client", hub)
}

/// Whether a token with this audience opens a server connection of the hub.
pub(super) fn is_server_audience(guard: &Guard, audience: &str, hub: &str) -> bool {
    is_hub_audience(guard, audience, "/server", hub)
}

fn is_hub_audience(guard: &Guard, audience: &str, path: &str, hub: &str) -> bool {
    let Some(url) = local_url(guard, audience) else { return false };
    url.path().trim_end_matches('/') == path && Query::parse(Some(url.query())).first("hub") == Some(hub)
}

/// Whether a REST token with this audience is for a request to this path. SDKs differ in port, query and
/// percent-encoding, and an address with a path in front of the service adds one to the audience.
pub(super) fn is_rest_audience(guard: &Guard, audience: &str, path: &str) -> bool {
    let Some(url) = local_url(guard, audience) else { return false };
    let (audience, path) = (decoded(url.path()), decoded(path));
    let (audience, path) = (audience.trim_end_matches('/'), path.trim_end_matches('/'));
    let end = audience.len().checked_sub(path.len()).and_then(|start| audience.get(start..));
    // The service does not mind the case of paths.
    end.is_some_and(|end| end.eq_ignore_ascii_case(path))
}

/// An audience, if its host is this service's. The scheme does not matter, since TLS may end in front of the service.
fn local_url(guard: &Guard, audience: &str) -> Option<HubUrl> {
    HubUrl::parse(audience).ok().filter(|url| guard.knows(url.host()))
}

fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_user_id_follows_the_rule_of_the_service() {
        for (claims, user) in [
            (json!({"asrs.s.uid": "a", "nameid": "b", "sub": "c"}), Some("a")),
            (json!({"nameid": "b", "sub": "c"}), Some("b")),
            (json!({"sub": ["c", "d"]}), Some("c")),
            (json!({"asrs.s.uid": ""}), Some("")),
            (json!({"name": "x"}), None),
        ] {
            assert_eq!(claims.as_object().and_then(user_of), user, "{claims}");
        }
    }

    #[test]
    fn client_audiences() {
        let guard = &Guard::new(&[], vec!["signalr.test".to_owned()], None).expect("it is valid");
        for good in [
            "http://127.0.0.1/client/?hub=chat",
            "http://127.0.0.1:5000/client/?hub=chat",
            "http://LOCALHOST/client?hub=chat",
            "http://localhost/client/?asrs.op=%2Fx&hub=chat",
            "https://127.0.0.1/client/?hub=chat",
            "http://signalr/client/?hub=chat",
            "http://signalr.test:80/client/?hub=chat",
        ] {
            assert!(is_client_audience(guard, good, "chat"), "{good}");
        }
        for bad in [
            "http://127.0.0.1/client/?hub=Chat",
            "http://127.0.0.1/client/?hub=other",
            "http://127.0.0.1/client/",
            "http://127.0.0.1/server/?hub=chat",
            "http://example.com/client/?hub=chat",
            "http://localhost.example.com/client/?hub=chat",
            "chat",
            "",
        ] {
            assert!(!is_client_audience(guard, bad, "chat"), "{bad}");
        }
        assert!(is_server_audience(guard, "http://127.0.0.1/server/?hub=chat", "chat"));
        for bad in ["http://127.0.0.1/server/?hub=other", "http://127.0.0.1/client/?hub=chat"] {
            assert!(!is_server_audience(guard, bad, "chat"), "{bad}");
        }
    }

    #[test]
    fn rest_audiences() {
        let guard = &Guard::new(&[], Vec::new(), None).expect("it is valid");
        let path = "/api/hubs/chat/users/a%20b/:send";
        for good in [
            "http://127.0.0.1/api/hubs/chat/users/a%20b/:send",
            "http://localhost:8888/api/hubs/chat/users/a%20b/:send?api-version=2022-06-01",
            "http://127.0.0.1/base/api/hubs/chat/users/a%20b/%3Asend/",
        ] {
            assert!(is_rest_audience(guard, good, path), "{good}");
        }
        for bad in [
            "http://127.0.0.1/api/hubs/chat/users/b/:send",
            "http://127.0.0.1/api/hubs/chat/:send",
            "http://127.0.0.1/",
            "http://example.com/api/hubs/chat/users/a%20b/:send",
            "https://signalr.azure.com",
        ] {
            assert!(!is_rest_audience(guard, bad, path), "{bad}");
        }
    }
}

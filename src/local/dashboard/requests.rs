//! What is asked of the local service, for its dashboard: which way a request went and how it ended, without its query, its
//! headers and its body.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use percent_encoding::percent_decode_str;

use crate::{
    core::hub_name,
    local::service::Service,
    server::{
        observe::{Kind, Observed, Who},
        query::Query,
    },
};

/// Keeps a request and how it was answered.
pub(in crate::local) async fn observe(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(observer) = service.room.observer().cloned() else { return next.run(request).await };
    let path = request.uri().path().to_owned();
    let Some((kind, always)) = kind(&path).filter(|_| request.method() != Method::OPTIONS) else {
        return next.run(request).await;
    };
    let query = Query::parse(request.uri().query());
    let hub = query.first("hub").map(str::to_ascii_lowercase).filter(|hub| hub_name::check(hub).is_ok());
    let observed = Observed { method: Some(request.method().to_string()), hub, ..Observed::new(kind) };
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    if always || status >= 400 {
        let named = if kind == Kind::Rest { rest(&path, observed) } else { observed };
        let who = response.extensions_mut().remove::<Who>();
        let user = who.and_then(|Who(user)| user).or(named.user);
        let observed = Observed { path: Some(path), user, ..named };
        observer.record(observed.answered(status, response.extensions().get()).took(begun));
    }
    response
}

/// What a request is by its path, and whether it is of interest when it went well: that a client is connected is seen there,
/// and its polls and posts are many.
fn kind(path: &str) -> Option<(Kind, bool)> {
    let path = path.to_ascii_lowercase();
    let path = path.trim_end_matches('/');
    Some(match path {
        "/client/negotiate" => (Kind::Negotiate, true),
        "/server" => (Kind::Server, true),
        "/metadata/identity/oauth2/token" | "/msi/token" => (Kind::Identity, true),
        _ if path.ends_with("/oauth2/v2.0/token") => (Kind::Token, true),
        _ if path.starts_with("/api/") => (Kind::Rest, true),
        _ if path == "/dashboard" || path.starts_with("/dashboard/") => return None,
        _ => (Kind::Refused, false),
    })
}

/// What the path of a request of the REST API names.
fn rest(path: &str, mut observed: Observed) -> Observed {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let Some(name) = parts.peek() else { break };
        match part.to_ascii_lowercase().as_str() {
            "hubs" => observed.hub = Some(decoded(name).to_ascii_lowercase()),
            "users" => observed.user = Some(decoded(name)),
            "connections" => observed.connection = Some(decoded(name)),
            "groups" => {}
            _ => continue,
        }
        parts.next();
    }
    observed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_their_paths() {
        for (path, expected) in [
            ("/client/negotiate", Some((Kind::Negotiate, true))),
            ("/client/", Some((Kind::Refused, false))),
            ("/server/", Some((Kind::Server, true))),
            ("/API/hubs/chat/:send", Some((Kind::Rest, true))),
            ("/tenant/oauth2/v2.0/token", Some((Kind::Token, true))),
            ("/msi/token", Some((Kind::Identity, true))),
            ("/dashboard/hub/negotiate", None),
            ("/dashboards", Some((Kind::Refused, false))),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    #[test]
    fn the_path_says_who_is_meant() {
        let of = |path| {
            let Observed { hub, user, connection, .. } = rest(path, Observed::new(Kind::Rest));
            [hub, user, connection].map(Option::unwrap_or_default)
        };
        assert_eq!(of("/api/hubs/Chat/users/a%20b/:send"), ["chat", "a b", ""]);
        assert_eq!(of("/api/v1/hubs/chat/groups/users/connections/c1"), ["chat", "", "c1"]);
        assert_eq!(of("/api/health"), ["", "", ""]);
    }
}

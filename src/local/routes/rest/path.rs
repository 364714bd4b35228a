//! Paths in any case: routers compare them as they are.

use axum::{
    extract::Request,
    http::uri::{PathAndQuery, Uri},
};
use percent_encoding::percent_decode_str;

/// Where clients and app servers connect.
const CONNECTIONS: [&str; 5] = ["/client/negotiate", "/client/", "/client", "/server/", "/server"];

/// The words that paths of the REST API are made of, besides names.
const WORDS: [&str; 16] = [
    "health",
    "auth",
    "accessKey",
    "hubs",
    "connections",
    "groups",
    "users",
    "streams",
    "claims",
    ":send",
    ":closeConnections",
    ":generateToken",
    ":execute",
    ":invoke",
    ":complete",
    ":refreshAuth",
];

/// A request with the words of its path as routers know them. Names stay as they are.
pub(in crate::local) async fn canonical(mut request: Request) -> Request {
    if let Some(uri) = canonical_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn canonical_uri(uri: &Uri) -> Option<Uri> {
    let path = canonical_path(uri.path())?;
    let all = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(all).ok()?);
    Uri::from_parts(parts).ok()
}

/// `None` for other endpoints than those of clients, app servers and the REST API.
fn canonical_path(path: &str) -> Option<String> {
    if let Some(known) = CONNECTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(path)) {
        return Some(known.to_owned());
    }
    // What names nothing is not a slash too many.
    let path = path.strip_suffix('/').filter(|_| !path.contains("//")).unwrap_or(path);
    let mut segments = path.strip_prefix('/')?.split('/').peekable();
    segments.next().filter(|first| first.eq_ignore_ascii_case("api"))?;
    let mut canonical = "/api".to_owned();
    if segments.next_if(|version| version.eq_ignore_ascii_case("v1")).is_some() {
        canonical.push_str("/v1");
    }
    // Behind `hubs`, every other segment is a name.
    let (mut is_name, mut names) = (false, false);
    while let Some(segment) = segments.next() {
        let word = word(segment);
        let is_operation = segments.peek().is_none() && matches!(word, Some(":refreshAuth" | "claims"));
        let of_connections = canonical.ends_with("/connections");
        let as_it_is = is_name && !(is_operation && of_connections);
        canonical.push('/');
        canonical.push_str(word.filter(|_| !as_it_is).unwrap_or(segment));
        names |= word == Some("hubs");
        is_name = names && !is_name;
    }
    Some(canonical)
}

fn word(segment: &str) -> Option<&'static str> {
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(&decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_and_names_are_kept() {
        for (path, expected) in [
            ("/API/Health", Some("/api/health")),
            ("/api/V1/Auth/ACCESSKEY", Some("/api/v1/auth/accessKey")),
            ("/Api/Hubs/Chat/:Send", Some("/api/hubs/Chat/:send")),
            ("/api/hubs/chat/%3asend/", Some("/api/hubs/chat/:send")),
            ("/api/HUBS/HUBS/USERS/USERS/GROUPS/GROUPS", Some("/api/hubs/HUBS/users/USERS/groups/GROUPS")),
            ("/api/hubs/chat/groups/:SEND/:SEND", Some("/api/hubs/chat/groups/:SEND/:send")),
            (
                "/api/hubs/chat/users/a%2FB/:CLOSECONNECTIONS",
                Some("/api/hubs/chat/users/a%2FB/:closeConnections"),
            ),
            ("/api/hubs/chat/connections/:REFRESHAUTH", Some("/api/hubs/chat/connections/:refreshAuth")),
            ("/api/hubs/chat/Connections/Claims", Some("/api/hubs/chat/connections/claims")),
            ("/api/hubs/chat/connections/Claims/Groups", Some("/api/hubs/chat/connections/Claims/groups")),
            ("/api/hubs/chat/groups/Claims", Some("/api/hubs/chat/groups/Claims")),
            (
                "/api/hubs/chat/connections/C/Streams/S/:Complete",
                Some("/api/hubs/chat/connections/C/streams/S/:complete"),
            ),
            ("/api/hubs/chat/users//Groups/", Some("/api/hubs/chat/users//groups/")),
            ("/api/Things/%FF", Some("/api/Things/%FF")),
            ("/api", Some("/api")),
            ("/Client/Negotiate", Some("/client/negotiate")),
            ("/CLIENT/", Some("/client/")),
            ("/Server", Some("/server")),
            ("/clients", None),
            ("/apis/hubs", None),
            ("/", None),
            ("*", None),
        ] {
            assert_eq!(canonical_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_rest_of_an_address_stays() {
        let uri = |text: &str| text.parse::<Uri>().unwrap_or_default();
        let canonical = canonical_uri(&uri("http://127.0.0.1:8888/API/hubs/a/:SEND?X=%20A"));
        assert_eq!(canonical, Some(uri("http://127.0.0.1:8888/api/hubs/a/:send?X=%20A")));
    }
}

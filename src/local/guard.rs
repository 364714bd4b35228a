//! Who may call the local service: programs, and the pages of this machine, by a name that is the service's own.
//!
//! The service has keys that are public, so tokens alone do not keep a foreign page out. Browsers say with `Origin`
//! whose page calls; WebSockets included, which CORS does not cover. The name in `Host` is checked because a foreign
//! page may have its own name lead to this machine (DNS rebinding), and is of the service's own origin then.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    core::url::{HubUrl, is_this_machine},
    cors::Cors,
    local::{
        api_error::ApiError,
        error::LocalError,
        service::{Origin, Service},
    },
    server::observe::Reason,
};

const METHODS: &str = "GET,HEAD,POST,PUT,DELETE,QUERY";

/// A browser asks so whether a page from elsewhere may call a server in the private network.
///
/// Source: [Private Network Access](https://wicg.github.io/private-network-access/#headers).
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The longest request line, and the most that all headers may have, as in Azure.
const MAX_REQUEST_LINE: usize = 12 * 1024;
const MAX_HEADERS: usize = 16 * 1024;

/// What the service is called, and whose pages may call it.
#[derive(Debug)]
pub(super) struct Guard {
    cors: Cors,
    hosts: Vec<String>,
    public: Option<HubUrl>,
}

impl Guard {
    /// # Errors
    /// When an origin or a host cannot be one.
    pub(super) fn new(
        origins: &[String],
        hosts: Vec<String>,
        public: Option<HubUrl>,
    ) -> Result<Self, LocalError> {
        let mut cors = Cors::default();
        cors.allow_if(is_of_this_machine);
        for origin in origins {
            if origin == "null" {
                cors.allow_null();
                // What Chromium says of the same pages when they open a WebSocket.
                cors.allow_if(|origin| origin == "file://");
                continue;
            }
            cors.allow(origin).map_err(LocalError::InvalidOrigin)?;
        }
        if let Some(host) = hosts.iter().find(|host| host_of(host).is_none_or(|name| name != **host)) {
            return Err(LocalError::InvalidHost { host: host.clone() });
        }
        Ok(Self { cors, hosts, public })
    }

    /// Whether a host is a name of this service. A foreign page's name has a dot, and does not end in `.localhost` or
    /// `.internal`, which nobody can register; container tools call the machine that they run on `host.docker.internal`.
    pub(super) fn knows(&self, host: &str) -> bool {
        let reserved = |name: &str| name.rsplit_once('.').is_some_and(|(_, top)| top == "internal");
        is_this_machine(host)
            || host.starts_with('[')
            || host.parse::<Ipv4Addr>().is_ok()
            || !host.contains('.')
            || reserved(&host.to_ascii_lowercase())
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
            || self.public.as_ref().is_some_and(|public| public.host().eq_ignore_ascii_case(host))
    }

    /// The address of the service where the client is, by the host that it has asked.
    fn origin(&self, scheme: &str, host: &str) -> Arc<str> {
        match &self.public {
            Some(public) if host_of(host).is_some_and(|host| host.eq_ignore_ascii_case(public.host())) => {
                public.to_text().trim_end_matches('/').into()
            }
            _ => format!("{scheme}://{host}").into(),
        }
    }
}

/// Whether a page's origin is a server on this machine.
fn is_of_this_machine(origin: &str) -> bool {
    HubUrl::parse(origin).is_ok_and(|url| is_this_machine(url.host()))
}

/// The name in a host with or without a port, if it is one.
fn host_of(host: &str) -> Option<String> {
    let plain = !host.contains(['/', '?', '#', '@']);
    plain.then(|| HubUrl::parse(&format!("http://{host}")).ok()).flatten().map(|url| url.host().to_owned())
}

/// A port that the service listens on.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) service: Arc<Service>,
    pub(super) scheme: &'static str,
}

/// Refuses what is not of this machine, and answers to pages that they may read what they get.
pub(super) async fn check(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let guard = &gate.service.guard;
    if let Some(refusal) = too_large(&request) {
        return refusal;
    }
    let authority = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    let host = request.headers().get(HOST).cloned().or_else(|| authority?.ok());
    let host = match &host {
        None => None,
        Some(host) => match host.to_str().ok().and_then(|text| Some((text, host_of(text)?))) {
            Some((text, name)) if guard.knows(&name) => Some(text.to_owned()),
            other => return unknown_host(other.map(|(_, name)| name).as_deref()),
        },
    };
    let asked = headers_about_origin(request.headers());
    if guard.cors.is_foreign(&asked, host.as_deref()) || is_embedded(request.headers()) {
        return foreign_page(asked.get(ORIGIN));
    }
    let origin =
        host.map_or_else(|| gate.service.origin.as_str().into(), |host| guard.origin(gate.scheme, &host));
    request.extensions_mut().insert(Origin(origin));
    let is_rest = request.uri().path().to_ascii_lowercase().starts_with("/api/");
    if is_rest && gate.service.room.is_stopping() {
        return ApiError::stopping().into_response();
    }
    let _in_progress = is_rest.then(|| gate.service.requests.take());
    let is_preflight =
        request.method() == Method::OPTIONS && asked.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match guard.cors.preflight(&asked, METHODS).filter(|_| is_preflight) {
        Some(mut permitted) => {
            if asked.contains_key(REQUEST_PRIVATE_NETWORK) {
                permitted.headers_mut().insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
            }
            permitted.map(Body::from)
        }
        None => {
            let faults = &gate.service.faults;
            let fault = faults.met_by(&gate.service, &request);
            match faults.disturb(&gate.service, fault).await {
                Some(refused) => refused,
                None => next.run(request).await,
            }
        }
    };
    guard.cors.apply(&asked, response.headers_mut());
    response
}

/// What is left of a request's headers for its answer.
fn headers_about_origin(headers: &HeaderMap) -> HeaderMap {
    let is_about =
        |name: &HeaderName| *name == ORIGIN || name.as_str().starts_with("access-control-request-");
    headers
        .iter()
        .filter(|(name, _)| is_about(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Whether another site's page has this as a picture or a script, for which browsers send no origin.
///
/// Source: [Fetch Metadata Request Headers](https://www.w3.org/TR/fetch-metadata/).
fn is_embedded(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    !headers.contains_key(ORIGIN) && is("sec-fetch-site", "cross-site") && is("sec-fetch-mode", "no-cors")
}

fn too_large(request: &Request) -> Option<Response> {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if line > MAX_REQUEST_LINE {
        let text = "The request line is longer than 12 KB. A token in it has at most 4096 characters; give it fewer claims.";
        return Some((StatusCode::URI_TOO_LONG, text).into_response());
    }
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (headers > MAX_HEADERS).then(|| {
        let text = "The headers of the request have more than 16 KB.";
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text).into_response()
    })
}

fn unknown_host(host: Option<&str>) -> Response {
    let text = match host {
        Some(host) => format!(
            "The local service does not answer to the name {host}. Call it by localhost or by its address, or allow \
             the name where the service is started (allow_host, --allow-host)."
        ),
        None => "The Host header of the request is not a host.".to_owned(),
    };
    tracing::warn!("refused a request: {text}");
    (StatusCode::FORBIDDEN, Extension(Reason(text.clone().into())), text).into_response()
}

fn foreign_page(origin: Option<&HeaderValue>) -> Response {
    let whose = origin.and_then(|origin| origin.to_str().ok()).unwrap_or("another site");
    let text = format!(
        "Pages of {whose} may not call the local service. If this page is yours, allow its origin where the service \
         is started (allow_origin, --allow-origin)."
    );
    tracing::warn!("refused a request: {text}");
    (StatusCode::FORBIDDEN, Extension(Reason(text.clone().into())), text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_service() {
        let public = HubUrl::parse("https://hub.example.org").ok();
        let guard = Guard::new(&[], vec!["signalr.test".to_owned()], public).expect("it is valid");
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "10.0.0.7",
            "[fe80::1]",
            "signalr",
            "host.docker.internal",
            "signalr.test",
            "SignalR.Test",
            "hub.example.org",
        ] {
            assert!(guard.knows(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "internal.evil.example",
            "a.signalr.test",
        ] {
            assert!(!guard.knows(host), "{host}");
        }
        assert_eq!(&*guard.origin("http", "signalr:8888"), "http://signalr:8888");
        assert_eq!(&*guard.origin("http", "hub.example.org"), "https://hub.example.org");
    }

    #[test]
    fn hosts_and_origins_that_cannot_be_are_refused() {
        for host in ["", "a b", "http://a.example", "a.example/", "a.example:80", "user@a.example"] {
            let refused = Guard::new(&[], vec![host.to_owned()], None);
            assert!(matches!(refused, Err(LocalError::InvalidHost { .. })), "{host}");
        }
        for origin in ["*", "a.example", "http://a.example/"] {
            let refused = Guard::new(&[origin.to_owned()], Vec::new(), None);
            assert!(matches!(refused, Err(LocalError::InvalidOrigin(_))), "{origin}");
        }
    }

    #[test]
    fn origins_of_this_machine() {
        for origin in
            ["http://localhost:3000", "https://a.localhost", "http://127.0.0.2", "http://[::1]:5173"]
        {
            assert!(is_of_this_machine(origin), "{origin}");
        }
        for origin in [
            "http://localhost.evil.example",
            "http://10.0.0.7",
            "http://signalr",
            "null",
            "file://",
            "tauri://localhost",
        ] {
            assert!(!is_of_this_machine(origin), "{origin}");
        }
    }
}

//! The way in of every request: refuses what is not of this machine or too large, lets it meet its faults, and answers to pages
//! that they may read what they get.

use std::sync::Arc;

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
    local::{
        access::Access,
        api_error::ApiError,
        guard::{Origin, host_of},
        service::Service,
    },
    server::observe::Reason,
    service::limits,
};

const METHODS: &str = "GET,HEAD,POST,PUT,DELETE,QUERY";

/// A browser asks so whether a page from elsewhere may call a server in the private network.
///
/// Source: [Private Network Access](https://wicg.github.io/private-network-access/#headers).
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The most that all headers may have, as in Azure.
const MAX_HEADERS: usize = 16 * 1024;

/// A port that the service listens on.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) service: Arc<Service>,
    pub(super) scheme: &'static str,
}

/// Refuses what is not of this machine, and answers to pages that they may read what they get.
pub(super) async fn check(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Access { guard, origin, .. } = &*gate.service.access;
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
    let origin = match host {
        Some(host) => guard.origin(gate.scheme, &host),
        None => Origin(origin.as_str().into()),
    };
    request.extensions_mut().insert(origin);
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
            let Service { faults, room, .. } = &*gate.service;
            let fault = faults.met_by(room, &request);
            match faults.disturb(room, fault).await {
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
    if line > limits::REQUEST_LINE {
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

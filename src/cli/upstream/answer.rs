//! What the service gets for its requests: from options, or from an app.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderName, Response, StatusCode, Uri, header, request::Parts};
use serde_json::Value;

use crate::{
    HubProtocol,
    cli::failure::Failure,
    core::ErrorChain,
    platform::Network,
    serialize::serialize,
    service::{
        http::body::read_body,
        upstream::{UpstreamError, request::completion, router::MAX_BODY},
    },
};

/// How long an app may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(100);

/// Headers of one hop, and those that the next one gets from its own client.
const OWN_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What an answer needs to know about a request.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) event: String,
    pub(super) invocation_id: Option<String>,
    pub(super) protocol: HubProtocol,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
    /// What a client gets, where it is known.
    pub(super) result: Option<Result<Value, String>>,
    /// Why an app gave none.
    pub(super) error: Option<String>,
}

impl Answered {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), result: None, error: None }
    }

    pub(super) fn into_http(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The answers that options give.
#[derive(Debug)]
pub(super) struct Answers {
    status: Option<StatusCode>,
    /// By method in lower case.
    of_methods: HashMap<String, Result<Value, String>>,
}

impl Answers {
    pub(super) fn new(
        status: Option<u16>,
        values: Vec<(String, Value)>,
        failures: Vec<(String, String)>,
    ) -> Self {
        let values = values.into_iter().map(|(method, value)| (method.to_lowercase(), Ok(value)));
        let failures = failures.into_iter().map(|(method, text)| (method.to_lowercase(), Err(text)));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        Self { status, of_methods: values.chain(failures).collect() }
    }

    pub(super) fn answer(&self, seen: &Seen) -> Answered {
        let status = self.status.unwrap_or(StatusCode::OK);
        let (Some(id), None) = (&seen.invocation_id, self.status) else { return Answered::empty(status) };
        let Some(result) = self.of_methods.get(&seen.event.to_lowercase()) else {
            return Answered::empty(status);
        };
        let written = match result {
            Ok(value) => {
                let mut bytes = Vec::new();
                serialize(seen.protocol, &mut bytes, value)
                    .map(|()| bytes)
                    .map_err(|error| UpstreamError::new(error.to_string()))
            }
            Err(text) => Err(UpstreamError::new(text)),
        };
        let (parts, body) = completion(seen.protocol, Some(id), written).into_parts();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: body.into(),
            result: Some(result.clone()),
            error: None,
        }
    }
}

/// An app that answers.
#[derive(Debug)]
pub(super) struct Forward {
    client: reqwest::Client,
    url: Uri,
}

impl Forward {
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let failed = || {
            Failure::usage("the URL of --forward cannot be used")
                .advise("write it in full, such as http://localhost:7071/runtime/webhooks/signalr?code=…")
        };
        let parsed: Uri = url.parse().map_err(|_| failed())?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(failed());
        }
        let client = Network::default().http_client_builder()?.timeout(FORWARD_TIMEOUT).build()?;
        Ok(Self { client, url: parsed })
    }

    /// Whether it would pass requests on to whoever listens at this address of the loopback interface.
    pub(super) fn leads_to(&self, address: SocketAddr) -> bool {
        let port =
            self.url.port_u16().unwrap_or(if self.url.scheme_str() == Some("https") { 443 } else { 80 });
        let ip = address.ip().to_string();
        port == address.port() && self.url.host().is_some_and(|host| host == "localhost" || host == ip)
    }

    /// The URL of a request: all of them have one, or each its path at the origin.
    fn url(&self, of_request: &Uri) -> String {
        let is_origin = self.url.path() == "/" && self.url.query().is_none();
        if !is_origin {
            return self.url.to_string();
        }
        let path = of_request.path_and_query().map_or("/", |path| path.as_str());
        format!("{}{path}", self.url.to_string().trim_end_matches('/'))
    }

    pub(super) async fn pass_on(&self, parts: Parts, body: Bytes) -> Answered {
        let mut headers = parts.headers;
        OWN_HEADERS.iter().for_each(|name| {
            headers.remove(name);
        });
        let request = self.client.request(parts.method, self.url(&parts.uri)).headers(headers).body(body);
        let answered = async {
            let response =
                request.send().await.map_err(|error| ErrorChain::new(&error.without_url()).to_string())?;
            let (status, mut headers) = (response.status(), response.headers().clone());
            OWN_HEADERS.iter().for_each(|name| {
                headers.remove(name);
            });
            let body = read_body(response, MAX_BODY).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Answered { status, headers, body: body.into(), result: None, error: None })
        };
        answered.await.unwrap_or_else(|error| Answered {
            error: Some(error),
            ..Answered::empty(StatusCode::BAD_GATEWAY)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_gets_paths_and_a_longer_url_gets_everything() {
        let url = |forward: &str| {
            let forward = Forward::new(forward).expect("it is a URL");
            forward.url(&"/chat/messages/Say?a=1".parse().expect("it is a path"))
        };
        assert_eq!(url("http://localhost:7071"), "http://localhost:7071/chat/messages/Say?a=1");
        assert_eq!(url("http://localhost:7071/"), "http://localhost:7071/chat/messages/Say?a=1");
        assert_eq!(url("http://localhost:7071/hook?code=x"), "http://localhost:7071/hook?code=x");
        assert!(Forward::new("localhost:7071").is_err());
    }

    #[test]
    fn a_circle_is_seen() {
        let leads = |forward: &str, port| {
            let forward = Forward::new(forward).expect("it is a URL");
            forward.leads_to(SocketAddr::from(([127, 0, 0, 1], port)))
        };
        assert!(leads("http://localhost:8889/hook", 8889) && leads("http://127.0.0.1:8889", 8889));
        assert!(leads("http://localhost", 80) && leads("https://localhost", 443));
        assert!(!leads("http://localhost:7071", 8889) && !leads("http://example.com:8889", 8889));
    }
}

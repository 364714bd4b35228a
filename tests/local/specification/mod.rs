//! Every operation of Microsoft's specification (2024-12-01, and the refresh of 2026-07-01) in valid and invalid forms, as
//! raw requests.
//!
//! Source: [the definition](https://github.com/Azure/azure-signalr/blob/dev/docs/swagger/v20241201.json).
#![cfg(feature = "local")]

mod forms;
mod operations;
mod results;

use hubwire::local::{LocalService, LocalServiceBuilder, Role};
use serde_json::json;

use crate::{
    raw::{self, Answer},
    wire::{KEY, Socket, Wire, application, now, sign},
};

pub(crate) use operations::OPERATIONS;
use operations::{Operation, VERSIONS};

pub(crate) const VERSION: &str = "2026-07-01";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    None,
    Json(&'static str),
    /// A content type and bytes.
    Of(&'static str, &'static [u8]),
}

/// A local service with a client that answers: with 42, with an error if it is to `Fail`, and not at all if it is to
/// `Leave`, because it does.
pub(crate) struct Service {
    pub(crate) wire: Wire,
    pub(crate) connection: String,
}

impl Service {
    pub(crate) async fn start(builder: LocalServiceBuilder, with_client: bool) -> Self {
        let wire = Wire::start(builder).await;
        let mut service = Self { wire, connection: "nobody".to_owned() };
        if with_client {
            service.connection = service.answering("u").await;
        }
        service
    }

    /// Connects such a client, and gives its connection id.
    pub(crate) async fn answering(&self, user: &str) -> String {
        let client = self.wire.connect_user(user).await;
        let id = client.id.clone();
        tokio::spawn(answer(client));
        id
    }

    pub(crate) fn target(&self, path: &str, version: &str, more: &str) -> String {
        let path = path.replace("{c}", &self.connection);
        if path.starts_with("/api/v1/") { path } else { format!("{path}?api-version={version}{more}") }
    }

    pub(crate) fn key_token(&self, target: &str) -> String {
        let audience = format!("http://127.0.0.1{}", target.split('?').next().unwrap());
        sign(KEY, None, &json!({ "aud": audience, "exp": now() + 60 }))
    }

    /// A request with a token, if that is not empty.
    pub(crate) fn request(&self, method: &str, target: &str, body: Body, token: &str) -> Vec<u8> {
        let (kind, bytes) = match body {
            Body::None => ("", &b""[..]),
            Body::Json(text) => ("application/json", text.as_bytes()),
            Body::Of(kind, bytes) => (kind, bytes),
        };
        let token = format!("Bearer {token}");
        let mut headers = Vec::new();
        headers.extend((token.len() > 7).then_some(("Authorization", &*token)));
        headers.extend((!kind.is_empty()).then_some(("Content-Type", kind)));
        raw::request(method, target, &headers, bytes)
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: Body, token: &str) -> Answer {
        raw::send(self.wire.local.port(), &self.request(method, target, body, token)).await
    }
}

async fn answer(mut client: Socket) {
    while let Some(message) = client.message().await {
        let Some(id) = message["invocationId"].as_str().filter(|_| message["type"] == 1) else { continue };
        let answer = match message["target"].as_str() {
            Some("Leave") => return client.leave().await,
            Some("Fail") => json!({ "type": 3, "invocationId": id, "error": "not today" }),
            Some("Void") => json!({ "type": 3, "invocationId": id }),
            _ => json!({ "type": 3, "invocationId": id, "result": { "answer": 42 } }),
        };
        client.send(&[&answer.to_string()]).await;
    }
}

/// What is not as it should be.
#[derive(Default)]
struct Report {
    checked: usize,
    wrong: Vec<String>,
}

impl Report {
    /// Checks status, code and the shape of an error. `code` is that of the body, or of the header for what does not
    /// exist; it may be empty.
    fn check(&mut self, what: &str, method: &str, answer: &Answer, status: u16, code: &str) {
        self.checked += 1;
        let header = answer.header("x-ms-error-code");
        let body = answer.json();
        let found = header.or(body["code"].as_str()).unwrap_or_default();
        let mut wrong = Vec::new();
        if answer.status != status {
            wrong.push(format!("status {} instead of {status}", answer.status));
        }
        if !code.is_empty() && found != code && (method != "HEAD" || header.is_some() || code.contains('.')) {
            wrong.push(format!("code {found:?} instead of {code:?}"));
        }
        if answer.status >= 400 && method != "HEAD" {
            let only = ["code", "message", "target", "details", "inner"];
            let names = body.as_object().map(|object| object.keys().all(|name| only.contains(&&**name)));
            let has_text = body["message"].as_str().is_some_and(|text| !text.is_empty());
            if names != Some(true) || !body["code"].is_string() || !has_text {
                wrong.push(format!("the error is {:?}", String::from_utf8_lossy(&answer.body)));
            }
            if answer.header("content-type") != Some("application/json") {
                wrong.push(format!("the error is {:?}", answer.header("content-type")));
            }
        }
        if answer.status == 401 && answer.header("www-authenticate").is_none() {
            wrong.push("no WWW-Authenticate".to_owned());
        }
        if answer.status == 405 && answer.header("allow").is_none() {
            wrong.push("no Allow".to_owned());
        }
        if !wrong.is_empty() {
            self.wrong.push(format!("{what}: {} ({body})", wrong.join(", ")));
        }
    }

    fn finish(self) {
        println!("{} requests", self.checked);
        assert!(
            self.wrong.is_empty(),
            "{} of {}:\n{}",
            self.wrong.len(),
            self.checked,
            self.wrong.join("\n")
        );
    }
}

const ROLES: [(&str, &[Role]); 5] = [
    ("nothing", &[]),
    ("app-server", &[Role::SignalRAppServer]),
    ("rest-owner", &[Role::RestApiOwner]),
    ("reader", &[Role::RestApiReader]),
    ("owner", &[Role::ServiceOwner]),
];

async fn start() -> Service {
    let builder = ROLES.iter().fold(LocalService::builder(), |builder, (name, roles)| {
        builder.application(application(name, roles))
    });
    Service::start(builder, true).await
}

#[tokio::test]
async fn every_operation_checks_its_caller() {
    let (service, mut report) = (start().await, Report::default());
    let mut tokens = Vec::new();
    for (name, roles) in ROLES {
        tokens.push((name, roles, service.wire.entra_token(name).await));
    }
    for operation in &OPERATIONS {
        let Operation { method, path, body, status, code, .. } = *operation;
        let target = service.target(path, VERSION, "");
        for (name, roles, token) in &tokens {
            let answer = service.send(method, &target, body, token).await;
            let is_allowed = operation.roles.iter().any(|role| roles.contains(role));
            let (status, code) = if is_allowed { (status, code) } else { (403, "Forbidden") };
            report.check(&format!("{method} {target} as {name}"), method, &answer, status, code);
        }
        let audience = |audience: &str, key: &str, expiry: u64| {
            sign(key, None, &json!({ "aud": audience, "exp": expiry }))
        };
        let right = format!("http://127.0.0.1{}", target.split('?').next().unwrap());
        for (token, what) in [
            (String::new(), "no token"),
            ("x".to_owned(), "not a token"),
            (audience(&right, "another key", now() + 60), "another key"),
            (audience(&right, KEY, now() - 600), "expired"),
            (audience("http://127.0.0.1/api/hubs/x/:send", KEY, now() + 60), "another audience"),
            (audience("http://127.0.0.1/client/?hub=chat", KEY, now() + 60), "a client's token"),
        ] {
            let answer = service.send(method, &target, body, &token).await;
            report.check(&format!("{method} {target} with {what}"), method, &answer, 401, "Unauthorized");
        }
        // A key is not exchanged for a key.
        let (status, code) =
            if path.ends_with("/accessKey") { (401, "Unauthorized") } else { (status, code) };
        let answer = service.send(method, &target, body, &service.key_token(&target)).await;
        report.check(&format!("{method} {target} with the key"), method, &answer, status, code);
    }
    report.finish();
}

#[tokio::test]
async fn every_operation_is_in_its_versions() {
    let (service, mut report) = (start().await, Report::default());
    let owner = service.wire.entra_token("owner").await;
    for operation in OPERATIONS.iter().filter(|operation| !operation.path.starts_with("/api/v1/")) {
        let Operation { method, path, body, .. } = *operation;
        let path = path.replace("{c}", &service.connection);
        for (at, version) in VERSIONS.iter().enumerate() {
            let target = format!("{path}?api-version={version}");
            let answer = service.send(method, &target, body, &owner).await;
            let is_there = at >= operation.since;
            let (status, code) =
                if is_there { (operation.status, operation.code) } else { (400, "UnsupportedApiVersion") };
            report.check(&format!("{method} {target}"), method, &answer, status, code);
        }
        for (query, code) in [
            ("", "ApiVersionUnspecified"),
            ("?api-version=", "ApiVersionUnspecified"),
            ("?version=2024-12-01", "ApiVersionUnspecified"),
            ("?api-version=2021-10-01", "UnsupportedApiVersion"),
            ("?api-version=2100-01-01", "UnsupportedApiVersion"),
            ("?api-version=v1", "UnsupportedApiVersion"),
            ("?api-version=2026-07-01&api-version=2024-12-01", "AmbiguousApiVersion"),
        ] {
            let answer = service.send(method, &format!("{path}{query}"), body, &owner).await;
            report.check(&format!("{method} {path}{query}"), method, &answer, 400, code);
            let target = answer.json()["target"].clone();
            assert!(method == "HEAD" || target == "api-version", "{method} {path}{query}: {target}");
        }
    }
    report.finish();
}

/// The words of a path in capitals; names stay.
fn in_capitals(path: &str) -> String {
    let words =
        ["api", "v1", "auth", "accesskey", "hubs", "connections", "groups", "users", "streams", "claims"];
    let capitals = path.split('/').map(|segment| {
        let is_word = segment.starts_with(':') || words.contains(&&*segment.to_ascii_lowercase());
        if is_word { segment.to_ascii_uppercase() } else { segment.to_owned() }
    });
    capitals.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_operation_takes_words_in_any_case_and_no_other_method() {
    let (service, mut report) = (start().await, Report::default());
    let owner = service.wire.entra_token("owner").await;
    for operation in &OPERATIONS {
        let Operation { method, path, body, status, code, .. } = *operation;
        let path = path.replace("{c}", &service.connection);
        let shouted = format!("{}?API-Version={VERSION}", in_capitals(&path));
        let slashed = format!("{path}/?api-version={VERSION}");
        let encoded = format!("{}?api-version={VERSION}", path.replace("/:", "/%3a"));
        for target in [&shouted, &slashed, &encoded] {
            let answer = service.send(method, target, body, &owner).await;
            report.check(&format!("{method} {target}"), method, &answer, status, code);
        }
        if !path.ends_with("/accessKey") {
            let token = service.key_token(&service.target(&path, VERSION, ""));
            let answer = service.send(method, &shouted, body, &token).await;
            report.check(
                &format!("{method} {shouted} with the usual audience"),
                method,
                &answer,
                status,
                code,
            );
        }
        let target = service.target(&path, VERSION, "");
        if method == "HEAD" {
            let answer = service.send("GET", &target, body, &owner).await;
            report.check(&format!("GET {target}"), "GET", &answer, status, code);
        }
        for other in ["PATCH", "OPTIONS", "FOO"] {
            let answer = service.send(other, &target, body, &owner).await;
            report.check(&format!("{other} {target}"), other, &answer, 405, "MethodNotAllowed");
        }
        for (name, from, to) in [("hub", "/hubs/chat", "/hubs/1chat"), ("hub", "/hubs/chat", "/hubs/ch%20at")]
        {
            let wrong = target.replace(from, to).replace("/hubs/empty", to);
            if wrong != target {
                let answer = service.send(method, &wrong, body, &owner).await;
                report.check(&format!("{method} {wrong}"), method, &answer, 400, "BadRequest");
                assert!(method == "HEAD" || answer.json()["target"] == name, "{}", answer.json());
            }
        }
        if operation.has_application {
            let target = service.target(&path, VERSION, "&Application=a%20b");
            let answer = service.send(method, &target, body, &owner).await;
            report.check(&format!("{method} {target}"), method, &answer, 400, "BadRequest");
        }
        let Body::Json(text) = body else { continue };
        let large: &'static [u8] = Box::leak(vec![b' '; 1024 * 1024 + 1].into_boxed_slice());
        for (body, status, code) in [
            (Body::Of("APPLICATION/Json ;Charset=\"utf-8\"", text.as_bytes()), status, code),
            (Body::Of("text/json", text.as_bytes()), status, code),
            (Body::Of("text/plain", text.as_bytes()), 415, "UnsupportedMediaType"),
            (Body::Of("application/xml", b"<a/>"), 415, "UnsupportedMediaType"),
            (Body::Json(""), 400, "BadRequest"),
            (Body::Json("{"), 400, "BadRequest"),
            (Body::Json("true false"), 400, "BadRequest"),
            (Body::Of("application/json", b"{\"target\":\"\xff\"}"), 400, "BadRequest"),
            (Body::Of("application/json", large), 413, "PayloadTooLarge"),
        ] {
            let answer = service.send(method, &target, body, &owner).await;
            report.check(&format!("{method} {target} with {body:.60?}"), method, &answer, status, code);
        }
    }
    report.finish();
}

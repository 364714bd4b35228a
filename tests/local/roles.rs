//! Every operation asks for the data action that it has in Azure, and so for the roles that have it.
#![cfg(feature = "local")]

use hubwire::local::{LocalService, Role, ServiceMode};
use reqwest::Response;
use serde_json::json;

use crate::wire::{Wire, application};

/// Who may: the app server, the owner of the REST API, and its reader. The owner of the service may everything.
type May = [bool; 3];

const SEND: May = [false, true, false];
const READ: May = [false, true, true];
const CLOSE: May = [true, true, false];
const APP_SERVER: May = [true, false, false];

const HUB: &str = "/api/hubs/chat";
const V1: &str = "/api/v1/hubs/chat";

/// Method, path behind the prefix, data action, and who may. `QUERY` has a body.
#[rustfmt::skip]
const OPERATIONS: [(&str, &str, &str, &str, May); 44] = [
    ("GET", "/api/auth/accessKey", "", "auth/accessKey/action", APP_SERVER),
    ("GET", "/api/v1/auth/accessKey", "", "auth/accessKey/action", APP_SERVER),
    ("GET", "/server/?hub=chat", "", "serverConnection/write", APP_SERVER),
    ("POST", HUB, "/:generateToken", "auth/clientToken/action", SEND),
    ("POST", HUB, "/:send", "hub/send/action", SEND),
    ("POST", HUB, "/:execute", "hub/send/action", SEND),
    ("POST", HUB, "/:closeConnections", "clientConnection/write", CLOSE),
    ("HEAD", HUB, "/connections/c", "clientConnection/read", READ),
    ("DELETE", HUB, "/connections/c", "clientConnection/write", CLOSE),
    ("POST", HUB, "/connections/c/:send", "clientConnection/send/action", SEND),
    ("POST", HUB, "/connections/c/:invoke", "clientConnection/send/action", SEND),
    ("POST", HUB, "/connections/c/streams/s/:send", "clientConnection/send/action", SEND),
    ("POST", HUB, "/connections/c/streams/s/:complete", "clientConnection/send/action", SEND),
    ("DELETE", HUB, "/connections/c/groups", "group/write", SEND),
    ("POST", HUB, "/connections/:refreshAuth?api-version=2026-07-01", "clientConnection/write", CLOSE),
    ("QUERY", HUB, "/connections/claims?api-version=2026-07-01", "clientConnection/read", READ),
    ("HEAD", HUB, "/groups/g", "group/read", READ),
    ("POST", HUB, "/groups/g/:send", "group/send/action", SEND),
    ("POST", HUB, "/groups/g/:closeConnections", "clientConnection/write", CLOSE),
    ("GET", HUB, "/groups/g/connections", "group/read", READ),
    ("PUT", HUB, "/groups/g/connections/c", "group/write", SEND),
    ("DELETE", HUB, "/groups/g/connections/c", "group/write", SEND),
    ("HEAD", HUB, "/users/u", "user/read", READ),
    ("POST", HUB, "/users/u/:send", "user/send/action", SEND),
    ("POST", HUB, "/users/u/:closeConnections", "clientConnection/write", CLOSE),
    ("HEAD", HUB, "/users/u/groups/g", "user/read", READ),
    ("PUT", HUB, "/users/u/groups/g", "user/write", SEND),
    ("DELETE", HUB, "/users/u/groups/g", "user/write", SEND),
    ("DELETE", HUB, "/users/u/groups", "user/write", SEND),
    ("POST", V1, "", "hub/send/action", SEND),
    ("GET", V1, "/connections/c", "clientConnection/read", READ),
    ("POST", V1, "/connections/c", "clientConnection/send/action", SEND),
    ("DELETE", V1, "/connections/c", "clientConnection/write", CLOSE),
    ("GET", V1, "/groups/g", "group/read", READ),
    ("POST", V1, "/groups/g", "group/send/action", SEND),
    ("PUT", V1, "/groups/g/connections/c", "group/write", SEND),
    ("DELETE", V1, "/groups/g/connections/c", "group/write", SEND),
    ("GET", V1, "/groups/g/users/u", "user/read", READ),
    ("PUT", V1, "/groups/g/users/u", "user/write", SEND),
    ("DELETE", V1, "/groups/g/users/u", "user/write", SEND),
    ("GET", V1, "/users/u", "user/read", READ),
    ("POST", V1, "/users/u", "user/send/action", SEND),
    ("DELETE", V1, "/users/u/groups", "user/write", SEND),
    ("HEAD", "/api/health", "", "", [true; 3]),
];

/// By the version that has all of them.
async fn call(wire: &Wire, token: &str, method: &str, path: &str) -> Response {
    let mark = if path.contains('?') { '&' } else { '?' };
    let request = wire.request(method.parse().unwrap(), &format!("{path}{mark}api-version=2026-07-01"));
    let body = json!({ "target": "m", "arguments": [] });
    let request = if matches!(method, "POST" | "QUERY") { request.json(&body) } else { request };
    request.bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn every_operation_asks_for_its_data_action() {
    let roles = [
        ("server", Role::SignalRAppServer),
        ("owner", Role::RestApiOwner),
        ("reader", Role::RestApiReader),
        ("all", Role::ServiceOwner),
    ];
    let builder =
        LocalService::builder().service_mode(ServiceMode::Default).application(application("none", &[]));
    let add = |builder: hubwire::local::LocalServiceBuilder, (name, role): (&str, Role)| {
        builder.application(application(name, &[role]))
    };
    let wire = Wire::start(roles.into_iter().fold(builder, add)).await;
    let mut tokens = Vec::new();
    for (name, _) in roles {
        tokens.push(wire.entra_token(name).await);
    }
    let nobody = wire.entra_token("none").await;
    let mut wrong = Vec::new();
    for (method, prefix, rest, action, may) in OPERATIONS {
        let path = format!("{prefix}{rest}");
        let [server, owner, reader] = may;
        for ((token, (name, _)), may) in tokens.iter().zip(roles).zip([server, owner, reader, true]) {
            let status = call(&wire, token, method, &path).await.status().as_u16();
            if matches!(status, 401 | 403 | 405) == may {
                wrong.push(format!("{method} {path} for {name}: {status}"));
            }
        }
        let refused = call(&wire, &nobody, method, &path).await;
        let (status, text) = (refused.status().as_u16(), refused.text().await.unwrap());
        // The answer to HEAD has no text.
        let says_why =
            method == "HEAD" || text.contains(&format!("Microsoft.SignalRService/SignalR/{action}."));
        if (status == 403) == action.is_empty() || (status == 403 && !says_why) {
            wrong.push(format!("{method} {path} without a role: {status} {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

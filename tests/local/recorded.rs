//! The requests that the official Management SDK made when it was recorded, sent again with fresh tokens: the answers
//! have to be ones that the SDK takes.
#![cfg(feature = "local")]

use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use hubwire::local::{LocalService, Role};
use serde_json::{Map, Value, json};

use crate::{
    raw::{self, Answer},
    support::{reference_dir, skipped},
    wire::{KEY, Wire, application, now, sign},
};

const FILES: [&str; 4] = ["rest", "errors-and-retries", "endpoints", "entra"];

fn folder() -> Option<PathBuf> {
    Some(reference_dir()?.join("recordings")).filter(|folder| folder.is_dir())
}

/// The claims of the recorded token, with times of today.
fn token(bearer: &Value) -> String {
    let mut claims = Map::new();
    for claim in bearer["claims"].as_array().unwrap() {
        let value = match claim[0].as_str().unwrap() {
            "nbf" | "iat" => now().into(),
            "exp" => (now() + bearer["exp_minus_iat"].as_u64().unwrap()).into(),
            _ => claim[1].clone(),
        };
        claims.insert(claim[0].as_str().unwrap().to_owned(), value);
    }
    sign(KEY, bearer["header"]["kid"].as_str(), &claims.into())
}

/// The recorded body; only the beginning of a long one is recorded, whose length another stands for.
fn body(recorded: &Value) -> Vec<u8> {
    let text = recorded["text"].as_str().map(|text| text.as_bytes().to_vec());
    let length = recorded["length"].as_u64().unwrap_or_default() as usize;
    let body = text.or_else(|| Base64::decode_vec(recorded["base64"].as_str()?).ok()).unwrap_or_default();
    if body.len() == length { body } else { Vec::new() }
}

/// Whether the SDK goes on after this answer; it takes some refusals for "there is no such thing".
fn is_taken(method: &str, path: &str, answer: &Answer) -> bool {
    let code = answer.header("x-ms-error-code");
    let missing = match (method, path) {
        ("PUT", path) if path.contains("/connections/") => Some("Error.Connection.NotExisted"),
        ("HEAD" | "GET" | "DELETE", path) if path.contains("/hubs/chat/connections/") => {
            Some("Warning.Connection.NotExisted")
        }
        ("HEAD" | "GET", path) if path.contains("/users/") && path.contains("/groups/") => {
            Some("Info.User.NotInGroup")
        }
        ("HEAD" | "GET", path) if path.contains("/users/") => Some("Warning.User.NotExisted"),
        ("HEAD" | "GET", path) if path.contains("/groups/") => Some("Warning.Group.NotExisted"),
        _ => None,
    };
    match answer.status {
        200..=299 => true,
        404 => code.is_some() && code == missing,
        _ => false,
    }
}

/// What is refused, and why. The recording's fake service takes everything.
fn refusal(file: &str, case: &str, path: &str, body: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(body);
    if path.starts_with("/server/") || matches!(path, "/other/place" | "/p") {
        // A server connection, where a redirect leads, and an address in front of the service.
        return Some(0);
    }
    // A name of dots is normalised out of the path by the SDK, and a user of no characters makes an address of nothing.
    if path.contains("//") {
        return Some(404);
    }
    if path == "/api/hubs/chat/groups/:send" {
        return Some(405);
    }
    // Names that are not those of hubs.
    if path.contains("/hubs/_x/") || path.contains("/hubs/%D1%87") {
        return Some(400);
    }
    // The SDK writes null arguments so that it is not JSON.
    let is_broken = text.contains(r#"null""#) || text.contains(",,");
    (file == "rest" && case.starts_with("payload") && is_broken).then_some(400)
}

#[tokio::test]
async fn every_recorded_request_gets_an_answer_that_the_sdk_takes() {
    let Some(folder) = folder() else {
        return skipped("every_recorded_request_gets_an_answer_that_the_sdk_takes", "no recordings");
    };
    let builder = LocalService::builder().application(application("sdk", &[Role::ServiceOwner]));
    let wire = Wire::start(builder).await;
    let entra = wire.entra_token("sdk").await;
    let (mut different, mut sent, mut refused) = (Vec::new(), 0, 0);
    for file in FILES {
        let text = std::fs::read(folder.join(format!("{file}.json"))).unwrap();
        let recording: Value = serde_json::from_slice(&text).unwrap();
        for case in recording["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            for request in case["requests"].as_array().into_iter().flatten() {
                let text = |field: &str| request[field].as_str().unwrap_or_default();
                let (method, target, path) = (text("method"), text("raw_target"), text("path"));
                let bytes = body(&request["body"]);
                let is_cut = bytes.is_empty() && !request["body"].is_null();
                let expected = refusal(file, name, target.split('?').next().unwrap(), &bytes);
                if is_cut || expected == Some(0) {
                    continue;
                }
                let bearer = match &request["bearer"] {
                    Value::Null => None,
                    bearer if bearer["header"]["alg"] == "RS256" => Some(entra.clone()),
                    bearer => Some(token(bearer)),
                };
                let bearer = bearer.map(|token| format!("Bearer {token}")).unwrap_or_default();
                let mut headers = vec![("Authorization", bearer.as_str())];
                for name in ["content-type", "asrs-user-agent", "accept"] {
                    headers.extend(request["headers"][name].as_str().map(|value| (name, value)));
                }
                let answer =
                    raw::send(wire.local.port(), &raw::request(method, target, &headers, &bytes)).await;
                sent += 1;
                refused += usize::from(expected.is_some());
                let is_right = match expected {
                    Some(status) => answer.status == status,
                    None => is_taken(method, path, &answer),
                };
                let keys = !path.ends_with("accessKey")
                    || answer.json()["KeyId"].is_string() && answer.json()["AccessKey"].is_string();
                if !is_right || !keys {
                    let said = answer.json();
                    different.push(format!("{file}: {name}: {method} {target}: {} {said}", answer.status));
                }
            }
        }
    }
    println!("{sent} requests sent, {refused} of them refused as they should be");
    assert!(different.is_empty(), "{} of {sent}:\n{}", different.len(), different.join("\n"));
    assert!(sent > 100, "{sent}");
    assert_eq!(json!(wire.status(reqwest::Method::GET, "/api/health").await.0), 200);
}

//! The outcomes that the official extension gives, as they were recorded.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_STANDARD};
use hubwire::service::{
    credentials::AccessKey,
    upstream::{UpstreamError, UpstreamRouter},
};
use serde_json::{Value, json};

use super::call;
use crate::support;

/// What ours does otherwise than the recorded extension, by the name of the case, and why.
const OTHERWISE: &[(&str, u16, &str)] = &[
    ("signature-005", 200, "the documented formula has no prefix"),
    ("signature-037", 401, "one endpoint without a key does not switch the check off"),
    ("signature-038", 401, "the same"),
    ("signature-039", 400, "the same, and a connection has an id"),
    ("signature-046", 400, "headers are looked at first"),
    ("signature-047", 400, "a connection has an id"),
    ("request-013", 401, "one endpoint without a key does not switch the check off"),
    ("request-041", 400, "the arguments are a list"),
    ("request-055", 401, "the signature is checked before the body is read"),
    ("request-075", 415, "what is no content type is not the right one"),
    ("request-085", 200, "numbers are read as what the handler asks for"),
];

fn recordings() -> Option<Value> {
    let dir = match std::env::var_os("HUBWIRE_RECORDINGS_DIR") {
        Some(named) => PathBuf::from(named),
        None => support::reference_dir()?.join("recordings"),
    };
    let text = std::fs::read_to_string(dir.join("upstream-signatures.json")).ok()?;
    Some(serde_json::from_str(&text).expect("recordings are JSON"))
}

type Context = Arc<Mutex<Option<Value>>>;

fn recorded_router(input: &Value, seen: &Context) -> UpstreamRouter {
    let keys = input["accessKeys"].as_array().cloned().unwrap_or_default();
    let router = keys
        .iter()
        .filter_map(Value::as_str)
        .fold(UpstreamRouter::new(), |router, key| router.access_key(&AccessKey::new(key)).unwrap());
    let result = match input["function"].as_str() {
        Some("object") => Ok(json!({ "a": 1, "B": "x" })),
        Some("null") => Ok(Value::Null),
        Some("throws") => Err("inner text"),
        Some("throws-plain") => Err("outer text"),
        Some("fails") => Err("Method execution failed."),
        _ => Ok(json!("done")),
    };
    let (connected, closed, called) = (Arc::clone(seen), Arc::clone(seen), Arc::clone(seen));
    let on_connect = result.clone();
    let describe = |client: &hubwire::service::upstream::UpstreamClient| {
        let claims: serde_json::Map<_, _> = client.claims().map(|(n, v)| (n.to_owned(), v.into())).collect();
        json!({ "Hub": client.hub(), "ConnectionId": client.connection_id(), "UserId": client.user_id(), "Claims": claims })
    };
    router
        .on_connected("chat", move |client| {
            *connected.lock().unwrap() = Some(describe(&client));
            let failed = on_connect.clone().err();
            async move { failed.map_or(Ok(()), |text| Err(UpstreamError::new(text))) }
        })
        .on_disconnected("chat", move |client, reason| {
            let mut context = describe(&client);
            context["Error"] = reason.into();
            *closed.lock().unwrap() = Some(context);
            async {}
        })
        .on_message("chat", "send", move |message| {
            let mut context = describe(message.client());
            if let Ok(arguments) = message.arguments::<Vec<Value>>() {
                context["Arguments"] = arguments.into();
            }
            *called.lock().unwrap() = Some(context);
            let result = result.clone();
            async move { result.map_err(UpstreamError::new) }
        })
}

/// The headers of a recorded case.
fn recorded_headers(input: &Value) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(lines) = input["headers"].as_array() {
        for line in lines.iter().filter_map(Value::as_str) {
            let (name, value) = line.split_once(": ").or_else(|| line.split_once(':')).expect("a header");
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        headers.push(("content-type".into(), input["contentType"].as_str().unwrap_or_default().to_owned()));
        return headers;
    }
    for (name, value) in [("content-type", "application/json"), ("x-asrs-hub", "chat")] {
        headers.push((name.into(), value.into()));
    }
    headers.push(("x-asrs-category".into(), "connections".into()));
    headers.push(("x-asrs-event".into(), "connected".into()));
    if let Some(id) = input["connectionId"].as_str() {
        headers.push(("x-asrs-connection-id".into(), id.into()));
    }
    let signature = &input["signatureHeader"];
    let lines = signature.as_array().cloned().unwrap_or_else(|| vec![signature.clone()]);
    headers.extend(lines.iter().filter_map(Value::as_str).map(|s| ("x-asrs-signature".into(), s.into())));
    headers
}

#[tokio::test]
async fn requests_have_the_outcome_that_the_official_extension_gives() {
    let Some(recordings) = recordings() else {
        support::skipped("upstream", "no recordings; HUBWIRE_RECORDINGS_DIR names their folder");
        return;
    };
    let (mut count, mut differences) = (0, Vec::new());
    for case in recordings["cases"].as_array().expect("cases") {
        let (name, input, result) = (case["name"].as_str().unwrap(), &case["input"], &case["result"]);
        let is_binary = input["contentType"].as_str().is_some_and(|kind| kind.contains("msgpack"));
        // The older code is not what ours follows; without the feature nobody speaks MessagePack.
        if name.ends_with("-2022") || (is_binary && !cfg!(feature = "msgpack")) {
            continue;
        }
        count += 1;
        let seen = Context::default();
        let router = recorded_router(input, &seen);
        let headers = recorded_headers(input);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let body = match (input["body"].as_str(), input["bodyBase64"].as_str()) {
            (_, Some(text)) => BASE64_STANDARD.decode(text).unwrap(),
            (text, None) => text.unwrap_or("{}").as_bytes().to_vec(),
        };
        let answer = call(&router, &headers, &body).await;
        let otherwise = OTHERWISE.iter().find(|(known, ..)| *known == name).map(|(_, status, _)| *status);
        let expected =
            otherwise.unwrap_or_else(|| match (result["valid"].as_bool(), result["status"].as_u64()) {
                (Some(valid), _) => {
                    if valid {
                        200
                    } else {
                        401
                    }
                }
                // What ends in an exception or in status 500 there is a bad request here.
                (None, None | Some(500)) => 400,
                (None, Some(status)) => u16::try_from(status).unwrap(),
            });
        let mut differs = |what: String| differences.push(format!("{name}: {what}"));
        if answer.status != expected {
            let body = String::from_utf8_lossy(&answer.body);
            differs(format!("status {}, not {expected}; {body}", answer.status));
        }
        if otherwise.is_some() || expected != 200 {
            continue;
        }
        // The order of an object's members says nothing.
        let record =
            |text: &str| text.strip_suffix('\u{1e}').map(serde_json::from_str::<Value>).and_then(Result::ok);
        if let Some(text) = result["body"].as_str()
            && (record(text).is_none() || record(answer.text()) != record(text))
        {
            differs(format!("body {}, not {text}", answer.text()));
        }
        if let Some(text) = result["bodyBase64"].as_str()
            && BASE64_STANDARD.encode(&answer.body) != text
        {
            differs(format!("body {:?}, not {text}", answer.body));
        }
        let (context, seen) = (&result["context"], seen.lock().unwrap().clone());
        let Some(seen) = seen.filter(|_| context.is_object()) else { continue };
        for field in ["Hub", "ConnectionId", "UserId", "Error", "Claims", "Arguments"] {
            let (ours, theirs) = (&seen[field], &context[field]);
            // No claims are none; what JSON cannot say, such as a timestamp or infinity, is not compared.
            let is_empty = ours.as_object().is_some_and(serde_json::Map::is_empty) && theirs.is_null();
            let unspoken = field == "Arguments" && (ours.is_null() || theirs.is_null());
            if !is_empty && !unspoken && ours != theirs {
                differs(format!("{field} is {ours}, not {theirs}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(count > 0, "there are cases");
}

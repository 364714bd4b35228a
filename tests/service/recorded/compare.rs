//! What is compared: requests, outcomes, client tokens.

use base64ct::{Base64, Encoding};
use hubwire::service::ServiceError;
use serde_json::{Value, json};

use super::{rules::rule, server::Made};
use crate::fakes::verified;

const VERSION: &str = "2024-12-01";

pub(crate) fn compare_outcome(case: &Value, outcome: &Result<Value, ServiceError>) -> Result<(), String> {
    let kind = case["exception"]["type"].as_str().unwrap_or_default();
    let kind = kind.rsplit('.').next().unwrap_or_default();
    let alike = match (kind, outcome) {
        ("", Ok(value)) => *value == case["result"],
        // The recording is of something else than the outcome.
        ("", Err(_)) => case["result"].is_object(),
        ("ArgumentException" | "ArgumentNullException", Err(error)) => {
            matches!(error, ServiceError::InvalidName { .. })
        }
        ("AzureSignalRInvalidArgumentException", Err(ServiceError::BadRequest(_)))
        | ("AzureSignalRUnauthorizedException", Err(ServiceError::Unauthorized(_)))
        | (
            "AzureSignalRInaccessibleEndpointException",
            Err(ServiceError::NotFound(_) | ServiceError::Connection { .. }),
        )
        | (
            "AzureSignalRRuntimeException",
            Err(
                ServiceError::Failed(_)
                | ServiceError::Forbidden(_)
                | ServiceError::Throttled(_)
                | ServiceError::TooLarge(_)
                | ServiceError::Timeout { .. },
            ),
        )
        | ("AzureSignalRException", Err(ServiceError::Connection { .. }))
        | ("TaskCanceledException", Err(ServiceError::Timeout { .. }))
        | ("AggregateException", Err(_)) => true,
        _ => false,
    };
    if alike { Ok(()) } else { Err(format!("{outcome:?}, not {kind} {}", case["result"])) }
}

/// Another version of the API, and that of the recording.
pub(crate) fn unversioned(text: &str) -> String {
    text.replace(VERSION, "{version}").replace("2022-06-01", "{version}")
}

/// Compares a request, and its token if that is signed with a key: otherwise it comes from a credential.
pub(crate) fn compare_request(
    call: &Value,
    made: &Made,
    recorded: &Value,
    key: Option<&str>,
) -> Result<(), String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, ours: &str, theirs: &str| {
        if ours != theirs && !rule(what, call) {
            differences.push(format!("{what} {ours:?}, not {theirs:?}"));
        }
    };
    compare("method", &made.method, recorded["method"].as_str().unwrap_or_default());
    compare(
        "target",
        &unversioned(&made.target),
        &unversioned(recorded["raw_target"].as_str().unwrap_or_default()),
    );
    let header = |name: &str| made.headers.get(name).map(String::as_str).unwrap_or_default();
    let recorded_header = |name: &str| recorded["headers"][name].as_str().unwrap_or_default();
    compare("content-type", header("content-type"), recorded_header("content-type"));
    if let Some(key) = key {
        let bearer = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let (jwt, claims) = verified(bearer, key);
        compare(
            "alg",
            jwt["alg"].as_str().unwrap_or_default(),
            recorded["bearer"]["header"]["alg"].as_str().unwrap_or_default(),
        );
        for claim in recorded["bearer"]["claims"].as_array().into_iter().flatten() {
            let (name, theirs) =
                (claim[0].as_str().unwrap_or_default(), claim[1].as_str().unwrap_or_default());
            match (theirs.starts_with('{'), &claims[name]) {
                (true, Value::Null) if name != "nbf" => compare(name, "absent", theirs),
                (true, _) => {}
                (false, ours) => {
                    // The recorded SDK has the query in the audience; newer ones and the documentation do not. The
                    // local service takes both, as Azure's does.
                    let theirs =
                        if name == "aud" { theirs.split('?').next().unwrap_or_default() } else { theirs };
                    compare(name, &unversioned(ours.as_str().unwrap_or_default()), &unversioned(theirs))
                }
            }
        }
        let lifetime = claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat);
        compare("lifetime", &json!(lifetime).to_string(), &recorded["bearer"]["exp_minus_iat"].to_string());
    }
    let body = &recorded["body"];
    if let Some(theirs) = body["base64"].as_str() {
        let theirs = Base64::decode_vec(theirs).unwrap_or_default();
        compare("body", &messages(&made.body), &messages(&theirs));
    } else {
        let ours = String::from_utf8_lossy(&made.body);
        let value =
            |text: &str| serde_json::from_str::<Value>(text).map_or(text.to_owned(), |v| v.to_string());
        compare("body", &value(&ours), &value(body["text"].as_str().unwrap_or_default()));
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
}

/// A binary payload with its JSON message as a value: the SDK escapes more than it has to.
pub(crate) fn messages(payload: &[u8]) -> String {
    let mut payload = payload;
    let map = rmpv::decode::read_value(&mut payload).ok();
    let map = map.as_ref().and_then(rmpv::Value::as_map).cloned().unwrap_or_default();
    let message = |(name, message): (rmpv::Value, rmpv::Value)| {
        let bytes = message.as_slice().unwrap_or_default();
        let json = bytes.strip_suffix(b"\x1e").and_then(|json| serde_json::from_slice::<Value>(json).ok());
        format!("{name}: {}", json.map_or_else(|| format!("{bytes:?}"), |json| json.to_string()))
    };
    map.into_iter().map(message).collect::<Vec<_>>().join(", ")
}

pub(crate) fn compare_access(
    case: &Value,
    call: &Value,
    recorded: &Value,
    access: Result<(String, String), ServiceError>,
    key: &str,
) -> Result<(), String> {
    if rule("refused", call) {
        return if access.is_err() { Ok(()) } else { Err("it was not refused".to_owned()) };
    }
    let (url, token) = match (access, case["exception"].is_null()) {
        (Err(_), false) => return Ok(()),
        (Err(error), true) => return Err(format!("{error}")),
        // A lifetime that the recording could not write down.
        (Ok(_), false) if call["lifetime_seconds"].is_null() && call["hub"].is_null() => return Ok(()),
        (Ok(_), false) => return Err("it was not refused".to_owned()),
        (Ok(access), true) => access,
    };
    // Cases that look at something else than the answer.
    let Some(theirs) = recorded["url"].as_str() else { return Ok(()) };
    // Whoever writes the name of a host in letters, and whoever in ASCII, means the same.
    let ascii = |url: &str| reqwest::Url::parse(url).map_or(url.to_owned(), String::from);
    if ascii(&url) != ascii(theirs) {
        return Err(format!("url {url:?}, not {theirs:?}"));
    }
    if rule("claims", call) {
        return Ok(());
    }
    let (header, ours) = verified(&token, key);
    let mut differences = Vec::new();
    let algorithm = &recorded["access_token"]["header"]["alg"];
    if algorithm.is_string() && header["alg"] != *algorithm {
        differences.push(format!("alg {}, not {algorithm}", header["alg"]));
    }
    // The number of a plain access key is made up.
    let kid = &recorded["access_token"]["header"]["kid"];
    if kid.as_str().is_some_and(|kid| !kid.starts_with('{')) && header["kid"] != *kid {
        differences.push(format!("kid {}, not {kid}", header["kid"]));
    }
    let theirs = recorded["access_token"]["claims"].as_array().into_iter().flatten();
    let known: Vec<&str> = theirs.filter_map(|claim| claim[0].as_str()).collect();
    for name in ours.as_object().into_iter().flat_map(|claims| claims.keys()) {
        // Newer versions of the SDK than the recorded one say who has made a token.
        if name == "iss" && ours[name] == "azure-signalr" {
            continue;
        }
        if !known.contains(&name.as_str()) {
            differences.push(format!("claim {name} is not in theirs"));
        }
    }
    for claim in recorded["access_token"]["claims"].as_array().into_iter().flatten() {
        let (name, theirs) = (claim[0].as_str().unwrap_or_default(), &claim[1]);
        let volatile = theirs
            .as_str()
            .is_some_and(|text| text.starts_with('{') && matches!(name, "nbf" | "exp" | "iat"));
        let same = match (&ours[name], theirs) {
            (Value::String(ours), Value::String(theirs)) if name == "aud" => ascii(ours) == ascii(theirs),
            (ours, theirs) => ours == theirs,
        };
        if !volatile && !same {
            differences.push(format!("claim {name} {}, not {theirs}", ours[name]));
        }
    }
    let lifetime = ours["exp"].as_u64().zip(ours["iat"].as_u64()).map(|(exp, iat)| exp - iat);
    let theirs = &recorded["access_token"]["exp_minus_iat"];
    // Fractions of a second fall on one side or the other.
    if json!(lifetime) != *theirs && call["lifetime_seconds"].as_f64().is_none_or(|s| s.fract() == 0.0) {
        differences.push(format!("lifetime {lifetime:?}, not {theirs}"));
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
}

pub(crate) fn same(what: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("the {what} is {ours} instead of {theirs}")) }
}

/// An error that nobody expected.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

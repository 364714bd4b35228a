//! What ours does otherwise than the official SDK on purpose.

use serde_json::Value;

/// What is not compared, why, and for which calls.
type Rule = (&'static str, &'static str, fn(&Value) -> bool);

/// What ours does otherwise, and why. A case that one of them applies to is not compared in that respect.
const RULES: [Rule; 12] = [
    ("refused", "a name of `.` or `..` would change the path, and an empty one is no name", |call| {
        names(call).iter().any(|name| matches!(name.trim(), "" | "." | ".."))
    }),
    ("refused", "a hub's name is letters, digits and underscores, and begins with a letter", |call| {
        let hub = call["setup"]["hub"].as_str().or(call["hub"].as_str()).unwrap_or("chat");
        !hub.starts_with(|c: char| c.is_ascii_alphabetic())
            || !hub.chars().all(|c| c.is_ascii_alphanumeric() || "_`,.[]".contains(c))
    }),
    ("refused", "a caller must not set the service's own claims", |call| {
        claims(call).iter().any(|(name, _)| name.starts_with("asrs.s."))
    }),
    ("unable", "a duration is never negative", |call| {
        call["ttl_seconds"].as_f64().or(call["lifetime_seconds"].as_f64()).is_some_and(|s| s < 0.0)
    }),
    (
        "claims",
        "claims keep the names that the caller gives them; .NET's writer shortens its own long ones",
        |call| claims(call).iter().any(|(name, _)| name.contains("://")),
    ),
    ("body", "the SDK writes broken JSON for null among arguments when MessagePack is added", |call| {
        let nulls = call["arguments"].as_array().is_some_and(|list| list.contains(&Value::Null));
        nulls && call["setup"]["payload"] == "json+messagepack"
    }),
    ("method", "membership is asked for with HEAD, as the definition of the API has it", |call| {
        call["op"] == "is_user_in_group"
    }),
    ("claims", "one empty user id is a user id; no user id is none", |call| call["user_id"] == ""),
    ("unable", "a list of arguments is never null", |call| {
        call["op"] == "send" && call["arguments"].is_null()
    }),
    ("unable", "ours limits the time of each attempt, the SDK the time of all", |call| {
        let (retry, limit) = (&call["setup"]["retry"], &call["setup"]["timeout_ms"]);
        let pauses =
            retry["max_retries"].as_u64().zip(retry["delay_ms"].as_u64()).map(|(n, delay)| n * delay);
        limit.as_u64().zip(pauses).is_some_and(|(limit, pauses)| pauses > limit)
    }),
    ("body", "an argument that the recording has cut", |call| call["arguments"].to_string().contains('…')),
    ("claims", "claims are texts; they have no .NET type that says how to write them", |call| {
        call["claims"].as_array().into_iter().flatten().any(|claim| !claim[2].is_null())
    }),
];

pub(crate) fn rule(what: &str, call: &Value) -> bool {
    RULES.iter().any(|(about, _, applies)| *about == what && applies(call))
}

/// Whether the SDK and ours make a request again in the same cases. Ours waits as `Retry-After` says, repeats what was
/// throttled or could not be connected, and never repeats a message that may have been delivered.
pub(crate) fn same_retries(call: &Value, recorded: &[Value]) -> bool {
    recorded.iter().all(|request| {
        let response = &request["response"];
        let send = call["op"] == "send";
        match response["status"].as_u64() {
            Some(429 | 501) => false,
            Some(502 | 504) => !send,
            Some(503) => {
                let asked = response["headers"]["Retry-After"].as_str().and_then(|s| s.parse::<u64>().ok());
                let longest = call["setup"]["retry"]["max_delay_ms"].as_u64();
                asked.zip(longest).is_none_or(|(asked, longest)| asked * 1000 <= longest)
            }
            Some(_) => true,
            None => send,
        }
    })
}

/// Every name that goes into a path.
pub(crate) fn names(call: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for holder in [call, &call["to"]] {
        for name in ["connection", "user", "group", "connections", "users", "groups"] {
            match &holder[name] {
                Value::String(name) => names.push(name.clone()),
                Value::Array(list) => names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned)),
                _ => {}
            }
        }
    }
    names
}

pub(crate) fn claims(call: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    call["claims"].as_array().into_iter().flatten().map(|claim| (text(&claim[0]), text(&claim[1]))).collect()
}

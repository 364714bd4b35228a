//! The same calls as the official .NET Management SDK made, recorded: ours have to make the same requests, take the
//! same answers for the same outcome, and sign the same tokens.
//!
//! The recordings are in the folder that `HUBWIRE_RECORDINGS_DIR` names, else with the reference software. Any folder of
//! that form will do; what ours does otherwise on purpose is in [`RULES`].
#![cfg(all(feature = "service", feature = "msgpack"))]

mod fakes;
mod support;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use fakes::verified;
use hubwire::service::{
    AccessKey, AuthKind, ConnectionString, EndpointError, HubClient, NegotiateOptions, RetryOptions,
    ServiceClient, ServiceEndpoint, ServiceError,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

const VERSION: &str = "2024-12-01";

/// Files that other tests go through.
const ELSEWHERE: [&str; 3] = ["functions-settings", "credentials-from-configuration", "upstream-signatures"];

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

fn rule(what: &str, call: &Value) -> bool {
    RULES.iter().any(|(about, _, applies)| *about == what && applies(call))
}

/// Whether the SDK and ours make a request again in the same cases. Ours waits as `Retry-After` says, repeats what was
/// throttled or could not be connected, and never repeats a message that may have been delivered.
fn same_retries(call: &Value, recorded: &[Value]) -> bool {
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

fn recordings_dir() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("HUBWIRE_RECORDINGS_DIR") {
        let dir = PathBuf::from(named);
        assert!(dir.is_dir(), "HUBWIRE_RECORDINGS_DIR names {}, which is no folder", dir.display());
        return Some(dir);
    }
    let dir = support::reference_dir()?.join("recordings");
    dir.is_dir().then_some(dir)
}

/// Why cases without a call in neutral form are not made here.
fn without_call(file: &str, case: &Value) -> String {
    let reason = match (file, case["section"].as_str().unwrap_or_default()) {
        ("negotiate", _) => "negotiate endpoints: tests/service_negotiate.rs",
        ("entra", _) => "key exchange and tokens: tests/service_entra.rs, tests/service_faults.rs",
        ("endpoints", _) => "several endpoints and persistent mode: not of one endpoint's REST API",
        ("connection-strings", _) => "connection strings: tests/service_endpoint.rs",
        ("errors-and-retries", _) => "waiting and cancelling: tests/service_faults.rs, tests/service_rest.rs",
        ("rest", "payload") => "serializer settings of .NET; what values become is in tests/service_rest.rs",
        ("rest", _) => "overloads and null references of .NET, which Rust's types leave out",
        _ => "no call in neutral form",
    };
    format!("{file}: {reason}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_call_is_made_alike() {
    let Some(dir) = recordings_dir() else {
        support::skipped("recordings", "no recordings; HUBWIRE_RECORDINGS_DIR names their folder");
        return;
    };
    let mut running = JoinSet::new();
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "json") || ELSEWHERE.contains(&&*file) {
            continue;
        }
        let recording: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let key = recording["access_key_used"].as_str().unwrap_or_default().to_owned();
        for case in recording["cases"].as_array().unwrap().clone() {
            let (file, key) = (file.clone(), key.clone());
            if case["call"].is_null() {
                *left_out.entry(without_call(&file, &case)).or_default() += 1;
                continue;
            }
            running.spawn(async move {
                let name = format!("{file}: {}", case["name"].as_str().unwrap_or_default());
                let made = tokio::time::timeout(Duration::from_secs(60), make(&case, &key)).await;
                (name, made.unwrap_or_else(|_| Err("it does not end".to_owned())))
            });
        }
    }
    let made = running.join_all().await;
    let different: Vec<_> = made
        .iter()
        .filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref().err()?)))
        .collect();
    println!("{} calls made", made.len());
    for (reason, count) in left_out {
        println!("{count:4} not made: {reason}");
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), made.len(), different.join("\n"));
    assert!(!made.is_empty());
}

async fn make(case: &Value, key: &str) -> Result<(), String> {
    let call = &case["call"];
    match call["op"].as_str().unwrap_or_default() {
        _ if rule("unable", call) => Ok(()),
        "negotiate" => negotiate(case, key).await,
        "connection_string" => connection_string(case).await,
        _ => rest(case, key).await,
    }
}

// REST

async fn rest(case: &Value, key: &str) -> Result<(), String> {
    let call = &case["call"];
    let mut recorded = case["requests"].as_array().cloned().unwrap_or_default();
    let (mut url, mut seen) = serve(recorded.clone()).await;
    if recorded.is_empty() && case["exception"]["type"].to_string().contains("AzureSignalR") {
        // The SDK could not connect.
        url = fakes::nobody();
    }
    let (setup, retry) = (&call["setup"], &call["setup"]["retry"]);
    let millis = |value: &Value| value.as_u64().map(Duration::from_millis);
    let mut options = RetryOptions::none();
    if let (Some(count), Some(delay), Some(max)) =
        (retry["max_retries"].as_u64(), millis(&retry["delay_ms"]), millis(&retry["max_delay_ms"]))
    {
        options = options.max_retries(count as u32).delay(delay).max_delay(max);
    }
    let endpoint = ServiceEndpoint::new(&url, AccessKey::new(key)).unwrap();
    let mut builder = ServiceClient::builder().endpoint(endpoint).retry(options);
    builder = builder.timeout(millis(&setup["timeout_ms"]).unwrap_or(Duration::from_secs(20)));
    if let Some(name) = setup["application_name"].as_str() {
        builder = builder.application_name(name);
    }
    let client = builder.build().map_err(|error| error.to_string())?;
    let outcome = match client.hub(setup["hub"].as_str().unwrap_or("chat")) {
        Ok(hub) => perform(&client, hub, call).await,
        Err(error) => Err(error),
    };
    let mut made = Vec::new();
    while let Ok(request) = seen.try_recv() {
        made.push(request);
    }

    if rule("refused", call) {
        let refused = matches!(outcome, Err(ServiceError::InvalidName { .. })) && made.is_empty();
        return if refused { Ok(()) } else { Err(format!("it was not refused: {outcome:?}")) };
    }
    if recorded.iter().any(|request| request["response"]["status"] == 307) {
        // The SDK follows redirects without its token.
        return if matches!(outcome, Err(ServiceError::Failed(_))) { Ok(()) } else { Err("followed".into()) };
    }
    if case["exception"]["type"].as_str().is_some_and(|kind| kind.ends_with("NotSupportedException")) {
        // A way to wait that there is in .NET's types only.
        return Ok(());
    }
    compare_outcome(case, &outcome)?;
    if made.len() != recorded.len() && same_retries(call, &recorded) {
        return Err(format!("{} requests, not {}", made.len(), recorded.len()));
    }
    // Requests to several are made at the same time.
    made.sort_by(|a, b| a.target.cmp(&b.target));
    recorded.sort_by_key(|request| request["raw_target"].to_string());
    made.iter()
        .zip(&recorded)
        .try_for_each(|(request, recorded)| compare_request(call, request, recorded, key))
}

async fn perform(client: &ServiceClient, hub: HubClient, call: &Value) -> Result<Value, ServiceError> {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    let (connection, user, group) = (text("connection"), text("user"), text("group"));
    let hub = if call["setup"]["payload"] == "json+messagepack" { hub.with_messagepack() } else { hub };
    let done = json!("completed");
    match text("op") {
        "send" => send(&hub, call).await?,
        "add_connection_to_group" => hub.group(group).add_connection(connection).await?,
        "remove_connection_from_group" => hub.group(group).remove_connection(connection).await?,
        "remove_connection_from_all_groups" => hub.connection(connection).remove_from_all_groups().await?,
        "add_user_to_group" => match call["ttl_seconds"].as_f64() {
            Some(ttl) => hub.group(group).add_user_for(user, Duration::from_secs_f64(ttl)).await?,
            None => hub.group(group).add_user(user).await?,
        },
        "remove_user_from_group" => hub.group(group).remove_user(user).await?,
        "remove_user_from_all_groups" => hub.user(user).remove_from_all_groups().await?,
        "close_connection" => hub.connection(connection).close(call["reason"].as_str()).await?,
        "is_user_in_group" => return Ok(hub.group(group).contains_user(user).await?.into()),
        "connection_exists" => return Ok(hub.connection(connection).exists().await?.into()),
        "user_exists" => return Ok(hub.user(user).exists().await?.into()),
        "group_exists" => return Ok(hub.group(group).exists().await?.into()),
        "is_healthy" => return Ok(client.is_healthy().await?.into()),
        op => panic!("the operation {op} is not known"),
    }
    Ok(done)
}

async fn send(hub: &HubClient, call: &Value) -> Result<(), ServiceError> {
    let (to, method) = (&call["to"], call["method"].as_str().unwrap_or_default());
    let arguments = call["arguments"].as_array().cloned().unwrap_or_default();
    let one = |name: &str| to[name].as_str().unwrap_or_default();
    let list = |name: &str| -> Vec<String> {
        let list = to[name].as_array().into_iter().flatten();
        list.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
    };
    match one("kind") {
        "all" => hub.all().send(method, arguments).await,
        "all_except" => hub.all().excluding(list("except")).send(method, arguments).await,
        "connection" => hub.connection(one("connection")).send(method, arguments).await,
        "connections" => hub.connections(list("connections")).send(method, arguments).await,
        "group" => hub.group(one("group")).send(method, arguments).await,
        "group_except" => hub.group(one("group")).excluding(list("except")).send(method, arguments).await,
        "groups" => hub.groups(list("groups")).send(method, arguments).await,
        "user" => hub.user(one("user")).send(method, arguments).await,
        "users" => hub.users(list("users")).send(method, arguments).await,
        kind => panic!("the receiver {kind} is not known"),
    }
}

/// Every name that goes into a path.
fn names(call: &Value) -> Vec<String> {
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

fn compare_outcome(case: &Value, outcome: &Result<Value, ServiceError>) -> Result<(), String> {
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

/// A request as it came.
struct Made {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Another version of the API, and that of the recording.
fn unversioned(text: &str) -> String {
    text.replace(VERSION, "{version}").replace("2022-06-01", "{version}")
}

fn compare_request(call: &Value, made: &Made, recorded: &Value, key: &str) -> Result<(), String> {
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
    let bearer = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let (jwt, claims) = verified(bearer, key);
    compare(
        "alg",
        jwt["alg"].as_str().unwrap_or_default(),
        recorded["bearer"]["header"]["alg"].as_str().unwrap_or_default(),
    );
    for claim in recorded["bearer"]["claims"].as_array().into_iter().flatten() {
        let (name, theirs) = (claim[0].as_str().unwrap_or_default(), claim[1].as_str().unwrap_or_default());
        match (theirs.starts_with('{'), &claims[name]) {
            (true, Value::Null) if name != "nbf" => compare(name, "absent", theirs),
            (true, _) => {}
            (false, ours) => {
                compare(name, &unversioned(ours.as_str().unwrap_or_default()), &unversioned(theirs))
            }
        }
    }
    let lifetime = claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat);
    compare("lifetime", &json!(lifetime).to_string(), &recorded["bearer"]["exp_minus_iat"].to_string());
    let body = &recorded["body"];
    if let Some(theirs) = body["base64"].as_str() {
        use base64ct::{Base64, Encoding};

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
fn messages(payload: &[u8]) -> String {
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

/// A server that gives the recorded answers, each to a request for its target, and hands on what it was asked.
async fn serve(recorded: Vec<Value>) -> (String, mpsc::UnboundedReceiver<Made>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut used = vec![false; recorded.len()];
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(made) = read(&mut stream).await else { continue };
            let path = made.target.split('?').next().unwrap_or_default().to_owned();
            let same = |n: &usize| recorded[*n]["path"] == path.as_str();
            let unused = (0..recorded.len()).find(|n| !used[*n] && same(n));
            let answer = unused.or_else(|| (0..recorded.len()).rev().find(same));
            let _ = sender.send(made);
            let response = match answer {
                Some(n) => {
                    used[n] = true;
                    recorded[n]["response"].clone()
                }
                None => json!({"status": 599}),
            };
            tokio::spawn(async move { respond(stream, &response).await });
        }
    });
    (url, seen)
}

async fn read(stream: &mut TcpStream) -> Option<Made> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: BTreeMap<_, _> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some(Made { method, target, headers, body: bytes.split_off(end + 4) });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn respond(mut stream: TcpStream, response: &Value) {
    if let Some(delay) = response["delay_ms"].as_u64() {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    // Without a status, the connection is cut.
    let Some(status) = response["status"].as_u64() else { return };
    let body = response["body"].as_str().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    if !matches!(status, 204 | 304) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default()));
    }
    let body = if matches!(status, 204 | 304) { "" } else { body };
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

// Negotiate

fn claims(call: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    call["claims"].as_array().into_iter().flatten().map(|claim| (text(&claim[0]), text(&claim[1]))).collect()
}

async fn negotiate(case: &Value, key: &str) -> Result<(), String> {
    let call = &case["call"];
    let endpoint = ServiceEndpoint::new("http://127.0.0.1:8888", AccessKey::new(key)).unwrap();
    let mut builder = ServiceClient::builder().endpoint(endpoint);
    if let Some(name) = call["application_name"].as_str() {
        builder = builder.application_name(name);
    }
    let access = match builder.build() {
        Ok(client) => negotiated(&client, call).await,
        Err(_) => return if case["exception"].is_null() { Err("not built".into()) } else { Ok(()) },
    };
    compare_access(case, call, &case["result"], access, key)
}

async fn negotiated(client: &ServiceClient, call: &Value) -> Result<(String, String), ServiceError> {
    let hub = client.hub(call.get("hub").map_or("chat", |hub| hub.as_str().unwrap_or_default()))?;
    let mut options = match call["user_id"].as_str() {
        Some(id) => NegotiateOptions::for_user(id),
        None => NegotiateOptions::anonymous(),
    };
    for (name, value) in claims(call) {
        options = options.claim(name, value);
    }
    if let Some(seconds) = call["lifetime_seconds"].as_f64() {
        options = options.lifetime(Duration::from_secs_f64(seconds));
    }
    if call["detailed_errors"] == true {
        options = options.detailed_errors();
    }
    if call["diagnostic_client"] == true {
        options = options.diagnostic();
    }
    let access = hub.negotiate(options).await?;
    Ok((access.url, access.access_token))
}

fn compare_access(
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
    let (_, ours) = verified(&token, key);
    let mut differences = Vec::new();
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

async fn connection_string(case: &Value) -> Result<(), String> {
    let call = &case["call"];
    let text = call["connection_string"].as_str().unwrap_or_default();
    let recorded = &case["result"]["service_endpoint"];
    let parsed = match (ConnectionString::parse(text), case["exception"].is_null()) {
        (Err(_), false) => return Ok(()),
        (Ok(_), false) => return Err("it was not refused".to_owned()),
        // A path can't be put behind a query.
        (Err(_), true) if text.contains(['?', '#']) => return Ok(()),
        (Err(error), true) => return Err(format!("it was refused: {error}")),
        (Ok(parsed), true) => parsed,
    };
    if let Some(kind) = recorded["access_key"]["credential"]["type"].as_str() {
        let theirs = (kind, &recorded["access_key"]["credential"]);
        let ours = parsed.credential();
        let kind = match ours.kind() {
            AuthKind::ClientSecret => "Azure.Identity.ClientSecretCredential",
            AuthKind::ClientCertificate => "Azure.Identity.ClientCertificateCredential",
            AuthKind::ManagedIdentity => "Azure.Identity.ManagedIdentityCredential",
            AuthKind::DefaultAzureCredential => "Azure.Identity.DefaultAzureCredential",
            _ => "another",
        };
        same("credential", &json!(kind), &json!(theirs.0))?;
        same("endpoint", &json!(parsed.endpoint()), &recorded["endpoint"])?;
        same("client id", &json!(ours.client_id()), &theirs.1["client_id"])?;
        return same("tenant id", &json!(ours.tenant_id()), &theirs.1["tenant_id"]);
    }
    let endpoint = match ServiceEndpoint::from_connection_string(text) {
        Ok(endpoint) => endpoint,
        // Tokens do not go over plain http to other machines.
        Err(EndpointError::InsecureUrl { .. }) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let key = parsed.access_key().ok_or("it has no access key")?.secret().to_owned();
    let client = ServiceClient::builder().endpoint(endpoint).build().map_err(|error| error.to_string())?;
    let access = negotiated(&client, call).await;
    let theirs = &case["result"]["negotiate"];
    // The SDK joins a path without a slash at its end wrongly.
    let path = theirs["url"].as_str().is_some_and(|url| !url.contains("/client/?"));
    if path { Ok(()) } else { compare_access(case, call, theirs, access, &key) }
}

fn same(what: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("the {what} is {ours} instead of {theirs}")) }
}

//! What values become in a message, with the serializers of .NET and with serde.

use base64ct::{Base64, Encoding};
use hubwire::{
    Binary, Timestamp, Zone,
    service::{HubClient, ServiceClient, ServiceEndpoint, ServiceError, credentials::AccessKey},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Case, Checked, Verdict,
    compare::{same, text},
    server::serve,
};

pub(super) async fn check(case: &Case) -> Checked {
    let recorded = &case.case;
    let request = &recorded["requests"][0];
    if let Some(reason) = otherwise(case.name(), request) {
        return Ok(Verdict::NotOurs(reason));
    }
    let (url, mut seen) = serve(vec![request.clone()]).await;
    let endpoint = ServiceEndpoint::new(&url, AccessKey::new(&case.key)).map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    let hub = if request["body"]["json"].is_null() { hub.message_pack() } else { hub };
    let Some(sent) = send(&hub, case.name(), recorded).await else { return Ok(Verdict::Unknown) };
    match sent {
        // Ours writes a message in both protocols, and says before it sends anything that the service takes 1 MB.
        Err(ServiceError::MessageTooLarge { .. })
            if request["body"]["length"].as_u64() > Some(512 * 1024) =>
        {
            return Ok(Verdict::Alike);
        }
        sent => sent.map_err(text)?,
    }
    let made = seen.try_recv().map_err(|_| "nothing was sent")?;
    let path = made.target.split('?').next();
    same("request", &json!([made.method, path]), &json!([request["method"], request["path"]]))?;
    let content_type = made.headers.get("content-type");
    same("content type", &json!(content_type), &request["headers"]["content-type"])?;
    let body = &request["body"];
    if body.is_null() {
        return same("body", &json!(made.body), &json!([])).map(|()| Verdict::Alike);
    }
    if body["json"].is_object() {
        let ours: Value = serde_json::from_slice(&made.body).map_err(text)?;
        same("method", &ours["Target"], &body["json"]["Target"])?;
        compare_json(case.name(), &ours["Arguments"], &body["json"]["Arguments"])?;
        return Ok(Verdict::Alike);
    }
    let ours = entries(&made.body);
    if body["base64"].is_null() {
        return compare_digests(&ours, &body["map"]);
    }
    let theirs = Base64::decode_vec(body["base64"].as_str().unwrap_or_default()).map_err(text)?;
    for (protocol, theirs) in entries(&theirs) {
        let ours = ours.iter().find(|(name, _)| *name == protocol).map(|(_, message)| message);
        let ours = ours.ok_or_else(|| format!("there is no message for {protocol}"))?;
        match protocol.as_str() {
            "json" => {
                let message = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes.trim_ascii_end());
                let strip = |bytes: &[u8]| bytes.strip_suffix(b"\x1e").unwrap_or_default().to_vec();
                let (ours, theirs) = (message(&strip(ours)), message(&strip(&theirs)));
                let (ours, theirs) = (ours.map_err(text)?, theirs.map_err(text)?);
                compare_json(case.name(), &ours["arguments"], &theirs["arguments"])?;
            }
            _ => compare_messagepack(case.name(), ours, &theirs)?,
        }
    }
    Ok(Verdict::Alike)
}

/// Payloads with nothing in them that both could write alike.
fn otherwise(name: &str, request: &Value) -> Option<&'static str> {
    let json = request["body"]["json"].is_object();
    let only_json = json || name.contains("-hub-protocols-json-enum");
    if name.ends_with("-nan") && json {
        return Some("JSON has no such numbers: a text in Newtonsoft.Json, null in serde and in JavaScript");
    }
    if name.ends_with("-enum") && only_json {
        return Some("serde writes the name of a variant, not its number");
    }
    if name.ends_with("-hub-protocols-messagepack-char") {
        return Some("a char of .NET is a number in MessagePack, one of Rust a text");
    }
    None
}

#[derive(Debug, Clone, Copy, Serialize)]
enum Day {
    Friday,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Person<D> {
    first_name: &'static str,
    age: u8,
    nick: Option<&'static str>,
    tags: [&'static str; 2],
    map: Value,
    day: D,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CamelPerson<D> {
    first_name: &'static str,
    age: u8,
    nick: Option<&'static str>,
    tags: [&'static str; 2],
    map: Value,
    day: D,
}

/// Sends the values of a case, if they are known.
async fn send(hub: &HubClient, name: &str, recorded: &Value) -> Option<Result<(), ServiceError>> {
    let options = &recorded["options"];
    let clients = hub.all();
    if let Some(arguments) = options["arguments"].as_str().and_then(|text| serde_json::from_str(text).ok()) {
        let arguments: Vec<Value> = arguments;
        return Some(clients.send("m", arguments).await);
    }
    if let Some(length) = options["length"].as_u64() {
        let big = "x".repeat(usize::try_from(length).unwrap_or_default());
        return Some(clients.send("m", (big,)).await);
    }
    let body = recorded["requests"][0]["body"].to_string();
    let is = |kind: &str| name.ends_with(kind);
    let (first_name, age, nick, tags, map) = ("Ann", 7, None, ["a", "b"], json!({"Key One": 1}));
    Some(if is("-no-args") {
        clients.send("m", ()).await
    } else if is("-put-without-body") {
        hub.group("g").add_connection("c").await
    } else if is("-integers") {
        clients.send("m", (0, -1, i32::MAX, i64::MIN, u64::MAX, 255_u8)).await
    } else if is("-floats") {
        clients.send("m", (1.0, 0.1, 1e100, 1.5_f32, "123.4500")).await
    } else if is("-nan") {
        clients.send("m", (f64::NAN, f64::INFINITY)).await
    } else if is("-time-span-guid-uri") {
        clients.send("m", ("01:02:03", "01234567-89ab-cdef-0123-456789abcdef", "http://x/ä")).await
    } else if is("-bytes") {
        clients.send("m", (Binary::from(vec![0, 1, 254, 255]),)).await
    } else if is("-char") {
        clients.send("m", ('c',)).await
    } else if is("-enum") {
        clients.send("m", (Day::Friday,)).await
    } else if is("-date-time") {
        let at = |seconds, nanoseconds| Timestamp::from_unix(seconds, nanoseconds).expect("a time");
        let utc = at(1_704_164_645, 0);
        let offset = at(1_704_164_645 - 7200, 0).with_zone(Zone::Offset(120)).expect("a zone");
        clients.send("m", (utc, at(1_704_164_645, 120_000_000), offset)).await
    } else if is("-anonymous-object") {
        let value = match body.contains("userName") {
            true => json!({"userName": "u", "inner": {"a": 1}}),
            false => json!({"UserName": "u", "inner": {"A": 1}}),
        };
        clients.send("m", (value,)).await
    } else if is("-stj-camel") {
        let day = Day::Friday;
        clients.send("m", (CamelPerson { first_name, age, nick, tags, map, day },)).await
    } else if is("-hub-protocols-json-object") {
        clients.send("m", (CamelPerson { first_name, age, nick, tags, map, day: 5 },)).await
    } else if is("-object") {
        clients.send("m", (Person { first_name, age, nick, tags, map, day: 5 },)).await
    } else {
        return None;
    })
}

/// What is not compared of a list of arguments: types of .NET that Rust has none like.
fn left_out(name: &str, protocol: &str, index: usize) -> bool {
    match (protocol, index) {
        // A decimal is a number in JSON.
        ("json", 4) => name.ends_with("-floats"),
        ("json", 0) => name.ends_with("-enum"),
        // A span of time is a number in MessagePack, and so is a char.
        ("messagepack", 0) => name.ends_with("-time-span-guid-uri") || name.ends_with("-char"),
        _ => false,
    }
}

fn compare_json(name: &str, ours: &Value, theirs: &Value) -> Result<(), String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (ours, theirs) = (list(ours), list(theirs));
    same("number of arguments", &json!(ours.len()), &json!(theirs.len()))?;
    for (n, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        // `1` and `1.0` are the same number.
        let number = ours.is_f64() && ours.as_f64() == theirs.as_f64();
        if !number && !left_out(name, "json", n) {
            same("JSON argument", ours, theirs)?;
        }
    }
    Ok(())
}

/// Compares messages by their bytes, and by their arguments where one of them has no counterpart.
fn compare_messagepack(name: &str, ours: &[u8], theirs: &[u8]) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    let arguments = |message: &[u8]| {
        let start = message.iter().position(|byte| byte & 0x80 == 0).map_or(0, |end| end + 1);
        let message = rmpv::decode::read_value(&mut message.get(start..).unwrap_or_default()).ok()?;
        message.as_array()?.get(4)?.as_array().cloned()
    };
    let ours = arguments(ours).ok_or("no arguments in our message")?;
    let theirs = arguments(theirs).ok_or("no arguments in their message")?;
    same("number of arguments", &json!(ours.len()), &json!(theirs.len()))?;
    for (n, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let nan = |value: &rmpv::Value| value.as_f64().is_some_and(f64::is_nan);
        let alike = ours == theirs || (nan(ours) && nan(theirs)) || left_out(name, "messagepack", n);
        if !alike {
            return Err(format!("MessagePack argument {n} is {ours}, not {theirs}"));
        }
    }
    Ok(())
}

/// The messages of a binary payload, by protocol.
fn entries(mut payload: &[u8]) -> Vec<(String, Vec<u8>)> {
    let map = rmpv::decode::read_value(&mut payload).ok();
    let map = map.as_ref().and_then(rmpv::Value::as_map).cloned().unwrap_or_default();
    map.into_iter()
        .map(|(name, message)| {
            (name.as_str().unwrap_or_default().to_owned(), message.as_slice().unwrap_or_default().to_vec())
        })
        .collect()
}

/// Of long messages only the length and a digest are recorded.
fn compare_digests(ours: &[(String, Vec<u8>)], recorded: &Value) -> Checked {
    for entry in recorded.as_array().into_iter().flatten() {
        let protocol = entry["protocol"].as_str().unwrap_or_default();
        let ours = ours.iter().find(|(name, _)| name == protocol).map(|(_, message)| message);
        let ours = ours.ok_or_else(|| format!("there is no message for {protocol}"))?;
        same("length", &json!(ours.len()), &entry["length"])?;
        let digest: String = Sha256::digest(ours).iter().map(|byte| format!("{byte:02x}")).collect();
        same("digest", &json!(digest), &entry["sha256"])?;
    }
    Ok(Verdict::Alike)
}

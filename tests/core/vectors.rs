//! Runs a folder of vectors: cases of the official clients' behaviour, as data.
//!
//! The folder is the one that `HUBWIRE_VECTORS_DIR` names, else `vectors` in the reference folder. Cases of the
//! profiles `all`, `net11`, `core` and `derived` have to hold; `js`, `dotnet` and `disputed` are where the official
//! clients differ from each other, and are only reported.

use std::path::PathBuf;

use crate::machine::driver::Driver;
use crate::messages::values::{bytes, decoded, encoded, real, shown};
use crate::messages::{built, plain};
use hubwire::core::client::{ClientOptions, Effect};
use hubwire::core::framing::{BinaryFraming, TextFraming};
use hubwire::core::handshake::{HandshakeBuffer, HandshakeRequest, HandshakeResponse};
use hubwire::core::message::Headers;
use hubwire::core::negotiate::{
    NegotiateResponse, TransferFormat, Transport, TransportChoice, Transports, negotiate_url, refresh_delay,
    refresh_url, user_agent, with_token_in_query,
};
use hubwire::core::{ProtocolError, TransportError, json, msgpack};
use hubwire::{AccessToken, HubUrl};
use serde::de::DeserializeOwned;
use serde_json::{Value, json as value};

/// Why a case falls short.
type Verdict = Result<(), String>;

fn folder(test: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("HUBWIRE_VECTORS_DIR") {
        Some(named) => Some(PathBuf::from(named)),
        None => crate::support::reference_dir().map(|dir| dir.join("vectors")),
    };
    if folder.is_none() {
        crate::support::skipped(test, "no vectors; HUBWIRE_VECTORS_DIR or HUBWIRE_REFERENCE_DIR names them");
    }
    folder
}

/// Runs one file of the folder. A test whose file is missing is skipped.
fn run(name: &str, check: impl Fn(usize, &Value) -> Verdict) {
    let Some(cases) = cases::<Value>(name) else { return };
    let (mut held, mut must, mut agreed, mut may) = (0, 0, 0, 0);
    for (n, case) in cases.iter().enumerate() {
        let differing = matches!(case["profile"].as_str(), Some("js" | "dotnet" | "disputed"));
        let verdict = check(n, case);
        if let Err(reason) = &verdict {
            println!("{name}: {} [{}]: {reason}", case["name"], case["profile"]);
        }
        let (count, of) = if differing { (&mut agreed, &mut may) } else { (&mut held, &mut must) };
        *of += 1;
        *count += usize::from(verdict.is_ok());
    }
    let others = if may > 0 {
        format!(", and {agreed} of {may} where the official clients differ")
    } else {
        String::new()
    };
    println!("{name}: {held} of {must}{others}");
    assert_eq!(held, must, "{name}: cases that must hold do not");
}

/// The cases of one file.
fn cases<C: DeserializeOwned>(name: &str) -> Option<Vec<C>> {
    let folder = folder(name)?;
    let path = folder.join(format!("{name}.json"));
    if !path.exists() {
        crate::support::skipped(name, &format!("there is no {}", path.display()));
        return None;
    }
    let text = std::fs::read_to_string(path).expect("a readable file");
    Some(serde_json::from_str(&text).expect("a list of cases"))
}

fn same(got: &Value, wanted: &Value) -> Verdict {
    if got == wanted { Ok(()) } else { Err(format!("got {got}, wanted {wanted}")) }
}

/// `error: true` wants an error, anything else its `expect`.
fn outcome(case: &Value, got: Result<Value, String>) -> Verdict {
    match (case["error"].as_bool() == Some(true), got) {
        (true, Err(_)) => Ok(()),
        (true, Ok(got)) => Err(format!("accepted as {got}")),
        (false, Ok(got)) => same(&got, &case["expect"]),
        (false, Err(error)) => Err(format!("refused: {error}")),
    }
}

fn text<'a>(from: &'a Value, name: &str) -> &'a str {
    from[name].as_str().unwrap_or_default()
}

#[test]
fn json_hub_protocol() {
    run("json-hub-protocol", |_, case| {
        let wire = text(case, "wire");
        let direction = text(case, "direction");
        if direction != "write" {
            outcome(case, parse_json(wire).map_err(|error| error.to_string()))?;
        }
        if direction != "parse" {
            let message =
                &case["expect"].as_array().or(case["input"].as_array()).ok_or("no message to write")?[0];
            let written = write_json(message);
            let record = written.strip_suffix('\u{1e}').ok_or("no separator at the end")?;
            let comparable = |record: &str| -> Result<Value, String> {
                let mut message: Value = serde_json::from_str(record).map_err(|e| e.to_string())?;
                // Absent and false are the same.
                if let Some(message) = message.as_object_mut() {
                    message.retain(|name, value| name != "allowReconnect" || value != &Value::Bool(false));
                }
                Ok(message)
            };
            same(&comparable(record)?, &comparable(wire.trim_end_matches('\u{1e}'))?)?;
        }
        Ok(())
    });
}

fn parse_json(wire: &str) -> Result<Value, ProtocolError> {
    let mut framing = TextFraming::default();
    let mut all = Vec::new();
    framing.feed(wire.as_bytes(), |record| {
        let payload = |json: &&str| serde_json::from_str(json).expect("payloads are JSON");
        all.extend(json::parse(record)?.map(|message| plain(&message, payload)));
        Ok(())
    })?;
    framing.finish()?;
    Ok(Value::Array(all))
}

fn write_json(message: &Value) -> String {
    let headers = message["headers"].as_object().into_iter().flatten();
    let headers: Headers<'_> =
        headers.map(|(name, value)| (name.into(), value.as_str().unwrap_or_default().into())).collect();
    let mut out = Vec::new();
    json::write(&mut out, &built(message, headers, |name| message[name].to_string().into_bytes()));
    String::from_utf8(out).expect("JSON is text")
}

#[test]
fn msgpack_hub_protocol() {
    // Read once more by a library that keeps maps in order.
    let Some(ordered) = cases::<rmpv::Value>("msgpack-hub-protocol") else { return };
    run("msgpack-hub-protocol", |n, case| {
        let wire = bytes(text(case, "wire"));
        let direction = text(case, "direction");
        let messages = &ordered[n]["expect"].as_array().or(ordered[n]["input"].as_array());
        if direction != "write" {
            let expect = messages.map(|messages| {
                let shown = messages.iter().enumerate().map(|(n, message)| {
                    let mut expect = case["expect"][n].clone();
                    for name in ["arguments", "item", "result"] {
                        if expect.get(name).is_some() {
                            expect[name] = shown(&real(&message[name])).into();
                        }
                    }
                    expect
                });
                Value::Array(shown.collect())
            });
            let case = value!({"error": case["error"], "expect": expect});
            outcome(&case, parse_msgpack(&wire).map_err(|error| error.to_string()))?;
        }
        if direction != "parse" {
            let message = &messages.ok_or("no message to write")?[0];
            let plain = case.get("expect").or(case.get("input")).ok_or("no message to write")?;
            let headers = message["headers"].as_map().into_iter().flatten();
            let text_of = |value: &rmpv::Value| value.as_str().unwrap_or_default().to_owned().into();
            let headers: Headers<'_> = headers.map(|(name, value)| (text_of(name), text_of(value))).collect();
            let mut written = Vec::new();
            let built = built(&plain[0], headers, |name| encoded(&real(&message[name])));
            msgpack::write(&mut written, &built);
            let alternatives = case["alternatives"].as_array().into_iter().flatten();
            let mut wires = alternatives.filter_map(Value::as_str).map(bytes).chain([wire]);
            if !wires.any(|wire| wire == written) {
                return Err(format!("wrote {}", to_hex(&written)));
            }
        }
        Ok(())
    });
}

fn parse_msgpack(wire: &[u8]) -> Result<Value, ProtocolError> {
    let mut framing = BinaryFraming::default();
    let mut all = Vec::new();
    framing.feed(wire, |message| {
        let message = msgpack::parse(message)?;
        all.extend(message.map(|message| plain(&message, |payload| shown(&decoded(payload)).into())));
        Ok(())
    })?;
    framing.finish()?;
    Ok(Value::Array(all))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn handshake() {
    run("handshake", |_, case| {
        if text(case, "direction") != "parse" {
            let input = &case["input"];
            let request = HandshakeRequest {
                protocol: text(input, "protocol").to_owned(),
                version: input["version"].as_i64().unwrap_or_default(),
            };
            let mut out = Vec::new();
            request.write(&mut out);
            let written = String::from_utf8(out).expect("JSON is text");
            let parsed = |wire: &str| serde_json::from_str::<Value>(wire.trim_end_matches('\u{1e}'));
            let (got, wanted) = (parsed(&written), parsed(text(case, "wire")));
            return same(&got.map_err(|e| e.to_string())?, &wanted.map_err(|e| e.to_string())?);
        }
        let hex = case["wireHex"].as_str();
        let wire = match hex {
            Some(hex) => bytes(hex),
            None => text(case, "wire").as_bytes().to_vec(),
        };
        let parse = || -> Result<Value, String> {
            let fed =
                HandshakeBuffer::default().feed(&wire).map_err(|e| e.to_string())?.map(|(record, rest)| {
                    let rest = rest.to_vec();
                    (record, rest)
                });
            let (record, rest) = fed.ok_or("the record has no end")?;
            let response = HandshakeResponse::parse(&record).map_err(|e| e.to_string())?;
            let rest = match hex {
                _ if rest.is_empty() => Value::Null,
                Some(_) => to_hex(&rest).into(),
                None => String::from_utf8_lossy(&rest).into(),
            };
            let rest_name = if case["expect"].get("restHex").is_some() { "restHex" } else { "rest" };
            Ok(value!({"error": response.error, rest_name: rest}))
        };
        outcome(case, parse())
    });
}

#[test]
fn negotiate() {
    run("negotiate", |_, case| {
        let input = &case["input"];
        let url = |name: &str| HubUrl::parse(text(input, name)).map_err(|e| e.to_string());
        let token = input["accessToken"].as_str().map(AccessToken::from);
        let any_of = |got: String| -> Verdict {
            let alternatives = case["alternatives"].as_array().into_iter().flatten();
            if std::iter::once(&case["expect"]).chain(alternatives).any(|wanted| wanted == &got) {
                Ok(())
            } else {
                Err(format!("got {got}, wanted {}", case["expect"]))
            }
        };
        match text(case, "kind") {
            "negotiateUrl" => match url("hubUrl") {
                Ok(hub) => {
                    let stateful = input["useStatefulReconnect"].as_bool().unwrap_or_default();
                    any_of(negotiate_url(&hub, stateful).to_text())
                }
                Err(error) => outcome(case, Err(error)),
            },
            "webSocketUrl" => {
                let connect = url("connectUrl")?;
                let in_query = text(input, "platform") == "browser";
                any_of(
                    with_token_in_query(&connect, token.as_ref().filter(|_| in_query)).to_web_socket_text(),
                )
            }
            "sseUrl" => any_of(with_token_in_query(&url("connectUrl")?, token.as_ref()).to_text()),
            "refreshUrl" => {
                any_of(refresh_url(&url("hubUrl")?).to_text())?;
                let header = value!({"X-SignalR-Connection-Token": text(input, "connectionToken")});
                same(&header, case.get("expectHeader").unwrap_or(&header))
            }
            "refreshDelay" => {
                let lead = input["refreshBeforeExpirationSeconds"].as_u64().unwrap_or(300);
                let delay = refresh_delay(
                    input["tokenLifetimeSeconds"].as_i64(),
                    std::time::Duration::from_secs(lead),
                );
                let seconds = delay.map(|delay| delay.as_secs_f64());
                if seconds == case["expect"].as_f64() {
                    Ok(())
                } else {
                    Err(format!("got {seconds:?}, wanted {}", case["expect"]))
                }
            }
            "userAgent" => any_of(user_agent(
                "Microsoft SignalR",
                text(input, "version"),
                text(input, "os"),
                text(input, "runtime"),
                text(input, "runtimeVersion"),
            )),
            "response" => {
                let parsed =
                    NegotiateResponse::parse(text(input, "body").as_bytes()).map_err(|e| e.to_string());
                outcome(case, parsed.map(|response| response_like(&response, &case["expect"])))
            }
            "start" => start(case),
            "negotiateRequest" => negotiate_request(case),
            other => Err(format!("the kind {other:?} is not known")),
        }
    });
}

/// The properties that the case names, and none that it does not.
fn response_like(response: &NegotiateResponse, wanted: &Value) -> Value {
    let transports: Vec<_> = response
        .available_transports
        .iter()
        .map(|t| value!({"transport": t.transport, "transferFormats": t.transfer_formats}))
        .collect();
    let token = |token: &Option<AccessToken>| token.as_ref().map(|token| token.secret().to_owned());
    let all = value!({
        "connectionId": response.connection_id,
        "connectionToken": token(&response.connection_token),
        "negotiateVersion": response.negotiate_version,
        "availableTransports": transports,
        "url": response.url,
        "accessToken": token(&response.access_token),
        "error": response.error,
        "useStatefulReconnect": response.use_stateful_reconnect,
        "tokenLifetimeSeconds": response.token_lifetime_seconds,
    });
    let named = |name: &String| wanted.get(name).is_some();
    Value::Object(
        all.as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| named(k))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    )
}

/// Drives the client's machine, as in a browser, against the case's answers.
fn start(case: &Value) -> Verdict {
    let input = &case["input"];
    let mut options = ClientOptions::new(HubUrl::parse(text(input, "hubUrl")).map_err(|e| e.to_string())?);
    options.insecure_http = true;
    options.skip_negotiation = input["skipNegotiation"].as_bool().unwrap_or_default();
    options.use_stateful_reconnect = input["useStatefulReconnect"].as_bool().unwrap_or_default();
    options.has_token_provider = input["accessToken"].is_string();
    let set = |names: &Value| {
        let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
        names.filter_map(Transport::from_name).fold(Transports::NONE, |set, transport| set | transport)
    };
    let mut available = Transports::NONE;
    for transport in [Transport::WebSockets, Transport::ServerSentEvents, Transport::LongPolling] {
        let api = match transport {
            Transport::WebSockets => "WebSocket",
            Transport::ServerSentEvents => "EventSource",
            _ => "fetch",
        };
        let lacks =
            input["environmentLacks"].as_array().is_some_and(|lacks| lacks.iter().any(|name| name == api));
        if !lacks {
            available = available | transport;
        }
    }
    options.transports = TransportChoice {
        allowed: if input["transports"].is_array() { set(&input["transports"]) } else { Transports::ALL },
        available,
        format: if text(input, "transferFormat") == "Binary" {
            TransferFormat::Binary
        } else {
            TransferFormat::Text
        },
    };
    let mut driver = Driver::new(options);
    driver.start();
    let responses = input["responses"].as_array().cloned().unwrap_or_default();
    let mut requests = Vec::new();
    let mut result = Err("the client waits for nothing".to_owned());
    loop {
        match driver.take_effects().pop().ok_or("the client asks for nothing")? {
            Effect::FetchToken => driver.token(Ok(input["accessToken"].as_str().map(AccessToken::from))),
            Effect::Negotiate(request) => {
                let authorization = request.token.map(|token| format!("Bearer {}", token.secret()));
                requests.push(value!({"url": request.url.to_text(), "authorization": authorization}));
                let response = responses.get(requests.len() - 1).or(responses.last()).ok_or("no response")?;
                let status = response["status"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(200);
                driver.answer_negotiate(Ok((status, text(response, "body"))));
            }
            Effect::Open { transport, url } => {
                let token = driver.machine.link_token();
                let connect = match transport {
                    Transport::WebSockets => with_token_in_query(&url, token).to_web_socket_text(),
                    Transport::ServerSentEvents => with_token_in_query(&url, token).to_text(),
                    _ => url.to_text(),
                };
                let fails = match transport {
                    Transport::WebSockets => &input["webSocketFails"],
                    Transport::ServerSentEvents => &input["serverSentEventsFail"],
                    _ => &Value::Null,
                };
                if fails == true {
                    driver.open(Err(TransportError::new("the case has it fail")));
                    continue;
                }
                result = Ok(value!({"transport": transport.name(), "connectUrl": connect}));
                driver.open(Ok(()));
                driver.receive("{}\u{1e}");
            }
            Effect::Connected { info, .. } => {
                if let Ok(result) = &mut result {
                    result["connectionId"] = info.connection_id.into();
                }
                break;
            }
            Effect::Disconnected(error) => {
                result = Err(error.to_string());
                break;
            }
            effect => return Err(format!("{effect:?}")),
        }
    }
    let wanted = &case["expect"]["negotiateRequests"];
    match wanted["count"].as_u64() {
        Some(count) => same(&requests.len().into(), &count.into())?,
        None if wanted.is_array() => same(&Value::Array(requests.clone()), wanted)?,
        None => {}
    }
    match (case["error"].as_bool() == Some(true), result) {
        (true, Err(_)) => Ok(()),
        (true, Ok(got)) => Err(format!("started: {got}")),
        (false, Err(error)) => Err(format!("did not start: {error}")),
        (false, Ok(got)) => {
            for name in ["transport", "connectUrl", "connectionId"] {
                if let Some(wanted) = case["expect"].get(name) {
                    same(&got[name], wanted)?;
                }
            }
            Ok(())
        }
    }
}

/// What the core has a say in: method and URL, and that the token goes into a header. The rest is the browser's
/// fetch, whose settings its own tests look at.
fn negotiate_request(case: &Value) -> Verdict {
    let input = &case["input"];
    let hub = HubUrl::parse(text(input, "hubUrl")).map_err(|e| e.to_string())?;
    let token = input["accessToken"].as_str().map(AccessToken::from);
    let request = hubwire::core::negotiate::Negotiation::new(hub, token, false).request();
    same(&request.url.to_text().into(), &case["expect"]["url"])?;
    let authorization = request.token.map(|token| format!("Bearer {}", token.secret()));
    same(&authorization.into(), case["expect"]["headers"].get("Authorization").unwrap_or(&Value::Null))
}

#[cfg(feature = "service")]
#[test]
fn connection_strings() {
    run("connection-strings", |_, case| connection_string(case));
}

/// An error's text is ours to choose; its kind is not, where the case names one.
#[cfg(feature = "service")]
fn connection_string(case: &Value) -> Verdict {
    use hubwire::service::{
        connection_string::{ConnectionString, ConnectionStringError as E},
        credentials::AuthKind,
    };

    let expect = &case["expect"];
    let input = case["input"].as_str().unwrap_or_default();
    let parsed = match (ConnectionString::parse(input), expect["ok"].as_bool() == Some(false)) {
        (Err(error), true) => {
            let kind = match &error {
                E::Empty => "empty",
                E::MissingEndpoint => "missing_endpoint",
                E::DuplicateProperty { .. } => "duplicate_property",
                E::InvalidEndpoint => "invalid_endpoint",
                E::UnsupportedVersion => "unsupported_version",
                E::InvalidPort => "invalid_port",
                E::InvalidClientEndpoint => "invalid_client_endpoint",
                E::InvalidServerEndpoint => "invalid_server_endpoint",
                E::MissingAccessKey => "missing_access_key",
                E::MissingClientId => "missing_client_id",
                E::MissingTenantId => "missing_tenant_id",
                E::MissingClientCredential => "missing_client_credential",
                _ => "another",
            };
            return match case["error_kind"].as_str() {
                Some(wanted) if wanted != kind => Err(format!("refused for {kind}, not for {wanted}")),
                _ => Ok(()),
            };
        }
        (Err(error), false) => return Err(format!("refused: {error}")),
        (Ok(parsed), true) => return Err(format!("accepted as {parsed}")),
        (Ok(parsed), false) => parsed,
    };
    let kind = match parsed.auth_kind() {
        AuthKind::AccessKey => "access_key",
        AuthKind::ClientSecret => "client_secret",
        AuthKind::ClientCertificate => "client_certificate",
        AuthKind::ManagedIdentity => "managed_identity",
        AuthKind::DefaultAzureCredential => "default_azure_credential",
        _ => "another",
    };
    let got = value!({
        "ok": true,
        "endpoint": parsed.endpoint(),
        "port": parsed.port(),
        "client_endpoint": parsed.client_endpoint(),
        "server_endpoint": parsed.server_endpoint(),
        "auth_kind": kind,
        "access_key": parsed.access_key().map(|key| key.secret()),
        "client_id": parsed.client_id(),
        "tenant_id": parsed.tenant_id(),
        "version": parsed.version(),
    });
    // A case says what it is about; what it does not mention may be anything.
    for (name, wanted) in expect.as_object().ok_or("nothing is expected")? {
        same(got.get(name).unwrap_or(&Value::Null), wanted).map_err(|reason| format!("{name}: {reason}"))?;
    }
    Ok(())
}

/// Transports that the case has fail are passed over, each after a negotiation of its own.
#[test]
fn transports_fail_as_the_case_says() {
    let transports = ["WebSockets", "ServerSentEvents", "LongPolling"]
        .map(|name| value!({"transport": name, "transferFormats": ["Text"]}));
    let answer = value!({"connectionId": "42", "availableTransports": transports}).to_string();
    let case = |failing: &[&str], expect: Value| {
        let mut input = value!({
            "hubUrl": "http://tempuri.org/hub", "transferFormat": "Text", "responses": [{"body": answer}],
        });
        for name in failing {
            input[*name] = true.into();
        }
        value!({"kind": "start", "input": input, "expect": expect})
    };
    for (failing, transport, requests) in [
        (&[][..], "WebSockets", 1),
        (&["webSocketFails"], "ServerSentEvents", 2),
        (&["webSocketFails", "serverSentEventsFail"], "LongPolling", 3),
    ] {
        let expect = value!({"transport": transport, "negotiateRequests": {"count": requests}});
        assert_eq!(start(&case(failing, expect)), Ok(()), "{failing:?}");
    }
}

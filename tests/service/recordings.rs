//! The same calls as the official .NET Management SDK made, recorded: ours have to make the same requests, take the
//! same answers for the same outcome, and sign the same tokens.
//!
//! The recordings are in the folder that `HUBWIRE_RECORDINGS_DIR` names, else with the reference software. Any folder of
//! that form will do; what ours does otherwise on purpose is in `recorded/rules.rs`, and what there is nothing of here in
//! `recorded/mod.rs`.
#![cfg(all(feature = "service", feature = "msgpack"))]

use std::{collections::BTreeMap, time::Duration};

use crate::recorded::{
    Case, LIMIT, Verdict,
    compare::{compare_access, compare_outcome, compare_request, same},
    rules::{claims, rule, same_retries},
    server::serve,
};
use hubwire::service::{
    HubClient, NegotiateOptions, RetryOptions, ServiceClient, ServiceEndpoint, ServiceError,
    connection_string::ConnectionString,
    credentials::{AccessKey, AuthKind},
    endpoints::EndpointError,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// All cases, and whether they are others than those of the reference software.
fn recordings(test: &str) -> Option<(Vec<Case>, bool)> {
    let Some((folder, other)) = crate::recorded::folder() else {
        crate::support::skipped(test, "no recordings; HUBWIRE_RECORDINGS_DIR names their folder");
        return None;
    };
    Some((crate::recorded::cases(folder), other))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_call_is_made_alike() {
    let Some((cases, _)) = recordings("every_recorded_call_is_made_alike") else { return };
    let cases = cases.into_iter().filter(|case| !case.case["call"].is_null());
    // Those with a time limit come last: the others keep the machine busy, and their time may end before they are sent.
    let (limited, others): (Vec<_>, Vec<_>) =
        cases.partition(|case| case.case["call"]["setup"]["timeout_ms"].is_number());
    let mut made = Vec::new();
    for cases in [others, limited] {
        let mut running = JoinSet::new();
        for case in cases {
            running.spawn(async move {
                let name = format!("{}: {}", case.file, case.name());
                let made = tokio::time::timeout(LIMIT, make(&case.case, &case.key)).await;
                (name, made.unwrap_or_else(|_| Err("it does not end".to_owned())))
            });
        }
        made.extend(running.join_all().await);
    }
    let different: Vec<_> = made
        .iter()
        .filter_map(|(name, result)| Some(format!("{name}: {}", result.as_ref().err()?)))
        .collect();
    println!("{} calls made", made.len());
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), made.len(), different.join("\n"));
    assert!(!made.is_empty());
}

/// One after the other: some of them let time pass.
#[tokio::test]
async fn every_recorded_case_without_a_call_is_compared_or_has_a_reason() {
    let Some((cases, other)) = recordings("every_recorded_case_without_a_call_is_compared_or_has_a_reason")
    else {
        return;
    };
    let mut alike: BTreeMap<&str, usize> = BTreeMap::new();
    let mut different = Vec::new();
    for case in cases.iter().filter(|case| case.case["call"].is_null()) {
        let name = format!("{}: {}", case.file, case.name());
        match crate::recorded::check(case).await {
            Ok(Verdict::Alike) => *alike.entry(&case.file).or_default() += 1,
            Ok(Verdict::NotOurs(reason)) => println!("{name} is not compared: {reason}"),
            Ok(Verdict::Unknown) if other => println!("{name} is not compared: it is not known here"),
            Ok(Verdict::Unknown) => different.push(format!("{name}: no test and no reason covers it")),
            Err(difference) => different.push(format!("{name}: {difference}")),
        }
    }
    println!("compared: {alike:?}");
    assert!(different.is_empty(), "{} cases:\n{}", different.len(), different.join("\n"));
}

pub(crate) async fn make(case: &Value, key: &str) -> Result<(), String> {
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
        url = crate::fakes::nobody();
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
        .try_for_each(|(request, recorded)| compare_request(call, request, recorded, Some(key)))
}

async fn perform(client: &ServiceClient, hub: HubClient, call: &Value) -> Result<Value, ServiceError> {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    let (connection, user, group) = (text("connection"), text("user"), text("group"));
    let hub = if call["setup"]["payload"] == "json+messagepack" { hub.message_pack() } else { hub };
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

// Negotiate

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
    let options = match call["user_id"].as_str() {
        Some(id) => NegotiateOptions::for_user(id),
        None => NegotiateOptions::anonymous(),
    };
    // The SDK lets them through.
    let mut options = options.allow_ambiguous_claims();
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

async fn connection_string(case: &Value) -> Result<(), String> {
    let call = &case["call"];
    let text = call["connection_string"].as_str().unwrap_or_default();
    let recorded = &case["result"]["service_endpoint"];
    let parsed = match (ConnectionString::parse(text), case["exception"].is_null()) {
        (Err(_), false) => return Ok(()),
        (Ok(_), false) => return Err("it was not refused".to_owned()),
        // A path cannot be put behind a query.
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

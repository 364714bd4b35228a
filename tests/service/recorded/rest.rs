//! Messages and group operations that have no call in neutral form, though ours can do the same.

use std::time::Duration;

use hubwire::service::{RetryOptions, ServiceClient, ServiceEndpoint, credentials::AccessKey};
use serde_json::{Value, json};

use super::{
    Case, Checked, Verdict,
    compare::{compare_request, same, text},
    payloads,
    server::serve,
};

pub(super) async fn check(case: &Case) -> Checked {
    match case.name() {
        "all-except-null" => {
            let to = json!({"kind": "all_except", "except": []});
            made(case, json!({"op": "send", "to": to, "method": "m", "arguments": []})).await
        }
        "application-group-management" => {
            let application = &case.case["options"]["application_name"];
            let call = json!({"op": "add_user_to_group", "user": "u", "group": "g", "ttl_seconds": 60});
            made(case, with(call, "setup", json!({"application_name": application}))).await
        }
        "message-tracing" => tracing(case).await,
        "create-hub-context" | "cancelled" | "two-calls-one-context" | "send-after-manager-dispose" => {
            life(case).await
        }
        name if name.contains("-cancel-") => cancelled(case).await,
        name if name.starts_with("payload-") => payloads::check(case).await,
        _ => Ok(Verdict::Unknown),
    }
}

fn with(mut call: Value, name: &str, value: Value) -> Value {
    call[name] = value;
    call
}

/// The case with this call.
pub(super) async fn made(case: &Case, call: Value) -> Checked {
    let recorded = with(case.case.clone(), "call", call);
    crate::recordings::make(&recorded, &case.key).await?;
    Ok(Verdict::Alike)
}

/// Every request about a hub has a number of its own, where the client is told to have one.
async fn tracing(case: &Case) -> Checked {
    let recorded = case.case["requests"].as_array().cloned().unwrap_or_default();
    let (url, mut seen) = serve(recorded.clone()).await;
    let endpoint = ServiceEndpoint::new(&url, AccessKey::new(&case.key)).map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).message_tracing().build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    hub.all().send("m", ()).await.map_err(text)?;
    hub.group("g").add_connection("c").await.map_err(text)?;
    let mut ids = Vec::new();
    for recorded in &recorded {
        let made = seen.try_recv().map_err(|_| "too few requests")?;
        compare_request(&Value::Null, &made, recorded, Some(&case.key))?;
        let id = made.headers.get("x-asrs-message-tracing-id").and_then(|id| id.parse::<u64>().ok());
        ids.push(id.ok_or("a request has no number")?);
    }
    ids.dedup();
    same("number of numbers", &json!(ids.len()), &json!(recorded.len()))?;
    Ok(Verdict::Alike)
}

/// How long a client lives, and what it tells of itself.
async fn life(case: &Case) -> Checked {
    let recorded = case.case["requests"].as_array().cloned().unwrap_or_default();
    let (url, mut seen) = serve(recorded.clone()).await;
    let endpoint = ServiceEndpoint::new(&url, AccessKey::new(&case.key)).map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    // A hub goes on without the client that it comes from.
    drop(client);
    if case.name() == "cancelled" {
        // Nothing is sent before it is waited for.
        drop(hub.all().send("m", ()));
    }
    let mut names = Vec::new();
    for recorded in &recorded {
        hub.all().send("m", ()).await.map_err(text)?;
        let made = seen.try_recv().map_err(|_| "nothing was sent")?;
        compare_request(&Value::Null, &made, recorded, Some(&case.key))?;
        let bearer = made.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        names.push(crate::fakes::verified(bearer.unwrap_or_default(), &case.key).1["nameid"].clone());
    }
    names.dedup();
    same("number of names", &json!(names.len()), &json!(recorded.len().min(1)))?;
    match seen.try_recv() {
        Ok(more) => Err(format!("one request too many: {}", more.target)),
        Err(_) => Ok(Verdict::Alike),
    }
}

/// The caller goes away once it has made its requests: while it waits for an answer, or for the next attempt.
async fn cancelled(case: &Case) -> Checked {
    let recorded = case.case["requests"].as_array().cloned().unwrap_or_default();
    let (url, mut seen) = serve(recorded.clone()).await;
    let retry = &case.case["options"]["retry_options"];
    let millis = |name: &str| Duration::from_millis(retry[name].as_u64().unwrap_or_default());
    let mut options = RetryOptions::none();
    if let Some(count) = retry["max_retries"].as_u64() {
        let fixed = retry["mode"] == "Fixed";
        options = options.max_retries(u32::try_from(count).unwrap_or_default()).fixed(fixed);
        options = options.delay(millis("delay_ms")).max_delay(millis("max_delay_ms"));
    }
    let endpoint = ServiceEndpoint::new(&url, AccessKey::new(&case.key)).map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).retry(options).build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    let call = async {
        match case.name().starts_with("send-") {
            true => hub.all().send("m", ("x",)).await,
            false => hub.group("g").add_connection("c1").await,
        }
    };
    let requests = async {
        let mut made = Vec::new();
        while made.len() < recorded.len()
            && let Some(request) = seen.recv().await
        {
            made.push(request);
        }
        made
    };
    let made = tokio::select! {
        ended = call => return Err(format!("{ended:?} before the caller went away")),
        made = requests => made,
    };
    // Dropping the client ends whatever it might still do.
    drop((hub, client));
    for (made, recorded) in made.iter().zip(&recorded) {
        compare_request(&Value::Null, made, recorded, Some(&case.key))?;
    }
    match seen.try_recv() {
        Ok(more) => Err(format!("one request too many: {}", more.target)),
        Err(_) => Ok(Verdict::Alike),
    }
}

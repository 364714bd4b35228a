//! The exchange of Entra tokens for access keys, and what is done with either.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    time::OffsetDateTime,
};
use hubwire::service::{
    ClientAccess, HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
    endpoints::EndpointError, negotiate::EntraStrategy,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Case, Checked, Verdict,
    compare::{compare_access, compare_request, same, text},
    negotiate::options_for,
    server::{Made, serve},
};
use crate::fakes::{self, Fake, Seen, reply};

const EXCHANGE: &str = "/api/v1/auth/accessKey";
const TOKEN: &str = "entra-token";

/// An Entra credential that counts, and writes down what a token is asked for.
#[derive(Debug, Default)]
struct Credential {
    calls: AtomicUsize,
    scopes: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl TokenCredential for Credential {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.calls.fetch_add(1, SeqCst);
        *self.scopes.lock().unwrap() = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Ok(AccessToken::new(TOKEN, OffsetDateTime::now_utc() + Duration::from_secs(86_400)))
    }
}

pub(super) async fn check(case: &Case) -> Checked {
    let recorded = &case.case;
    match case.name() {
        "negotiate" | "negotiate-default" | "exchange-slow" => {
            let (hub, mut world) = World::start(recorded).await?;
            let recorded_access = match &recorded["result"]["result"] {
                Value::Null => &recorded["result"],
                access => access,
            };
            let access = hub.negotiate(options_for(&recorded_access["access_token"]["claims"])).await;
            world.same_access(recorded_access, access)?;
            world.same_requests(&recorded["requests"])
        }
        "generate-client-access-token" => {
            // The obsolete interface names the user in another claim, and gives no URL.
            let token = recorded["result"].to_string().replace("\"nameid\"", "\"asrs.s.uid\"");
            let token: Value = serde_json::from_str(&token).map_err(text)?;
            let access = json!({"access_token": token, "url": "http://127.0.0.1:{port}/client/?hub=chat"});
            let (hub, mut world) = World::start(recorded).await?;
            let made = hub.negotiate(options_for(&access["access_token"]["claims"])).await;
            world.same_access(&access, made)?;
            world.same_requests(&recorded["requests"])
        }
        "create-only" => {
            let (_hub, mut world) = World::start(recorded).await?;
            // The SDK exchanges at once, ours when the first client comes.
            world.same_requests(&json!([]))
        }
        "group-add" => {
            let (hub, mut world) = World::start(recorded).await?;
            hub.group("g").add_connection("c").await.map_err(text)?;
            // No key is needed for this: the request has the Entra token.
            world.same_requests(&without_exchanges(&recorded["requests"]))
        }
        "application-name" => {
            let (hub, mut world) = World::start(recorded).await?;
            let access = hub.negotiate(NegotiateOptions::anonymous()).await;
            world.same_access(&recorded["result"], access)?;
            hub.all().send("m", ()).await.map_err(text)?;
            world.same_requests(&recorded["requests"])
        }
        "server-endpoint" => server_endpoint(recorded).await,
        "endpoint-path-and-query" => {
            let refused =
                ServiceEndpoint::new("https://a.example.com/p?q=1", Arc::new(Credential::default()));
            match refused {
                // The SDK puts its paths behind the query.
                Err(EndpointError::InvalidUrl { .. }) => Ok(Verdict::Alike),
                other => Err(format!("{other:?}")),
            }
        }
        "caching" => {
            let fake = Fake::start(fakes::all_well).await;
            let credential = Arc::new(Credential::default());
            let hub = fake.client(Arc::clone(&credential)).hub("chat").map_err(text)?;
            hub.negotiate(NegotiateOptions::anonymous()).await.map_err(text)?;
            let before = (fake.count(EXCHANGE), credential.calls.load(SeqCst));
            for _ in 0..5 {
                hub.negotiate(NegotiateOptions::anonymous()).await.map_err(text)?;
                hub.all().send("m", ()).await.map_err(text)?;
            }
            let exchanges = fake.count(EXCHANGE) - before.0;
            same("number of exchanges", &json!(exchanges), &recorded["result"]["exchanges_for_5_sends"])?;
            // The SDK asks its credential for a token before every request; ours keeps it.
            same("number of tokens", &json!(credential.calls.load(SeqCst)), &json!(before.1))?;
            Ok(Verdict::Alike)
        }
        "exchange-500-then-ok" => recovering(recorded).await,
        "exchange-slow-cancel" => cancelled(recorded).await,
        "exchange-never-answers" => {
            let limit = Duration::from_millis(100);
            let (hub, _world) =
                World::start_with(recorded, |builder| builder.credential_timeout(limit)).await?;
            match hub.negotiate(NegotiateOptions::anonymous()).await {
                Err(ServiceError::Timeout { after, .. }) if after == limit => Ok(Verdict::Alike),
                other => Err(format!("{other:?}")),
            }
        }
        name if name.starts_with("exchange-") => exchange(recorded).await,
        _ => Ok(Verdict::Unknown),
    }
}

fn without_exchanges(requests: &Value) -> Value {
    let requests = requests.as_array().into_iter().flatten();
    requests.filter(|request| request["path"] != EXCHANGE).cloned().collect()
}

/// A service that answers as recorded, and a credential for it.
struct World {
    url: String,
    seen: UnboundedReceiver<Made>,
    credential: Arc<Credential>,
    case: Value,
}

impl World {
    async fn start(case: &Value) -> Result<(HubClient, Self), String> {
        Self::start_with(case, |builder| builder).await
    }

    async fn start_with(
        case: &Value,
        set_up: impl FnOnce(hubwire::service::ServiceClientBuilder) -> hubwire::service::ServiceClientBuilder,
    ) -> Result<(HubClient, Self), String> {
        let (url, seen) = serve(case["requests"].as_array().cloned().unwrap_or_default()).await;
        let credential = Arc::new(Credential::default());
        let endpoint = ServiceEndpoint::new(&url, Arc::clone(&credential)).map_err(text)?;
        let mut builder = set_up(ServiceClient::builder().endpoint(endpoint));
        if case["requests"].to_string().contains("application=app") {
            builder = builder.application_name("App");
        }
        let hub = builder.build().map_err(text)?.hub("chat").map_err(text)?;
        Ok((hub, Self { url, seen, credential, case: case.clone() }))
    }

    /// The key that the service gave.
    fn key(&self) -> String {
        let requests = self.case["requests"].as_array().into_iter().flatten();
        let mut answers = requests.filter_map(|request| request["response"]["body"].as_str());
        let answer = answers.find_map(|body| serde_json::from_str::<Value>(body).ok()).unwrap_or_default();
        answer["AccessKey"].as_str().unwrap_or_default().to_owned()
    }

    fn same_access(
        &self,
        recorded: &Value,
        access: Result<ClientAccess, ServiceError>,
    ) -> Result<(), String> {
        let at_port = |url: String| url.replace(&self.url, "http://127.0.0.1:{port}");
        let access = access.map(|access| (at_port(access.url), access.access_token));
        compare_access(&self.case, &Value::Null, recorded, access, &self.key())
    }

    /// The same requests were made, all with the credential's token, which was asked for as the SDK does.
    fn same_requests(&mut self, recorded: &Value) -> Checked {
        for recorded in recorded.as_array().into_iter().flatten() {
            let made = self.seen.try_recv().map_err(|_| format!("no {}", recorded["raw_target"]))?;
            compare_request(&Value::Null, &made, recorded, None)?;
            let bearer = made.headers.get("authorization").cloned().unwrap_or_default();
            same("token", &json!(bearer), &json!(format!("Bearer {TOKEN}")))?;
            let scopes = self.credential.scopes.lock().unwrap().clone();
            same("list of scopes", &json!(scopes), &self.case["credential_call"]["scopes"])?;
        }
        match self.seen.try_recv() {
            Ok(more) => Err(format!("one request too many: {} {}", more.method, more.target)),
            Err(_) => Ok(Verdict::Alike),
        }
    }
}

/// An exchange that does not work, or has an odd answer; messages need none.
async fn exchange(case: &Value) -> Checked {
    let (hub, mut world) = World::start(case).await?;
    let response = &case["requests"][0]["response"];
    let status = response["status"].as_u64().unwrap_or_default();
    for step in ["negotiate", "negotiate_again"] {
        hub.all().send("m", ()).await.map_err(text)?;
        // Ours has another way where there is no exchange, which the SDK has not.
        let options = NegotiateOptions::anonymous().entra_strategy(EntraStrategy::AccessKey);
        let made = hub.negotiate(options).await;
        let theirs = &case["result"][step];
        match made {
            // Every success with a key is one. The SDK waits for another until its time is over.
            Ok(access) if status == 202 => {
                fakes::verified(&access.access_token, &world.key());
            }
            Err(ServiceError::InvalidResponse { .. }) if status == 200 && !theirs["exception"].is_null() => {}
            // Theirs is always the same one, that the identity has no permission.
            Err(error) if !theirs["exception"].is_null() => {
                same("status", &json!(error.status()), &json!(status))?;
            }
            made => world.same_access(&theirs["result"], made)?,
        }
    }
    let mut exchanges = 0;
    while let Ok(made) = world.seen.try_recv() {
        exchanges += usize::from(made.target == EXCHANGE);
    }
    // A key is used again, a refusal is not; a token that is not taken is tried once more with a new one.
    let expected = match status {
        401 => 4,
        200 | 202 if case["result"]["negotiate"]["exception"].is_null() || status == 202 => 1,
        _ => 2,
    };
    same("number of exchanges", &json!(exchanges), &json!(expected))?;
    Ok(Verdict::Alike)
}

/// Keys by number.
async fn numbered(first: &str, second: &str) -> Fake {
    let names = [first.to_owned(), second.to_owned()];
    Fake::start(move |seen: &Seen| {
        let name = &names[usize::from(seen.nth > 1)];
        reply(200, json!({"KeyId": name, "AccessKey": fakes::exchanged(seen.nth)}))
    })
    .await
}

async fn key_id(hub: &HubClient) -> Result<String, String> {
    let access = hub.negotiate(NegotiateOptions::anonymous()).await.map_err(text)?;
    let header = jsonwebtoken::decode_header(&access.access_token).map_err(text)?;
    header.kid.ok_or("a token without kid".to_owned())
}

pub(super) fn lets_time_pass(case: &Case) -> bool {
    case.file == "entra" && case.case["options"]["age_minutes"].is_u64()
}

/// A key is renewed in the background, and not used when it is too old.
pub(super) async fn ageing(case: &Value) -> Checked {
    let kid = |name: &str| case["result"][name].as_str().unwrap_or_default().to_owned();
    let (first, second) = (kid("first_kid"), kid("second_kid"));
    let fake = numbered(&first, &second).await;
    let hub = fake.client(Arc::new(Credential::default())).hub("chat").map_err(text)?;
    same("key at first", &json!(key_id(&hub).await?), &json!(first))?;
    let age = case["options"]["age_minutes"].as_u64().unwrap_or_default();
    // Ours spreads renewals over the five minutes after the SDK's 55.
    fakes::advance(if (55..60).contains(&age) { 60 } else { age }).await;
    let at_once = key_id(&hub).await?;
    // The service takes a key for 90 minutes, the SDK uses it longer.
    same("key at that age", &json!(at_once), &json!(if age < 90 { &first } else { &second }))?;
    fake.wait_for(EXCHANGE, 2).await;
    let renewed = async {
        while key_id(&hub).await? != second {
            tokio::task::yield_now().await;
        }
        Ok::<(), String>(())
    };
    tokio::time::timeout(Duration::from_secs(20), renewed).await.map_err(text)??;
    let exchanges = fake.count(EXCHANGE) - 1;
    same("number of exchanges", &json!(exchanges), &case["result"]["exchanges"])?;
    Ok(Verdict::Alike)
}

async fn server_endpoint(case: &Value) -> Checked {
    let requests = case["requests_port_b"].as_array().cloned().unwrap_or_default();
    // The SDK leaves out the slash between the path of the server endpoint and its own.
    let with_slash = |request: Value| {
        let text = request.to_string().replace("/subapi/", "/sub/api/");
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    let requests: Vec<Value> = requests.into_iter().map(with_slash).collect();
    let mut case = case.clone();
    case["requests"] = json!(requests);
    let (url, seen) = serve(requests).await;
    let credential = Arc::new(Credential::default());
    let endpoint = ServiceEndpoint::new(&fakes::nobody(), Arc::clone(&credential))
        .and_then(|endpoint| endpoint.server_endpoint(&format!("{url}/sub")))
        .and_then(|endpoint| endpoint.client_endpoint("https://c.example.com"))
        .map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    let mut world = World { url, seen, credential, case };
    let recorded = world.case["result"].clone();
    let access = hub.negotiate(NegotiateOptions::anonymous()).await;
    world.same_access(&recorded, access)?;
    hub.all().send("m", ()).await.map_err(text)?;
    let recorded = world.case["requests"].clone();
    world.same_requests(&recorded)
}

/// A service that fails four times.
async fn recovering(case: &Value) -> Checked {
    let status = case["requests"][0]["response"]["status"].as_u64().unwrap_or_default();
    let fake = Fake::start(move |seen: &Seen| match seen.path() {
        EXCHANGE if seen.nth <= 4 => reply(u16::try_from(status).unwrap_or(500), ""),
        _ => fakes::all_well(seen),
    })
    .await;
    let hub = fake.client(Arc::new(Credential::default())).hub("chat").map_err(text)?;
    hub.all().send("m", ()).await.map_err(text)?;
    // Both wait and try again by themselves, three times; then ours says so, and whoever asks tries again.
    for succeeds in [false, true] {
        let made = fakes::hurried(hub.negotiate(NegotiateOptions::anonymous())).await;
        let succeeded = match made {
            Ok(access) => {
                fakes::verified(&access.access_token, &fakes::exchanged(5));
                true
            }
            Err(error) if error.is_retryable() => false,
            Err(error) => return Err(format!("{error:?}")),
        };
        same("outcome", &json!(succeeded), &json!(succeeds))?;
    }
    hub.all().send("m", ()).await.map_err(text)?;
    Ok(Verdict::Alike)
}

/// Somebody does not wait for the exchange: the next one gets its key.
async fn cancelled(case: &Value) -> Checked {
    let gate = Arc::new(tokio::sync::Notify::new());
    let behind = Arc::clone(&gate);
    let fake = Fake::start(move |seen: &Seen| match seen.path() {
        EXCHANGE => fakes::key(seen.nth).behind(&behind),
        _ => reply(202, ""),
    })
    .await;
    let hub = fake.client(Arc::new(Credential::default())).hub("chat").map_err(text)?;
    let impatient = tokio::select! {
        biased;
        access = hub.negotiate(NegotiateOptions::anonymous()) => Some(access),
        () = fake.wait_for(EXCHANGE, 1) => None,
    };
    if let Some(access) = impatient {
        return Err(format!("{access:?} before the exchange has ended, not {}", case["result"]["exception"]));
    }
    gate.notify_one();
    hub.negotiate(NegotiateOptions::anonymous()).await.map_err(text)?;
    same("number of exchanges", &json!(fake.count(EXCHANGE)), &json!(1))?;
    Ok(Verdict::Alike)
}

//! Several endpoints. The SDK sends over server connections then, ours by REST: the same to the same endpoints.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use hubwire::service::{
    BuildError, NegotiateOptions, ServiceClient, ServiceEndpoint, ServiceError,
    credentials::AccessKey,
    endpoints::{EndpointRouter, EndpointStatus, choose_endpoint},
};
use serde_json::{Value, json};

use super::{
    Case, Checked, Verdict,
    compare::{same, text},
};
use crate::fakes::{Fake, Reply, Seen, reply};

const HEALTH: &str = "/api/health";

pub(super) async fn check(case: &Case) -> Checked {
    let recorded = &case.case;
    let several = Instances::start(recorded).await;
    match case.name() {
        "transient-none" => {
            let built = ServiceClient::builder().build();
            verdict(matches!(built, Err(BuildError::NoEndpoint)), "no endpoint is no error")
        }
        "transient-one-secondary" | "persistent-only-secondary" => {
            let built = several.builder(&case.key, |_| true).build();
            verdict(matches!(built, Err(BuildError::NoPrimaryEndpoint)), "no primary endpoint is no error")
        }
        // The SDK refuses several endpoints without server connections.
        "transient-two-endpoints" => {
            let client = several.client(&case.key, Own::default(), |_| false)?;
            verdict(client.endpoints().len() == 2, "there are not two")
        }
        "transient-no-health-check" => {
            let client = several.client(&case.key, Own::default(), |_| false)?;
            client.hub("chat").map_err(text)?;
            verdict(several.all().is_empty(), "something was asked")
        }
        "persistent-duplicates" => duplicates(&several, recorded, &case.key),
        "persistent-application-name" => {
            let client =
                several.builder(&case.key, |_| false).application_name("App").build().map_err(text)?;
            let urls = several.targets(&client, 1).await?;
            same("urls", &json!(urls), &json!([recorded["result"]["url"]]))?;
            Ok(Verdict::Alike)
        }
        "transient-router" => router_for_one(&several, recorded, &case.key).await,
        "persistent-router" => own_router(&several, recorded, &case.key).await,
        "persistent-with-endpoints" => {
            let own = Own { only: Some("b"), ..Own::default() };
            let client = several.client(&case.key, own, |_| false)?;
            several.same_targets(&client, &recorded["result"]).await?;
            client.hub("chat").map_err(text)?.all().send("m", ()).await.map_err(text)?;
            several.same_messages(recorded)
        }
        "persistent-three-negotiate" => {
            let client = several.client(&case.key, Own::default(), |name| name == "c")?;
            several.same_targets(&client, &recorded["result"]).await?;
            Ok(Verdict::Alike)
        }
        "persistent-primary-offline" => {
            let client = several.client(&case.key, Own::default(), |name| name == "b")?;
            several.same_targets(&client, &recorded["result"]["negotiate"]).await?;
            Ok(Verdict::Alike)
        }
        "persistent-three-send" => {
            let client = several.client(&case.key, Own::default(), |name| name == "c")?;
            let hub = client.hub("chat").map_err(text)?;
            hub.all().send("m", ()).await.map_err(text)?;
            hub.group("g").send("m", ()).await.map_err(text)?;
            hub.user("u").send("m", ()).await.map_err(text)?;
            hub.group("g").add_connection("c").await.map_err(text)?;
            hub.group("g").add_user("u").await.map_err(text)?;
            several.same_messages(recorded)
        }
        "persistent-exists-any" => {
            let client = several.client(&case.key, Own::default(), |_| false)?;
            // One of them knows the group.
            let exists = client.hub("chat").map_err(text)?.group("g").exists().await.map_err(text)?;
            same("answer", &json!(exists), &recorded["result"])?;
            several.same_messages(recorded)
        }
        "persistent-one-offline" => {
            let client = several.client(&case.key, Own::default(), |_| false)?;
            several.same_targets(&client, &recorded["result"]["negotiate"]).await?;
            let hub = client.hub("chat").map_err(text)?;
            hub.all().send("m", ()).await.map_err(text)?;
            hub.group("g").add_user("u").await.map_err(text)?;
            let online = |e: &EndpointStatus| match e.is_online() {
                true => format!("{}: True", e.name()),
                false => format!("{}: False", e.name()),
            };
            let online: Vec<_> = client.endpoints().iter().map(online).collect();
            same("list of who is online", &json!(online), &recorded["result"]["online"])?;
            several.same_messages(recorded)
        }
        _ => Ok(Verdict::Unknown),
    }
}

fn verdict(alike: bool, otherwise: &str) -> Checked {
    if alike { Ok(Verdict::Alike) } else { Err(otherwise.to_owned()) }
}

/// The endpoints of a case, each with the letter of its port.
struct Instances(Vec<(&'static str, Fake)>);

impl Instances {
    async fn start(case: &Value) -> Self {
        let mut instances = Vec::new();
        for name in ["a", "b", "c"] {
            let requests = &case[format!("requests_port_{name}")];
            if requests.is_array() || (name == "a" && case["requests"].is_array()) {
                // Whoever refuses server connections is offline.
                let offline = requests[0]["response"]["status"].as_u64().is_some_and(|status| status >= 500);
                let script = move |seen: &Seen| answer(seen, name, offline);
                instances.push((name, Fake::start(script).await));
            }
        }
        Self(instances)
    }

    fn builder(&self, key: &str, secondary: impl Fn(&str) -> bool) -> hubwire::service::ServiceClientBuilder {
        self.0.iter().fold(ServiceClient::builder(), |builder, (name, fake)| {
            let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(key)).unwrap().named(*name);
            builder.endpoint(if secondary(name) { endpoint.secondary() } else { endpoint })
        })
    }

    fn client(
        &self,
        key: &str,
        router: Own,
        secondary: impl Fn(&str) -> bool,
    ) -> Result<ServiceClient, String> {
        let builder = self.builder(key, secondary).health_check_interval(Duration::from_secs(3600));
        builder.router(router).build().map_err(text)
    }

    fn all(&self) -> Vec<Seen> {
        self.0.iter().flat_map(|(_, fake)| fake.all()).collect()
    }

    /// Where clients are sent, with the ports as they are recorded.
    async fn targets(&self, client: &ServiceClient, times: usize) -> Result<BTreeSet<String>, String> {
        let hub = client.hub("chat").map_err(text)?;
        let mut urls = BTreeSet::new();
        for _ in 0..times {
            let access = hub.negotiate(NegotiateOptions::anonymous()).await.map_err(text)?;
            urls.insert(self.recorded_ports(&access.url));
        }
        Ok(urls)
    }

    fn recorded_ports(&self, url: &str) -> String {
        self.0.iter().fold(url.to_owned(), |url, (name, fake)| {
            let port = if self.0.len() == 1 { "{port}".to_owned() } else { format!("{{port-{name}}}") };
            url.replace(&fake.url, &format!("http://127.0.0.1:{port}"))
        })
    }

    async fn same_targets(&self, client: &ServiceClient, recorded: &Value) -> Result<(), String> {
        let urls = self.targets(client, 300).await?;
        same("set of urls", &json!(urls), &recorded["distinct_urls"])
    }

    /// Every endpoint has got what the SDK sent it, and nothing else.
    fn same_messages(&self, case: &Value) -> Checked {
        for (name, fake) in &self.0 {
            let messages = case[format!("websocket_messages_port_{name}")].as_array().into_iter().flatten();
            let theirs: BTreeSet<_> = messages.filter_map(as_request).collect();
            let ours: BTreeSet<_> = fake
                .all()
                .into_iter()
                .filter(|seen| seen.path() != HEALTH)
                .map(|seen| format!("{} {}", seen.method, seen.path().trim_start_matches("/api/hubs/chat/")))
                .collect();
            same(&format!("set of requests to {name}"), &json!(ours), &json!(theirs))?;
        }
        Ok(Verdict::Alike)
    }
}

/// The REST request that means the same as a message on a server connection.
fn as_request(message: &Value) -> Option<String> {
    let field = |name: &str| message["fields"][name].as_str().unwrap_or_default();
    let (group, user) = (field("GroupName"), field("UserId"));
    Some(match message["message"].as_str()? {
        "BroadcastDataMessage" => "POST :send".to_owned(),
        "GroupBroadcastDataMessage" => format!("POST groups/{group}/:send"),
        "UserDataMessage" => format!("POST users/{user}/:send"),
        "MultiConnectionDataMessage" => {
            let connection = message["fields"]["ConnectionList"][0].as_str().unwrap_or_default();
            format!("POST connections/{connection}/:send")
        }
        "JoinGroupWithAckMessage" => format!("PUT groups/{group}/connections/{}", field("ConnectionId")),
        "UserJoinGroupWithAckMessage" => format!("PUT users/{user}/groups/{group}"),
        "CheckGroupExistenceWithAckMessage" => format!("HEAD groups/{group}"),
        "HandshakeRequestMessage" => return None,
        other => other.to_owned(),
    })
}

fn answer(seen: &Seen, name: &str, offline: bool) -> Reply {
    match seen.path() {
        _ if offline => reply(500, ""),
        HEALTH => reply(200, ""),
        path if seen.method == "HEAD" && path.contains("/groups/") && name == "a" => {
            reply(404, "").with("x-ms-error-code", "Warning.Group.NotExisted")
        }
        _ if seen.method == "POST" => reply(202, ""),
        _ => reply(200, ""),
    }
}

/// Of one address the first endpoint counts.
fn duplicates(several: &Instances, case: &Value, key: &str) -> Checked {
    let theirs = case["result"][0].as_str().unwrap_or_default();
    let name = theirs.split(['[', ']']).nth(1).unwrap_or_default();
    let (_, fake) = several.0.first().ok_or("no endpoint in the case")?;
    let endpoint = ServiceEndpoint::new(&fake.url, AccessKey::new(key)).unwrap();
    let builder = ServiceClient::builder().endpoint(endpoint.clone().named(name));
    let client = builder.endpoint(endpoint.named("another")).build().map_err(text)?;
    let ours: Vec<_> = client.endpoints().iter().map(|e| format!("[{}]", e.name())).collect();
    same("list of endpoints", &json!(ours), &json!([format!("[{name}]")]))?;
    Ok(Verdict::Alike)
}

/// Writes down what it is asked, and has preferences.
#[derive(Default)]
struct Own {
    asked: Arc<Mutex<Vec<String>>>,
    /// The only endpoint there is to be.
    only: Option<&'static str>,
    /// Where clients go.
    clients: Option<&'static str>,
    /// Where messages to groups go.
    groups: Option<&'static str>,
}

impl Own {
    fn asked(&self, question: String) {
        self.asked.lock().unwrap().push(question);
    }

    fn pick(&self, preferred: Option<&str>, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
        let preferred = preferred.or(self.only);
        all.iter().filter(|e| preferred.is_none_or(|name| e.name() == name)).cloned().collect()
    }
}

impl EndpointRouter for Own {
    fn negotiate_endpoint(
        &self,
        _: &NegotiateOptions,
        endpoints: &[EndpointStatus],
    ) -> Option<EndpointStatus> {
        let names: Vec<&str> = endpoints.iter().map(EndpointStatus::name).collect();
        self.asked(format!("GetNegotiateEndpoint({})", names.join(",")));
        choose_endpoint(&self.pick(self.clients, endpoints))
    }

    fn endpoints_for_broadcast(&self, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.asked("GetEndpointsForBroadcast".to_owned());
        self.pick(None, endpoints)
    }

    fn endpoints_for_user(&self, user_id: &str, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.asked(format!("GetEndpointsForUser({user_id})"));
        self.pick(None, endpoints)
    }

    fn endpoints_for_group(&self, group: &str, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.asked(format!("GetEndpointsForGroup({group})"));
        self.pick(self.groups, endpoints)
    }

    fn endpoints_for_connection(&self, id: &str, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.asked(format!("GetEndpointsForConnection({id})"));
        self.pick(None, endpoints)
    }
}

/// A message to a group, to all, to a user, to a connection.
async fn messages(client: &ServiceClient) -> Result<(), ServiceError> {
    let hub = client.hub("chat")?;
    hub.group("g").send("m", ()).await?;
    hub.all().send("m", ()).await?;
    hub.user("u").send("m", ()).await?;
    hub.connection("c").send("m", ()).await
}

async fn own_router(several: &Instances, case: &Value, key: &str) -> Checked {
    let own = Own { clients: Some("c"), groups: Some("b"), ..Own::default() };
    let asked = Arc::clone(&own.asked);
    let client = several.client(key, own, |_| false)?;
    let urls = several.targets(&client, 1).await?;
    same("url", &json!(urls), &json!([case["result"]["negotiate"]]))?;
    messages(&client).await.map_err(text)?;
    same("list of questions", &json!(*asked.lock().unwrap()), &case["result"]["router_calls"])?;
    several.same_messages(case)
}

/// Ours asks the router about messages to one endpoint too.
async fn router_for_one(several: &Instances, case: &Value, key: &str) -> Checked {
    let own = Own::default();
    let asked = Arc::clone(&own.asked);
    let client = several.client(key, own, |_| false)?;
    several.targets(&client, 1).await?;
    same("list of questions", &json!(*asked.lock().unwrap()), &case["result"])?;
    messages(&client).await.map_err(text)?;
    let targets = |requests: Vec<String>| -> BTreeSet<String> { requests.into_iter().collect() };
    let theirs = case["requests"].as_array().into_iter().flatten();
    let theirs = theirs.map(|request| request["path"].as_str().unwrap_or_default().to_owned());
    let ours = several.all().iter().map(|seen| seen.path().to_owned()).collect();
    same("set of requests", &json!(targets(ours)), &json!(targets(theirs.collect())))?;
    Ok(Verdict::Alike)
}

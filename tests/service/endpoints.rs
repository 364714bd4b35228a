//! Several endpoints: who gets clients and messages, and what happens when one of them is lost.
#![cfg(feature = "axum")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::fakes::{ACCESS_KEY, EXCHANGE, Fake, Seen, TOKEN, key, nobody, reply, token};
use axum::http::Request;
use futures_util::TryStreamExt;
use hubwire::service::{
    BuildError, HubClient, NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint, ServiceError,
    credentials::AccessKey,
    endpoints::{DefaultRouter, EndpointRole, EndpointRouter, EndpointStatus, choose_endpoint},
    hub::Commands,
};
use tower_service::Service;

const HEALTH: &str = "/api/health";
const SEND: &str = "/api/hubs/chat/:send";

/// A service that answers everything with the status at hand, and health too.
struct Instance {
    fake: Fake,
    status: Arc<AtomicU16>,
}

impl Instance {
    async fn start() -> Self {
        let status = Arc::new(AtomicU16::new(202));
        let now = Arc::clone(&status);
        let fake = Fake::start(move |seen: &Seen| match (now.load(SeqCst), seen.path()) {
            (202, TOKEN) => token("entra-token", 3599),
            (202, EXCHANGE) => key(1),
            (202, HEALTH) | (400.., HEALTH) if now.load(SeqCst) < 500 => reply(200, ""),
            (status, _) => reply(status, ""),
        })
        .await;
        Self { fake, status }
    }

    fn set(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    fn endpoint(&self, name: &str) -> ServiceEndpoint {
        ServiceEndpoint::new(&self.fake.url, AccessKey::new(ACCESS_KEY)).unwrap().named(name)
    }

    fn sent(&self) -> usize {
        self.fake.count(SEND)
    }

    /// What the messages said.
    fn bodies(&self) -> BTreeSet<String> {
        self.fake.seen(SEND).into_iter().map(|seen| seen.body).collect()
    }
}

/// Looks at every endpoint before each call, so that no test waits for time to pass.
fn client(endpoints: impl IntoIterator<Item = ServiceEndpoint>) -> ServiceClient {
    let builder = ServiceClient::builder().health_check_interval(Duration::ZERO);
    endpoints.into_iter().fold(builder, hubwire::service::ServiceClientBuilder::endpoint).build().unwrap()
}

/// Which endpoints clients are sent to.
async fn targets(hub: &HubClient, times: usize) -> BTreeSet<String> {
    let mut urls = BTreeSet::new();
    for _ in 0..times {
        let access = hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
        urls.insert(access.url.split("/client/").next().unwrap().to_owned());
    }
    urls
}

/// Repeats something until it comes true; it is the calls that make an endpoint be looked at.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let enough = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), enough).await;
    assert!(waited.is_ok(), "{what} does not come true");
}

fn urls<const N: usize>(instances: [&Instance; N]) -> BTreeSet<String> {
    instances.iter().map(|i| i.fake.url.clone()).collect()
}

#[tokio::test]
async fn clients_go_to_primary_endpoints_and_to_secondary_ones_when_no_primary_is_online() {
    let (a, b, c) = (Instance::start().await, Instance::start().await, Instance::start().await);
    let client = client([a.endpoint("a"), b.endpoint("b"), c.endpoint("c").secondary()]);
    let hub = client.hub("chat").unwrap();
    assert_eq!(targets(&hub, 60).await, urls([&a, &b]));
    a.set(503);
    assert_eq!(targets(&hub, 30).await, urls([&b]));
    b.set(503);
    assert_eq!(targets(&hub, 10).await, urls([&c]));
    assert_eq!(
        client.endpoints().iter().map(EndpointStatus::is_online).collect::<Vec<_>>(),
        [false, false, true]
    );
    b.set(202);
    until("b has clients again", || async { targets(&hub, 1).await == urls([&b]) }).await;
}

#[tokio::test]
async fn messages_go_to_every_endpoint_that_is_online() {
    let (a, b, c) = (Instance::start().await, Instance::start().await, Instance::start().await);
    let client = client([a.endpoint("a"), b.endpoint("b"), c.endpoint("c").secondary()]);
    let hub = client.hub("chat").unwrap();
    hub.all().send("m", (1,)).await.unwrap();
    hub.user("u").send("m", ()).await.unwrap();
    hub.group("g").add_connection("c1").await.unwrap();
    for instance in [&a, &b, &c] {
        let paths = ["", "users/u/", "groups/g/connections/c1"].map(|path| match path {
            "groups/g/connections/c1" => format!("/api/hubs/chat/{path}"),
            path => format!("/api/hubs/chat/{path}:send"),
        });
        assert_eq!(paths.map(|path| instance.fake.count(&path)), [1, 1, 1]);
        // Each signs for itself.
        let audience = format!("http://127.0.0.1{SEND}");
        let (_, claims) = crate::fakes::verified(instance.fake.seen(SEND)[0].bearer(), ACCESS_KEY);
        assert_eq!(claims["aud"], audience);
        let health = &instance.fake.seen(HEALTH)[0];
        assert_eq!((health.method.as_str(), health.header("authorization")), ("HEAD", ""));
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_named_and_the_others_have_done_it() {
    let (a, b) = (Instance::start().await, Instance::start().await);
    let client = client([a.endpoint("east"), b.endpoint("")]);
    b.set(403);
    let error = client.hub("chat").unwrap().all().send("m", ()).await.unwrap_err();
    let ServiceError::EndpointsFailed { succeeded: 1, failures } = &error else { panic!("{error:?}") };
    assert!(matches!(failures[0].error(), ServiceError::Forbidden(_)));
    assert_eq!((failures[0].name(), failures[0].endpoint(), a.sent()), ("", b.fake.url.as_str(), 1));
    let text = error.to_string();
    assert!(text.contains(&b.fake.url) && text.contains("SignalR Service Owner"), "{text}");
    assert!(!error.is_retryable(), "whoever repeats it sends it twice");
}

#[tokio::test]
async fn a_connection_is_at_one_endpoint_and_unknown_to_the_others() {
    let fake = |known: &'static str| {
        Fake::start(move |seen: &Seen| match seen.path() {
            HEALTH => reply(200, ""),
            path if path.ends_with(known) => reply(200, ""),
            _ => reply(404, "").with("x-ms-error-code", "Error.Connection.NotExisted"),
        })
    };
    let (a, b) = (fake("/c1").await, fake("/c2").await);
    let endpoint = |fake: &Fake| ServiceEndpoint::new(&fake.url, AccessKey::new(ACCESS_KEY)).unwrap();
    let hub = client([endpoint(&a), endpoint(&b)]).hub("chat").unwrap();
    for connection in ["c1", "c2", "neither"] {
        hub.group("g").add_connection(connection).await.unwrap();
        for fake in [&a, &b] {
            assert_eq!(fake.count(&format!("/api/hubs/chat/groups/g/connections/{connection}")), 1);
        }
    }
    hub.group("g").remove_connection("c2").await.unwrap();
    let error = hub.group("g").remove_connection("neither").await.unwrap_err();
    assert!(matches!(error, ServiceError::NotFound(_)), "{error:?}");
}

#[tokio::test]
async fn nothing_accepted_is_lost_while_an_endpoint_goes_and_comes() {
    let (a, b) = (Instance::start().await, Instance::start().await);
    let client = client([a.endpoint("a"), b.endpoint("b")]);
    let hub = client.hub("chat").unwrap();
    let (mut accepted, mut while_up) = (BTreeSet::new(), BTreeSet::new());
    let mut send = async |n: u32, up: bool| {
        hub.all().send("m", (n,)).await.unwrap();
        let body = format!(r#"{{"Target":"m","Arguments":[{n}]}}"#);
        accepted.insert(body.clone());
        if up {
            while_up.insert(body);
        }
    };
    for n in 0..10 {
        send(n, true).await;
    }
    b.set(503);
    for n in 10..20 {
        send(n, false).await;
        assert_eq!(targets(&hub, 3).await, urls([&a]));
    }
    b.set(202);
    until("b is back", || async {
        targets(&hub, 1).await;
        client.endpoints()[1].is_online()
    })
    .await;
    for n in 20..30 {
        send(n, true).await;
    }
    assert_eq!(a.bodies(), accepted);
    // What b refused while it was down is among what it saw.
    assert!(b.bodies().is_superset(&while_up));
    assert_eq!(a.sent(), 30, "nothing twice");
    assert_eq!(targets(&hub, 60).await, urls([&a, &b]));
}

#[tokio::test]
async fn when_all_are_down_the_error_names_each() {
    let (a, gone) = (Instance::start().await, nobody());
    a.set(503);
    let nobody = ServiceEndpoint::new(&gone, AccessKey::new(ACCESS_KEY)).unwrap().named("west").secondary();
    let client = client([a.endpoint("east"), nobody]);
    let hub = client.hub("chat").unwrap();
    for error in [
        hub.negotiate(NegotiateOptions::anonymous()).await.unwrap_err(),
        hub.all().send("m", ()).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, ServiceError::NoEndpointAvailable { failures } if failures.len() == 2),
            "{error:?}"
        );
        let text = error.to_string();
        for part in [format!("east ({})", a.fake.url), format!("west ({gone})"), "status 503".to_owned()] {
            assert!(text.contains(&part), "{part} in {text}");
        }
        assert!(error.is_retryable());
    }
    assert_eq!(a.sent(), 0, "no message to an endpoint that is offline");
    a.set(202);
    until("a is back", || async { hub.all().send("m", ()).await.is_ok() }).await;
}

#[tokio::test]
async fn an_endpoint_that_gives_no_access_is_passed_over() {
    let (a, b) = (Instance::start().await, Instance::start().await);
    let entra =
        |i: &Instance, name| ServiceEndpoint::new(&i.fake.url, i.fake.client_secret()).unwrap().named(name);
    let client = client([entra(&a, "a"), entra(&b, "b")]);
    let hub = client.hub("chat").unwrap();
    a.set(403);
    assert_eq!(targets(&hub, 10).await, urls([&b]));
    b.set(403);
    let other = self::client([entra(&a, "a"), entra(&b, "b")]);
    let error = other.hub("chat").unwrap().negotiate(NegotiateOptions::anonymous()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("a (http") && text.contains("b (http"), "{text}");
    assert!(!error.is_retryable(), "nobody lets it in later either");
    let negotiate = NegotiateService::new(other.hub("chat").unwrap(), |_| NegotiateOptions::anonymous());
    assert_eq!(post(negotiate, "/chat/negotiate").await.0, 502);
    // What is wrong with the call itself is wrong everywhere.
    let options = NegotiateOptions::anonymous().claim("asrs.s.uid", "x");
    assert!(matches!(hub.negotiate(options).await, Err(ServiceError::ReservedClaim { .. })));
}

#[tokio::test]
async fn endpoints_come_and_go_while_the_client_runs() {
    let (a, b) = (Instance::start().await, Instance::start().await);
    let client = client([a.endpoint("a")]);
    let hub = client.hub("chat").unwrap();
    hub.all().send("m", ()).await.unwrap();
    client.add_endpoint(b.endpoint("b").weighted(0)).unwrap();
    hub.all().send("m", ()).await.unwrap();
    assert_eq!((a.sent(), b.sent()), (2, 1));
    assert_eq!(targets(&hub, 20).await, urls([&a]), "a weight of zero");
    // The same address again replaces it.
    client.add_endpoint(b.endpoint("new")).unwrap();
    assert_eq!(client.endpoints().iter().map(EndpointStatus::name).collect::<Vec<_>>(), ["a", "new"]);
    assert_eq!(targets(&hub, 60).await, urls([&a, &b]));
    assert_eq!(client.remove_endpoint("a").unwrap(), 1);
    assert_eq!(client.remove_endpoint("a").unwrap(), 0);
    assert_eq!(client.remove_endpoint("").unwrap(), 0);
    assert_eq!(targets(&hub, 20).await, urls([&b]));
    hub.all().send("m", ()).await.unwrap();
    assert_eq!((a.sent(), b.sent()), (2, 2));
    let url = format!("{}/", b.fake.url);
    assert!(matches!(client.remove_endpoint(&url), Err(BuildError::NoPrimaryEndpoint)));
    assert!(matches!(client.add_endpoint(b.endpoint("b").secondary()), Err(BuildError::NoPrimaryEndpoint)));
    assert_eq!(client.endpoints().len(), 1);
}

#[tokio::test]
async fn the_last_one_is_used_even_if_it_was_offline() {
    let (a, b) = (Instance::start().await, Instance::start().await);
    let client = client([a.endpoint("a"), b.endpoint("b")]);
    let hub = client.hub("chat").unwrap();
    b.set(503);
    assert_eq!(targets(&hub, 10).await, urls([&a]));
    client.remove_endpoint("a").unwrap();
    assert_eq!(targets(&hub, 1).await, urls([&b]));
    let error = hub.all().send("m", ()).await.unwrap_err();
    assert_eq!(error.status(), Some(503), "its own error: {error}");
}

#[tokio::test]
async fn of_several_with_one_address_the_first_primary_one_counts() {
    let a = Instance::start().await;
    let client = client([a.endpoint("1").secondary(), a.endpoint("2"), a.endpoint("3")]);
    let endpoints = client.endpoints();
    assert_eq!(endpoints.len(), 1);
    assert_eq!((endpoints[0].name(), endpoints[0].role()), ("2", EndpointRole::Primary));
}

#[tokio::test]
async fn one_endpoint_alone_is_never_looked_at() {
    let a = Instance::start().await;
    let client = client([a.endpoint("a")]);
    let hub = client.hub("chat").unwrap();
    a.set(503);
    assert!(matches!(hub.all().send("m", ()).await, Err(ServiceError::Failed(_))));
    hub.negotiate(NegotiateOptions::anonymous()).await.unwrap();
    assert_eq!(a.fake.count(HEALTH), 0);
}

/// Clients to `c`, messages to groups to `b`, users to `a` and `b`.
struct Own;

fn pick(endpoints: &[EndpointStatus], names: &str) -> Vec<EndpointStatus> {
    endpoints.iter().filter(|e| names.contains(e.name())).cloned().collect()
}

impl EndpointRouter for Own {
    fn negotiate_endpoint(
        &self,
        client: &NegotiateOptions,
        all: &[EndpointStatus],
    ) -> Option<EndpointStatus> {
        match client.user_id() {
            Some("nobody") => None,
            _ => pick(all, "c").pop().or_else(|| choose_endpoint(all)),
        }
    }

    fn endpoints_for_group(&self, _: &str, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
        // Named twice, told once.
        [pick(all, "b"), pick(all, "b")].concat()
    }

    fn endpoints_for_user(&self, _: &str, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
        pick(all, "ab")
    }

    fn endpoints_for_connection(&self, _: &str, _: &[EndpointStatus]) -> Vec<EndpointStatus> {
        Vec::new()
    }
}

/// Status and body of a negotiate endpoint's answer.
async fn post(mut service: NegotiateService, target: &str) -> (u16, String) {
    let request = Request::builder().method("POST").uri(target).body(()).unwrap();
    let response = service.call(request).await.unwrap();
    (response.status().as_u16(), response.into_body())
}

/// Sends clients where their page says.
struct ByQuery;

impl EndpointRouter for ByQuery {
    fn negotiate_endpoint(
        &self,
        client: &NegotiateOptions,
        all: &[EndpointStatus],
    ) -> Option<EndpointStatus> {
        let name = client.query_parameter("endpoint");
        all.iter().find(|e| name.as_deref() == Some(e.name())).cloned()
    }
}

#[tokio::test]
async fn a_router_knows_the_query_of_the_client() {
    let (a, b) = (Instance::start().await, Instance::start().await);
    let builder = ServiceClient::builder().endpoint(a.endpoint("a b")).endpoint(b.endpoint("b"));
    let hub = builder.router(ByQuery).build().unwrap().hub("chat").unwrap();
    let negotiate = NegotiateService::new(hub, |_| NegotiateOptions::anonymous());
    for (query, instance) in
        [("?x=1&Endpoint=b", &b), ("?endpoint=a+b&endpoint=b", &a), ("?endpoint=a%20b", &a)]
    {
        let (status, body) = post(negotiate.clone(), &format!("/chat/negotiate{query}")).await;
        assert_eq!(status, 200);
        assert!(body.contains(&instance.fake.url), "{query}: {body}");
    }
    assert_eq!(post(negotiate, "/chat/negotiate").await.0, 503);
}

#[tokio::test]
async fn a_router_of_ones_own_chooses() {
    let (a, b, c) = (Instance::start().await, Instance::start().await, Instance::start().await);
    let endpoints = [a.endpoint("a"), b.endpoint("b"), c.endpoint("c")];
    let builder = endpoints.into_iter().fold(ServiceClient::builder(), |builder, e| builder.endpoint(e));
    let client = builder.router(Own).build().unwrap();
    let hub = client.hub("chat").unwrap();
    assert_eq!(targets(&hub, 10).await, urls([&c]));
    hub.group("g").send("m", ()).await.unwrap();
    hub.user("u").send("m", ()).await.unwrap();
    hub.group("g").add_user("u").await.unwrap();
    let counts = |path: &str| [&a, &b, &c].map(|i| i.fake.count(&format!("/api/hubs/chat/{path}")));
    assert_eq!(counts("groups/g/:send"), [0, 1, 0]);
    assert_eq!(counts("users/u/:send"), [1, 1, 0]);
    assert_eq!(counts("users/u/groups/g"), [0, 1, 0]);
    for error in [
        hub.connection("x").send("m", ()).await.unwrap_err(),
        hub.negotiate(NegotiateOptions::for_user("nobody")).await.unwrap_err(),
    ] {
        assert!(matches!(&error, ServiceError::NoEndpointAvailable { failures } if failures.is_empty()));
        assert!(error.to_string().contains("the router chose none"), "{error}");
    }
    // Another hub may choose otherwise.
    let hub = hub.router(DefaultRouter);
    hub.group("g").send("m", ()).await.unwrap();
    assert_eq!(counts("groups/g/:send"), [1, 2, 1]);
    assert_eq!(targets(&hub, 90).await, urls([&a, &b, &c]));
}

/// Notes what requests are about, and chooses no endpoint, so that nothing is sent.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn note(&self, what: String) -> Vec<EndpointStatus> {
        self.0.lock().unwrap().push(what);
        Vec::new()
    }

    /// What the router was asked for a call.
    async fn by<T>(&self, call: impl Future<Output = Result<T, ServiceError>>) -> Vec<String> {
        assert!(matches!(call.await, Err(ServiceError::NoEndpointAvailable { .. })));
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl EndpointRouter for Asked {
    fn endpoints_for_broadcast(&self, _: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.note("all".to_owned())
    }

    fn endpoints_for_user(&self, id: &str, _: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.note(format!("user {id}"))
    }

    fn endpoints_for_group(&self, name: &str, _: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.note(format!("group {name}"))
    }

    fn endpoints_for_connection(&self, id: &str, _: &[EndpointStatus]) -> Vec<EndpointStatus> {
        self.note(format!("connection {id}"))
    }
}

#[tokio::test]
async fn every_operation_is_routed_by_what_it_addresses() {
    let endpoint = |name: &str| {
        ServiceEndpoint::new(&format!("https://{name}.example.com"), AccessKey::new(ACCESS_KEY)).unwrap()
    };
    let asked = Asked::default();
    let builder = ServiceClient::builder().endpoint(endpoint("a")).endpoint(endpoint("b"));
    let hub = builder.router(asked.clone()).build().unwrap().hub("chat").unwrap();
    let (user, group, connection) = (hub.user("a/b ä"), hub.group("users"), hub.connection("c"));
    let stream = connection.stream("1");

    assert_eq!(asked.by(hub.all().send("m", ())).await, ["all"]);
    assert_eq!(asked.by(hub.all().close_connections(None)).await, ["all"]);
    assert_eq!(asked.by(hub.execute("true", Commands::new())).await, ["all"]);

    assert_eq!(asked.by(user.send("m", ())).await, ["user a/b ä"]);
    assert_eq!(asked.by(user.exists()).await, ["user a/b ä"]);
    assert_eq!(asked.by(user.close_connections(None)).await, ["user a/b ä"]);
    assert_eq!(asked.by(user.remove_from_all_groups()).await, ["user a/b ä"]);

    assert_eq!(asked.by(group.send("m", ())).await, ["group users"]);
    assert_eq!(asked.by(group.exists()).await, ["group users"]);
    assert_eq!(asked.by(group.connections().try_next()).await, ["group users"]);
    assert_eq!(asked.by(group.add_connection("c")).await, ["connection c"]);
    assert_eq!(asked.by(group.add_user("u")).await, ["user u", "group users"]);
    assert_eq!(asked.by(group.contains_user("u")).await, ["user u", "group users"]);

    assert_eq!(asked.by(connection.send("m", ())).await, ["connection c"]);
    assert_eq!(asked.by(connection.invoke::<u32>("m", ())).await, ["connection c"]);
    assert_eq!(asked.by(connection.remove_from_all_groups()).await, ["connection c"]);
    assert_eq!(asked.by(connection.close(None)).await, ["connection c"]);
    assert_eq!(asked.by(stream.send(&1)).await, ["connection c"]);
}

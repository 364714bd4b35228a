//! The dashboard of the local service: every method of its hub, called by this crate's client, and who may see it.
#![cfg(all(feature = "dashboard", feature = "local", feature = "msgpack"))]

use std::time::Duration;

use hubwire::{
    CallError, HubConnection, HubStream,
    local::{LocalManagedIdentity, LocalService, LocalServiceBuilder, Role, ServiceMode},
    server::{Caller, HubServer, azure::AzureSignalR},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::wire::{SECRET, TENANT, Wire, application, client_token, sign, token_form, user_token};

const PATIENCE: Duration = Duration::from_secs(20);

fn builder() -> LocalServiceBuilder {
    LocalService::builder().dashboard(true)
}

/// A page that looks at the dashboard.
struct Page {
    hub: HubConnection,
    live: HubStream<Value>,
    /// What was seen so far.
    requests: Vec<Value>,
    last: Value,
}

impl Page {
    async fn open(wire: &Wire) -> Self {
        let hub = HubConnection::builder(format!("{}/dashboard/hub", wire.local.endpoint()));
        let hub = hub.connect().await.expect("the dashboard is there");
        let live = hub.stream("Watch", ()).await.expect("it can be watched");
        let mut page = Self { hub, live, requests: Vec::new(), last: Value::Null };
        page.next().await;
        page
    }

    async fn next(&mut self) {
        let item = timeout(PATIENCE, self.live.next()).await.expect("in time").expect("an item");
        let item = item.expect("no error");
        self.requests.extend(item["requests"].as_array().expect("a list").iter().cloned());
        self.last = item;
    }

    /// Waits for a request that matches.
    async fn request(&mut self, matches: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(found) = self.requests.iter().find(|request| matches(request)) {
                return found.clone();
            }
            self.next().await;
        }
    }

    /// Waits until the live view is as it has to be.
    async fn until(&mut self, is_so: impl Fn(&Value) -> bool) {
        while !is_so(&self.last) {
            self.next().await;
        }
    }

    async fn ask(&self, method: &str, argument: Value) -> Value {
        self.hub.invoke(method, (argument,)).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The text of the error that a call ends with.
    async fn refused(&self, method: &str, argument: Value) -> String {
        match self.hub.invoke::<Value>(method, (argument,)).await {
            Err(error @ CallError::Server(_)) => error.to_string(),
            other => panic!("{method}: {other:?}"),
        }
    }
}

fn is(kind: &str, name: &str, value: &str) -> impl Fn(&Value) -> bool {
    let (kind, name, value) = (kind.to_owned(), name.to_owned(), value.to_owned());
    move |request| request["kind"] == kind && request[&name] == value
}

#[tokio::test]
async fn it_shows_who_is_connected_and_what_was_asked() {
    let identity = LocalManagedIdentity::system_assigned(TENANT, "machine").role(Role::ServiceOwner);
    let service = builder().application(application("app", &[Role::RestApiOwner])).managed_identity(identity);
    let wire = Wire::start(service).await;
    let mut page = Page::open(&wire).await;
    let info: Value = page.hub.invoke("Info", ()).await.expect("it says what it is");
    assert_eq!(info["kind"], "local");
    assert_eq!(info["mode"], "serverless");
    assert_eq!(info["endpoint"], wire.local.endpoint());
    assert_eq!(info["connectionStrings"][0]["value"], wire.local.connection_string());
    assert_eq!(
        info["applications"],
        json!([{"tenant": TENANT, "clientId": "app", "roles": ["SignalR REST API Owner"]}])
    );
    assert_eq!(info["identities"], json!([{"clientId": "machine", "roles": ["SignalR Service Owner"]}]));
    assert_eq!(info["canSend"], true);

    let mut ann =
        wire.connect("chat", &client_token("chat", json!({"nameid": "ann", "role": ["x", "y"]}))).await;
    let id = ann.id.clone();
    let mut bob = wire.connect_user("bob").await;
    for group in ["g2", "g1"] {
        let path = format!("/api/hubs/chat/groups/{group}/connections/{id}");
        assert_eq!(wire.rest(Method::PUT, &path, None).await.status(), StatusCode::OK);
    }
    let hubs = json!([{"name": "chat", "connections": 2, "users": 2, "groups": 2}]);
    page.until(|item| item["hubs"] == hubs).await;
    ann.send(&[r#"{"type":1,"invocationId":"1","target":"Nothing","arguments":["marked"]}"#]).await;
    ann.message().await;

    let all = page.ask("Connections", json!({"offset": 0, "limit": 10})).await;
    assert_eq!(all["total"], 2);
    let first = &all["items"][0];
    assert_eq!((&first["id"], &first["user"], &first["hub"]), (&json!(id), &json!("ann"), &json!("chat")));
    assert_eq!((&first["transport"], &first["protocol"]), (&json!("WebSockets"), &json!("json")));
    assert_eq!((&first["groups"], &first["groupCount"]), (&json!(["g1", "g2"]), &json!(2)));
    assert_eq!(first["messagesIn"], 1);
    assert!(first["bytesIn"].as_u64() > Some(50) && first["bytesOut"].as_u64() > Some(50), "{first}");
    for (filter, total) in [
        (json!({"hub": "chat"}), 2),
        (json!({"hub": "news"}), 0),
        (json!({"group": "g1"}), 1),
        (json!({"user": "bob"}), 1),
        (json!({"user": "bob", "group": "g1"}), 0),
        (json!({"search": "AN"}), 1),
        (json!({"search": id}), 1),
    ] {
        assert_eq!(page.ask("Connections", filter.clone()).await["total"], total, "{filter}");
    }
    let users = page.ask("Users", json!({"search": "b"})).await;
    assert_eq!(users, json!({"total": 1, "items": [{"hub": "chat", "name": "bob", "connections": 1}]}));
    let groups = page.ask("Groups", json!({"offset": 1, "limit": 5})).await;
    assert_eq!(groups, json!({"total": 2, "items": [{"hub": "chat", "name": "g2", "connections": 1}]}));
    let one: Value = page.hub.invoke("Connection", ("chat", &id)).await.expect("it is there");
    let claims = json!([{"name": "nameid", "value": "ann"}, {"name": "role", "value": "x"}, {"name": "role", "value": "y"}]);
    assert_eq!((&one["claims"], &one["stateful"], &one["waitingBytes"]), (&claims, &json!(false), &json!(0)));
    assert_eq!(page.hub.invoke::<Value>("Connection", ("news", &id)).await.ok(), Some(Value::Null));

    page.request(|request| is("negotiate", "user", "ann")(request) && request["status"] == 200).await;
    page.request(|request| is("connect", "connection", &id)(request) && request["method"] == "WebSockets")
        .await;
    let call = page.request(is("call", "target", "Nothing")).await;
    assert!(
        call["outcome"] == "error" && call["reason"].as_str().unwrap_or_default().contains("no upstream"),
        "{call}"
    );
    let rest = page.request(is("rest", "path", &format!("/api/hubs/chat/groups/g1/connections/{id}"))).await;
    assert_eq!(
        (&rest["hub"], &rest["status"], &rest["outcome"]),
        (&json!("chat"), &json!(200), &json!("ok"))
    );

    wire.entra_token("app").await;
    page.request(is("token", "outcome", "ok")).await;
    wire.entra(TENANT, &token_form("nobody")).await;
    let refused = page.request(is("token", "outcome", "error")).await;
    assert!(refused["reason"].as_str().unwrap_or_default().contains("nobody"), "{refused}");
    let identity =
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://signalr.azure.com";
    wire.request(Method::GET, identity).send().await.unwrap();
    page.request(is("identity", "outcome", "error")).await;

    let closed = page
        .ask(
            "Close",
            json!({"hub": "chat", "connection": bob.id, "reason": "enough", "allowReconnect": true}),
        )
        .await;
    assert_eq!(closed, json!({"closed": true}));
    assert_eq!(bob.closed().await, (Some("enough".to_owned()), true));
    page.request(is("disconnect", "user", "bob")).await;
    let closed = page.ask("Close", json!({"hub": "chat", "connection": "nobody"})).await;
    assert_eq!(closed, json!({"closed": false}));
    ann.leave().await;
    page.until(|item| item["hubs"] == json!([])).await;
    assert!(page.last["traffic"]["bytesIn"].as_u64() > Some(50), "what has ended still counts");
}

#[tokio::test]
async fn it_sends_to_whom_it_is_told() {
    let wire = Wire::start(builder()).await;
    let mut page = Page::open(&wire).await;
    let mut ann = wire.connect_user("ann").await;
    let mut bob = wire.connect_user("bob").await;
    let path = format!("/api/hubs/chat/groups/g/connections/{}", bob.id);
    wire.rest(Method::PUT, &path, None).await;
    for (to, name, connections) in [
        ("all", None, 2),
        ("user", Some("ann".to_owned()), 1),
        ("group", Some("g".to_owned()), 1),
        ("connection", Some(ann.id.clone()), 1),
    ] {
        let form =
            json!({"hub": "chat", "to": to, "name": name, "target": to, "arguments": [1, {"a": "ü"}, null]});
        assert_eq!(page.ask("Send", form).await, json!({ "connections": connections }), "{to}");
    }
    for target in ["all", "user", "connection"] {
        let message = json!({"type": 1, "target": target, "arguments": [1, {"a": "ü"}, null]});
        assert_eq!(ann.message().await, Some(message));
    }
    assert_eq!((bob.target().await, bob.target().await), ("all".to_owned(), "group".to_owned()));
    page.request(|request| is("send", "target", "user")(request) && request["user"] == "ann").await;

    let long = "x".repeat(70_000);
    for (form, expected) in [
        (
            json!({"hub": "chat", "to": "user", "name": "cid", "target": "m", "arguments": []}),
            "The user cid has no connection",
        ),
        (
            json!({"hub": "chat", "to": "group", "name": "h", "target": "m", "arguments": []}),
            "Nobody is in the group h",
        ),
        (
            json!({"hub": "news", "to": "all", "target": "m", "arguments": []}),
            "Nobody is connected to the hub news",
        ),
        (json!({"hub": "chat", "to": "user", "target": "m", "arguments": []}), "Say which user"),
        (json!({"hub": "chat", "to": "all", "target": " ", "arguments": []}), "Name the method"),
        (json!({"hub": "chat", "to": "all", "target": "m", "arguments": [long]}), "65536 is the most"),
        (
            json!({"hub": "chat", "to": "all", "target": "x".repeat(2_000), "arguments": []}),
            "at most 1024 bytes",
        ),
    ] {
        let error = page.refused("Send", form).await;
        assert!(error.contains(expected), "{error}");
    }
    let error = page.refused("Connections", json!({"search": "x".repeat(201)})).await;
    assert!(error.contains("at most 200 characters"), "{error}");
}

#[tokio::test]
async fn it_reads_tokens() {
    let wire = Wire::start(builder().application(application("app", &[Role::RestApiOwner]))).await;
    let page = Page::open(&wire).await;
    let good = page.ask("ReadToken", json!(format!("Bearer {}", user_token("ann")))).await;
    assert_eq!((&good["signature"], &good["problems"]), (&json!("valid"), &json!([])), "{good}");
    assert_eq!(
        (&good["hub"], &good["user"], &good["header"]["alg"]),
        (&json!("chat"), &json!("ann"), &json!("HS256"))
    );
    let of = |claims: Value| sign(crate::wire::KEY, None, &claims);
    let audience = "http://127.0.0.1/client/?hub=chat";
    for (token, signature, problem) in [
        (of(json!({"aud": audience, "exp": 1})), "valid", "It has expired"),
        (of(json!({"aud": audience})), "valid", "It has no `exp`"),
        (
            of(json!({"aud": "http://else.example/client/?hub=chat", "exp": crate::wire::now() + 60})),
            "valid",
            "audience",
        ),
        (
            of(json!({"aud": audience, "exp": crate::wire::now() + 60, "nbf": crate::wire::now() + 30})),
            "valid",
            "not valid yet",
        ),
        (
            sign("another key", None, &json!({"aud": audience, "exp": crate::wire::now() + 60})),
            "wrongKey",
            "not signed with an access key",
        ),
        (
            of(json!({"aud": audience, "exp": crate::wire::now() + 60, "x": "y".repeat(5_000)})),
            "valid",
            "the service takes 4096",
        ),
    ] {
        let read = page.ask("ReadToken", json!(token)).await;
        assert_eq!(read["signature"], signature, "{read}");
        assert!(read["problems"].to_string().contains(problem), "{read}");
    }
    let entra = page.ask("ReadToken", json!(wire.entra_token("app").await)).await;
    assert_eq!((&entra["signature"], &entra["problems"]), (&json!("valid"), &json!([])), "{entra}");
    let error = page.refused("ReadToken", json!("no token")).await;
    assert!(error.contains("three, separated by dots"), "{error}");
}

#[tokio::test]
async fn in_default_mode_it_shows_app_servers() {
    let wire = Wire::start(builder().service_mode(ServiceMode::Default)).await;
    let mut page = Page::open(&wire).await;
    let azure = AzureSignalR::from_connection_string("chat", &wire.local.connection_string());
    let hub = HubServer::builder().on("Add", |_: Caller, a: i32, b: i32| async move { Ok(a + b) });
    let hub = hub.azure(azure.initial_hub_server_connection_count(2)).unwrap().build();
    timeout(PATIENCE, hub.ready()).await.expect("it is connected");
    page.until(|item| {
        item["hubs"] == json!([{"name": "chat", "connections": 0, "users": 0, "groups": 0, "servers": 2}])
    })
    .await;
    page.request(|request| request["kind"] == "server" && request["status"] == 101).await;
    let mut ann = wire.connect_user("ann").await;
    ann.send(&[r#"{"type":6}"#, r#"{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}"#]).await;
    assert_eq!(ann.message().await, Some(json!({"type": 3, "invocationId": "1", "result": 3})));
    let all = page.ask("Connections", json!({})).await;
    let item = &all["items"][0];
    assert!(item["server"].is_string(), "{item}");
    assert_eq!((&item["messagesIn"], &item["user"]), (&json!(1), &json!("ann")), "{item}");
    page.request(is("connect", "user", "ann")).await;
    drop(hub);
    page.request(|request| request["kind"] == "server" && request["reason"].is_string()).await;
}

#[tokio::test]
async fn secrets_never_get_in() {
    const MARK: &str = "MARKEDSECRET";
    let wire = Wire::start(builder().application(application("app", &[Role::RestApiOwner]))).await;
    let mut page = Page::open(&wire).await;
    let query = format!("hub=chat&access_token={MARK}&ticket={MARK}&id={MARK}");
    for (method, path) in [
        (Method::POST, format!("/client/negotiate?{query}")),
        (Method::GET, format!("/client/?{query}")),
        (Method::POST, format!("/client/?{query}")),
        (Method::GET, format!("/server/?{query}")),
        (Method::GET, format!("/metadata/identity/oauth2/token?{query}")),
        (Method::GET, format!("/msi/token?{query}")),
        (Method::POST, format!("/api/hubs/chat/:send?api-version=2024-12-01&{query}")),
        (Method::GET, format!("/nowhere?{query}")),
    ] {
        let request = wire.request(method, &path).bearer_auth(MARK).header("x-identity-header", MARK);
        request.body(format!(r#"{{"target":"{MARK}"}}"#)).send().await.unwrap();
    }
    wire.entra(
        TENANT,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_secret", MARK),
            ("scope", "s"),
        ],
    )
    .await;
    let mut ann = wire.connect_user("ann").await;
    let call = format!(r#"{{"type":1,"invocationId":"1","target":"m","arguments":["{MARK}"]}}"#);
    ann.send(&[&call]).await;
    ann.message().await;
    page.request(is("call", "target", "m")).await;
    let kinds: std::collections::BTreeSet<_> =
        page.requests.iter().map(|request| request["kind"].to_string()).collect();
    assert!(kinds.len() >= 7, "{kinds:?}");
    let one: Value = page.hub.invoke("Connection", ("chat", &ann.id)).await.expect("it is there");
    for shown in [json!(page.requests), one] {
        let shown = shown.to_string();
        assert!(!shown.contains(MARK) && !shown.contains(SECRET) && !shown.contains("eyJ0eXAi"), "{shown}");
    }
}

#[tokio::test]
async fn only_its_own_page_may_use_it() {
    let wire = Wire::start(builder().allow_origin("https://app.example")).await;
    let get = |path: &str| wire.request(Method::GET, path).header("accept-encoding", "gzip");
    let answer = get("/dashboard/").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    assert_eq!(
        (&headers["content-encoding"], &headers["x-content-type-options"]),
        (&"gzip".parse().unwrap(), &"nosniff".parse().unwrap())
    );
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe-inline"), "{policy}");
    let again = get("/dashboard/").header("if-none-match", &headers["etag"]).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    for (path, status) in [
        ("/dashboard/page.js", 200),
        ("/dashboard/page.css", 200),
        ("/dashboard/x", 404),
        ("/dashboardx", 404),
    ] {
        assert_eq!(get(path).send().await.unwrap().status(), status, "{path}");
    }
    let plain =
        wire.request(Method::GET, "/dashboard/").header("accept-encoding", "identity").send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::NOT_ACCEPTABLE);

    let negotiate = || wire.request(Method::POST, "/dashboard/hub/negotiate?negotiateVersion=1");
    assert_eq!(negotiate().send().await.unwrap().status(), StatusCode::OK);
    let own = negotiate().header("origin", wire.local.endpoint()).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
    // Another server on this machine, a page that clients of the service may come from, and everybody else's.
    for origin in ["http://localhost:1", "https://app.example", "https://evil.example", "null"] {
        let refused = negotiate().header("origin", origin).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{origin}");
        let refused = get("/dashboard/").header("origin", origin).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let rebound = negotiate().header("host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn there_is_none_unless_it_is_asked_for_or_where_it_would_give_the_key_away() {
    let open = std::net::Ipv4Addr::UNSPECIFIED;
    for (service, expected) in [
        (LocalService::builder(), StatusCode::NOT_FOUND),
        (builder().address(open).access_key("a key of one's own"), StatusCode::FORBIDDEN),
        (builder().address(open).local_auth(false), StatusCode::FORBIDDEN),
        (builder().address(open), StatusCode::OK),
        (builder().access_key("a key of one's own"), StatusCode::OK),
    ] {
        let local = service.start().await.unwrap();
        let url = format!("http://127.0.0.1:{}/dashboard/", local.port());
        let answer = Wire::http().get(url).header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(answer.status(), expected);
        local.stop().await;
    }
}

#[tokio::test]
async fn it_shows_what_upstreams_are_asked() {
    let app = axum::Router::new().route(
        "/chat/{event}",
        axum::routing::post(
            async |axum::extract::Path(event): axum::extract::Path<String>| {
                if event == "Refuse" { StatusCode::FORBIDDEN } else { StatusCode::OK }
            },
        ),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let upstream = format!("http://{address}/{{hub}}/{{event}}?code=MARKEDSECRET");
    let wire = Wire::start(builder().upstream(upstream)).await;
    let mut page = Page::open(&wire).await;
    let mut ann = wire.connect_user("ann").await;
    for target in ["Allow", "Refuse"] {
        let call = json!({"type": 1, "invocationId": target, "target": target, "arguments": []});
        ann.send(&[&call.to_string()]).await;
        ann.message().await;
    }
    let refused = page.request(is("upstream", "target", "Refuse")).await;
    let outcome = (&refused["path"], &refused["status"], &refused["outcome"], &refused["user"]);
    assert_eq!(outcome, (&json!("/chat/Refuse"), &json!(403), &json!("error"), &json!("ann")), "{refused}");
    let allowed = page.request(is("upstream", "target", "Allow")).await;
    assert_eq!((&allowed["outcome"], &allowed["ms"].is_number()), (&json!("ok"), &true), "{allowed}");
    page.request(is("upstream", "target", "connections/connected")).await;
    let info: Value = page.hub.invoke("Info", ()).await.expect("it says what it is");
    let shown = format!("{info} {:?}", page.requests);
    assert!(!shown.contains("MARKEDSECRET"), "{shown}");
}

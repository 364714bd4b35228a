//! The dashboard of hosted hubs: as a layer, who may see it, what it shows, and what it does not let itself be made do.
#![cfg(feature = "dashboard")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::Router;
use futures_util::{StreamExt as _, stream};
use hubwire::{
    HubConnection, HubStream,
    dashboard::DashboardLayer,
    server::{Caller, HubError, HubServer, HubServerBuilder, Identity, Rejection, backplane},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::{conformance_hub::in_time, plain_http::plain_http};

/// A hub whose clients are who they say in the query.
pub(crate) fn chat() -> HubServerBuilder {
    HubServer::builder()
        .authenticate(|request| {
            let user = request.query("user").map(str::to_owned);
            async move {
                let user = user.ok_or_else(|| Rejection::new(StatusCode::UNAUTHORIZED, "say who you are"))?;
                Ok::<_, Rejection>(Identity::user(user).claim("role", "guest"))
            }
        })
        .on("Join", |caller: Caller, group: String| async move {
            caller.groups().add(caller.connection_id(), &group).await?;
            Ok(())
        })
        .on("Fail", |_: Caller, _: String| async move { Err::<(), _>(HubError::new("it went wrong")) })
        .on("Hide", |_: Caller| async move { Err::<(), _>(HubError::hidden("a password")) })
        .stream("Count", |_: Caller, to: u32| stream::iter((0..to).map(Ok)))
}

/// Serves an app, with the address of the peer.
pub(crate) async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

async fn connect(url: &str) -> HubConnection {
    in_time(HubConnection::builder(url).connect()).await.expect("it connects")
}

async fn ask(page: &HubConnection, method: &str, argument: Value) -> Value {
    in_time(page.invoke(method, (argument,))).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Reads on until a request matches.
async fn request(live: &mut HubStream<Value>, matches: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            let item = live.next().await.expect("an item").expect("no error");
            let requests = item["requests"].as_array().expect("a list");
            if let Some(found) = requests.iter().find(|request| matches(request)) {
                return found.clone();
            }
        }
    };
    in_time(found).await
}

/// What a page does with the hub of [`chat`], which has no client yet: it sees one come, what it calls, and that it goes, and
/// reaches it in every way.
pub(crate) async fn shows_a_client(url: &str, hub_url: &str, mode: &str) {
    let files = plain_http().build().expect("a client").get(format!("{url}/dashboard/"));
    let files = files.header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(files.status(), 200);
    let page = connect(&format!("{url}/dashboard/hub")).await;
    let info: Value = page.invoke("Info", ()).await.expect("it says what it is");
    assert_eq!(info["mode"], mode);
    let mut live = page.stream::<Value>("Watch", ()).await.expect("it can be watched");

    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let ann = HubConnection::builder(format!("{hub_url}?user=ann"))
        .on("Said", move |text: String| told.send(text).unwrap_or_default());
    let ann = in_time(ann.connect()).await.expect("it connects");
    let id = ann.connection_id().expect("an id");
    request(&mut live, |request| request["kind"] == "connect" && request["user"] == "ann").await;
    ann.invoke::<()>("Join", ("g",)).await.expect("it joins");
    ann.invoke::<()>("Fail", ("",)).await.expect_err("it fails");
    let failed = request(&mut live, |request| request["kind"] == "call" && request["target"] == "Fail").await;
    assert_eq!((&failed["connection"], &failed["outcome"]), (&json!(id), &json!("error")), "{failed}");
    let all = ask(&page, "Connections", json!({})).await;
    assert_eq!((&all["total"], &all["items"][0]["id"]), (&json!(1), &json!(id)), "{all}");

    for (to, name) in [("all", None), ("user", Some("ann")), ("group", Some("g")), ("connection", Some(&*id))]
    {
        let form = json!({"hub": "chat", "to": to, "name": name, "target": "Said", "arguments": [to]});
        ask(&page, "Send", form).await;
        assert_eq!(in_time(heard.recv()).await.as_deref(), Some(to));
    }
    let form = json!({"hub": "chat", "connection": id, "allowReconnect": false});
    assert_eq!(ask(&page, "Close", form).await, json!({"closed": true}));
    in_time(ann.closed()).await;
    request(&mut live, |request| request["kind"] == "disconnect" && request["connection"] == id).await;
    assert_eq!(ask(&page, "Connections", json!({})).await["total"], 0);
    page.stop().await;
}

#[tokio::test]
async fn it_is_there_without_axum() {
    let hub = chat().build();
    let app = DashboardLayer::new().hub_as("chat", &hub).layer(hub);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((socket, peer)) = listener.accept().await {
            let app = app.clone();
            let service = service_fn(move |mut request: http::Request<Incoming>| {
                request.extensions_mut().insert(peer);
                app.clone().call(request)
            });
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection_with_upgrades(TokioIo::new(socket), service).await
            });
        }
    });
    shows_a_client(&url, &format!("{url}/"), "selfHosted").await;
}

#[tokio::test]
async fn it_shows_the_calls_of_several_hubs() {
    let (chat, news) = (chat().build(), HubServer::builder().service_name("news").build());
    let layer = DashboardLayer::new().hub_as("chat", &chat).hub(&news);
    let app = Router::new().nest_service("/chat", chat.clone()).nest_service("/news", news).layer(layer);
    let url = serve(app).await;
    let page = connect(&format!("{url}/dashboard/hub")).await;
    let mut live = page.stream::<Value>("Watch", ()).await.expect("it can be watched");
    let first = in_time(live.next()).await.expect("an item").expect("no error");
    let hub = |name: &str| json!({"name": name, "connections": 0, "users": 0, "groups": 0});
    assert_eq!(first["hubs"], json!([hub("chat"), hub("news")]));
    let info: Value = page.invoke("Info", ()).await.expect("it says what it is");
    assert_eq!(
        (&info["kind"], &info["mode"], &info["note"]),
        (&json!("hosted"), &json!("selfHosted"), &Value::Null)
    );

    let ann = connect(&format!("{url}/chat?user=ann&ticket=MARKED")).await;
    let other = connect(&format!("{url}/news")).await;
    let id = ann.connection_id().expect("an id");
    ann.invoke::<()>("Join", ("g",)).await.expect("it joins");
    ann.invoke::<()>("Fail", ("MARKED",)).await.expect_err("it fails");
    ann.invoke::<()>("Hide", ()).await.expect_err("it fails");
    ann.invoke::<()>("Unknown", ()).await.expect_err("there is none");
    let counted: Vec<_> = ann.stream::<u32>("Count", (3,)).await.expect("a stream").collect().await;
    assert_eq!(counted.len(), 3);
    HubConnection::builder(format!("{url}/chat?ticket=MARKED")).connect().await.expect_err("it is refused");

    let mut seen: Vec<Value> = Vec::new();
    let refused = |request: &Value| request["kind"] == "negotiate" && request["status"] == 401;
    while !seen.iter().any(refused) {
        let item = in_time(live.next()).await.expect("an item").expect("no error");
        seen.extend(item["requests"].as_array().expect("a list").clone());
    }
    let call = |target: &str| {
        let found = seen.iter().find(|request| request["kind"] == "call" && request["target"] == target);
        found.unwrap_or_else(|| panic!("{target}: {seen:?}"))
    };
    for target in ["Join", "Count"] {
        let call = call(target);
        assert_eq!(
            (&call["outcome"], &call["hub"], &call["user"]),
            (&json!("ok"), &json!("chat"), &json!("ann")),
            "{call}"
        );
        assert!(call["ms"].is_number());
    }
    assert!(call("Fail")["reason"].as_str().is_some_and(|reason| reason.contains("it went wrong")));
    assert!(
        call("Unknown")["reason"].as_str().is_some_and(|reason| reason.contains("Method does not exist"))
    );
    assert!(
        seen.iter().any(|request| refused(request)
            && request["reason"] == "say who you are"
            && request["path"] == "/chat/negotiate"),
        "{seen:?}"
    );
    assert!(seen.iter().any(|request| request["kind"] == "connect" && request["hub"] == "news"));
    let shown = json!(seen).to_string();
    assert!(!shown.contains("MARKED") && !shown.contains("a password"), "{shown}");

    let methods = ask(&page, "Methods", json!({"hub": "chat"})).await;
    let of = |name: &str| {
        let item = methods["items"].as_array().expect("a list").iter().find(|item| item["name"] == name);
        item.map(|item| (item["calls"].clone(), item["errors"].clone()))
    };
    assert_eq!(of("Join"), Some((json!(1), json!(0))));
    assert_eq!(of("Fail"), Some((json!(1), json!(1))));
    assert_eq!(of("Count"), Some((json!(1), json!(0))));

    let all = ask(&page, "Connections", json!({"limit": 1})).await;
    assert_eq!((&all["total"], &all["items"][0]["hub"]), (&json!(2), &json!("chat")));
    let next = ask(&page, "Connections", json!({"offset": 1})).await;
    assert_eq!(next["items"][0]["hub"], "news");
    let one: Value = page.invoke("Connection", ("chat", &id)).await.expect("it is there");
    assert_eq!(
        (&one["claims"], &one["groups"]),
        (&json!([{"name": "role", "value": "guest"}]), &json!(["g"]))
    );
    assert_eq!(ask(&page, "Groups", json!({})).await["items"][0]["hub"], "chat");

    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let _said = ann.on("Said", move |text: String| told.send(text).unwrap_or_default());
    let form = json!({"hub": "chat", "to": "group", "name": "g", "target": "Said", "arguments": ["hello"]});
    assert_eq!(ask(&page, "Send", form).await, json!({"connections": 1}));
    assert_eq!(in_time(heard.recv()).await.as_deref(), Some("hello"));
    let form = json!({"hub": "chat", "connection": id, "allowReconnect": false});
    assert_eq!(ask(&page, "Close", form).await, json!({"closed": true}));
    request(&mut live, |request| request["kind"] == "disconnect" && request["connection"] == id).await;
    other.stop().await;
}

#[tokio::test]
async fn calls_that_went_well_are_not_kept_while_nobody_watches() {
    let hub = chat().build();
    let layer = DashboardLayer::new().hub(&hub);
    let url = serve(Router::new().nest_service("/chat", hub).layer(layer)).await;
    let ann = connect(&format!("{url}/chat?user=ann")).await;
    ann.invoke::<()>("Join", ("g",)).await.expect("it joins");
    ann.invoke::<()>("Fail", ("",)).await.expect_err("it fails");
    let page = connect(&format!("{url}/dashboard/hub")).await;
    let mut live = page.stream::<Value>("Watch", ()).await.expect("it can be watched");
    let first = in_time(live.next()).await.expect("an item").expect("no error");
    let targets: Vec<_> =
        first["requests"].as_array().expect("a list").iter().map(|r| r["target"].clone()).collect();
    assert!(targets.contains(&json!("Fail")) && !targets.contains(&json!("Join")), "{targets:?}");
}

#[tokio::test]
async fn it_lets_nobody_in_who_may_not() {
    let http = plain_http().build().expect("a client");
    let hub = chat().build();
    let get = |url: String, headers: Vec<(&'static str, &'static str)>| {
        let request = http.get(url).header("accept-encoding", "gzip");
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        async move { request.send().await.expect("an answer") }
    };
    // By default: this machine, by its own name.
    let app = || -> Router { Router::new().nest_service("/chat", hub.clone()) };
    let url = serve(app().layer(DashboardLayer::new().hub(&hub))).await;
    assert_eq!(get(format!("{url}/dashboard/"), vec![]).await.status(), 200);
    for headers in
        [("host", "app.example"), ("x-forwarded-for", "10.0.0.1"), ("origin", "https://evil.example")]
    {
        for path in
            ["/dashboard", "/dashboard/", "/dashboard/page.js", "/dashboard/hub", "/dashboard/hub/negotiate"]
        {
            assert_eq!(get(format!("{url}{path}"), vec![headers]).await.status(), 403, "{path} {headers:?}");
        }
    }
    assert_eq!(get(format!("{url}/elsewhere"), vec![]).await.status(), 404, "the app's own");

    // A stack that does not say where requests come from.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let blind = format!("http://{}/dashboard/", listener.local_addr().expect("an address"));
    let blind_app = app().layer(DashboardLayer::new().hub(&hub));
    tokio::spawn(async move { axum::serve(listener, blind_app).await });
    let answer = get(blind, vec![]).await;
    assert_eq!(answer.status(), 403);
    let text = answer.text().await.expect("a text");
    assert!(text.contains("into_make_service_with_connect_info") && text.contains("authorize"), "{text}");

    // A rule of the app's.
    let rule =
        DashboardLayer::new().hub(&hub).path("/ops").authorize(|parts| parts.headers.contains_key("x-admin"));
    let url = serve(app().layer(rule)).await;
    for path in ["/ops", "/ops/", "/ops/hub/negotiate"] {
        assert_eq!(get(format!("{url}{path}"), vec![]).await.status(), 403, "{path}");
    }
    let admin = [("x-admin", "1"), ("host", "app.example")];
    assert_eq!(get(format!("{url}/ops/"), admin.to_vec()).await.status(), 200);
    HubConnection::builder(format!("{url}/ops/hub")).connect().await.expect_err("it is refused");
    let page = HubConnection::builder(format!("{url}/ops/hub")).with_header("x-admin", "1");
    let page = in_time(page.connect()).await.expect("it is let in");
    page.stop().await;
}

#[tokio::test]
async fn a_dashboard_that_only_reads_changes_nothing() {
    let hub = chat().build();
    let layer = DashboardLayer::new().hub_as("chat", &hub).read_only();
    let url = serve(Router::new().nest_service("/chat", hub).layer(layer)).await;
    let ann = connect(&format!("{url}/chat?user=ann")).await;
    let page = connect(&format!("{url}/dashboard/hub")).await;
    let info: Value = page.invoke("Info", ()).await.expect("it says what it is");
    assert_eq!((&info["canSend"], &info["canClose"]), (&json!(false), &json!(false)));
    let form = json!({"hub": "chat", "to": "all", "target": "m", "arguments": []});
    let error = page.invoke::<Value>("Send", (form,)).await.expect_err("it may not").to_string();
    assert!(error.contains("not allowed to send"), "{error}");
    let form = json!({"hub": "chat", "connection": ann.connection_id(), "allowReconnect": false});
    let error = page.invoke::<Value>("Close", (form,)).await.expect_err("it may not").to_string();
    assert!(error.contains("not allowed to close"), "{error}");
    ann.invoke::<()>("Join", ("g",)).await.expect("it is still there");
}

#[tokio::test]
async fn a_hub_with_a_backplane_says_that_there_are_others() {
    let memory = backplane::InMemoryBackplane::new();
    let hub = chat().backplane("chat", memory).build();
    let layer = DashboardLayer::new().hub_as("chat", &hub);
    let url = serve(Router::new().nest_service("/chat", hub).layer(layer)).await;
    let page = connect(&format!("{url}/dashboard/hub")).await;
    let info: Value = page.invoke("Info", ()).await.expect("it says what it is");
    assert_eq!(info["mode"], "farm");
    assert!(info["note"].as_str().is_some_and(|note| note.contains("this server")), "{info}");
    // Whom it goes to elsewhere is not known.
    let form = json!({"hub": "chat", "to": "user", "name": "ann", "target": "m", "arguments": []});
    assert_eq!(ask(&page, "Send", form).await, json!({"connections": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_are_paged() {
    const COUNT: usize = 10_000;
    let hub = chat().build();
    let layer = DashboardLayer::new().hub_as("chat", &hub);
    let url = serve(Router::new().nest_service("/chat", hub.clone()).layer(layer)).await;
    let mut clients = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let identity = Identity::user(format!("user {}", number % 1_000));
        clients.push(hub.connect_in_memory(identity).await.expect("it connects"));
    }
    let page = connect(&format!("{url}/dashboard/hub")).await;
    let mut live = page.stream::<Value>("Watch", ()).await.expect("it can be watched");
    let begun = Instant::now();
    let first = in_time(live.next()).await.expect("an item").expect("no error");
    assert_eq!(first["hubs"][0]["connections"], COUNT);
    let mut ids = std::collections::HashSet::new();
    for offset in (0..COUNT).step_by(2_000) {
        let answer = ask(&page, "Connections", json!({"offset": offset, "limit": 5_000})).await;
        assert_eq!((&answer["total"], answer["items"].as_array().map(Vec::len)), (&json!(COUNT), Some(200)));
        ids.extend(answer["items"].as_array().expect("a list").iter().map(|item| item["id"].to_string()));
    }
    assert_eq!(ids.len(), 1_000, "pages do not overlap");
    let found = ask(&page, "Connections", json!({"search": "USER 77", "limit": 5})).await;
    assert_eq!((&found["total"], found["items"].as_array().map(Vec::len)), (&json!(110), Some(5)));
    assert_eq!(ask(&page, "Users", json!({"search": "user 99"})).await["total"], 11);
    // A page takes milliseconds even in a build without optimization; this is far from what a test machine may take.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// A page that asks and does not read: it waits for its own connection only, and is cut.
#[tokio::test]
async fn a_page_that_does_not_read_is_cut() {
    let hub = chat().build();
    let layer = DashboardLayer::new().hub_as("chat", &hub).client_timeout_interval(Duration::from_secs(2));
    let url = serve(Router::new().nest_service("/chat", hub.clone()).layer(layer)).await;
    let mut clients = Vec::new();
    for number in 0..200 {
        let identity = Identity::user(format!("{number:0>500}"));
        clients.push(hub.connect_in_memory(identity).await.expect("it connects"));
    }
    let address = url.strip_prefix("http://").expect("an address");
    let mut socket = TcpStream::connect(address).await.expect("it connects");
    let head = format!(
        "GET /dashboard/hub HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("it is sent");
    let mut answer = [0; 1024];
    let read = socket.read(&mut answer).await.expect("an answer");
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"));
    socket.write_all(&text_frame("{\"protocol\":\"json\",\"version\":1}\u{1e}")).await.expect("it is sent");
    // Asks for megabytes, and pings so as not to be silent, but takes nothing.
    let call = "{\"type\":1,\"invocationId\":\"ID\",\"target\":\"Connections\",\"arguments\":[{}]}\u{1e}{\"type\":6}\u{1e}";
    let asking = async {
        for number in 0_u64.. {
            let frame = text_frame(&call.replace("ID", &number.to_string()));
            if socket.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), asking).await.expect("it is cut");
    // Others see what there is to see meanwhile.
    let page = connect(&format!("{url}/dashboard/hub")).await;
    assert_eq!(ask(&page, "Users", json!({})).await["total"], 200);
}

/// A masked text frame whose mask is zero.
fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((text.len() as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

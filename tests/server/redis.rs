//! A hub that Rust and ASP.NET Core host together on Redis, with the official clients and this crate's on both.

use std::{path::Path, process::Child, time::Duration};

use hubwire::{
    HubProtocol,
    server::{
        backplane::{Emitter, RedisBackplane},
        error::ClientResultError,
    },
};
use serde_json::{Value, json};

use crate::backplane::{Client, NAME, Server};
use crate::conformance_hub::in_time;
use crate::redis_server::{Observer, RedisServer};
use crate::support::{dotnet::Dotnet, reference_dir, skipped, start_reference_hub};

/// What ASP.NET Core and Rust both connect by.
fn connection_string(redis: &RedisServer) -> String {
    format!("127.0.0.1:{},channelPrefix=app:,abortConnect=False", redis.port)
}

fn channel(name: &str) -> String {
    format!("app:{NAME}:{name}")
}

/// A server of the same hub in ASP.NET Core.
struct AspNetCore {
    _child: Child,
    base: String,
}

impl AspNetCore {
    fn start(dir: &Path, redis: &RedisServer) -> Self {
        let (child, said) = start_reference_hub(dir, &["hub11", "--redis", &connection_string(redis)]);
        Self { _child: child, base: said["url"].as_str().expect("an address").to_owned() }
    }

    fn url(&self) -> String {
        format!("{}/secure", self.base)
    }

    async fn token(&self, user: &str) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = reqwest::get(format!("{}/token?user={user}", self.base)).await.expect("an answer");
        token.text().await.expect("a token").trim().trim_matches('"').to_owned()
    }

    async fn connect(&self, user: &str, protocol: HubProtocol) -> Client {
        Client::connect(&self.url(), &self.token(user).await, protocol).await
    }
}

/// The official client, connected, and its id.
async fn official(url: &str, token: &str, protocol: &str) -> (Dotnet, String) {
    let mut client = Dotnet::spawn_11();
    let options = json!({"url": url, "protocol": protocol, "transport": "webSockets", "token": token});
    client.command("build", options).await;
    client.command("on", json!({"target": "News"})).await;
    client.command("answer", json!({"target": "Question", "result": "forty-two"})).await;
    client.command("answer", json!({"target": "Trouble", "error": "no idea"})).await;
    let started = client.command("start", json!({})).await;
    let id = started["connectionId"].as_str().expect("an id").to_owned();
    call(&mut client, "Void", json!([])).await;
    (client, id)
}

async fn call(client: &mut Dotnet, target: &str, arguments: Value) {
    client.command("invoke", json!({"target": target, "arguments": arguments})).await;
}

/// The servers and their clients: the official client and ours on each.
struct Both {
    redis: RedisServer,
    theirs: AspNetCore,
    ours: Server,
    ann: (Dotnet, String),
    bob: (Dotnet, String),
    eve: Client,
    zoe: Client,
}

impl Both {
    async fn start(test: &str) -> Option<Self> {
        let Some(dir) = reference_dir() else {
            skipped(test, "no reference hub; HUBWIRE_REFERENCE_DIR names its folder");
            return None;
        };
        let redis = RedisServer::start(test).await?;
        let theirs = AspNetCore::start(&dir, &redis);
        let line = RedisBackplane::new(&connection_string(&redis)).expect("a connection string");
        let ours = Server::start(line).await;
        let token = theirs.token("ann").await;
        let ann = official(&theirs.url(), &token, "json").await;
        let bob = official(&ours.url, "bob", "messagepack").await;
        let eve = theirs.connect("eve", HubProtocol::MessagePack).await;
        let zoe = ours.connect("zoe", HubProtocol::Json).await;
        Some(Self { redis, theirs, ours, ann, bob, eve, zoe })
    }

    /// All clients hear this next.
    async fn all_hear(&mut self, number: i32) {
        assert_eq!(self.ann.0.message("News").await, json!([number]));
        assert_eq!(self.bob.0.message("News").await, json!([number]));
        self.eve.hears(json!(number)).await;
        self.zoe.hears(json!(number)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_and_asp_net_core_host_one_hub() {
    let Some(mut both) = Both::start("a hub of Rust and ASP.NET Core on Redis").await else { return };
    call(&mut both.ann.0, "ToAll", json!(["News", 1])).await;
    both.all_hear(1).await;
    call(&mut both.bob.0, "ToAll", json!(["News", 2])).await;
    both.all_hear(2).await;
    both.eve.call("ToOthers", ("News", 3)).await;
    both.zoe.hears(json!(3)).await;
    both.zoe.call("ToOthers", ("News", 4)).await;
    both.eve.hears(json!(4)).await;
    for number in 3..=4 {
        assert_eq!(both.ann.0.message("News").await, json!([number]));
        assert_eq!(both.bob.0.message("News").await, json!([number]));
    }
    both.eve.call("ToUser", ("zoe", "News", 5)).await;
    both.zoe.hears(json!(5)).await;
    both.zoe.call("ToUser", ("eve", "News", 6)).await;
    both.eve.hears(json!(6)).await;
    call(&mut both.ann.0, "ToConnection", json!([both.bob.1, "News", 7])).await;
    assert_eq!(both.bob.0.message("News").await, json!([7]));
    call(&mut both.bob.0, "ToConnection", json!([both.ann.1, "News", 8])).await;
    assert_eq!(both.ann.0.message("News").await, json!([8]));

    groups(&mut both).await;
    results(&mut both).await;
    redis_restarts(&mut both).await;
    same_bytes(&mut both).await;
}

/// Both servers are there again afterwards, with what they were subscribed to.
async fn redis_restarts(both: &mut Both) {
    both.redis.stop().await;
    both.redis.start_again().await;
    let mut observer = both.redis.observe("nothing").await;
    let back = async {
        // Redis does not say when somebody subscribes.
        while observer.subscribers(&channel("all")).await < 2
            || observer.subscribers(&channel("user:eve")).await < 1
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), back).await.expect("in time");
    call(&mut both.bob.0, "ToUser", json!(["eve", "News", 30])).await;
    both.eve.hears(json!(30)).await;
    call(&mut both.ann.0, "ToGroup", json!(["room", "News", 31])).await;
    both.zoe.hears(json!(31)).await;
    both.eve.hears(json!(31)).await;
    call(&mut both.ann.0, "ToAll", json!(["News", 32])).await;
    call(&mut both.bob.0, "ToAll", json!(["News", 33])).await;
    for number in 32..=33 {
        both.all_hear(number).await;
    }
}

async fn groups(both: &mut Both) {
    both.zoe.call("Join", ("room",)).await;
    call(&mut both.ann.0, "Join", json!(["room"])).await;
    call(&mut both.bob.0, "ToGroup", json!(["room", "News", 10])).await;
    both.eve.call("ToGroup", ("room", "News", 11)).await;
    for number in 10..=11 {
        both.zoe.hears(json!(number)).await;
        assert_eq!(both.ann.0.message("News").await, json!([number]));
    }
    // A connection of the other server.
    let groups = both.ours.hub.groups();
    assert_eq!(groups.add(&both.eve.id, "room").await, Ok(true));
    groups.remove(&both.ann.1, "room").await.expect("it is removed");
    both.eve.call("ToGroup", ("room", "News", 12)).await;
    both.eve.hears(json!(12)).await;
    both.zoe.hears(json!(12)).await;
    call(&mut both.bob.0, "ToAll", json!(["News", 13])).await;
    both.all_hear(13).await;
}

/// Clients of the .NET server are asked from here. What it would say to ask ours is in the other test: its hub has no method
/// that asks another client.
async fn results(both: &mut Both) {
    let ours = &both.ours;
    let _eve = both
        .eve
        .connection
        .on_invoke("Question", |question: String| Ok::<_, String>(format!("{question}, eve")));
    assert_eq!(ours.ask(&both.eve.id, "why").await.as_deref(), Ok("why, eve"));
    let (asked, ann) = tokio::join!(ours.ask(&both.ann.1, "why"), both.ann.0.event("asked"));
    assert_eq!((asked.as_deref(), &ann["arguments"]), (Ok("forty-two"), &json!(["why"])));
    let client = ours.hub.clients().client(&both.ann.1);
    let (failed, _) = tokio::join!(client.invoke::<String>("Trouble", ("why",)), both.ann.0.event("asked"));
    assert_eq!(failed, Err(ClientResultError::Client("no idea".to_owned())));

    // A client that goes before it answers.
    let (asked, mut question) = tokio::sync::mpsc::unbounded_channel();
    let leaver = both.theirs.connect("leaver", HubProtocol::Json).await;
    let _silent = leaver.connection.on_invoke("Question", move |question: String| {
        let _ = asked.send(question);
        std::future::pending::<Result<String, String>>()
    });
    let (answer, ()) = tokio::join!(ours.ask(&leaver.id, "when"), async {
        assert_eq!(in_time(question.recv()).await.as_deref(), Some("when"));
        leaver.connection.stop().await;
    });
    assert_eq!(answer, Err(ClientResultError::Disconnected));
}

/// Both servers publish the same bytes.
async fn same_bytes(both: &mut Both) {
    let mut observer = both.redis.observe("app:*").await;
    let clients = both.ours.hub.clients();
    call(&mut both.ann.0, "ToAll", json!(["News", "same"])).await;
    let theirs = observer.next().await;
    assert_eq!(theirs.0, channel("all"));
    clients.all().send("News", ("same",)).await.expect("it is sent");
    assert_eq!(observer.next().await, theirs);
    call(&mut both.ann.0, "ToOthers", json!(["News", "seven"])).await;
    clients.all().except([&both.ann.1]).send("News", ("seven",)).await.expect("it is sent");
    assert_eq!(observer.next().await, observer.next().await);
    for (method, to) in [("ToGroup", "room"), ("ToUser", "nobody"), ("ToConnection", "no-such-connection")] {
        call(&mut both.ann.0, method, json!([to, "News", "x".repeat(300)])).await;
        let arguments = ("x".repeat(300),);
        match method {
            "ToGroup" => clients.group(to).send("News", arguments).await,
            "ToUser" => clients.user(to).send("News", arguments).await,
            _ => clients.client(to).send("News", arguments).await,
        }
        .expect("it is sent");
        assert_eq!(observer.next().await, observer.next().await, "{method}");
    }
}

/// The bytes of a message in both protocols, as a process of another language would publish them.
fn foreign(excluded: &[&str], json: &str, msgpack: Option<&[u8]>, asks: Option<[&str; 2]>) -> Vec<u8> {
    use rmpv::Value;

    let json = [json.as_bytes(), b"\x1e"].concat();
    let mut parts = vec![(Value::from("json"), Value::Binary(json))];
    let framed = msgpack.map(|msgpack| [&[msgpack.len() as u8], msgpack].concat());
    parts.extend(framed.map(|bytes| (Value::from("messagepack"), Value::Binary(bytes))));
    let excluded = excluded.iter().map(|&id| Value::from(id)).collect();
    let mut message = vec![Value::Array(excluded), Value::Map(parts)];
    message.extend(asks.into_iter().flatten().map(Value::from));
    encoded(&Value::Array(message))
}

fn encoded(value: &rmpv::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).expect("it is written");
    bytes
}

/// What is published from outside of any server, to the official clients: the answers are the same on either server.
async fn from_outside(observer: &mut Observer, [ann, bob]: [&mut (Dotnet, String); 2]) {
    let hello = |text: &str| -> (String, Vec<u8>) {
        let json = format!(r#"{{"type":1,"target":"News","arguments":["{text}"]}}"#);
        let head: &[u8] = b"\x96\x01\x80\xc0\xa4News\x91";
        (json, [head, &[0xa0 | text.len() as u8], text.as_bytes(), b"\x90"].concat())
    };
    let (json, msgpack) = hello("from outside");
    let message = foreign(&[], &json, Some(&msgpack), None);
    assert_eq!(observer.publish(&channel("all"), &message).await, 3, "the servers and the observer");
    assert_eq!(ann.0.message("News").await, json!(["from outside"]));
    assert_eq!(bob.0.message("News").await, json!(["from outside"]));

    let (json, msgpack) = hello("not ann");
    observer.publish(&channel("all"), &foreign(&[&ann.1], &json, Some(&msgpack), None)).await;
    assert_eq!(bob.0.message("News").await, json!(["not ann"]));

    let json = r#"{"type":1,"target":"Question","arguments":["q"],"invocationId":"x1"}"#;
    let msgpack = b"\x96\x01\x80\xa2x1\xa8Question\x91\xa1q\x90";
    let asks = foreign(&[], json, Some(msgpack), Some(["x1", "hubwire:return:1"]));
    let mut answers = Vec::new();
    for (client, id) in [&mut *ann, &mut *bob] {
        observer.publish(&channel(&format!("connection:{id}")), &asks).await;
        assert_eq!(client.event("asked").await["arguments"], json!(["q"]));
        answers.push(answer(observer).await);
    }
    let json =
        b"\x92\xa4json\xc4\x34{\"type\":3,\"invocationId\":\"x1\",\"result\":\"forty-two\"}\x1e".to_vec();
    let msgpack = b"\x92\xabmessagepack\xc4\x12\x11\x95\x03\x80\xa2x1\x03\xa9forty-two".to_vec();
    assert_eq!(answers, [json, msgpack]);

    let join = |ack: i64| {
        rmpv::Value::Array(vec![
            ack.into(),
            "hubwire-1".into(),
            1.into(),
            "room".into(),
            bob.1.as_str().into(),
        ])
    };
    observer.publish(&channel("internal:groups"), &encoded(&join(8))).await;
    loop {
        let (channel, message) = observer.next().await;
        if channel.ends_with(":internal:ack:hubwire-1") {
            assert_eq!(message, b"\x91\x08");
            break;
        }
    }
    let (json, msgpack) = hello("group");
    observer.publish(&channel("group:room"), &foreign(&[], &json, Some(&msgpack), None)).await;
    assert_eq!(bob.0.message("News").await, json!(["group"]));

    // A message that is not there in the client's protocol: a gap would not be noticed.
    let who = bob.0.command("invoke", json!({"target": "WhoAmI"})).await;
    let user = who["user"].as_str().expect("a user").to_owned();
    let (json, _) = hello("only json");
    observer.publish(&channel(&format!("user:{user}")), &foreign(&[], &json, None, None)).await;
    let closed = bob.0.event("closed").await;
    let error = closed["error"]["message"].as_str().unwrap_or_default();
    assert!(error.ends_with("Connection closed with an error."), "{closed}");
    call(&mut ann.0, "ToAll", json!(["News", "still there"])).await;
    assert_eq!(ann.0.message("News").await, json!(["still there"]));
}

async fn answer(observer: &mut Observer) -> Vec<u8> {
    loop {
        let (channel, message) = observer.next().await;
        // The channel's name comes with the call; the prefix is the connection's own.
        if channel == "app:hubwire:return:1" {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_publish_is_answered_as_by_asp_net_core() {
    let Some(mut both) = Both::start("what others publish on Redis").await else { return };
    let mut observer = both.redis.observe("app:*").await;
    // On each server the official client in both protocols.
    let mut bea = official(&both.theirs.url(), &both.theirs.token("bea").await, "messagepack").await;
    let mut amy = official(&both.ours.url, "amy", "json").await;
    from_outside(&mut observer, [&mut both.ann, &mut bea]).await;
    // What was for all has reached the clients of the other server as well.
    for text in ["from outside", "not ann"] {
        assert_eq!(both.bob.0.message("News").await, json!([text]));
        assert_eq!(amy.0.message("News").await, json!([text]));
    }
    for client in [&mut both.bob.0, &mut amy.0] {
        assert_eq!(client.message("News").await, json!(["still there"]));
    }
    from_outside(&mut observer, [&mut amy, &mut both.bob]).await;

    // From a process of Rust, to the clients of both.
    let line = RedisBackplane::new(&connection_string(&both.redis)).expect("a connection string");
    let emitter = Emitter::new(NAME, line);
    for client in [&mut both.ann, &mut amy] {
        emitter.clients().client(&client.1).send("News", ("emitted",)).await.expect("it is sent");
        while client.0.message("News").await != json!(["emitted"]) {}
        assert_eq!(emitter.groups().add(&client.1, "late").await, Ok(true));
        let id = client.1.clone();
        let asked = emitter.clients();
        let asked = asked.client(id);
        assert_eq!(asked.invoke::<String>("Question", ("q",)).await.as_deref(), Ok("forty-two"));
    }
    emitter.clients().group("late").send("News", ("both",)).await.expect("it is sent");
    for client in [&mut both.ann.0, &mut amy.0] {
        assert_eq!(client.message("News").await, json!(["both"]));
    }
}

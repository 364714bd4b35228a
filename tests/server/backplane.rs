//! Hubs on several servers: by the backplane within a process, and by Redis.

use std::time::Duration;

use hubwire::server::{
    Caller, HubServer, HubServerBuilder,
    backplane::{Backplane, Emitter, InMemoryBackplane},
    error::{ClientResultError, SendError},
};
use hubwire::{HubConnection, HubProtocol};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::conformance_hub::{conformance_hub, in_time, serve};

/// What the hubs are called: the full name of the type in .NET.
pub(crate) const NAME: &str = "Reference.SecureHub";

/// A server of the hub.
pub(crate) struct Server {
    pub(crate) hub: HubServer,
    pub(crate) url: String,
}

/// A client that writes down what it is told.
pub(crate) struct Client {
    pub(crate) connection: HubConnection,
    pub(crate) id: String,
    heard: mpsc::UnboundedReceiver<Value>,
}

impl Server {
    pub(crate) async fn start(backplane: impl Backplane) -> Self {
        Self::of(conformance_hub().backplane(NAME, backplane)).await
    }

    /// A server of a hub that has its backplane.
    pub(crate) async fn of(hub: HubServerBuilder) -> Self {
        let hub = hub
            .on("AskOther", |caller: Caller, id: String, question: String| async move {
                Ok(caller.clients().client(id).invoke::<String>("Question", (question,)).await?)
            })
            .backplane_ack_timeout(Duration::from_millis(300))
            .build();
        let url = serve([("/hub", hub.clone())]).await + "/hub";
        Self { hub, url }
    }

    pub(crate) async fn connect(&self, user: &str, protocol: HubProtocol) -> Client {
        Client::connect(&self.url, user, protocol).await
    }

    /// What a client of any server answers.
    pub(crate) async fn ask(&self, id: &str, question: &str) -> Result<String, ClientResultError> {
        let client = self.hub.clients().client(id);
        let answer = client.invoke("Question", (question,));
        tokio::time::timeout(Duration::from_secs(20), answer).await.expect("in time")
    }
}

impl Client {
    pub(crate) async fn connect(url: &str, token: &str, protocol: HubProtocol) -> Self {
        let token = token.to_owned();
        let (told, heard) = mpsc::unbounded_channel();
        let connection = HubConnection::builder(url)
            .with_access_token(move || std::future::ready(Ok::<_, std::io::Error>(token.clone())))
            .with_protocol(protocol)
            .on("News", move |news: Value| drop(told.send(news)))
            .build()
            .expect("a connection");
        connection.start().await.expect("it starts");
        let id = connection.connection_id().expect("an id");
        let client = Self { connection, id, heard };
        // It may be connected before its server has subscribed to what is for it. A call is performed afterwards.
        client.call("Void", ()).await;
        client
    }

    pub(crate) async fn call(&self, method: &str, arguments: impl hubwire::Arguments) {
        self.connection.invoke::<Value>(method, arguments).await.expect("it is called");
    }

    /// The next that it is told, which has to be this.
    pub(crate) async fn hears(&mut self, expected: Value) {
        let heard = tokio::time::timeout(Duration::from_secs(20), self.heard.recv()).await;
        let heard = heard.expect("it is told in time").expect("the client is there");
        // The numbers that the hub in ASP.NET Core passes on are floating point.
        let is_it = heard == expected || expected.as_f64().is_some_and(|number| heard == number);
        assert!(is_it, "{heard} instead of {expected}");
    }
}

/// Everything that two servers and their clients do with each other.
async fn two_servers<B: Backplane>(line: impl Fn() -> B) {
    let (one, two) = (Server::start(line()).await, Server::start(line()).await);
    let mut ann = one.connect("ann", HubProtocol::Json).await;
    let mut bob = two.connect("bob", HubProtocol::MessagePack).await;
    let mut eve = two.connect("eve", HubProtocol::Json).await;

    ann.call("ToAll", ("News", 1)).await;
    for client in [&mut ann, &mut bob, &mut eve] {
        client.hears(json!(1)).await;
    }
    bob.call("ToOthers", ("News", 2)).await;
    for client in [&mut ann, &mut eve] {
        client.hears(json!(2)).await;
    }
    ann.call("ToUser", ("bob", "News", 3)).await;
    bob.hears(json!(3)).await;
    ann.call("ToConnection", (&eve.id, "News", 4)).await;
    eve.hears(json!(4)).await;
    let except = [bob.id.clone(), ann.id.clone()];
    one.hub.clients().all().except(&except).send("News", (5,)).await.expect("it is sent");
    eve.hears(json!(5)).await;
    two.hub.clients().clients(&except).except([&bob.id]).send("News", (6,)).await.expect("it is sent");
    ann.hears(json!(6)).await;

    groups(&one, &two, [&mut ann, &mut bob, &mut eve]).await;
    results(&one, &two, &ann, bob).await;
    emitter(line(), [&mut ann, &mut eve]).await;
    order(&one, [&mut ann, &mut eve]).await;
}

async fn groups(one: &Server, two: &Server, [ann, bob, eve]: [&mut Client; 3]) {
    bob.call("Join", ("room",)).await;
    ann.call("ToGroup", ("room", "News", 10)).await;
    bob.hears(json!(10)).await;
    // A connection of the other server, by either of them.
    assert_eq!(one.hub.groups().add(&eve.id, "room").await, Ok(true));
    assert_eq!(two.hub.groups().add(&ann.id, "room").await, Ok(true));
    bob.call("ToGroup", ("room", "News", 11)).await;
    for client in [&mut *ann, &mut *bob, &mut *eve] {
        client.hears(json!(11)).await;
    }
    let room = one.hub.clients().group("room");
    room.except([&bob.id]).send("News", (12,)).await.expect("it is sent");
    one.hub.groups().remove(&eve.id, "room").await.expect("it is removed");
    bob.call("Leave", ("room",)).await;
    bob.call("ToGroup", ("room", "News", 13)).await;
    for number in 12..=13 {
        ann.hears(json!(number)).await;
    }
    eve.hears(json!(12)).await;
    bob.call("ToAll", ("News", 14)).await;
    for client in [ann, bob, eve] {
        client.hears(json!(14)).await;
    }
    let unknown = one.hub.groups().add("nobody", "room").await;
    assert!(matches!(unknown, Err(SendError::Unreachable(_))), "{unknown:?}");
}

async fn results(one: &Server, two: &Server, ann: &Client, bob: Client) {
    let _ann =
        ann.connection.on_invoke("Question", |question: String| Ok::<_, String>(format!("{question}, ann")));
    let _bob = bob.connection.on_invoke("Question", |question: String| match &*question {
        "why" => Ok(format!("{question}, bob")),
        _ => Err("no idea"),
    });
    assert_eq!(one.ask(&bob.id, "why").await.as_deref(), Ok("why, bob"));
    assert_eq!(two.ask(&ann.id, "why").await.as_deref(), Ok("why, ann"));
    assert_eq!(two.ask(&bob.id, "why").await.as_deref(), Ok("why, bob"));
    let failed = one.ask(&bob.id, "what").await;
    assert_eq!(failed, Err(ClientResultError::Client("no idea".to_owned())));
    assert_eq!(one.ask("nobody", "why").await, Err(ClientResultError::NotConnected));
    let asked: String = ann.connection.invoke("AskOther", (&bob.id, "why")).await.expect("an answer");
    assert_eq!(asked, "why, bob");

    // A client that goes before it answers.
    let (asked, mut question) = mpsc::unbounded_channel();
    let _silent = bob.connection.on_invoke("Question", move |question: String| {
        let _ = asked.send(question);
        std::future::pending::<Result<String, String>>()
    });
    let connection = bob.connection.clone();
    let (answer, ()) = tokio::join!(one.ask(&bob.id, "when"), async {
        assert_eq!(in_time(question.recv()).await.as_deref(), Some("when"));
        connection.stop().await;
    });
    assert_eq!(answer, Err(ClientResultError::Disconnected));
}

async fn emitter(line: impl Backplane, [ann, eve]: [&mut Client; 2]) {
    let emitter = Emitter::new(NAME, line);
    emitter.clients().all().send("News", (20,)).await.expect("it is sent");
    for client in [&mut *ann, &mut *eve] {
        client.hears(json!(20)).await;
    }
    emitter.clients().user("eve").send("News", (21,)).await.expect("it is sent");
    assert_eq!(emitter.groups().add(&ann.id, "outside").await, Ok(true));
    emitter.clients().group("outside").send("News", (22,)).await.expect("it is sent");
    emitter.groups().remove(&ann.id, "outside").await.expect("it is removed");
    emitter.clients().group("outside").send("News", (23,)).await.expect("it is sent");
    emitter
        .clients()
        .clients([&ann.id, &eve.id])
        .except([&eve.id])
        .send("News", (24,))
        .await
        .expect("it is sent");
    for number in [22, 24] {
        ann.hears(json!(number)).await;
    }
    eve.hears(json!(21)).await;
    let answer: String =
        emitter.clients().client(&ann.id).invoke("Question", ("who",)).await.expect("an answer");
    assert_eq!(answer, "who, ann");
}

async fn order(server: &Server, clients: [&mut Client; 2]) {
    for number in 0..200 {
        server.hub.clients().all().send("News", (number,)).await.expect("it is sent");
    }
    for client in clients {
        for number in 0..200 {
            client.hears(json!(number)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_within_a_process_are_one_hub() {
    let backplane = InMemoryBackplane::new();
    two_servers(|| backplane.clone()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_redis_are_one_hub() {
    use hubwire::server::backplane::RedisBackplane;

    use crate::redis_server::RedisServer;

    let Some(redis) = RedisServer::start("two servers on Redis").await else { return };
    // Another application that shares the Redis, and hears nothing of it.
    let plain = Server::start(RedisBackplane::new(&redis.url()).expect("an address")).await;
    let mut other = plain.connect("zoe", HubProtocol::Json).await;
    two_servers(|| RedisBackplane::new(&redis.url()).expect("an address").channel_prefix("application-2:"))
        .await;
    other.call("ToAll", ("News", "mine")).await;
    other.hears(json!("mine")).await;
}

//! Redis that goes and comes back, does not answer, wants credentials or TLS, or is more than one server.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use hubwire::{
    HubProtocol,
    server::{
        backplane::{BackplaneEvent, Emitter, RedisBackplane, RedisCredentials},
        error::{ClientResultError, SendError},
    },
};
use serde_json::json;
use tokio::{process::Command, sync::mpsc};

use crate::backplane::{NAME, Server};
use crate::conformance_hub::{conformance_hub, in_time};
use crate::redis_server::RedisServer;

/// A server, and what it is told about its backplane.
struct Watched {
    server: Server,
    events: mpsc::UnboundedReceiver<BackplaneEvent>,
}

impl Watched {
    async fn start(line: RedisBackplane) -> Self {
        let (told, events) = mpsc::unbounded_channel();
        let hub =
            conformance_hub().backplane(NAME, line).on_backplane_event(move |event| drop(told.send(event)));
        Self { server: Server::of(hub).await, events }
    }

    async fn event(&mut self) -> BackplaneEvent {
        let event = tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await;
        event.expect("in time").expect("the hub is there")
    }

    /// Why the connection is lost, which has to be what happens next.
    async fn lost(&mut self) -> String {
        match self.event().await {
            BackplaneEvent::Lost { error, .. } => hubwire::ErrorChain::new(&*error).to_string(),
            other => panic!("{other:?}"),
        }
    }

    async fn restored(&mut self) -> (Duration, u64) {
        match self.event().await {
            BackplaneEvent::Restored { away, refused, .. } => (away, refused),
            other => panic!("{other:?}"),
        }
    }
}

fn line(redis: &RedisServer) -> RedisBackplane {
    RedisBackplane::new(&redis.url()).expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_does_not_take_is_an_error_until_it_is_back() {
    let Some(mut redis) = RedisServer::start("Redis restarted").await else { return };
    let (mut one, mut two) = (Watched::start(line(&redis)).await, Watched::start(line(&redis)).await);
    let mut ann = one.server.connect("ann", HubProtocol::Json).await;
    let mut bob = two.server.connect("bob", HubProtocol::MessagePack).await;
    let (asked, mut question) = mpsc::unbounded_channel();
    let _silent = bob.connection.on_invoke("Question", move |question: String| {
        let _ = asked.send(question);
        std::future::pending::<Result<String, String>>()
    });
    // Whoever waits for an answer that may have been lost is told so.
    let (answer, ()) = tokio::join!(one.server.ask(&bob.id, "when"), async {
        assert_eq!(in_time(question.recv()).await.as_deref(), Some("when"));
        redis.stop().await;
    });
    assert!(matches!(answer, Err(ClientResultError::Unreachable(_))), "{answer:?}");
    one.lost().await;
    two.lost().await;

    let hub = one.server.hub.clone();
    let clients = hub.clients();
    for _ in 0..3 {
        let refused = clients.all().send("News", ("lost",)).await;
        assert!(
            matches!(&refused, Err(SendError::Unreachable(text)) if text.contains("no connection")),
            "{refused:?}"
        );
    }
    let refused = one.server.ask(&bob.id, "why").await;
    assert!(matches!(refused, Err(ClientResultError::Unreachable(_))), "{refused:?}");
    let refused = one.server.hub.groups().add(&bob.id, "room").await;
    assert!(matches!(refused, Err(SendError::Unreachable(_))), "{refused:?}");
    // What does not leave the server goes on, and who comes and joins meanwhile is there afterwards.
    clients.client(&ann.id).send("News", (1,)).await.expect("it is sent");
    ann.hears(json!(1)).await;
    ann.call("Join", ("room",)).await;
    let mut late = one.server.connect("late", HubProtocol::Json).await;
    bob.call("Join", ("left",)).await;
    bob.call("Leave", ("left",)).await;

    redis.start_again().await;
    let (away, refused) = one.restored().await;
    assert!(away > Duration::ZERO && away < Duration::from_secs(20), "{away:?}");
    assert_eq!(refused, 5);
    assert_eq!(two.restored().await.1, 0);
    for (number, (method, to)) in [("ToGroup", "room"), ("ToUser", "late")].into_iter().enumerate() {
        bob.call(method, (to, "News", number)).await;
    }
    ann.hears(json!(0)).await;
    late.hears(json!(1)).await;
    ann.call("ToAll", ("News", 2)).await;
    for client in [&mut ann, &mut bob, &mut late] {
        client.hears(json!(2)).await;
    }
    let mut observer = redis.observe("nothing").await;
    for (name, subscribers) in [("group:room", 1), ("group:left", 0), ("user:late", 1), ("all", 2)] {
        assert_eq!(observer.subscribers(&format!("{NAME}:{name}")).await, subscribers, "{name}");
    }
    // Nobody needs what the last of its connections has left. The observer has nothing to wait for.
    late.connection.stop().await;
    let gone = async { while observer.subscribers(&format!("{NAME}:user:late")).await > 0 {} };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_is_given_up() {
    let Some(redis) = RedisServer::start("a silent Redis").await else { return };
    let patience = Duration::from_millis(400);
    let mut one = Watched::start(line(&redis).response_timeout(patience).keep_alive_interval(patience)).await;
    let hub = one.server.hub.clone();
    let clients = hub.clients();
    clients.all().send("News", (1,)).await.expect("it is sent");
    redis.signal("STOP").await;
    let uncertain = clients.all().send("News", (2,)).await;
    let said =
        matches!(&uncertain, Err(SendError::Unreachable(text)) if text.contains("may have arrived or not"));
    assert!(said, "{uncertain:?}");
    one.lost().await;
    redis.signal("CONT").await;
    assert_eq!(one.restored().await.1, 1);
    clients.all().send("News", (3,)).await.expect("it is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for_and_renewed() {
    let options = ["--requirepass", "redis-password-1"];
    let Some(redis) = RedisServer::with("credentials of Redis", &options).await else { return };
    let mut refused = Watched::start(line(&redis)).await;
    let error = refused.lost().await;
    assert!(error.contains("NOAUTH"), "{error}");
    let url = format!("redis://default:redis-password-2@127.0.0.1:{}", redis.port);
    let with_password = RedisBackplane::new(&url).expect("an address");
    assert!(!format!("{with_password:?}").contains("redis-password"));
    let mut refused = Watched::start(with_password).await;
    let error = refused.lost().await;
    assert!(!error.contains("redis-password"), "{error}");
    assert!(error.contains("invalid username-password pair"), "{error}");

    let fetched = Arc::new(AtomicUsize::new(0));
    let (count, (told, mut renewed)) = (fetched.clone(), mpsc::unbounded_channel());
    let fetch = move || {
        if count.fetch_add(1, Ordering::Relaxed) > 0 {
            let _ = told.send(());
        }
        // Half of the time goes by before it is renewed.
        let credentials = RedisCredentials::new("default", "redis-password-1");
        let expires = SystemTime::now() + Duration::from_secs(2);
        std::future::ready(Ok::<_, std::io::Error>(credentials.expires(expires)))
    };
    let emitter = Emitter::new(NAME, line(&redis).credentials(fetch));
    emitter.clients().all().send("News", (1,)).await.expect("it is sent");
    tokio::time::timeout(Duration::from_secs(20), renewed.recv())
        .await
        .expect("in time")
        .expect("the emitter is there");
    emitter.clients().all().send("News", (2,)).await.expect("it is sent");
}

/// Gives a token whose object id is a user of Redis.
#[cfg(feature = "service")]
#[derive(Debug)]
struct Identity;

#[cfg(feature = "service")]
#[async_trait::async_trait]
impl azure_core::credentials::TokenCredential for Identity {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<azure_core::credentials::TokenRequestOptions<'_>>,
    ) -> azure_core::Result<azure_core::credentials::AccessToken> {
        assert_eq!(scopes, ["https://redis.azure.com/.default"]);
        let expires = azure_core::time::OffsetDateTime::now_utc() + Duration::from_secs(3_600);
        Ok(azure_core::credentials::AccessToken::new(Self::TOKEN, expires))
    }
}

#[cfg(feature = "service")]
impl Identity {
    /// `{"alg":"none"}`, `{"oid":"the-object-id"}`, and no signature.
    const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJvaWQiOiJ0aGUtb2JqZWN0LWlkIn0.c2ln";
}

#[cfg(feature = "service")]
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_entra_is_the_user_of_its_object_id() {
    let password = format!(">{}", Identity::TOKEN);
    let options =
        ["--requirepass", "unknown", "--user", "the-object-id", "on", &password, "~*", "&*", "+@all"];
    let Some(redis) = RedisServer::with("Entra for Redis", &options).await else { return };
    let credential: Arc<dyn azure_core::credentials::TokenCredential> = Arc::new(Identity);
    let entra = line(&redis).entra(credential).expect("it gives tokens");
    let emitter = Emitter::new(NAME, entra);
    emitter.clients().all().send("News", (1,)).await.expect("it is sent");
    let key = hubwire::service::credentials::AccessKey::new("a-key");
    let refused = line(&redis).entra(key).expect_err("it gives none");
    assert!(refused.to_string().contains("access key"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_spoken_to_over_tls() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (pem, folder) = (key.cert.pem(), std::path::Path::new(env!("CARGO_TARGET_TMPDIR")));
    let (certificate, private) = (folder.join("redis.crt"), folder.join("redis.key"));
    std::fs::write(&certificate, &pem).expect("it is written");
    std::fs::write(&private, key.signing_key.serialize_pem()).expect("it is written");
    let (certificate, private) = (certificate.display().to_string(), private.display().to_string());
    // The port of plain text goes on: the server says by it that it is ready.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .local_addr()
        .expect("a port")
        .port();
    let port = port.to_string();
    let options = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &private,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ];
    let Some(redis) = RedisServer::with("Redis with TLS", &options).await else { return };
    let url = format!("rediss://localhost:{port}");
    let mut stranger = Watched::start(RedisBackplane::new(&url).expect("an address")).await;
    let error = stranger.lost().await;
    assert!(error.contains("certificate"), "{error}");
    let trusting =
        RedisBackplane::new(&url).expect("an address").root_certificate(pem.as_bytes()).expect("a root");
    let emitter = Emitter::new(NAME, trusting);
    let mut observer = redis.observe("*").await;
    emitter.clients().all().send("News", (1,)).await.expect("it is sent");
    assert_eq!(observer.next().await.0, format!("{NAME}:all"));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_of_a_cluster_will_do_and_no_replica_does() {
    let Some(redis) = RedisServer::start("several servers of Redis").await else { return };
    let primary = redis.port.to_string();
    let replica = RedisServer::with("a replica of Redis", &["--replicaof", "127.0.0.1", &primary]).await;
    let replica = replica.expect("it is installed");
    let both = format!("127.0.0.1:{},127.0.0.1:{primary}", replica.port);
    let mut passing_by = Watched::start(RedisBackplane::new(&both).expect("addresses")).await;
    assert!(passing_by.lost().await.contains("replica"));
    passing_by.restored().await;
    let mut observer = redis.observe("*").await;
    passing_by.server.hub.clients().all().send("News", (1,)).await.expect("it is sent");
    assert_eq!(observer.next().await.0, format!("{NAME}:all"));

    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let file = format!("nodes-{}-{name}.conf", std::process::id());
        let _ = std::fs::remove_file(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&file));
        let options = ["--cluster-enabled", "yes", "--cluster-config-file", &file];
        nodes.push(RedisServer::with("a cluster of Redis", &options).await.expect("it is installed"));
    }
    nodes[0].join_cluster(&nodes[1]).await;
    let one = Server::start(line(&nodes[0])).await;
    let two = Server::start(line(&nodes[1])).await;
    let mut ann = one.connect("ann", HubProtocol::Json).await;
    let bob = two.connect("bob", HubProtocol::Json).await;
    bob.call("ToAll", ("News", 1)).await;
    ann.hears(json!(1)).await;
    let _answer = bob.connection.on_invoke("Question", |question: String| Ok::<_, String>(question));
    // A node does not know the receivers of the others.
    assert_eq!(one.ask(&bob.id, "why").await.as_deref(), Ok("why"));
    assert_eq!(one.hub.groups().add(&bob.id, "room").await, Ok(true));
}

impl RedisServer {
    async fn signal(&self, name: &str) {
        let signal = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().await;
        assert!(signal.expect("there is a kill").success());
    }

    /// Makes one cluster of two nodes, and waits until they know each other.
    async fn join_cluster(&self, other: &Self) {
        let cli = |port: u16, arguments: &[&str]| {
            let mut cli = Command::new("redis-cli");
            cli.args(["-p", &port.to_string(), "cluster"]).args(arguments).stdin(Stdio::null());
            async move {
                let output = cli.output().await.expect("redis-cli is installed with redis-server");
                String::from_utf8(output.stdout).expect("text")
            }
        };
        assert_eq!(cli(self.port, &["addslotsrange", "0", "8191"]).await, "OK\n");
        assert_eq!(cli(other.port, &["addslotsrange", "8192", "16383"]).await, "OK\n");
        assert_eq!(cli(self.port, &["meet", "127.0.0.1", &other.port.to_string()]).await, "OK\n");
        let ready = async {
            for port in [self.port, other.port] {
                while !cli(port, &["info"]).await.contains("cluster_state:ok") {}
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ready).await.expect("in time");
    }
}

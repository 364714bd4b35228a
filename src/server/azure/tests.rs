//! Server connections to the reference service, which speaks the protocol with the official library. Without the reference
//! folder, these tests are skipped with a loud line.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use azure_core::{
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    time::OffsetDateTime,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    connections::{AskError, NotConnected, ServerConnections, Shutdown},
    event::{Event, Via},
    shared::ConnectionsOptions,
};
use crate::{
    HubConnection,
    core::service_protocol::{Extensions, ServiceMessage, Text, write},
    platform::Network,
    service::{
        NegotiateOptions, ServiceEndpoint, credentials::AccessKey, negotiate::TokenAlgorithm,
        server_access::EndpointAccess,
    },
};

/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for HS512 to the library that checks the signatures.
const KEY: &str = "an access key of 64 bytes, which guards nothing at all, anywhere";

/// A service that ends when this is dropped: its standard input does.
struct Service {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    /// `None`, and a loud line, where there is no reference folder.
    fn start(test: &str) -> Option<Self> {
        let named = std::env::var_os("HUBWIRE_REFERENCE_DIR").map(PathBuf::from);
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
        let Some(folder) = named.or_else(|| beside.is_dir().then_some(beside)) else {
            // Past the capture of the test runner.
            let reason = "no reference service; HUBWIRE_REFERENCE_DIR names its folder";
            let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: {reason}\n").as_bytes());
            return None;
        };
        let mut child = Command::new(folder.join("run"))
            .args(["service", "--key", KEY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the service says where it is");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let http = Network::plain_http_client_builder().unwrap().build().unwrap();
        Some(Self { child, url: said["url"].as_str().expect("an address").to_owned(), http })
    }

    fn endpoint(&self) -> ServiceEndpoint {
        ServiceEndpoint::new(&self.url, AccessKey::new(KEY)).unwrap()
    }

    /// What has crossed the server connections so far.
    async fn log(&self) -> Vec<Value> {
        let answer = self.http.get(format!("{}/log", self.url)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Lines of the log, once there are so many.
    async fn lines(&self, count: usize, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut found = Vec::new();
        let waiting = async {
            loop {
                found = self.log().await.into_iter().filter(&is).collect::<Vec<_>>();
                if found.len() >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{count} lines do not come, but {found:?}");
        }
        found
    }

    async fn post(&self, path: &str, body: Vec<u8>) {
        let answer = self.http.post(format!("{}{path}", self.url)).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}

fn access(endpoint: ServiceEndpoint, application: Option<&str>, algorithm: TokenAlgorithm) -> EndpointAccess {
    let application = application.map(str::to_owned);
    EndpointAccess::new(endpoint, application, Network::default(), algorithm).unwrap()
}

fn options(service: &Service) -> ConnectionsOptions {
    ConnectionsOptions::new("Chat", vec![access(service.endpoint(), None, TokenAlgorithm::Hs256)])
}

fn message_is(name: &str) -> impl Fn(&Value) -> bool {
    let name = format!("{name}Message");
    move |line| line["message"] == *name
}

fn ping_is(first: &str) -> impl Fn(&Value) -> bool {
    move |line| line["message"] == "PingMessage" && line["fields"]["messages"][0] == *first
}

fn ping(messages: &[&str]) -> Vec<u8> {
    let messages = messages.iter().map(|text| Some(Text::from(*text))).collect();
    let mut bytes = Vec::new();
    write(&mut bytes, &ServiceMessage::Ping { messages });
    bytes
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event").expect("not the end")
}

async fn are_up(connections: &ServerConnections, count: usize) {
    let up = async {
        while connections.status()[0].connections != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, up).await.unwrap_or_else(|_| panic!("{:?}", connections.status()));
}

#[tokio::test]
async fn five_server_connections_say_what_the_sdk_says() {
    let Some(service) = Service::start("five_server_connections_say_what_the_sdk_says") else { return };
    let endpoint = access(service.endpoint(), Some("App"), TokenAlgorithm::Hs512);
    let given = ConnectionsOptions {
        migration_level: 1,
        access_token_lifetime: Duration::from_secs(600),
        ..ConnectionsOptions::new("Chat", vec![endpoint])
    };
    let (connections, _events) = ServerConnections::start(given).unwrap();
    are_up(&connections, 5).await;
    connections.ready().await;
    let requests = service.lines(5, |line| line["request"] == "server").await;
    assert_eq!(requests.len(), 5);
    let mut cids = Vec::new();
    for request in &requests {
        let (target, headers, token) = (&request["target"], &request["headers"], &request["token"]);
        let (path, cid) = target.as_str().unwrap().split_once("&cid=").unwrap();
        assert_eq!(path, "GET /server/?hub=app_chat");
        cids.push(cid);
        let header =
            |name| headers.as_object().unwrap().iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let header = |name| header(name).map(|(_, value)| value.as_str().unwrap());
        assert_eq!(header("X-ASRS-Server-Id"), Some(super::ids::server_id()));
        assert_eq!(header("X-Requested-With"), Some("XMLHttpRequest"));
        assert!(header("Asrs-User-Agent").is_some_and(|agent| agent.starts_with("hubwire/")));
        assert_eq!((header("User-Agent"), header("Sec-WebSocket-Protocol")), (None, None));
        assert_eq!(token["header"]["alg"], "HS512");
        let claims = &token["claims"];
        assert_eq!(claims["nameid"], super::ids::server_id());
        assert_eq!(claims["aud"], "http://127.0.0.1/server/?hub=app_chat");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
        assert_eq!(claims["iss"], "azure-signalr");
    }
    cids.sort_unstable();
    cids.dedup();
    assert_eq!(cids.len(), 5);
    for line in service.lines(5, message_is("HandshakeRequest")).await {
        assert_eq!(line["fields"]["migrationLevel"], 1);
        assert_eq!(line["fields"]["connectionType"], 0);
    }
    // The SDK takes five to ten seconds for its first one.
    let pinged = service.lines(5, ping_is("#clientInHub")).await;
    assert_eq!(pinged[0]["fields"]["messages"], json!(["#clientInHub", "0", "#client", "0"]));
    let status = async {
        while connections.status()[0].capacity.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, status).await.unwrap();
    let status = &connections.status()[0];
    // It was asked as soon as the first one was up.
    assert_eq!((status.capacity, status.client_count), (Some(1000), Some(0)));
    assert!(status.server_count.is_some_and(|count| (1..=5).contains(&count)), "{status:?}");
}

#[tokio::test]
async fn messages_questions_and_pings_find_their_way() {
    let Some(service) = Service::start("messages_questions_and_pings_find_their_way") else { return };
    let (connections, mut events) = ServerConnections::start(options(&service)).unwrap();
    are_up(&connections, 5).await;

    let broadcast = ServiceMessage::BroadcastData {
        excluded_ids: Vec::new(),
        payloads: vec![("json".into(), b"{}\x1e")],
        extensions: Extensions::default(),
    };
    for _ in 0..20 {
        connections.send_to_all(Some("group"), None, &broadcast).await.unwrap();
    }
    let sent = service.lines(20, message_is("BroadcastData")).await;
    assert!(sent.iter().all(|line| line["server"] == sent[0]["server"]), "one key, one server connection");

    // Nobody has this connection, and nobody this group.
    let join = |ack_id| ServiceMessage::JoinGroupWithAck {
        connection_id: "nobody".into(),
        group_name: "group".into(),
        ack_id,
        extensions: Extensions::default(),
    };
    assert_eq!(connections.ask(Some("group"), None, join).await.map(|ack| ack.status), Ok(2));
    let query = |ack_id| ServiceMessage::GroupMemberQuery {
        extensions: Extensions::default(),
        group_name: "group".into(),
        ack_id,
        top: None,
        continuation_token: None,
        max_page_size: None,
    };
    let members = connections.ask_at(0, Some("group"), query).await.unwrap();
    assert_eq!((members.status, members.payload.as_deref()), (1, Some(&b"\x92\x90\xc0"[..])));

    // One more to the instance that asks for it; an echo.
    let first = service.http.get(format!("{}/servers", service.url)).send().await.unwrap();
    let first: Value = serde_json::from_slice(&first.bytes().await.unwrap()).unwrap();
    let path = format!("/do/send?server={}", first[0]["id"].as_str().unwrap());
    service.post(&path, [ping(&["target", "an instance"]), ping(&["echo", "x", "more", "y"])].concat()).await;
    are_up(&connections, 6).await;
    service
        .lines(1, |line| {
            line["request"] == "server" && line["target"].as_str().unwrap().ends_with("&target=an%20instance")
        })
        .await;
    let echo = service.lines(1, ping_is("echo")).await;
    assert_eq!(echo[0]["fields"]["messages"], json!(["echo", "x", "more", "y"]));
    assert_eq!(service.lines(6, message_is("HandshakeRequest")).await[5]["fields"]["connectionType"], 1);

    // All are told that the server stops, answer, and close.
    connections.shut_down(Shutdown::WaitForClientsClose, PATIENCE).await;
    assert_eq!(service.lines(6, |line| line["event"] == "closed").await.len(), 6);
    let fins = service.lines(6, |line| ping_is("shutdown")(line) && line["from"] == "server").await;
    assert!(fins.iter().all(|line| line["fields"]["messages"] == json!(["shutdown", "fin:2"])), "{fins:?}");
    for _ in 0..6 {
        assert!(matches!(next(&mut events).await, Event::Lost(_)));
    }
    assert_eq!(connections.send_to_all(None, None, &broadcast).await, Err(NotConnected));
    assert_eq!(connections.ask(None, None, join).await, Err(AskError::NotConnected(NotConnected)));
    assert!(!connections.status()[0].is_online);
}

#[tokio::test]
async fn a_client_comes_is_answered_and_goes_with_its_server_connection() {
    let Some(service) = Service::start("a_client_comes_is_answered_and_goes") else { return };
    let given = ConnectionsOptions { initial_count: 1, ..options(&service) };
    let endpoint = given.endpoints[0].clone();
    let (connections, mut events) = ServerConnections::start(given).unwrap();
    are_up(&connections, 1).await;
    let access = endpoint.client_access("Chat", &NegotiateOptions::for_user("ann")).await.unwrap();
    let connecting = tokio::spawn(async move {
        let token = access.access_token.clone();
        HubConnection::builder(&access.url)
            .with_access_token(move || {
                let token = token.clone();
                async move { Ok::<_, std::convert::Infallible>(token) }
            })
            .connect()
            .await
    });
    let Event::Message(via, arrived) = next(&mut events).await else { panic!("a client") };
    let Some(ServiceMessage::OpenConnection { connection_id, claims, .. }) = arrived.message() else {
        panic!("{arrived:?}")
    };
    assert!(claims.iter().any(|(name, value)| (&**name, &**value) == ("asrs.s.uid", "ann")), "{claims:?}");
    let id = connection_id.into_owned();
    drop(arrived);
    let Event::Message(same, arrived) = next(&mut events).await else { panic!("its handshake") };
    assert_eq!(same, via);
    assert!(
        matches!(arrived.message(), Some(ServiceMessage::ConnectionData { payload, .. }) if payload.ends_with(b"\x1e"))
    );
    let data = ServiceMessage::ConnectionData {
        connection_id: id.as_str().into(),
        payload: b"{}\x1e",
        extensions: Extensions { data_message_type: 1, ..Extensions::default() },
    };
    connections.send(via, &data).await.unwrap();
    let client = connecting.await.unwrap().unwrap();
    assert_eq!(connections.status()[0].clients, 1);

    // A client that this end closes is not counted any more.
    let close = |id: &str| ServiceMessage::CloseConnection {
        connection_id: id.to_owned().into(),
        error_message: None,
        headers: Vec::new(),
        extensions: Extensions::default(),
    };
    connections.send(via, &close(&id)).await.unwrap();
    let gone = async {
        while connections.status()[0].clients > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    drop(client);

    // Cut, refused for a while, and back.
    service.post("/do/refuse?status=503", Vec::new()).await;
    service.post("/do/cut", Vec::new()).await;
    loop {
        match next(&mut events).await {
            Event::Lost(lost) => {
                assert_eq!(lost, via);
                break;
            }
            Event::Message(of, _) => assert_eq!(of, via),
            other => panic!("{other:?}"),
        }
    }
    service.lines(2, message_is("HandshakeRequest")).await;
    assert!(!connections.status()[0].is_online);
    assert_eq!(connections.send(via, &close(&id)).await, Err(NotConnected));
    service.post("/do/refuse?status=0", Vec::new()).await;
    are_up(&connections, 1).await;
    assert_eq!(connections.send(via, &close(&id)).await, Err(NotConnected), "numbers are not used again");
}

/// Gets its tokens from the reference service.
#[derive(Debug)]
struct Tokens(reqwest::Client, String);

#[async_trait::async_trait]
impl TokenCredential for Tokens {
    async fn get_token(
        &self,
        scopes: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        assert_eq!(scopes, ["https://signalr.azure.com/.default"]);
        let answer = self.0.post(format!("{}/tenant/oauth2/v2.0/token", self.1)).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Ok(AccessToken::new(token, OffsetDateTime::now_utc() + Duration::from_secs(3600)))
    }
}

#[tokio::test]
async fn with_entra_keys_come_over_the_server_connections() {
    let Some(service) = Service::start("with_entra_keys_come_over_the_server_connections") else { return };
    let credential: Arc<dyn TokenCredential> = Arc::new(Tokens(service.http.clone(), service.url.clone()));
    let endpoint = ServiceEndpoint::new(&service.url, credential).unwrap();
    let endpoint = access(endpoint, None, TokenAlgorithm::Hs256);
    let given =
        ConnectionsOptions { initial_count: 2, ..ConnectionsOptions::new("chat", vec![endpoint.clone()]) };
    let (connections, _events) = ServerConnections::start(given).unwrap();
    are_up(&connections, 2).await;
    service.lines(2, message_is("AccessKeyRequest")).await;
    service.lines(2, message_is("AccessKeyResponse")).await;
    let access = endpoint.client_access("chat", &NegotiateOptions::for_user("ann")).await.unwrap();
    let header = crate::core::token::ClientToken::parse(&access.access_token).unwrap();
    assert_eq!(header.key_id().as_deref(), Some("temporary"));
    assert!(
        service.log().await.iter().all(|line| line["request"] != "accessKey"),
        "nothing was exchanged by HTTP"
    );
}

#[tokio::test]
async fn each_endpoint_gets_a_message_and_one_that_is_gone_does_not_hold_it_up() {
    let test = "each_endpoint_gets_a_message";
    let (Some(first), Some(second)) = (Service::start(test), Service::start(test)) else { return };
    let secondary = access(second.endpoint().secondary().named("spare"), None, TokenAlgorithm::Hs256);
    let primary = access(first.endpoint(), None, TokenAlgorithm::Hs256);
    let given =
        ConnectionsOptions { initial_count: 1, ..ConnectionsOptions::new("chat", vec![primary, secondary]) };
    let (connections, mut events) = ServerConnections::start(given).unwrap();
    let both = async {
        while connections.status().iter().any(|status| status.connections == 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(second.lines(1, message_is("HandshakeRequest")).await[0]["fields"]["connectionType"], 2);
    let exists = |ack_id| ServiceMessage::CheckGroupExistenceWithAck {
        group_name: "group".into(),
        ack_id,
        extensions: Extensions::default(),
    };
    assert_eq!(connections.ask(None, None, exists).await.map(|ack| ack.status), Ok(2));
    for service in [&first, &second] {
        service.lines(1, message_is("CheckGroupExistenceWithAck")).await;
    }
    drop(first);
    let Event::Lost(Via { endpoint: 0, .. }) = next(&mut events).await else {
        panic!("the first one is lost")
    };
    assert_eq!(connections.ask(None, None, exists).await.map(|ack| (ack.status, ack.endpoint)), Ok((2, 1)));
    let online: Vec<bool> = connections.status().iter().map(|status| status.is_online).collect();
    assert_eq!(online, [false, true]);
}

//! The clients, and what they do. They speak the JSON protocol over bare WebSockets, which costs this process as little as
//! can be.

use std::{
    collections::HashMap,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{Mutex, Notify},
    task::JoinSet,
    time,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{
    Result,
    figures::{Better::Less, Better::More, Figures},
    process::Server,
    stuck,
    stuck_clients::{Door, TRANSPORTS},
};

/// How many connections stay silent.
const IDLE: usize = 10_000;

/// How many get each message.
const AUDIENCE: usize = 1_000;

/// How many groups these are in.
const GROUPS: usize = 10;

/// What an echo carries, in bytes.
const ECHOED: usize = 1024;

/// Nothing takes longer than this where all is well.
const PATIENCE: Duration = Duration::from_secs(60);

const SEPARATOR: char = '\u{1e}';

/// A client that is connected to a hub.
struct Client {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    stream: SplitStream<WebSocketStream<TcpStream>>,
}

impl Client {
    /// A bare WebSocket.
    async fn connect(port: u16, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(4096).max_write_buffer_size(usize::MAX);
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
        let (sink, stream) = socket.split();
        Ok(Self { sink, stream })
    }

    /// As clients connect that negotiate first.
    async fn join(port: u16, path: &str, http: &reqwest::Client) -> Result<Self> {
        let url = format!("http://127.0.0.1:{port}{path}/negotiate?negotiateVersion=1");
        let negotiated: Value = http.post(url).send().await?.json().await?;
        let token = negotiated["connectionToken"].as_str().ok_or("no connection token")?;
        let mut client = Self::connect(port, &format!("{path}?id={token}")).await?;
        client.write(&json!({ "protocol": "json", "version": 1 })).await?;
        client.sink.flush().await?;
        let response = client.read().await?;
        if response != "{}\u{1e}" {
            return Err(format!("the handshake is refused: {response}").into());
        }
        Ok(client)
    }

    /// Many of them.
    async fn join_all(port: u16, path: &str, count: usize) -> Result<Vec<Self>> {
        let mut clients = Vec::with_capacity(count);
        let http = reqwest::Client::new();
        while clients.len() < count {
            let batch = (count - clients.len()).min(50);
            let joining = (0..batch).map(|_| Self::join(port, path, &http));
            for client in futures_util::future::join_all(joining).await {
                clients.push(client?);
            }
        }
        Ok(clients)
    }

    /// Queues a message as a frame of its own.
    async fn write(&mut self, message: &Value) -> Result<()> {
        Ok(self.sink.feed(Message::text(format!("{message}{SEPARATOR}"))).await?)
    }

    async fn read(&mut self) -> Result<String> {
        read(&mut self.stream).await
    }

    /// Calls a method without asking for its end.
    async fn send(&mut self, target: &str, arguments: Value) -> Result<()> {
        self.write(&json!({ "type": 1, "target": target, "arguments": arguments })).await?;
        Ok(self.sink.flush().await?)
    }

    /// Calls a method and waits for its end.
    async fn invoke(&mut self, target: &str, arguments: Value) -> Result<Value> {
        let call = json!({ "type": 1, "invocationId": "0", "target": target, "arguments": arguments });
        self.write(&call).await?;
        self.sink.flush().await?;
        loop {
            for message in messages(&self.read().await?)? {
                if message["type"] == 3 {
                    return Ok(message);
                }
            }
        }
    }
}

/// The next frame.
async fn read(stream: &mut SplitStream<WebSocketStream<TcpStream>>) -> Result<String> {
    match time::timeout(PATIENCE, stream.next()).await? {
        Some(Ok(Message::Text(text))) => Ok(text.as_str().to_owned()),
        other => Err(format!("not a message: {other:?}").into()),
    }
}

fn messages(frame: &str) -> Result<Vec<Value>> {
    frame.split_terminator(SEPARATOR).map(|message| Ok(serde_json::from_str(message)?)).collect()
}

/// Resident memory that each open and silent connection adds, and the CPU time of its opening.
pub(crate) async fn idle(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    if !figures.wants("idle") {
        return Ok(());
    }
    let mut clients = Client::join_all(server.port, "/hub", 100).await?;
    let (before, cpu) = (server.settled().await?, server.cpu()?);
    let mut pinged = Instant::now();
    while clients.len() < IDLE {
        clients.extend(Client::join_all(server.port, "/hub", 500).await?);
        // The server gives up a client that is silent for 30 seconds.
        if pinged.elapsed() > Duration::from_secs(8) {
            pinged = Instant::now();
            for client in &mut clients {
                client.write(&json!({ "type": 6 })).await?;
                client.sink.flush().await?;
            }
        }
    }
    let opened = clients.len() - 100;
    let cpu = server.cpu()? - cpu;
    let after = server.settled().await?;
    let each = after.saturating_sub(before) as f64 / opened as f64;
    figures.add("idle: 10 000 connections, kB each", Less, each / 1000.0);
    figures.add("connect: with negotiate, per CPU second", More, opened as f64 / cpu.as_secs_f64());
    // They are all there.
    let mut last = clients.swap_remove(0);
    last.send("ToOthers", json!(["News", "hello"])).await?;
    for client in &mut clients {
        while !client.read().await?.contains("News") {}
    }
    Ok(())
}

/// A workload of calls.
struct Load {
    name: &'static str,
    path: &'static str,
    connections: usize,
    in_flight: usize,
    /// On each connection.
    count: usize,
}

/// Small calls: as many as fit on one connection, and one at a time on many.
pub(crate) async fn calls(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    let loads = [
        Load {
            name: "calls: 1 connection, 64 in flight",
            path: "/parallel",
            connections: 1,
            in_flight: 64,
            count: 200_000,
        },
        Load {
            name: "calls: 1 connection, 1 in flight",
            path: "/hub",
            connections: 1,
            in_flight: 1,
            count: 20_000,
        },
        Load {
            name: "calls: 100 connections, 1 in flight",
            path: "/hub",
            connections: 100,
            in_flight: 1,
            count: 1_000,
        },
    ];
    let call = |n: usize| ("Add", json!([n, 1]), json!(n + 1));
    for load in loads {
        run(server, figures, &load, call, true).await?;
    }
    Ok(())
}

/// Calls that bring 1 KiB and take it back.
pub(crate) async fn echo(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    let text = "x".repeat(ECHOED);
    let call = |_| ("Echo", json!([text]), json!(text));
    run(server, figures, &ECHO, call, true).await
}

const ECHO: Load = Load {
    name: "echo: 1 KiB, 1 connection, 16 in flight",
    path: "/parallel",
    connections: 1,
    in_flight: 16,
    count: 100_000,
};

/// The same messages, without a hub.
pub(crate) async fn raw_echo(server: &Server, mut figures: Figures<'_>) -> Result<()> {
    let text = "x".repeat(ECHOED);
    run(server, &mut figures, &ECHO, |_| ("Echo", json!([text]), Value::Null), false).await
}

/// Keeps calls in flight, and notes what they cost the server and how long they take.
async fn run<C>(server: &Server, figures: &mut Figures<'_>, load: &Load, call: C, is_hub: bool) -> Result<()>
where
    C: Fn(usize) -> (&'static str, Value, Value),
{
    if !figures.wants(load.name) {
        return Ok(());
    }
    let mut clients = match is_hub {
        true => Client::join_all(server.port, load.path, load.connections).await?,
        false => vec![Client::connect(server.port, "/").await?],
    };
    let warm_up = Load { count: load.count / 4, ..*load };
    round(&mut clients, &warm_up, &call, is_hub).await?;
    let cpu = server.cpu()?;
    let mut times = round(&mut clients, load, &call, is_hub).await?;
    let cpu = server.cpu()? - cpu;
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    let name = load.name;
    figures.add(&format!("{name}, per CPU second"), More, times.len() as f64 / cpu.as_secs_f64());
    figures.add(&format!("{name}, p50 in µs"), Less, percentile(50));
    figures.add(&format!("{name}, p99 in µs"), Less, percentile(99));
    Ok(())
}

async fn round<C>(clients: &mut [Client], load: &Load, call: &C, is_hub: bool) -> Result<Vec<Duration>>
where
    C: Fn(usize) -> (&'static str, Value, Value),
{
    let callers = clients.iter_mut().map(|client| keep_calling(client, load, call, is_hub));
    let times = futures_util::future::try_join_all(callers).await?;
    Ok(times.concat())
}

async fn keep_calling<C>(client: &mut Client, load: &Load, call: &C, is_hub: bool) -> Result<Vec<Duration>>
where
    C: Fn(usize) -> (&'static str, Value, Value),
{
    let mut times = Vec::with_capacity(load.count);
    let mut begun = HashMap::with_capacity(load.in_flight);
    let mut next = 0;
    while times.len() < load.count {
        while begun.len() < load.in_flight && next < load.count {
            let (target, arguments, result) = call(next);
            let id = next.to_string();
            let message = json!({ "type": 1, "invocationId": id, "target": target, "arguments": arguments });
            client.write(&message).await?;
            begun.insert(id, (Instant::now(), result));
            next += 1;
        }
        client.sink.flush().await?;
        let mut frame = Some(client.read().await?);
        // What else is there is read before more is written.
        while let Some(text) = frame {
            for message in messages(&text)? {
                let id = message["invocationId"].as_str().unwrap_or_default();
                let Some((start, result)) = begun.remove(id) else { continue };
                if is_hub && (message["type"] != 3 || message["result"] != result) {
                    return Err(format!("a wrong answer: {message}").into());
                }
                times.push(start.elapsed());
            }
            frame = client.read().now_or_never().transpose()?;
        }
    }
    Ok(times)
}

/// Many clients that count what they are told.
struct Audience {
    clients: Vec<SplitSink<WebSocketStream<TcpStream>, Message>>,
    readers: JoinSet<Result<()>>,
    left: Arc<AtomicUsize>,
    all: Arc<Notify>,
}

impl Audience {
    fn new(clients: Vec<Client>) -> Self {
        let (left, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (mut sinks, mut readers) = (Vec::new(), JoinSet::new());
        for Client { sink, mut stream } in clients {
            sinks.push(sink);
            let (left, all) = (left.clone(), all.clone());
            readers.spawn(async move {
                loop {
                    let frame = read(&mut stream).await?;
                    let told = frame.matches("\"News\"").count();
                    if told > 0 && left.fetch_sub(told, Ordering::AcqRel) == told {
                        all.notify_one();
                    }
                }
            });
        }
        Self { clients: sinks, readers, left, all }
    }

    /// The first client tells so many of them; waits until they know. How long that took.
    async fn tell(&mut self, call: Value, count: usize) -> Result<Duration> {
        self.left.store(count, Ordering::Release);
        let start = Instant::now();
        let first = self.clients.first_mut().ok_or("nobody is there")?;
        first.send(Message::text(format!("{call}{SEPARATOR}"))).await?;
        tokio::select! {
            () = self.all.notified() => Ok(start.elapsed()),
            Some(ended) = self.readers.join_next() => Err(format!("a client has gone: {ended:?}").into()),
        }
    }
}

/// One message for a thousand clients.
pub(crate) async fn broadcast(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    if !figures.wants("broadcast") {
        return Ok(());
    }
    let clients = Client::join_all(server.port, "/hub", AUDIENCE).await?;
    let call = |_| (json!({ "type": 1, "target": "ToAll", "arguments": ["News", "hello"] }), AUDIENCE);
    told(server, figures, "broadcast: to 1 000", 100, Audience::new(clients), call).await
}

/// A message for a group of a hundred, of ten groups.
pub(crate) async fn groups(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    if !figures.wants("groups") {
        return Ok(());
    }
    let mut clients = Client::join_all(server.port, "/hub", AUDIENCE).await?;
    for (at, client) in clients.iter_mut().enumerate() {
        client.invoke("Join", json!([format!("group {}", at % GROUPS)])).await?;
    }
    let call = |n| {
        let arguments = json!([format!("group {}", n % GROUPS), "News", "hello"]);
        (json!({ "type": 1, "target": "ToGroup", "arguments": arguments }), AUDIENCE / GROUPS)
    };
    told(server, figures, "groups: to 100 of 1 000", 1_000, Audience::new(clients), call).await
}

async fn told(
    server: &Server,
    figures: &mut Figures<'_>,
    name: &str,
    count: usize,
    mut audience: Audience,
    call: impl Fn(usize) -> (Value, usize),
) -> Result<()> {
    for n in 0..count / 4 {
        let (call, receivers) = call(n);
        audience.tell(call, receivers).await?;
    }
    let (cpu, mut times, mut received) = (server.cpu()?, Vec::new(), 0);
    for n in 0..count {
        let (call, receivers) = call(n);
        times.push(audience.tell(call, receivers).await?);
        received += receivers;
    }
    let cpu = server.cpu()? - cpu;
    times.sort_unstable();
    let median = times[times.len() / 2].as_secs_f64() * 1e3;
    figures.add(&format!("{name}, messages per CPU second"), More, received as f64 / cpu.as_secs_f64());
    figures.add(&format!("{name}, median until the last in ms"), Less, median);
    Ok(())
}

/// Methods that ask their caller and answer with what it says.
pub(crate) async fn client_results(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    const NAME: &str = "client results: 16 connections, per CPU second";
    if !figures.wants(NAME) {
        return Ok(());
    }
    let mut clients = Client::join_all(server.port, "/parallel", 16).await?;
    ask(&mut clients, 500).await?;
    let cpu = server.cpu()?;
    let count = ask(&mut clients, 2_000).await?;
    figures.add(NAME, More, count as f64 / (server.cpu()? - cpu).as_secs_f64());
    Ok(())
}

async fn ask(clients: &mut [Client], count: usize) -> Result<usize> {
    let asking = clients.iter_mut().map(|client| async move {
        for n in 0..count {
            let question = format!("question {n}");
            let call = json!({ "type": 1, "invocationId": "0", "target": "Ask", "arguments": ["Question", question] });
            client.write(&call).await?;
            let mut answered = false;
            while !answered {
                client.sink.flush().await?;
                for message in messages(&client.read().await?)? {
                    match message["type"].as_u64() {
                        Some(1) => {
                            let answer = json!({ "type": 3, "invocationId": message["invocationId"], "result": message["arguments"][0] });
                            client.write(&answer).await?;
                        }
                        Some(3) if message["result"] == question => answered = true,
                        Some(6) => {}
                        _ => return Err(format!("a wrong answer: {message}").into()),
                    }
                }
            }
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    futures_util::future::try_join_all(asking).await?;
    Ok(clients.len() * count)
}

/// What waits for clients that read nothing, which is each's own.
pub(crate) async fn stuck(server: &Server, figures: &mut Figures<'_>) -> Result<()> {
    for transport in TRANSPORTS {
        let name = format!("stuck: {transport}, MB each at most");
        if !figures.wants(&name) {
            continue;
        }
        let door = Door {
            port: server.port,
            negotiate: "/large/negotiate?negotiateVersion=1".to_owned(),
            connect: "/large?".to_owned(),
            token: None,
        };
        let mut clients = Client::join_all(server.port, "/large", 1).await?;
        let sender = Mutex::new(clients.swap_remove(0));
        let send = async |id: &str, text: &str| {
            let call = sender.lock().await.invoke("ToConnection", json!([id, "News", text])).await;
            call.map(drop)
        };
        let (most, left) = stuck::measure(server, &door, transport, send).await?;
        figures.add(&name, Less, most);
        figures.add(&format!("stuck: {transport}, MB each when cut off"), Less, left);
    }
    Ok(())
}

/// The same calls as the official .NET client makes them, each in a write of its own, in both protocols.
pub(crate) fn official_client(server: &Server, reference: &Path, figures: &mut Figures<'_>) -> Result<()> {
    for protocol in ["json", "messagepack"] {
        let name = format!(".NET client, {protocol}: 64 in flight");
        if !figures.wants(&name) {
            continue;
        }
        // It warms up with a quarter of them, which count here as well.
        let count = 100_000;
        let cpu = server.cpu()?;
        let output = Command::new(reference.join("run"))
            .args(["client", "bench", "invoke", "--url", &format!("http://127.0.0.1:{}", server.port)])
            .args(["--protocol", protocol, "--count", &count.to_string(), "--in-flight", "64"])
            .output()?;
        let cpu = server.cpu()? - cpu;
        let said: Value = serde_json::from_slice(&output.stdout)?;
        let calls = f64::from(count + count / 4);
        figures.add(&format!("{name}, per CPU second"), More, calls / cpu.as_secs_f64());
        for (figure, title) in [("p50_us", "p50 in µs"), ("p99_us", "p99 in µs")] {
            let figure = said["figures"][figure].as_f64().ok_or("a figure is missing")?;
            figures.add(&format!("{name}, {title}"), Less, figure);
        }
    }
    Ok(())
}

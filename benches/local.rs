//! The local service with 10 000 idle clients, and a message for all of them; and with clients that read nothing:
//! `cargo xtask bench --local`. Arguments are `crowd` and `stuck`, for one of the two.
//!
//! The service is a process of its own, whose memory and CPU time are read from the kernel; the clients speak the JSON
//! protocol over bare WebSockets. Each process has 10 000 files open: `ulimit -n` has to allow it, which `cargo xtask` sees to
//! where the system lets it.

#[path = "../tests/support/http.rs"]
mod plain_http;
#[allow(dead_code, reason = "another benchmark uses all of it")]
#[path = "server/process.rs"]
mod process;
#[path = "server/stuck.rs"]
mod stuck;
#[path = "../tests/support/stuck.rs"]
mod stuck_clients;

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use hubwire::{
    local::{LocalService, ServiceMode},
    server::{Caller, HubServer, azure::AzureSignalR},
    service::{HubClient, NegotiateOptions, ServiceClient, ServiceEndpoint},
};
use serde_json::json;
use tokio::{net::TcpStream, time};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use process::Server;
use stuck_clients::{Door, TRANSPORTS};

/// An error is printed, and ends the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CLIENTS: usize = 10_000;

const MODES: [&str; 2] = ["serverless", "default"];

/// How many messages go to all.
const BROADCASTS: usize = 5;

type Socket = WebSocketStream<TcpStream>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--serve") => serve(arguments.get(1).is_some_and(|mode| mode == "default")),
        _ if arguments.iter().any(|argument| argument == "--bench") => measure(),
        // `cargo test` runs benches as well; there they need only compile.
        _ => Ok(()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The service, until standard input ends. In default mode its app server is in the same process.
fn serve(is_default: bool) -> Result<()> {
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let mode = if is_default { ServiceMode::Default } else { ServiceMode::Serverless };
    let local = runtime.block_on(LocalService::builder().service_mode(mode).start())?;
    let app = is_default.then(|| {
        let azure = AzureSignalR::from_connection_string("chat", &local.connection_string());
        let hub = HubServer::builder().on("Nothing", |_: Caller| async move { Ok(()) });
        hub.azure(azure).map(|hub| hub.build())
    });
    let app = app.transpose()?;
    if let Some(app) = &app {
        runtime.block_on(app.ready());
    }
    println!("{}", json!({ "url": local.endpoint(), "pid": std::process::id() }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn measure() -> Result<()> {
    // reqwest wants one, though nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let this = std::env::current_exe()?;
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == part);
    if wants("crowd") {
        println!(
            "{:<12} {:>12} {:>14} {:>14} {:>12} {:>12}",
            "", "kB each", "connects/CPU s", "connects/s", "first, ms", "last, ms"
        );
        for mode in MODES {
            let server = Server::start(&this, &["--serve", mode])?;
            runtime()?.block_on(crowd(&server, mode))?;
        }
    }
    if wants("stuck") {
        println!("{:<32} {:>16} {:>16}", "clients that do not read", "MB each, at most", "when cut off");
        for mode in MODES {
            for transport in TRANSPORTS {
                let server = Server::start(&this, &["--serve", mode])?;
                runtime()?.block_on(stuck(&server, mode, transport))?;
            }
        }
    }
    Ok(())
}

fn service(port: u16) -> Result<HubClient> {
    let key = LocalService::EMULATOR_ACCESS_KEY;
    let endpoint = format!("Endpoint=http://127.0.0.1;Port={port};AccessKey={key};Version=1.0;");
    let endpoint = ServiceEndpoint::from_connection_string(&endpoint)?;
    Ok(ServiceClient::builder().endpoint(endpoint).build()?.hub("chat")?)
}

async fn stuck(server: &Server, mode: &str, transport: &str) -> Result<()> {
    let hub = service(server.port)?;
    let door = Door {
        port: server.port,
        negotiate: "/client/negotiate?hub=chat&negotiateVersion=1".to_owned(),
        connect: "/client/?hub=chat&".to_owned(),
        token: Some(hub.negotiate(NegotiateOptions::anonymous()).await?.access_token),
    };
    let send = async |id: &str, text: &str| Ok(hub.connection(id).send("News", (text,)).await?);
    let (most, left) = stuck::measure(server, &door, transport, send).await?;
    println!("{:<32} {most:>16.1} {left:>16.1}", format!("{mode}, {transport}"));
    Ok(())
}

async fn crowd(server: &Server, mode: &str) -> Result<()> {
    let (port, hub) = (server.port, service(server.port)?);
    // What the service needs for its first clients is not theirs.
    let mut clients = connect(port, &hub, 100).await?;
    let (memory, cpu, begun) = (server.settled().await?, server.cpu()?, Instant::now());
    let mut pinged = Instant::now();
    while clients.len() < CLIENTS {
        clients.extend(connect(port, &hub, 100).await?);
        // The service gives up a client that is silent for 30 seconds.
        if pinged.elapsed() > Duration::from_secs(10) {
            pinged = Instant::now();
            ping(&mut clients).await?;
        }
    }
    let (took, cpu) = (begun.elapsed(), server.cpu()? - cpu);
    ping(&mut clients).await?;
    let opened = (CLIENTS - 100) as f64;
    let each = server.settled().await?.saturating_sub(memory) as f64 / opened / 1000.0;
    ping(&mut clients).await?;

    let (mut first, mut last) = (Duration::MAX, Duration::ZERO);
    for _ in 0..BROADCASTS {
        let sent = Instant::now();
        let reading = join_all(clients.iter_mut().map(async |client| {
            news(client).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sent.elapsed())
        }));
        let all = hub.all();
        let sending = all.send("News", ("hello",));
        let (read, sending) = tokio::join!(reading, sending);
        sending?;
        for read in read {
            let read = read?;
            (first, last) = (first.min(read), last.max(read));
        }
        ping(&mut clients).await?;
    }
    println!(
        "{mode:<12} {each:>12.1} {:>14.0} {:>14.0} {:>12.1} {:>12.1}",
        opened / cpu.as_secs_f64(),
        opened / took.as_secs_f64(),
        first.as_secs_f64() * 1000.0,
        last.as_secs_f64() * 1000.0,
    );
    Ok(())
}

/// As many clients, connected one beside the other.
async fn connect(port: u16, hub: &HubClient, count: usize) -> Result<Vec<Socket>> {
    let access = hub.negotiate(NegotiateOptions::anonymous()).await?;
    let url = format!("{}&access_token={}", access.url.replacen("http", "ws", 1), access.access_token);
    join_all((0..count).map(|_| open(port, &url))).await.into_iter().collect()
}

async fn open(port: u16, url: &str) -> Result<Socket> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await?;
    socket.send(Message::text("{\"protocol\":\"json\",\"version\":1}\u{1e}")).await?;
    socket.next().await.ok_or("no answer to the handshake")??;
    Ok(socket)
}

async fn ping(clients: &mut [Socket]) -> Result<()> {
    for client in clients {
        client.send(Message::text("{\"type\":6}\u{1e}")).await?;
    }
    Ok(())
}

/// Waits for the message that goes to all.
async fn news(client: &mut Socket) -> Result<()> {
    let waiting = async {
        loop {
            let message = client.next().await.ok_or("a client was given up")??;
            if message.into_text().is_ok_and(|text| text.contains("News")) {
                return Ok(());
            }
        }
    };
    time::timeout(Duration::from_secs(60), waiting).await?
}

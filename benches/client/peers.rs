//! The other clients, each in a process of its own that prints its figures: the official .NET client, and the crate
//! signalr-client.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use hubwire::HubProtocol;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support;
use crate::table::row;

/// What the peers are told about the server.
pub(crate) struct Peers {
    protocol: HubProtocol,
    /// `None` when this client runs alone.
    dotnet: Option<String>,
    rust: Option<RustPeer>,
}

struct RustPeer {
    program: PathBuf,
    hub: String,
    /// A way to the hub's counterparts without negotiate, which this client does not skip.
    tunnel: String,
}

/// The figures of one workload, of the peers that have it.
pub(crate) struct Figures {
    dotnet: Option<Value>,
    rust: Option<Value>,
}

impl Peers {
    /// Those that can be run. `HUBWIRE_BENCH_PEER` names the program in `benches/peer`.
    pub(crate) async fn find(base: &str, protocol: HubProtocol) -> Self {
        // For a comparison of this client with itself.
        if std::env::args().any(|argument| argument == "--alone") {
            return Self { protocol, dotnet: None, rust: None };
        }
        let rust = match std::env::var_os("HUBWIRE_BENCH_PEER").filter(|path| !path.is_empty()) {
            Some(program) => Some(RustPeer {
                program: program.into(),
                hub: base.to_owned(),
                tunnel: negotiator(base).await,
            }),
            None => None,
        };
        Self { protocol, dotnet: Some(base.to_owned()), rust }
    }

    /// Runs a workload in every peer that has it.
    pub(crate) fn figures(&self, workload: &str, count: u32, more: &[&str]) -> Figures {
        let arguments = |command: &mut Command, url: &str| {
            command.args([workload, "--url", url, "--protocol", self.protocol.name()]);
            run(command.args(["--count", &count.to_string()]).args(more))
        };
        let dotnet = self.dotnet.as_ref().and_then(|url| arguments(&mut dotnet(), url));
        let has_it =
            matches!(workload, "send" | "invoke") || workload == "receive" && more.last() != Some(&"text10k");
        let rust = self.rust.as_ref().filter(|_| has_it);
        let rust = rust.and_then(|peer| {
            let url = if workload == "invoke" { &peer.hub } else { &peer.tunnel };
            arguments(&mut Command::new(&peer.program), url)
        });
        Figures { dotnet, rust }
    }

    /// A row for each peer, of one figure of a workload.
    pub(crate) fn rows(
        &self,
        title: &str,
        ours: f64,
        figure: &str,
        workload: &str,
        count: u32,
        more: &[&str],
    ) {
        self.figures(workload, count, more).rows(title, ours, figure);
    }

    /// The .NET client's figures of a workload that takes other arguments.
    pub(crate) fn dotnet(&self, workload: &str, more: &[&str]) -> Figures {
        let figures = self.dotnet.as_ref().and_then(|url| {
            let mut command = dotnet();
            run(command.args([workload, "--url", url, "--protocol", self.protocol.name()]).args(more))
        });
        Figures { dotnet: figures, rust: None }
    }
}

impl Figures {
    pub(crate) fn rows(&self, title: &str, ours: f64, name: &str) {
        let figure = |figures: &Option<Value>| {
            figures
                .as_ref()
                .map(|figures| figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {figures}")))
        };
        row(title, ours, figure(&self.dotnet));
        if self.rust.is_some() {
            row(
                &format!("  and signalr-client, {}", title.rsplit(", ").next().unwrap_or_default()),
                ours,
                figure(&self.rust),
            );
        }
    }
}

fn dotnet() -> Command {
    let mut command = Command::new(support::reference_dir().expect("the reference folder").join("run"));
    command.args(["client", "bench"]);
    command
}

/// What a peer prints. One that fails has no figures, and says why on standard error.
fn run(command: &mut Command) -> Option<Value> {
    let output = command.stderr(Stdio::inherit()).output().expect("the peer runs");
    match serde_json::from_slice::<Value>(&output.stdout) {
        Ok(line) => Some(line["figures"].clone()),
        Err(error) => {
            eprintln!("{command:?} prints no line of JSON: {error}");
            None
        }
    }
}

/// Answers every negotiate, and lets everything else through. The peer can give no query: it stands in the path, with
/// `&` where `?` belongs, and what comes after `?` is the peer's own.
async fn negotiator(base: &str) -> String {
    let hub = base.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let hub = hub.clone();
            // An error is the end of the connection, and no more.
            tokio::spawn(async move { drop(tunnel(client, &hub).await) });
        }
    });
    url
}

async fn tunnel(mut client: TcpStream, hub: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, rest) = text.split_once("\r\n").unwrap_or_default();
    if let Some(target) = line.strip_prefix("GET ") {
        let target = target.split(['?', ' ']).next().unwrap_or_default().replacen('&', "?", 1);
        let mut server = TcpStream::connect(hub).await?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        server.write_all(format!("GET {target} HTTP/1.1\r\n{rest}").as_bytes()).await?;
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let body = serde_json::json!({
        "negotiateVersion": 1, "connectionId": "id", "connectionToken": "token",
        "availableTransports": [{ "transport": "WebSockets", "transferFormats": ["Text", "Binary"] }],
    })
    .to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}

//! The servers that are measured, each the whole of its process.

use std::{io::Read as _, net::SocketAddr, process::ExitCode};

use axum::serve::ListenerExt as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::conformance_hub::conformance_hub;

/// A hub of this crate.
pub(crate) fn hub() -> ExitCode {
    run(async {
        let parallel = conformance_hub().maximum_parallel_invocations_per_client(16);
        let large = conformance_hub().maximum_receive_message_size(1024 * 1024);
        let app = axum::Router::new()
            .nest_service("/hub", conformance_hub().build())
            .nest_service("/large", large.build())
            .nest_service("/parallel", parallel.build());
        let (listener, url) = listener().await;
        // As ASP.NET Core does. Small messages would wait for one another otherwise.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    })
}

/// What the transport alone costs: every message goes back, and those that came together go back together.
pub(crate) fn raw_echo() -> ExitCode {
    run(async {
        let (listener, url) = listener().await;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream));
            }
        });
        url
    })
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"))
}

async fn echo(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.feed(message).await.is_err() {
            return;
        }
        while let Some(Some(Ok(message))) = socket.next().now_or_never() {
            if socket.feed(message).await.is_err() {
                return;
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}

/// Says where a server listens, and serves until its standard input ends.
fn run(start: impl Future<Output = String>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let url = runtime.block_on(start);
    println!("{}", serde_json::json!({ "url": url, "pid": std::process::id() }));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}

//! Clients that read nothing behind their handshake.

use std::error::Error;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::plain_http::plain_http;

const HANDSHAKE: &str = "{\"protocol\":\"json\",\"version\":1}\u{1e}";

pub(crate) const TRANSPORTS: [&str; 3] = ["WebSockets", "Server-Sent Events", "long polling"];

/// Where clients come in.
pub(crate) struct Door {
    pub(crate) port: u16,
    /// Paths with their queries.
    pub(crate) negotiate: String,
    pub(crate) connect: String,
    pub(crate) token: Option<String>,
}

/// A client that reads nothing behind its handshake, for as long as this is kept.
#[allow(dead_code, reason = "it is kept, and not read")]
pub(crate) enum Stuck {
    Socket(Box<WebSocketStream<TcpStream>>),
    Requests(Box<reqwest::Response>),
}

/// Connects one; its connection id, and what keeps it.
///
/// # Errors
/// Whatever goes wrong on the way.
pub(crate) async fn open(
    door: &Door,
    transport: &str,
) -> Result<(String, Stuck), Box<dyn Error + Send + Sync>> {
    let (http, base) = (plain_http().build()?, format!("http://127.0.0.1:{}", door.port));
    let with_token = |request: reqwest::RequestBuilder| match &door.token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let negotiate = http.post(format!("{base}{}", door.negotiate));
    let answer: Value = with_token(negotiate).send().await?.error_for_status()?.json().await?;
    let of =
        |name: &str| Ok::<_, String>(answer[name].as_str().ok_or_else(|| answer.to_string())?.to_owned());
    let (id, token) = (of("connectionId")?, of("connectionToken")?);
    let url = format!("{base}{}id={token}", door.connect);
    if transport == TRANSPORTS[0] {
        let stream = TcpStream::connect(("127.0.0.1", door.port)).await?;
        let access = door.token.as_ref().map(|token| format!("&access_token={token}")).unwrap_or_default();
        let url = format!("{}{access}", url.replacen("http", "ws", 1));
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        socket.send(Message::text(HANDSHAKE)).await?;
        socket.next().await.ok_or("no answer to the handshake")??;
        return Ok((id, Stuck::Socket(Box::new(socket))));
    }
    let is_polled = transport == TRANSPORTS[2];
    let accept = if is_polled { "*/*" } else { "text/event-stream" };
    let get =
        async || Ok::<_, reqwest::Error>(with_token(http.get(&url).header("accept", accept)).send().await?);
    let mut opened = get().await?.error_for_status()?;
    with_token(http.post(&url).body(HANDSHAKE)).send().await?.error_for_status()?;
    if is_polled {
        opened = get().await?.error_for_status()?;
    }
    opened.chunk().await?;
    Ok((id, Stuck::Requests(Box::new(opened))))
}

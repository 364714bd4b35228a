//! A server that answers as it was recorded.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A request as it came.
pub(crate) struct Made {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// A server that gives the recorded answers, each to a request for its target, and hands on what it was asked.
pub(crate) async fn serve(recorded: Vec<Value>) -> (String, mpsc::UnboundedReceiver<Made>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut used = vec![false; recorded.len()];
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(made) = read(&mut stream).await else { continue };
            let path = made.target.split('?').next().unwrap_or_default().to_owned();
            let same = |n: &usize| recorded[*n]["path"] == path.as_str();
            let unused = (0..recorded.len()).find(|n| !used[*n] && same(n));
            let answer = unused.or_else(|| (0..recorded.len()).rev().find(same));
            let _ = sender.send(made);
            let response = match answer {
                Some(n) => {
                    used[n] = true;
                    recorded[n]["response"].clone()
                }
                None => json!({"status": 599}),
            };
            tokio::spawn(async move { respond(stream, &response).await });
        }
    });
    (url, seen)
}

pub(crate) async fn read(stream: &mut TcpStream) -> Option<Made> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.split("\r\n");
            let mut first = lines.next()?.split(' ');
            let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
            let headers: BTreeMap<_, _> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some(Made { method, target, headers, body: bytes.split_off(end + 4) });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

pub(crate) async fn respond(mut stream: TcpStream, response: &Value) {
    if let Some(delay) = response["delay_ms"].as_u64() {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    // Without a status, the connection is cut.
    let Some(status) = response["status"].as_u64() else { return };
    let body = response["body"].as_str().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    if !matches!(status, 204 | 304) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in response["headers"].as_object().into_iter().flatten() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap_or_default()));
    }
    let body = if matches!(status, 204 | 304) { "" } else { body };
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

//! Requests whose every byte is the test's own: no HTTP library changes their targets.
#![cfg(feature = "local")]

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No answer takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The bytes of a request, after which the connection ends.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// Sends bytes, and gives the answer if there is one. Whoever sends less than a whole request ends its side after a
/// moment, if nothing has come by then. The end of an answer is the end of the connection or of its `Content-Length`.
pub(crate) async fn exchange(port: u16, bytes: &[u8], moment: Duration) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The service may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    let (mut received, mut buffer, mut is_over) = (Vec::new(), vec![0; 16 * 1024], false);
    loop {
        let patience = if is_over { PATIENCE } else { moment };
        match timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return parsed(&received),
            Ok(Ok(count)) => {
                received.extend_from_slice(&buffer[..count]);
                if is_whole(&received) {
                    return parsed(&received);
                }
            }
            Err(_) if is_over => panic!("no answer, and no end: {}", String::from_utf8_lossy(bytes)),
            Err(_) => {
                is_over = true;
                let _ = stream.shutdown().await;
            }
        }
    }
}

/// Sends a whole request.
pub(crate) async fn send(port: u16, bytes: &[u8]) -> Answer {
    exchange(port, bytes, PATIENCE).await.expect("an answer")
}

fn is_whole(received: &[u8]) -> bool {
    parsed(received).is_some_and(|answer| match answer.header("content-length") {
        Some(length) => length.parse().is_ok_and(|length: usize| answer.body.len() >= length),
        // What streams is not waited for.
        None => {
            matches!(answer.status, 101 | 204) || answer.header("content-type") == Some("text/event-stream")
        }
    })
}

fn parsed(received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: received[end + 4..].to_vec() })
}

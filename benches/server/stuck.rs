//! What clients that read nothing cost a server: whatever is sent to them waits there, until it is too much.

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use crate::{
    Result,
    process::Server,
    stuck_clients::{Door, open},
};

/// How many there are.
const CLIENTS: usize = 10;

/// How many messages are on their way to the server at a time.
const AT_ONCE: usize = 32;

/// As much is sent to each: more than what may wait for a client, and what the buffers on the way to it hold.
const SENT: usize = 40 * 1024 * 1024;

/// Large ones show what is taken off a queue at a time.
const SIZE: usize = 200_000;

/// Memory that each of them takes at most, and what is left of it when they are cut off, in MB. `send` sends a text to the
/// connection with an id.
pub(crate) async fn measure(
    server: &Server,
    door: &Door,
    transport: &str,
    send: impl AsyncFn(&str, &str) -> Result<()>,
) -> Result<(f64, f64)> {
    // What the server needs for its first clients is not theirs.
    drop(open(door, transport).await?);
    let before = server.settled().await?;
    let clients = try_join_all((0..CLIENTS).map(|_| open(door, transport))).await?;
    let text = "x".repeat(SIZE);
    let (mut peak, slots) = (before, Semaphore::new(AT_ONCE));
    for _ in 0..SENT / SIZE {
        try_join_all(clients.iter().map(async |(id, _)| {
            let _slot = slots.acquire().await?;
            send(id, &text).await
        }))
        .await?;
        peak = peak.max(server.resident()?);
    }
    let after = server.settled().await?;
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / 1e6 / CLIENTS as f64;
    Ok((each(peak), each(after)))
}

//! Limits of size and time for what comes over the network.

use std::{error::Error, time::Duration};

/// Reads a body that must not be longer than `limit` bytes.
pub(crate) async fn read_body(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer is longer than {limit} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Waits for a result for a limited time. When the time is over, the work is dropped and the error is `elapsed`.
pub(in crate::service) async fn within<T, E>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
    elapsed: impl FnOnce() -> E,
) -> Result<T, E> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(elapsed()),
    }
}

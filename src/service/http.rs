//! What every request of this module shares.

use std::error::Error;

/// Reads a body that must not be longer than `limit` bytes.
pub(super) async fn read_body(
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

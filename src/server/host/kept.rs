//! What is kept of the request that opened a connection, for as long as that lasts.

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Copies headers. As they come, they are slices of the buffer that the request was read into, which would be kept with
/// them: 16 kB for each connection.
pub(super) fn headers(headers: &HeaderMap) -> HeaderMap {
    let mut values = Bytes::from(headers.values().map(HeaderValue::as_bytes).collect::<Vec<_>>().concat());
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let copy = HeaderValue::from_maybe_shared(values.split_to(value.len()));
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(mut copy)) = (name, copy) {
            copy.set_sensitive(value.is_sensitive());
            kept.append(name, copy);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_headers_are_there_and_none_is_shared() {
        let mut request = HeaderMap::new();
        let buffer = Bytes::from_static(b"one, two\xff");
        request.append("x-own", HeaderValue::from_maybe_shared(buffer.slice(..3)).expect("a value"));
        request.append("accept", HeaderValue::from_static(""));
        request.append("x-own", HeaderValue::from_maybe_shared(buffer.slice(5..)).expect("a value"));
        let mut secret = HeaderValue::from_static("Bearer secret");
        secret.set_sensitive(true);
        request.append("authorization", secret);
        let kept = headers(&request);
        assert_eq!(kept, request);
        assert!(kept["authorization"].is_sensitive() && !kept["x-own"].is_sensitive());
        assert_ne!(kept["x-own"].as_bytes().as_ptr(), request["x-own"].as_bytes().as_ptr());
    }
}

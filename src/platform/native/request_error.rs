//! Why a request has failed.

use std::error::Error;

use super::proxy::ProxyServer;
use super::tls;
use crate::core::{Cause, TransportError};

/// What failed on the way through a proxy.
pub(super) fn through(proxy: &ProxyServer, error: TransportError) -> TransportError {
    let TransportError { status, close_code, kind, .. } = error;
    let message = format!("the connection through the proxy {proxy:?} failed");
    TransportError { status, close_code, kind, ..TransportError::because_of(message, Cause::new(error)) }
}

/// reqwest's own text may have the URL with its query in it.
pub(super) fn describe(error: reqwest::Error) -> TransportError {
    describe_any(error.without_url())
}

/// An error with its causes, or what it says about TLS.
pub(super) fn describe_any(error: impl Error + Send + Sync + 'static) -> TransportError {
    let (explained, cause) = (tls::explain(&error), Cause::new(error));
    match explained {
        Some((kind, explained)) => TransportError { kind, ..TransportError::because_of(explained, cause) },
        None => TransportError::because_of("the request failed", cause),
    }
}

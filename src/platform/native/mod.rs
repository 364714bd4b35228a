//! The native side: tokio, reqwest and rustls.

#[cfg(any(feature = "client", feature = "service"))]
pub(crate) mod tls;

//! Limits of Azure SignalR Service: the client keeps to them, and the local service holds its own clients to them.
//!
//! Source: [REST API reference](https://learn.microsoft.com/azure/azure-signalr/signalr-reference-data-plane-rest-api).

/// The longest name of a group, a user or a connection, in characters.
pub(crate) const NAME: usize = 1024;
/// The largest body of a REST request, in bytes: 1 MB by its documentation, which does not say which MB it means.
pub(crate) const BODY: usize = 1024 * 1024;
/// The longest request line over HTTP/1.1, in bytes.
pub(crate) const REQUEST_LINE: usize = 12 * 1024;
/// The most connections of a group that are listed at a time.
pub(crate) const PAGE: u8 = 200;

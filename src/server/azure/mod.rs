//! Hubs behind Azure SignalR Service, in its default mode.
//!
//! `connections` are the server connections of a hub: WebSockets to the service, on which the traffic of all its clients
//! goes. They know the service, and nothing of hubs.

pub(crate) mod connections;
pub(crate) mod ids;
mod link;
#[cfg(test)]
mod link_tests;
mod questions;
mod shared;
#[cfg(test)]
mod tests;

//! Hubs hosted in Rust behind Azure SignalR Service: behind our own local service, and behind the official protocol library's.

mod support;

mod behind_local;
mod behind_reference;
#[cfg(feature = "dashboard")]
mod dashboard;

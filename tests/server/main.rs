//! Hubs hosted in Rust, called by this crate's client and by others.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "local")]
mod azure;
mod calls;
mod conformance;
mod conformance_hub;
mod connections;
mod faults;
mod front;
mod hostile;
mod in_memory;
mod node;
#[cfg(feature = "local")]
#[path = "../support/http.rs"]
mod plain_http;
mod refresh;
mod stateful;
mod typed;

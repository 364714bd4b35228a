//! Hubs hosted in Rust, called by this crate's client and by others.

#[path = "../support/http.rs"]
mod plain_http;
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "local")]
mod azure;
mod backplane;
mod calls;
mod conformance;
mod conformance_hub;
mod connections;
mod dashboard;
mod faults;
mod filters;
mod front;
mod hostile;
mod in_memory;
#[cfg(feature = "metrics")]
mod metrics;
mod node;
mod noise;
mod outgoing;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_faults;
#[cfg(feature = "redis")]
mod redis_server;
mod refresh;
mod stateful;
mod typed;

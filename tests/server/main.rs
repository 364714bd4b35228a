//! Hubs hosted in Rust, called by this crate's client and by others.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "actix")]
mod actix;
mod calls;
mod conformance;
mod conformance_hub;
mod connections;
mod faults;
mod front;
mod hostile;
mod in_memory;
mod node;
mod refresh;
mod stateful;
mod typed;

//! The client natively, against real and fake hubs.

mod blocking_handlers;
mod calls;
mod certificates;
mod compile_errors;
#[path = "../support/fake_hub.rs"]
mod fake_hub;
mod http;
#[path = "../support/network.rs"]
mod network;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/http.rs"]
mod plain_http;
mod proxies;
mod reference_hub;
mod restart_stress;
#[path = "../suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod trace_context;
mod values;

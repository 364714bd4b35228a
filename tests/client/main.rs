//! The client natively, against real and fake hubs.

mod calls;
#[path = "../support/fake_hub.rs"]
mod fake_hub;
mod http;
#[path = "../support/peer.rs"]
mod peer;
mod reference_hub;
mod restart_stress;
#[path = "../suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;
mod values;

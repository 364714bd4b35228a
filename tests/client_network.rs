//! Proxies and TLS of the native client.

#[path = "client/certificates.rs"]
mod certificates;
#[path = "support/fake_hub.rs"]
mod fake_hub;
#[path = "support/network.rs"]
mod network;
#[path = "client/proxies.rs"]
mod proxies;
mod suite;
mod support;

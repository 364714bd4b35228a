//! The core: codecs, negotiate and the machines of a connection, with their vectors, scenarios and properties.

mod client_properties;
mod client_scenarios;
mod codec_properties;
mod known_faults;
#[path = "../machine/mod.rs"]
mod machine;
mod messages;
mod server_connections;
#[path = "../support/mod.rs"]
mod support;
mod urls;
mod vectors;

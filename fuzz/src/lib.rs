//! Fuzz targets. Each is a plain function that takes any bytes and panics when what has to hold does not: that both
//! ways agree, that another parser agrees, that it does not matter where a stream is cut, that every call ends.
//!
//! - `cargo xtask fuzz` drives them by coverage, with libFuzzer.
//! - The ordinary test `smoke` drives them by a small deterministic [`Mutator`] over the committed seeds.
//!
//! Seeds are `seeds/TARGET/*`; an input that found a fault becomes one.

mod client;
mod cut;
#[path = "../../tests/machine/driver/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod driver;
mod framing;
mod hub;
mod json;
mod msgpack;
mod mutator;
mod negotiate;
mod pair;
mod reference;
mod server_connection;
mod service_protocol;
mod sse;
mod stateful;
mod token;

pub use mutator::Mutator;

use std::path::PathBuf;

/// Something to fuzz.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and its folder of seeds.
    pub name: &'static str,
    /// Panics on a fault.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "client", run: client::run },
    Target { name: "framing", run: framing::run },
    Target { name: "hub", run: hub::run },
    Target { name: "json", run: json::run },
    Target { name: "msgpack", run: msgpack::run },
    Target { name: "negotiate", run: negotiate::run },
    Target { name: "pair", run: pair::run },
    Target { name: "server_connection", run: server_connection::run },
    Target { name: "service_protocol", run: service_protocol::run },
    Target { name: "sse", run: sse::run },
    Target { name: "stateful", run: stateful::run },
    Target { name: "token", run: token::run },
];

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Where its seeds are.
    #[must_use]
    pub fn seeds_dir(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds").join(self.name)
    }

    /// Its seeds, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn seeds(&self) -> std::io::Result<Vec<Vec<u8>>> {
        let mut paths = std::fs::read_dir(self.seeds_dir())?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        paths.into_iter().map(std::fs::read).collect()
    }
}

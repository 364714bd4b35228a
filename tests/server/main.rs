//! Hubs hosted in Rust, called by this crate's client and by others.

mod calls;

//! The engine of a client's connection, over any codec: what drives the core's [machine](crate::core::client) for Rust,
//! natively and in browsers.
//!
//! ```text
//!   handles ──▶ connection ◀── driver ──▶ transport ──▶ platform
//!                   │             │
//!                   └─▶ machine ◀─┘   one lock: machine, wakers, and who waits for its numbers
//! ```
//!
//! `connection` is what handles and driver share, `calls` and `turn` what handles do with it, `start` begins and ends
//! it, `driver` moves bytes, `jobs` are the requests that the machine asks for, and `deliver` hands on what comes in.

pub(super) mod backlog;
pub(super) mod calls;
pub(super) mod codec;
pub(super) mod connection;
mod deliver;
mod driver;
pub(super) mod events;
pub(super) mod guard;
mod jobs;
pub(super) mod retry;
mod room;
pub(super) mod start;
pub(crate) mod transport;
mod turn;
mod wire;

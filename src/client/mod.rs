//! The client: connections over any hub protocol and on either platform.
//!
//! `engine` drives the core's machine over any codec, for Rust and for JavaScript (`js`). The rest is the client for Rust:
//! `builder` and `hub_connection`, and what calls and answers look like (`handler`, `handlers`, `reply`, `stream`,
//! `upload`).

#![allow(
    clippy::arc_with_non_send_sync,
    reason = "the same code runs natively with threads, and in a browser without"
)]

mod engine;

mod builder;
mod dispatch;
mod error;
mod handler;
mod handlers;
mod hub_connection;
#[cfg(any(feature = "leptos", feature = "yew"))]
mod listener;
#[cfg(feature = "yew")]
mod questions;
#[cfg(feature = "yew")]
mod renewal;
mod reply;
mod server_call;
mod stream;
mod trace;
mod upload;
pub use self::{
    builder::HubConnectionBuilder,
    engine::{
        events::{ConnectionEvent, ConnectionEvents},
        retry::RetryPolicy,
    },
    error::CallError,
    handler::{Handler, InvokeHandler},
    handlers::Subscription,
    hub_connection::{HubConnection, WeakHubConnection},
    server_call::ServerCall,
    stream::HubStream,
    trace::TraceContext,
};
#[cfg(all(native, feature = "server"))]
pub(crate) use self::{
    engine::{
        guard::{caught, guarded},
        transport::in_memory::InMemory,
    },
    trace::{Incoming as CallTrace, Tracing},
};
#[cfg(feature = "yew")]
pub use self::{listener::Feed, questions::Ask};
#[cfg(feature = "yew")]
pub(crate) use self::{listener::Listener, questions::Questions};

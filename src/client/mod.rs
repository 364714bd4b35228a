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

#[cfg(all(browser, feature = "js"))]
pub(crate) use self::engine::{
    backlog::{Backlog, Waiting},
    codec::WireCodec,
    connection::{
        CallEnd, Called, Callee, Caller, ClientCall, Connection, ConnectionSettings, Job, StopOnDrop,
        Subscriber, TokenProvider,
    },
    events::Listen,
};
#[cfg(all(browser, feature = "js", not(feature = "client")))]
pub(crate) use self::engine::{events::ConnectionEvent, retry::RetryPolicy};

#[cfg(feature = "client")]
mod builder;
#[cfg(feature = "client")]
mod dispatch;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod handler;
#[cfg(feature = "client")]
mod handlers;
#[cfg(feature = "client")]
mod hub_connection;
#[cfg(any(feature = "leptos", feature = "yew"))]
mod listener;
#[cfg(feature = "yew")]
mod questions;
#[cfg(feature = "yew")]
mod renewal;
#[cfg(feature = "client")]
mod reply;
#[cfg(feature = "client")]
mod stream;
#[cfg(feature = "client")]
mod trace;
#[cfg(feature = "client")]
mod upload;
#[cfg(feature = "client")]
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
    stream::HubStream,
    trace::TraceContext,
};
#[cfg(feature = "yew")]
pub use self::{listener::Feed, questions::Ask};
#[cfg(feature = "yew")]
pub(crate) use self::{listener::Listener, questions::Questions};

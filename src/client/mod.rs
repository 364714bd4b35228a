//! The client: connections over any hub protocol and on either platform.
//!
//! `connection` is what users' handles share, `driver` the task that does what the session machine of the core
//! asks for, over a `transport`. All are written once, over a `codec`. On top of them: the typed Rust client
//! (`builder`, `hub_connection`, `handler`, and `raw`, its codec), and the JavaScript one in `js`.

#![allow(
    clippy::arc_with_non_send_sync,
    reason = "the same lines serve threads natively, and a browser without"
)]

mod backlog;
mod call;
mod codec;
mod connection;
mod driver;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "JavaScript listens without a queue"))]
mod events;
mod guard;
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "JavaScript's policy is a function"))]
mod retry;
mod tokens;
mod transport;

#[cfg(all(browser, feature = "js"))]
pub(crate) use self::{
    backlog::{Backlog, Waiting},
    call::{CallEnd, Callee, Caller, Full, Job, Subscriber},
    codec::Codec,
    connection::{Connection, ConnectionSettings, StopOnDrop, TokenProvider},
    events::Listen,
};
#[cfg(all(browser, feature = "js", not(feature = "client")))]
pub(crate) use self::{events::ConnectionEvent, retry::RetryPolicy};

#[cfg(all(native, feature = "msgpack", feature = "service"))]
pub(crate) use self::payload::Payload;

#[cfg(feature = "client")]
mod builder;
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
#[cfg(feature = "client")]
mod payload;
#[cfg(feature = "client")]
mod raw;
#[cfg(feature = "client")]
mod reply;
#[cfg(feature = "client")]
mod stream;
#[cfg(feature = "client")]
mod upload;

#[cfg(feature = "client")]
pub use self::{
    builder::HubConnectionBuilder,
    connection::ConnectionState,
    error::CallError,
    events::{ConnectionEvent, ConnectionEvents},
    handler::{Handler, InvokeHandler},
    handlers::Subscription,
    hub_connection::{HubConnection, WeakHubConnection},
    payload::PayloadError,
    retry::RetryPolicy,
    stream::HubStream,
    upload::Upload,
};

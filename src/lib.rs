//! SignalR for Rust, in the browser and on the server.
//!
//! It connects to SignalR hubs, of ASP.NET Core or of Azure SignalR Service, hosts hubs, and lets Rust services use Azure
//! SignalR Service with Microsoft Entra.
//!
//! - [`HubConnection`] (feature `client`, on by default) is a connection to a hub, natively and in the browser.
//!   [`hub!`] describes a hub, so that calls to it and from it are checked when the program is compiled.
//! - `msgpack` (feature of that name) lets it speak MessagePack, besides JSON.
//! - `server` (feature of that name, native) hosts hubs: those that [`hub!`] describes, and others.
//! - `service` (feature of that name, native) gives clients access to Azure SignalR Service and publishes through it;
//!   `axum` is its negotiate endpoint as a router, `actix` the same for actix-web.
//! - [`yew`](mod@yew_hooks) and [`leptos`](mod@leptos_hooks) (features of those names) connect the components of a page to a hub.
//! - `typescript` (feature of that name, native) describes hubs to users of the npm package.
//! - `redis` (feature of that name, native) connects the servers of a hub that is hosted on several of them.
//! - `dashboard` (feature of that name, native) shows hosted hubs, and the local service, in a browser.
//! - `local` (feature of that name, native) is an Azure SignalR Service for one machine, for development and tests.
//! - `cli` (feature of that name, native) is the command line program `hubwire`.
//! - [`core`] is what all of them are made of: the protocol without any I/O.
//!
//! ```no_run
//! use hubwire::HubConnection;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = HubConnection::builder("https://example.com/chat")
//!     .on("ReceiveMessage", |user: String, text: String| println!("{user}: {text}"))
//!     .connect()
//!     .await?;
//! let sum: u32 = hub.invoke("Add", (1, 2)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Guides lead through what takes more than a page of one type:
//!
#![cfg_attr(
    all(feature = "leptos", feature = "yew"),
    doc = "- [A connection for the components of a page](front_ends), in Yew and in Leptos."
)]
#![cfg_attr(
    all(native, feature = "service"),
    doc = "- [An app server with Microsoft Entra](service::entra_guide), from an empty subscription to a running program."
)]
#![cfg_attr(
    all(native, feature = "local"),
    doc = "- [Tests in other languages](local::testing_guide) against the local service."
)]
#![cfg_attr(
    feature = "unstable-machines",
    doc = "- [The machines of a connection](core::client), for a client on a platform of your own."
)]
//! - [How the crate is built](https://docs.rs/crate/hubwire/latest/source/ARCHITECTURE.md), and why.
//!
//! Natively a connection runs on [tokio](https://docs.rs/tokio), in the browser on its event loop. It logs to
//! [`tracing`](https://docs.rs/tracing), without tokens and without the queries of URLs: every connection has a span
//! `hub_connection` with the steps of connecting (`DEBUG`), changes of its state (`INFO`), failures that do not end it
//! (`WARN`), the error that ended it (`ERROR`), and every frame without its content (`TRACE`). In a browser, a
//! subscriber such as [`wasm-tracing`](https://docs.rs/wasm-tracing) writes all of it to the console.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "client"),
    allow(unreachable_pub, reason = "without the feature, the client's types are not public")
)]

#[cfg(any(feature = "client", feature = "service"))]
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "a wasm build has no services"))]
mod lock;
mod platform;

#[cfg(any(feature = "client", feature = "service"))]
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "a wasm build has no services"))]
mod arguments;
pub mod core;
#[cfg(all(native, any(feature = "server", feature = "service")))]
mod cors;
#[cfg(all(native, test, feature = "client"))]
mod error_chains;
#[cfg(feature = "client")]
mod payload;
#[cfg(any(feature = "client", feature = "service"))]
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "only a connection converts names"))]
mod property_names;
#[cfg(any(feature = "client", feature = "service"))]
#[cfg_attr(not(feature = "client"), allow(dead_code, reason = "a wasm build has no services"))]
mod serialize;
#[cfg(feature = "client")]
mod upload;

#[cfg(feature = "client")]
mod client;

#[cfg(all(native, feature = "service"))]
pub mod service;

#[cfg(all(native, feature = "actix"))]
#[doc(inline)]
pub use service::web::actix_routes;
#[cfg(all(native, feature = "axum"))]
#[doc(inline)]
pub use service::web::axum_routes;

#[cfg(all(native, feature = "cli"))]
#[doc(hidden)]
pub mod cli;
#[cfg(all(native, feature = "dashboard"))]
#[cfg_attr(not(feature = "local"), allow(dead_code, reason = "the local service uses the rest"))]
pub mod dashboard;
#[cfg(all(native, feature = "local"))]
pub mod local;
#[cfg(all(native, feature = "server"))]
#[cfg_attr(
    not(all(feature = "dashboard", feature = "local")),
    allow(dead_code, reason = "the dashboard and the local service use the rest")
)]
pub mod server;

#[cfg(all(browser, feature = "js"))]
mod js;

#[cfg(any(feature = "leptos", feature = "yew"))]
mod front_end;
#[cfg(all(any(doc, doctest), feature = "leptos", feature = "yew"))]
#[doc = include_str!("front_end/guide.md")]
pub mod front_ends {}
#[cfg(feature = "leptos")]
pub mod leptos_hooks;
#[cfg(feature = "yew")]
pub mod yew_hooks;

#[cfg(any(feature = "client", feature = "service"))]
pub use crate::{
    arguments::Arguments,
    core::{Cause, ErrorChain},
    serialize::SerializeError,
};
#[cfg(feature = "client")]
mod typed;
#[cfg(all(native, feature = "typescript"))]
pub mod typescript;

/// What the expansion of [`hub!`] needs.
#[cfg(feature = "client")]
#[doc(hidden)]
pub mod __private {
    #[cfg(all(native, feature = "server"))]
    pub use crate::server::host::typed::{Stream, Taker, items, reads, typed, writes};
    pub use crate::typed::{Answers, MaybeSend, TypedHub, text, wire_name, wire_name_length};
}

#[cfg(feature = "client")]
#[doc(inline)]
pub use crate::{
    client::{
        CallError, ConnectionEvent, ConnectionEvents, Handler, HubConnection, HubConnectionBuilder,
        HubStream, InvokeHandler, RetryPolicy, ServerCall, Subscription, TraceContext, WeakHubConnection,
    },
    core::{
        HubProtocol, TransportErrorKind,
        client::{ConnectionError, ConnectionInfo, ConnectionState, RetryContext, TransportError},
        negotiate::{NegotiateError, SkipReason, SkippedTransport, Transport, Transports},
        refresh::RefreshError,
        token::{AccessToken, ClientToken, TokenError},
        url::{HubUrl, UrlError},
        value::{Binary, Timestamp, TimestampError, Zone},
    },
    payload::PayloadError,
    property_names::PropertyNames,
    upload::Upload,
};

#[cfg(all(native, any(feature = "client", feature = "service")))]
pub use crate::platform::proxy::{InvalidProxy, Proxy};
#[cfg(all(native, feature = "client"))]
pub use crate::platform::{CookieError, CookieJar};

/// The README's examples compile.
#[cfg(all(doctest, feature = "axum", feature = "leptos", feature = "local", feature = "yew"))]
#[doc = include_str!("../README.md")]
struct Readme;

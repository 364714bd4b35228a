//! SignalR for Rust, in the browser and on the server.
//!
//! (The crate documentation follows with the client.)
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "client"),
    allow(unreachable_pub, reason = "nothing public leads to the client's types")
)]

#[macro_use]
mod platform;

pub mod core;

native_only! {
    #[cfg(feature = "client")]
    mod client;

    #[cfg(feature = "service")]
    pub mod service;

    #[cfg(feature = "axum")]
    pub use service::axum;

    #[cfg(feature = "local")]
    pub mod local;
}

browser_only! {
    #[cfg(any(feature = "client", feature = "js"))]
    mod client;

    #[cfg(feature = "js")]
    mod js;
}

#[cfg(feature = "client")]
pub use crate::{
    client::{CallError, ConnectionState, Handler, HubConnection, HubConnectionBuilder, Subscription},
    core::{
        arguments::Arguments,
        negotiate::NegotiateError,
        session::{ConnectionError, ConnectionInfo, TransportError},
        token::{AccessToken, ClientToken, TokenError},
        url::{HubUrl, UrlError},
    },
};

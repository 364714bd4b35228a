//! The native side: tokio, reqwest and rustls.

#[cfg(feature = "client")]
mod blocking;
#[cfg(any(feature = "client", feature = "service"))]
mod clock;
#[cfg(feature = "client")]
mod cookies;
#[cfg(feature = "client")]
mod frame;
#[cfg(feature = "client")]
mod http;
#[cfg(feature = "server")]
mod pipe;
#[cfg(any(feature = "client", feature = "service"))]
pub(crate) mod proxy;
#[cfg(feature = "client")]
mod read_ahead;
#[cfg(feature = "client")]
mod request_error;
#[cfg(feature = "client")]
mod task;
#[cfg(any(feature = "client", feature = "service"))]
mod tls;
#[cfg(feature = "client")]
mod tunnel;
#[cfg(feature = "client")]
mod wake;
#[cfg(feature = "client")]
mod web_socket;

#[cfg(feature = "client")]
pub use self::cookies::{CookieError, CookieJar};
#[cfg(feature = "server")]
pub(crate) use self::pipe::{Gone, Pipe, PipeFrame};
#[cfg(all(feature = "actix", feature = "server"))]
pub(crate) use self::pipe::{PipeReceiver, PipeSender};
#[cfg(any(feature = "leptos", feature = "yew"))]
pub(crate) use self::task::ThreadBound;
#[cfg(feature = "redis")]
pub(crate) use self::tls::Certificates;
#[cfg(feature = "cli")]
pub(crate) use self::tls::explain as explain_tls;
#[cfg(feature = "local")]
pub(crate) use self::tls::server_config;
#[cfg(any(feature = "client", feature = "service"))]
pub(crate) use self::{clock::unix_now, tls::Network};
#[cfg(feature = "client")]
pub(crate) use self::{
    cookies::Cookies,
    frame::{Frame, SharedBytes, SharedText},
    http::{HttpBody, HttpClient, absolute_url},
    task::{BoxFuture, IntoCause, MaybeSend, MaybeSync, Runtime, now, sleep},
    wake::WakeSignal,
    web_socket::{WebSocket, transports},
};

/// A text in lower case.
#[cfg(feature = "client")]
pub(crate) fn lowercase(text: &str) -> String {
    text.to_lowercase()
}

/// How a client names its operating system, as .NET does.
#[cfg(feature = "client")]
pub(crate) const OS: &str = match std::env::consts::OS.as_bytes() {
    b"windows" => "Windows NT",
    b"macos" => "macOS",
    b"linux" => "Linux",
    _ => std::env::consts::OS,
};
#[cfg(feature = "client")]
pub(crate) const RUNTIME: &str = "Rust";
#[cfg(feature = "client")]
pub(crate) const USER_AGENT_HEADER: &str = "User-Agent";

//! Sockets, fetch, timers and tasks, under the same names on both targets. This is the one file that chooses between
//! them; what else exists on one of them only says so by `cfg(native)` or `cfg(browser)` (`build.rs`).
//!
//! | name | what it is |
//! | --- | --- |
//! | `now`, `unix_now` | a monotonic clock, and the wall clock |
//! | `Runtime` | `current`, `spawn`, `sleep`: from any thread |
//! | `sleep` | a future that ends after a while |
//! | `MaybeSend`, `MaybeSync`, `BoxFuture` | `Send` and `Sync` where there are threads |
//! | `Frame` | one WebSocket message |
//! | `WebSocket` | `open`, `poll_next`, `poll_ready`, `start_send`, `poll_flush`, `poll_overflow`, `close` |
//! | `transports` | what can be opened here |
//! | `HttpClient` | `new`, `send` |
//! | `Network` | proxy and certificates, which a browser has of its own |
//! | `Cookies` | which of them requests carry |
//! | `HttpBody` | `poll_chunk`; dropping it aborts the request |
//! | `Pipe` | a transport within the program, natively |
//! | `WakeSignal` | tells that a page was asleep or offline |
//! | `absolute_url` | a hub's URL in full |
//! | `lowercase` | a text in lower case, of any language |
//! | `ThreadBound` | a value that stays on its thread in a browser, which has only one |
//! | `OS`, `RUNTIME`, `USER_AGENT_HEADER` | how a client identifies itself |

cfg_if::cfg_if! {
    if #[cfg(browser)] {
        #[cfg(feature = "client")]
        mod wasm;
        #[cfg(feature = "client")]
        pub(crate) use wasm::*;
    } else {
        mod native;
        #[allow(unused_imports, reason = "which of them are used depends on the features")]
        pub(crate) use native::*;
    }
}

#[cfg(all(native, feature = "client"))]
pub use self::native::{CookieError, CookieJar};

#[cfg(feature = "client")]
mod answer;
#[cfg(all(feature = "client", any(browser, test)))]
mod inbox;
#[cfg(feature = "client")]
mod request;
#[cfg(feature = "client")]
pub(crate) use self::{
    answer::{HttpAnswer, HttpResponse},
    request::{HttpRequest, Method},
};

/// How many of the server's messages may wait, in a socket that cannot be held back or for handlers and streams that
/// do not keep up. Past it the connection is closed.
#[cfg(feature = "client")]
pub(crate) const WAITING_MESSAGES: usize = 64 << 10;

/// How many bytes of the server's messages may wait. Twice the longest message, at least.
#[cfg(feature = "client")]
pub(crate) const WAITING_BYTES: usize = 64 << 20;

/// A frame that messages borrow from. Its clones are cheap.
#[cfg(feature = "client")]
#[derive(Debug, Clone)]
pub(crate) enum SharedFrame {
    Text(SharedText),
    Binary(SharedBytes),
}

#[cfg(feature = "client")]
impl SharedFrame {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

#[cfg(feature = "client")]
impl Default for SharedFrame {
    fn default() -> Self {
        Self::Binary(SharedBytes::default())
    }
}

/// A reason to look at the clock and at the connection.
#[cfg(feature = "client")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "none of them happens natively")]
pub(crate) enum Wake {
    /// The network is back.
    Online,
    /// The page is shown again: browsers slow down the timers of hidden pages.
    Visible,
    /// The page runs again after it was frozen.
    Resumed,
    /// The page is about to be frozen: none of its code will run.
    Frozen,
}

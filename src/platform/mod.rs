//! Sockets, fetch, timers and tasks, under the same names on both targets. This is the one file that looks at the
//! target.
//!
//! | name | what it is |
//! | --- | --- |
//! | `now`, `unix_now` | a monotonic clock, and the wall clock |
//! | `Runtime` | `current`, `spawn`, `sleep`: from any thread |
//! | `sleep` | a future that ends after a while |
//! | `MaybeSend`, `MaybeSync`, `BoxFuture` | `Send` and `Sync` where there are threads |
//! | `Frame` | one WebSocket message |
//! | `WebSocket` | `open`, `poll_next`, `poll_ready`, `start_send`, `poll_flush`, `close` |
//! | `transports` | what can be opened here |
//! | `HttpClient` | `new`, `post` |
//! | `absolute_url` | a hub's URL in full |
//! | `OS`, `RUNTIME`, `USER_AGENT_HEADER` | what a client says of itself |

cfg_if::cfg_if! {
    if #[cfg(all(target_family = "wasm", target_os = "unknown"))] {
        /// Items that exist natively only.
        macro_rules! native_only { ($($item:item)*) => {} }
        /// Items that exist in the browser only.
        macro_rules! browser_only { ($($item:item)*) => { $($item)* } }

        #[cfg(any(feature = "client", feature = "js"))]
        mod wasm;
        #[cfg(any(feature = "client", feature = "js"))]
        pub(crate) use wasm::*;
    } else {
        /// Items that exist natively only.
        macro_rules! native_only { ($($item:item)*) => { $($item)* } }
        /// Items that exist in the browser only.
        macro_rules! browser_only { ($($item:item)*) => {} }

        mod native;
        #[allow(unused_imports, reason = "which of them are used depends on the features")]
        pub(crate) use native::*;
    }
}

/// What came back from an HTTP request.
#[cfg(any(feature = "client", feature = "js"))]
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<std::time::Duration>,
    pub(crate) body: Vec<u8>,
}

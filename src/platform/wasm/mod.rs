//! The browser side: fetch and sockets by web-sys, and the event loop.

mod frame;
mod http;
mod task;
mod wake;
mod web_socket;

/// A value that never leaves its thread.
#[cfg(any(feature = "leptos", feature = "yew"))]
pub(crate) use send_wrapper::SendWrapper as ThreadBound;

pub(crate) use self::task::IntoCause;
pub(crate) use self::{
    frame::{Frame, SharedBytes, SharedText},
    http::{Cookies, HttpBody, HttpClient, absolute_url},
    task::{BoxFuture, MaybeSend, MaybeSync, Runtime, now, sleep, unix_now},
    wake::WakeSignal,
    web_socket::{WebSocket, transports},
};

/// Proxies and certificates are the browser's matter.
#[derive(Clone, Default)]
pub(crate) struct Network {}

/// A text in lower case. The browser knows all languages: without Rust's own code for this, every app is 3 kB smaller.
pub(crate) fn lowercase(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => js_sys::JsString::from(text).to_lower_case().into(),
    }
}

/// Browsers do not reliably tell the operating system.
pub(crate) const OS: &str = "";
pub(crate) const RUNTIME: &str = "Browser";
/// Browsers do not let a page set `User-Agent`.
pub(crate) const USER_AGENT_HEADER: &str = "X-SignalR-User-Agent";

#[cfg(all(test, feature = "client"))]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn lower_case_is_what_it_is_natively() {
        for text in ["", "SendMessage", "GRÖSSE", "ΟΔΥΣΣΕΥΣ", "İstanbul", "ДОМ 1", "Ǆ", "𐐀 name"]
        {
            assert_eq!(super::lowercase(text), text.to_lowercase(), "{text}");
        }
    }
}

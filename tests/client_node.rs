//! The client in Node.js: what is not configured otherwise runs there.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

mod suite;

use hubwire::core::negotiate::Transport;
use hubwire::{ConnectionError, HubConnection, UrlError};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
async fn each_transport() {
    let Some(base) = option_env!("HUBWIRE_TEST_HUB_URL") else {
        wasm_bindgen_test::console_log!("SKIPPED: each_transport: no reference hub");
        return;
    };
    // Node has a WebSocket from version 22 on.
    let has_web_socket = js_sys::Reflect::has(&js_sys::global(), &"WebSocket".into()).unwrap();
    let missing: &[_] = if has_web_socket { &[] } else { &[Transport::WebSockets] };
    suite::transports::each_transport(base, missing).await;
}

/// A worker hears of the network, Node of nothing; a relative URL has nothing to be relative to.
#[wasm_bindgen_test]
async fn relative_urls() {
    let error = HubConnection::builder("/hub").connect().await.expect_err("no URL");
    assert_eq!(error, ConnectionError::InvalidUrl(UrlError::Scheme));
}

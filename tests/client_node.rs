//! The client in Node.js: what is not configured otherwise runs there.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

mod suite;

use hubwire::{ConnectionError, ErrorChain, HubConnection, Transport, UrlError};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn each_transport() {
    // Node has a WebSocket from version 22 on.
    let has_web_socket = js_sys::Reflect::has(&js_sys::global(), &"WebSocket".into()).unwrap();
    let missing: &[_] = if has_web_socket { &[] } else { &[Transport::WebSockets] };
    let first = if has_web_socket { Transport::WebSockets } else { Transport::ServerSentEvents };
    for base in suite::reference_hubs() {
        suite::each_transport(base, missing).await;

        // Left to itself it takes the first of the server's that there is.
        let hub = HubConnection::builder(format!("{base}/hub")).connect().await.unwrap();
        assert_eq!(hub.connection_info().unwrap().transport, first);
        hub.stop().await;
    }
}

/// A relative URL has nothing to be relative to.
#[wasm_bindgen_test]
async fn relative_urls() {
    let error = HubConnection::builder("/hub").connect().await.expect_err("no URL");
    assert_eq!(error, ConnectionError::InvalidUrl(UrlError::Scheme));
}

/// Node.js tells why a request failed, and there are no CORS rules.
#[wasm_bindgen_test]
async fn a_refused_port_is_named() {
    // Port 2 is assigned to nothing that still runs; 9 is one that fetch refuses by itself.
    for (port, wanted) in [(2, "ECONNREFUSED"), (9, "bad port")] {
        let error = HubConnection::builder(format!("http://127.0.0.1:{port}/hub")).connect().await;
        let error = ErrorChain::new(&error.expect_err("nothing listens")).to_string();
        assert!(error.contains("the server cannot be reached: ") && error.contains(wanted), "{error}");
        assert!(!error.contains("CORS"), "{error}");
    }
}

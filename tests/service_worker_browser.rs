//! The client in a service worker of headless Chromium, where there is neither `window` nor `EventSource`.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_service_worker);

mod suite;

use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn each_transport() {
    for base in suite::reference_hubs() {
        suite::each_transport(base, &[]).await;
    }
}

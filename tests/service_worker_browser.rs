//! The client in a service worker of headless Chromium, where there is neither `window` nor `EventSource`.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_service_worker);

mod suite;

use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
async fn each_transport() {
    let Some(base) = option_env!("HUBWIRE_TEST_HUB_URL") else {
        wasm_bindgen_test::console_log!("SKIPPED: each_transport: no reference hub");
        return;
    };
    suite::each_transport(base, &[]).await;
}

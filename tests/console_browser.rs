//! What the console of a page hears of a connection. On its own, since a subscriber is one for the whole page.

#![cfg(all(target_family = "wasm", target_os = "unknown"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

use hubwire::HubConnection;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
#[ignore = "needs the reference hub"]
async fn the_console_tells_what_happens() {
    let Some(base) = option_env!("HUBWIRE_TEST_HUB_URL") else { panic!("it names no reference hub") };
    let listen = js_sys::Function::new_no_args(
        "const lines = [], undo = [];
        for (const level of ['log', 'debug', 'info', 'warn', 'error']) {
            const write = console[level];
            console[level] = (...line) => { lines.push(line.join(' ')); write.apply(console, line); };
            undo.push(() => { console[level] = write; });
        }
        return () => { undo.forEach(f => f()); return lines.join('\\n'); };",
    );
    let heard: js_sys::Function = listen.call0(&JsValue::NULL).unwrap().unchecked_into();
    wasm_tracing::set_as_global_default();
    let hub = HubConnection::builder(format!("{base}/hub?secret=marked")).connect().await.unwrap();
    hub.stop().await;
    let lines = heard.call0(&JsValue::NULL).unwrap().as_string().unwrap();
    assert!(lines.contains("connected") && lines.contains("connection_id"), "{lines}");
    assert!(!lines.contains("marked"), "{lines}");
}

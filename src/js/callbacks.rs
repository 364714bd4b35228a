//! The callbacks that the package's JavaScript gives a connection.

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// The callbacks that the package's JavaScript gives the connection.
    #[derive(Clone, Debug)]
    pub type Callbacks;
    /// A reader for a new socket.
    #[wasm_bindgen(method)]
    pub(super) fn reader(this: &Callbacks) -> Reader;
    /// Writes a message without a payload: a completion, a cancellation, a ping, Close, Ack or Sequence.
    #[wasm_bindgen(method)]
    pub(super) fn write(this: &Callbacks, kind: u8, id: &str, error: Option<&str>, number: f64) -> JsValue;
    /// One message of many.
    #[wasm_bindgen(method)]
    pub(super) fn join(this: &Callbacks, messages: Array) -> JsValue;
    /// The server calls; with a number, it awaits an answer.
    #[wasm_bindgen(method)]
    pub(super) fn invocation(this: &Callbacks, message: &JsValue, answer: Option<f64>);
    /// An item of a stream has come.
    #[wasm_bindgen(method)]
    pub(super) fn item(this: &Callbacks, id: f64, message: &JsValue);
    /// The server has ended a call.
    #[wasm_bindgen(method)]
    pub(super) fn end(this: &Callbacks, id: f64, message: &JsValue);
    /// A call has failed without an answer from the server: with its connection, or on its own.
    #[wasm_bindgen(method)]
    pub(super) fn fail(this: &Callbacks, id: f64, error: &JsValue, closed: bool);
    /// Something has happened to the connection. It is locked meanwhile, and may be used only later.
    #[wasm_bindgen(method)]
    pub(super) fn event(this: &Callbacks, kind: u8, value: &JsValue);
    /// When to try again, in milliseconds; anything but a number, or a promise of one, is to give up.
    #[wasm_bindgen(method)]
    pub(super) fn retry(
        this: &Callbacks,
        count: u32,
        elapsed: f64,
        reason: &JsValue,
        retry_after: f64,
    ) -> JsValue;

    /// Reads the frames of one socket, in the package's JavaScript.
    pub type Reader;
    /// Every message that is whole now. Throws when one is malformed.
    #[wasm_bindgen(method, catch)]
    pub(super) fn read(this: &Reader, frame: &JsValue) -> Result<Array, JsValue>;
}

//! Lists of texts, numbers and lists, which is how the module tells JavaScript anything.

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    /// JavaScript's `Array`. Of its `push` there is one for each kind of value, since a value that Rust holds takes code
    /// that gives it back.
    #[wasm_bindgen(js_name = Array)]
    #[derive(Debug)]
    pub type List;
    /// An empty list.
    #[wasm_bindgen(constructor, js_class = Array)]
    pub fn new() -> List;
    /// Adds a text.
    #[wasm_bindgen(method, js_name = push)]
    pub fn text(this: &List, text: &str);
    /// Adds a text, or `undefined`.
    #[wasm_bindgen(method, js_name = push)]
    pub fn optional(this: &List, text: Option<&str>);
    /// Adds a number.
    #[wasm_bindgen(method, js_name = push)]
    pub fn number(this: &List, number: f64);
    /// Adds a list.
    #[wasm_bindgen(method, js_name = push)]
    pub fn list(this: &List, list: &List);
    /// Adds what JavaScript gave.
    #[wasm_bindgen(method, js_name = push)]
    pub fn value(this: &List, value: &JsValue);
}

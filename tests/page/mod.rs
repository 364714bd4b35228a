//! A page that components are mounted in, to read and click in.

use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, HtmlElement};

/// How long a condition may take to become true, in milliseconds.
const LIMIT: f64 = 20_000.0;

/// An element of the document that is removed with this.
pub(crate) struct Page(pub(crate) Element);

impl Page {
    /// An element with this content.
    pub(crate) fn new(html: &str) -> Self {
        let document = web_sys::window().unwrap().document().unwrap();
        let root = document.create_element("div").unwrap();
        root.set_inner_html(html);
        document.body().unwrap().append_child(&root).unwrap();
        Self(root)
    }

    pub(crate) fn find(&self, selector: &str) -> Option<Element> {
        self.0.query_selector(selector).unwrap()
    }

    /// The text of an element; `None` where there is none.
    pub(crate) fn text(&self, selector: &str) -> Option<String> {
        self.find(selector)?.text_content()
    }

    pub(crate) fn click(&self, selector: &str) {
        self.find(selector).expect(selector).unchecked_into::<HtmlElement>().click();
    }

    /// Waits until an element has this text.
    pub(crate) async fn shows(&self, selector: &str, text: &str) {
        self.until(selector, |shown| shown == text).await;
    }

    /// Waits until an element has a text of this kind, and gives it.
    pub(crate) async fn until(&self, selector: &str, is_right: impl Fn(&str) -> bool) -> String {
        let found = || self.text(selector).filter(|text| is_right(text));
        let found_in_time = in_time(found).await;
        found_in_time.unwrap_or_else(|| panic!("{selector} is not as expected: {}", self.0.inner_html()))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    assert!(in_time(|| holds().then_some(())).await.is_some(), "not in time: {what}");
}

/// Looks again after each turn of the event loop.
async fn in_time<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = js_sys::Date::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if js_sys::Date::now() > end {
            return None;
        }
        turn().await;
    }
}

/// Lets everything else have its turn: tasks, messages, timers.
pub(crate) async fn turn() {
    let set_timeout = js_sys::Reflect::get(&js_sys::global(), &"setTimeout".into()).unwrap();
    let turn = Promise::new(&mut |resolve, _| {
        set_timeout.unchecked_ref::<Function>().call1(&JsValue::UNDEFINED, &resolve).unwrap();
    });
    JsFuture::from(turn).await.unwrap();
}

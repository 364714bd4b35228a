//! Components in a real page, and what can be seen of them.

#![allow(unreachable_pub, reason = "the macro of components makes public types")]

use std::cell::RefCell;
use std::rc::Rc;

use hubwire::leptos_hooks::{Hub, use_hub_state};
use leptos::mount::{UnmountHandle, hydrate_from, mount_to};
use leptos::prelude::*;
use leptos::tachys::view::Mountable;
use leptos::web_sys::{self, Element, HtmlElement};
use wasm_bindgen::prelude::*;

use crate::page::{Page, html};

/// How long a condition may take, in milliseconds.
const PATIENCE: f64 = 30_000.0;

hubwire::hub! {
    pub(crate) trait Reference: Hub<Client> {
        fn add(a: i32, b: i32) -> i32;
        fn push(target: &str, arguments: Vec<serde_json::Value>);
        fn ask_later(target: &str, question: &str);
        stream fn counter(count: u32, delay_milliseconds: u32) -> u32;
    }
    pub(crate) trait Client {
        fn news(text: String);
        fn confirm(question: String) -> String;
        fn answered(answer: String);
    }
}

#[component]
pub(crate) fn State() -> impl IntoView {
    let state = use_hub_state();
    view! { <i id="state">{move || state.get().connection.to_string()}</i> }
}

/// Has the hub call the page.
pub(crate) async fn push(hub: &Hub, target: &str, arguments: &[&str]) {
    hub.invoke::<()>("Push", (target, arguments)).await.unwrap();
}

pub(crate) fn show<T: std::fmt::Debug>(value: T) -> String {
    format!("{value:?}")
}

/// Whom the hub takes the page for.
pub(crate) async fn user(hub: &Hub) -> String {
    let who: std::collections::HashMap<String, Option<String>> = hub.invoke("WhoAmI", ()).await.unwrap();
    who["user"].clone().unwrap_or_default()
}

/// A part of the page, for as long as this is there.
pub(crate) struct Mounted {
    parent: HtmlElement,
    view: Option<Box<dyn Held>>,
}

/// Anything that is unmounted when it is dropped.
trait Held {}
impl<M: Mountable> Held for UnmountHandle<M> {}

impl Mounted {
    /// A component below a provider, and the hub that it provides.
    pub(crate) fn with_hub<V: IntoView + 'static>(
        provide: impl FnOnce() -> Hub + 'static,
        component: impl FnOnce() -> V + 'static,
    ) -> (Self, Hub) {
        let parent = parent();
        let hub = Rc::new(RefCell::new(None));
        let view = mount_to(parent.clone(), {
            let hub = Rc::clone(&hub);
            move || {
                hub.replace(Some(provide()));
                component()
            }
        });
        let hub = hub.take().unwrap();
        (Self { parent, view: Some(Box::new(view)) }, hub)
    }

    fn find(&self, selector: &str) -> Element {
        self.parent.query_selector(selector).unwrap().unwrap_or_else(|| panic!("{selector} is not there"))
    }

    /// What an element shows.
    pub(crate) fn text(&self, selector: &str) -> String {
        self.find(selector).text_content().unwrap_or_default().trim().to_owned()
    }

    /// Waits until an element shows this.
    pub(crate) async fn until(&self, selector: &str, text: &str) {
        let deadline = js_sys::Date::now() + PATIENCE;
        while self.text(selector) != text {
            assert!(
                js_sys::Date::now() < deadline,
                "{selector} is to become {text:?}: {}",
                self.parent.inner_html()
            );
            turn().await;
        }
    }

    pub(crate) fn click(&self, selector: &str) {
        self.find(selector).unchecked_into::<HtmlElement>().click();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.view.take());
        self.parent.remove();
    }
}

fn parent() -> HtmlElement {
    let parent: HtmlElement = document().create_element("div").unwrap().unchecked_into();
    document().body().unwrap().append_child(&parent).unwrap();
    parent
}

/// The page that a server has rendered, its hub, and what the browser's console warns of.
pub(crate) fn hydrated(base: &str) -> (Mounted, Hub, Warnings) {
    let warnings = Warnings::new();
    let parent = parent();
    let (html, script) = html();
    parent.set_inner_html(html);
    js_sys::Function::new_no_args(script).call0(&JsValue::UNDEFINED).unwrap();
    let url = format!("{base}/hub");
    let hub = Rc::new(RefCell::new(None));
    let view = hydrate_from(parent.clone(), {
        let hub = Rc::clone(&hub);
        move || {
            view! { <Page url provided=move |provided| { hub.replace(Some(provided)); } /> }
        }
    });
    let hub = hub.take().unwrap();
    (Mounted { parent, view: Some(Box::new(view)) }, hub, warnings)
}

/// What the console is told of warnings and errors, for as long as this is there.
pub(crate) struct Warnings {
    told: Rc<RefCell<Vec<String>>>,
    console: JsValue,
    kept: Vec<(&'static str, js_sys::Function, Listen)>,
}

type Listen = Closure<dyn FnMut(JsValue)>;

impl Warnings {
    fn new() -> Self {
        let told = Rc::<RefCell<Vec<String>>>::default();
        let console = js_sys::Reflect::get(&js_sys::global(), &"console".into()).unwrap();
        let kept = ["warn", "error"].map(|name| {
            let kept = js_sys::Reflect::get(&console, &name.into()).unwrap();
            let kept: js_sys::Function = kept.unchecked_into();
            let (told, show) = (Rc::clone(&told), kept.clone());
            let listen = Listen::new(move |text: JsValue| {
                told.borrow_mut().push(text.as_string().unwrap_or_else(|| format!("{text:?}")));
                let _ = show.call1(&JsValue::UNDEFINED, &text);
            });
            js_sys::Reflect::set(&console, &name.into(), listen.as_ref()).unwrap();
            (name, kept, listen)
        });
        Self { told, console, kept: kept.into() }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.told.take()
    }
}

impl Drop for Warnings {
    fn drop(&mut self) {
        for (name, function, _) in self.kept.drain(..) {
            js_sys::Reflect::set(&self.console, &name.into(), &function).unwrap();
        }
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = js_sys::Date::now() + PATIENCE;
    while !condition() {
        assert!(js_sys::Date::now() < deadline, "{what}");
        turn().await;
    }
}

/// Lets the browser do something else for a moment.
async fn turn() {
    let moment = js_sys::Promise::new(&mut |resolve, _| {
        web_sys::window().unwrap().set_timeout_with_callback(&resolve).unwrap();
    });
    wasm_bindgen_futures::JsFuture::from(moment).await.unwrap();
}

/// What a GET answers.
pub(crate) async fn get(url: &str) -> String {
    gloo_net::http::Request::get(url).send().await.unwrap().text().await.unwrap()
}

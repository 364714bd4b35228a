//! The hooks for Yew in headless Chromium, against the ASP.NET Core reference hub: components are mounted, driven by the
//! hub, and read from the page.
//!
//! The hub has to run already; `HUBWIRE_TEST_HUB_URL` names it when this is compiled.

#![cfg(all(target_family = "wasm", target_os = "unknown", feature = "yew"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

mod page;
mod yew_hooks;

use std::cell::RefCell;
use std::rc::Rc;

use hubwire::ConnectionState;
use hubwire::yew_hooks::{Hub, HubProvider, HubProviderProps, use_hub, use_hub_state};
use page::{Page, until};
use yew::prelude::*;

/// A provider in a page of its own, and the components in it.
struct App {
    page: Page,
    handle: AppHandle<HubProvider>,
    props: HubProviderProps,
    hub: Rc<RefCell<Option<Hub>>>,
}

impl App {
    fn new(path: &str, children: Html) -> Self {
        Self::with(path, children, |_| {})
    }

    fn with(path: &str, children: Html, change: impl FnOnce(&mut HubProviderProps)) -> Self {
        let page = Page::new("");
        let hub = Rc::<RefCell<Option<Hub>>>::default();
        let given = Rc::clone(&hub);
        let give = Callback::from(move |hub| drop(given.replace(Some(hub))));
        let children = html! { <><Given {give} /><State />{ children }</> };
        let mut props = HubProviderProps { url: url(path), setup: None, enabled: true, children };
        change(&mut props);
        let renderer = yew::Renderer::<HubProvider>::with_root_and_props(page.0.clone(), props.clone());
        Self { page, handle: renderer.render(), props, hub }
    }

    /// Renders the provider again.
    fn update(&mut self, change: impl FnOnce(&mut HubProviderProps)) {
        change(&mut self.props);
        self.handle.update(self.props.clone());
    }

    /// Renders other components in it. The first two stay.
    fn show(&mut self, children: Html) {
        let hub = Rc::clone(&self.hub);
        let give = Callback::from(move |given| drop(hub.replace(Some(given))));
        self.update(|props| props.children = html! { <><Given {give} /><State />{ children }</> });
    }

    /// The hub of the last rendering.
    fn hub(&self) -> Hub {
        self.hub.borrow().clone().expect("the components are rendered")
    }

    /// Renders the provider with another URL, and waits for the connection.
    async fn move_to(&mut self, path: &str) -> Hub {
        let before = self.hub();
        self.update(|props| props.url = url(path));
        until("there is another hub", || self.hub() != before).await;
        until("it is connected", || {
            self.hub().connection().is_ok_and(|hub| hub.state() == ConnectionState::Connected)
        })
        .await;
        self.connected().await
    }

    async fn connected(&self) -> Hub {
        self.page.shows("#state", "Connected").await;
        self.hub()
    }
}

fn url(path: &str) -> AttrValue {
    let base = option_env!("HUBWIRE_TEST_HUB_URL").unwrap_or("http://127.0.0.1:9");
    format!("{base}{path}").into()
}

/// Whether there is a reference hub.
fn has_hub(test: &str) -> bool {
    let has_hub = option_env!("HUBWIRE_TEST_HUB_URL").is_some();
    if !has_hub {
        wasm_bindgen_test::console_log!("SKIPPED: {test}: no reference hub");
    }
    has_hub
}

macro_rules! test {
    (async fn $name:ident() $body:block) => {
        #[wasm_bindgen_test::wasm_bindgen_test]
        async fn $name() {
            if $crate::has_hub(stringify!($name)) $body
        }
    };
}
use test;

#[derive(PartialEq, Properties)]
struct GivenProps {
    give: Callback<Hub>,
}

/// Gives the hub to the test.
#[component]
fn Given(props: &GivenProps) -> Html {
    props.give.emit(use_hub());
    html! {}
}

/// What the connection is doing: `Connected`, or `Disconnected: why`.
#[component]
fn State() -> Html {
    let state = use_hub_state();
    let why = state.error.as_ref().map(|error| format!(": {error}"));
    html! { <p id="state">{ state.connection }{ why }</p> }
}

async fn is_down(hub: &Hub) {
    let connection = hub.connection().unwrap();
    until("the connection is down", || connection.state() == ConnectionState::Disconnected).await;
}

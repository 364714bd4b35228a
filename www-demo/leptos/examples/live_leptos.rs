//! The app of `bare_leptos.rs`, live: what it weighs more is hubwire (`cargo xtask sizes`).

use hubwire::leptos_hooks::{provide_hub, use_hub_event, use_hub_invoke};
use leptos::prelude::*;

#[component]
fn App() -> impl IntoView {
    provide_hub("/prices", |hub| hub);
    let price = use_hub_event::<f64>("Price");
    let buy = use_hub_invoke::<()>("Buy");
    view! {
        <p>{price}</p>
        <button on:click=move |_| buy.call((1,))>"Buy"</button>
    }
}

fn main() {
    mount_to_body(App);
}

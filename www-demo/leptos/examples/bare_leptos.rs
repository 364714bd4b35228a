//! A small app in Leptos without hubwire, to weigh (`cargo xtask sizes`).

use leptos::prelude::*;

#[component]
fn App() -> impl IntoView {
    let (price, set_price) = signal(None::<f64>);
    view! {
        <p>{price}</p>
        <button on:click=move |_| set_price.set(Some(1.0))>"Buy"</button>
    }
}

fn main() {
    mount_to_body(App);
}

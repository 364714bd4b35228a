//! The app of `bare_yew.rs`, live: what it weighs more is hubwire (`cargo xtask sizes`).

use hubwire::yew_hooks::{HubProvider, use_hub_event, use_hub_invoke};
use yew::prelude::*;

#[component]
fn App() -> Html {
    html! { <HubProvider url="/prices"><Price /></HubProvider> }
}

#[component]
fn Price() -> Html {
    let price = use_hub_event::<f64>("Price");
    let buy = use_hub_invoke::<()>("Buy");
    html! { <><p>{ price }</p><button onclick={move |_| buy.call((1,))}>{ "Buy" }</button></> }
}

fn main() {
    yew::Renderer::<App>::new().render();
}

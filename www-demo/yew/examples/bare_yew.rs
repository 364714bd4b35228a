//! A small app in Yew without hubwire, to weigh (`cargo xtask sizes`).

use yew::prelude::*;

#[component]
fn App() -> Html {
    let price = use_state(|| None::<f64>);
    let buy = {
        let price = price.clone();
        move |_| price.set(Some(1.0))
    };
    html! { <><p>{ *price }</p><button onclick={buy}>{ "Buy" }</button></> }
}

fn main() {
    yew::Renderer::<App>::new().render();
}

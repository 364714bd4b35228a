//! A page with live data, of which a server renders the HTML (`leptos_ssr`) that a browser hydrates (`leptos_browser`).

#![allow(unreachable_pub, reason = "the macro of components makes public types")]

use hubwire::leptos_hooks::{
    Hub, provide_hub, use_hub_event, use_hub_invoke, use_hub_resource, use_hub_state, use_hub_stream,
};
use leptos::prelude::*;

/// What the server renders of [`Page`], and the script by which the browser knows what the server left out.
pub(crate) fn html() -> (&'static str, &'static str) {
    include_str!("page.html").trim().split_once('\n').unwrap_or_default()
}

#[component]
pub(crate) fn Page(url: String, provided: impl FnOnce(Hub) + 'static) -> impl IntoView {
    provided(provide_hub(url, |hub| hub));
    view! { <main><Parts /></main> }
}

#[component]
fn Parts() -> impl IntoView {
    let state = use_hub_state();
    let news = use_hub_event::<String>("News");
    let count = use_hub_stream::<u32>("Counter", (3, 0));
    let product = use_hub_resource::<i32>("Add", (1, 2));
    let sum = use_hub_invoke::<i32>("Add");
    let answer = move || sum.result().get().map(|result| format!("{:?}", result.as_ref().as_ref().ok()));
    view! {
        <p id="state">{move || state.get().connection.to_string()}</p>
        <p id="news">{move || news.get().unwrap_or("none".to_owned())}</p>
        <p id="count">{move || count.get().latest.map_or("none".to_owned(), |count| count.to_string())}</p>
        <p id="product">
            <Suspense fallback=|| "pending">
                {move || Suspend::new(async move {
                    product.await.map_or_else(|error| error.to_string(), |sum| sum.to_string())
                })}
            </Suspense>
        </p>
        <button id="sum" on:click=move |_| sum.call((20, 22))>{answer}</button>
    }
}

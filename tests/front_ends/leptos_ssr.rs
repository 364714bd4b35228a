//! A server that renders Leptos connects nowhere, and waits for nothing.

#![cfg(feature = "leptos-ssr")]

#[path = "../leptos/page.rs"]
mod page;

use std::sync::Arc;
use std::time::Duration;

use any_spawner::Executor;
use futures_util::StreamExt as _;
use hubwire::ConnectionState;
use hubwire::leptos_hooks::{
    Hub, HubProvider, provide_hub, use_hub, use_hub_as, use_hub_event, use_hub_handler, use_hub_invoke,
    use_hub_invoke_handler, use_hub_resource, use_hub_state, use_hub_stream, use_hub_stream_handler,
};
use hydration_context::{SharedContext as _, SsrSharedContext};
use leptos::prelude::*;
use tokio::net::TcpListener;

#[component]
fn Everything() -> impl IntoView {
    let hub = use_hub();
    let price = use_hub_event::<f64>("Price");
    use_hub_handler("Price", |_: f64| panic!("there is no connection"));
    use_hub_invoke_handler("Ask", |_: String| Ok::<_, String>(0));
    let ticks = use_hub_stream::<u64>("Ticks", ("MSFT",));
    let end = use_hub_stream_handler("Ticks", || ("MSFT",), |_: u64| panic!("there is no connection"));
    let sum = use_hub_invoke::<i32>("Add");
    let name = use_hub_resource::<String>("Name", || (7,));
    let typed = use_hub_as::<hubwire::HubConnection>();
    let state = use_hub_state();
    let text = move || {
        format!(
            "{} {:?} {:?} {:?} {} {}",
            state.get().connection,
            state.get().error,
            price.get(),
            ticks.get().latest,
            sum.is_pending().get()
                || sum.result().get().is_some()
                || ticks.get().is_done
                || end.get().is_some()
                || typed.get().is_some(),
            hub.connection().is_ok(),
        )
    };
    view! {
        <p>{text}</p>
        <Suspense fallback=|| "waiting">
            {move || Suspend::new(async move { name.await.unwrap_or_else(|error| error.to_string()) })}
        </Suspense>
        <Transition fallback=|| "reading">{move || name.get().map(|name| name.is_ok())}</Transition>
    }
}

fn render(url: String) -> (String, Hub) {
    let mut hub = None;
    let owner = Owner::new();
    let html = owner.with(|| {
        let provided = HubProvider::new(move || url.clone()).enabled(true).provide();
        provided.start();
        hub = Some(provided);
        view! { <Everything /> }.to_html()
    });
    drop(owner);
    (html, hub.unwrap())
}

#[tokio::test]
async fn rendering_connects_nowhere() {
    let _ = Executor::init_tokio();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", server.local_addr().unwrap());
    tokio::task::LocalSet::new()
        .run_until(async {
            let (html, hub) = render(url);
            assert!(html.contains("Disconnected None None None false true"), "{html}");
            assert!(html.contains("waiting"), "{html}");
            // What rendering has begun gets its turn before the connection that is really asked for.
            tokio::task::yield_now().await;
            let connection = hub.connection().unwrap();
            assert_eq!(connection.state(), ConnectionState::Disconnected);
            let start = tokio::spawn(async move { connection.start().await });
            let first = tokio::time::timeout(Duration::from_secs(10), server.accept()).await;
            first.expect("a connection that is started connects").unwrap();
            start.abort();
        })
        .await;
}

/// A stream of HTML that waits for a result of the hub would never end.
#[tokio::test]
async fn streamed_pages_end_with_their_fallbacks() {
    let _ = Executor::init_tokio();
    for out_of_order in [false, true] {
        let tasks = tokio::task::LocalSet::new();
        let page = tasks.run_until(async move {
            let owner = Owner::new_root(Some(Arc::new(SsrSharedContext::new())));
            let html = owner.with(|| {
                provide_hub("https://example.com/hub", |hub| hub);
                let view = view! { <Everything /> };
                if out_of_order { view.to_html_stream_out_of_order() } else { view.to_html_stream_in_order() }
            });
            html.collect::<String>().await
        });
        let html = tokio::time::timeout(Duration::from_secs(10), page).await.expect("the page ends");
        assert!(html.contains("waiting") && html.contains("reading"), "{html}");
    }
}

/// The browser's test hydrates this HTML.
#[tokio::test]
async fn a_page_is_rendered_as_it_is_hydrated() {
    let _ = Executor::init_tokio();
    let tasks = tokio::task::LocalSet::new();
    let rendered = tasks.run_until(async {
        let context = Arc::new(SsrSharedContext::new());
        let owner = Owner::new_root(Some(context.clone()));
        let html = owner.with(|| {
            let url = "https://example.com/hub".to_owned();
            view! { <page::Page url provided=|_| {} /> }.to_html_stream_in_order()
        });
        let html = html.collect::<String>().await;
        let script = context.pending_data().unwrap().collect::<String>().await;
        (html, script)
    });
    let (html, script) =
        tokio::time::timeout(Duration::from_secs(10), rendered).await.expect("the page ends");
    assert_eq!(
        (html.as_str(), script.as_str()),
        page::html(),
        "tests/leptos/page.html has to be what is rendered:\n{html}\n{script}"
    );
}

#[tokio::test]
async fn a_url_relative_to_the_page_is_no_error() {
    // Here there is no page, and there need not be one.
    let html = Owner::new().with(|| {
        provide_hub("/chat", |hub| hub);
        let state = use_hub_state();
        view! { <p>{move || format!("{:?}", state.get().error)}</p> }.to_html()
    });
    assert!(html.contains("None"), "{html}");
}

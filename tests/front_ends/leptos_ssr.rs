//! A server that renders Leptos connects nowhere.

#![cfg(feature = "leptos-ssr")]

use std::time::Duration;

use any_spawner::Executor;
use hubwire::ConnectionState;
use hubwire::leptos::{
    Hub, provide_hub, use_hub, use_hub_event, use_hub_handler, use_hub_invoke, use_hub_resource,
    use_hub_state, use_hub_stream,
};
use leptos::prelude::*;
use tokio::net::TcpListener;

#[component]
fn Everything() -> impl IntoView {
    let hub = use_hub();
    let price = use_hub_event::<f64>("Price");
    use_hub_handler("Price", |_: f64| panic!("there is no connection"));
    let ticks = use_hub_stream::<u64>("Ticks", ("MSFT",));
    let sum = use_hub_invoke::<i32>("Add");
    let name = use_hub_resource::<String, _>("Name", || (7,));
    let state = use_hub_state();
    let text = move || {
        format!(
            "{} {:?} {:?} {:?} {} {}",
            state.get().connection,
            state.get().error,
            price.get(),
            ticks.get().latest,
            sum.is_pending().get() || sum.result().get().is_some() || ticks.get().is_done,
            hub.connection().is_ok(),
        )
    };
    view! {
        <p>{text}</p>
        <Suspense fallback=|| "waiting">
            {move || Suspend::new(async move { name.await.unwrap_or_else(|error| error.to_string()) })}
        </Suspense>
    }
}

fn render(url: &str) -> (String, Hub) {
    let mut hub = None;
    let owner = Owner::new();
    let html = owner.with(|| {
        hub = Some(provide_hub(url, |hub| hub));
        view! { <Everything /> }.to_html()
    });
    drop(owner);
    (html, hub.unwrap())
}

#[tokio::test]
async fn rendering_connects_nowhere() {
    Executor::init_tokio().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", server.local_addr().unwrap());
    tokio::task::LocalSet::new()
        .run_until(async {
            let (html, hub) = render(&url);
            assert!(html.contains("Disconnected None None None false true"), "{html}");
            assert!(html.contains("waiting"), "{html}");
            // What rendering has begun gets its turn before the connection that is really asked for.
            tokio::task::yield_now().await;
            let connection = hub.connection().unwrap().clone();
            assert_eq!(connection.state(), ConnectionState::Disconnected);
            let start = tokio::spawn(async move { connection.start().await });
            let first = tokio::time::timeout(Duration::from_secs(10), server.accept()).await;
            first.expect("a connection that is started connects").unwrap();
            start.abort();
        })
        .await;
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

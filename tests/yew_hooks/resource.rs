//! Results that the page is made of.

use std::cell::Cell;
use std::collections::HashMap;

use hubwire::yew_hooks::use_hub_resource;
use yew::prelude::*;

use crate::{App, test, url};

thread_local! {
    /// How often the fallback was mounted.
    static FALLBACKS: Cell<u32> = const { Cell::new(0) };
}

#[component]
fn Fallback() -> Html {
    use_effect_with((), |()| FALLBACKS.set(FALLBACKS.get() + 1));
    html! { <p id="fallback">{ "…" }</p> }
}

#[derive(PartialEq, Properties)]
struct SumProps {
    a: i32,
    #[prop_or("Add")]
    target: &'static str,
}

#[component]
fn Sum(props: &SumProps) -> HtmlResult {
    let sum = use_hub_resource::<i32, _>(props.target, (props.a, 1))?;
    Ok(html! { <p id="sum">{ shown(sum.as_deref()) }</p> })
}

fn shown<R: std::fmt::Display>(result: Option<&Result<R, hubwire::CallError>>) -> String {
    match result {
        Some(Ok(result)) => result.to_string(),
        Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
        None => "nothing".to_owned(),
    }
}

fn suspense(children: Html) -> Html {
    html! { <Suspense fallback={html! { <Fallback /> }}>{ children }</Suspense> }
}

test! {
    async fn results_are_awaited_and_asked_for_again_with_other_arguments() {
        FALLBACKS.set(0);
        let mut app = App::new("/hub", suspense(html! { <Sum a=1 /> }));
        app.page.shows("#fallback", "…").await;
        app.page.shows("#sum", "2").await;
        assert!(app.page.find("#fallback").is_none());
        for a in 2..5 {
            app.show(suspense(html! { <Sum {a} /> }));
            app.page.shows("#sum", &(a + 1).to_string()).await;
        }
        assert_eq!(FALLBACKS.get(), 4, "what was asked before is not shown for something else");
        app.show(suspense(html! { <Sum a=1 target="NoSuchMethod" /> }));
        app.page.until("#sum", |text| text.starts_with("the server answered with an error")).await;
    }
}

#[component]
fn Id() -> HtmlResult {
    let who = use_hub_resource::<HashMap<String, Option<String>>, _>("WhoAmI", ())?;
    let id = who.as_deref().map(|who| who.as_ref().unwrap()["connectionId"].clone().unwrap());
    Ok(html! { <p id="id">{ id }</p> })
}

test! {
    async fn results_are_asked_for_again_after_a_reconnect() {
        FALLBACKS.set(0);
        let app = App::new("/hub", suspense(html! { <Id /> }));
        let hub = app.connected().await;
        for _ in 0..3 {
            let id = hub.connection().unwrap().connection_id().unwrap();
            app.page.shows("#id", &id).await;
            let _ = hub.invoke::<()>("Drop", ()).await;
            app.page.until("#id", |text| text != id).await;
        }
        assert_eq!(FALLBACKS.get(), 1, "the old result stays until the new one comes");
    }
}

test! {
    async fn resources_do_not_wait_for_what_does_not_come() {
        // Not enabled, stopped, enabled again.
        let mut app = App::with("/hub", suspense(html! { <Sum a=1 /> }), |props| props.enabled = false);
        App::new("/hub", html! {}).connected().await;
        assert_eq!(app.page.text("#sum").as_deref(), Some("nothing"));
        app.update(|props| props.enabled = true);
        app.page.shows("#sum", "2").await;
        app.hub().stop();
        app.page.shows("#state", "Disconnected").await;
        // It may have been somebody else's.
        app.page.shows("#sum", "nothing").await;
        app.show(suspense(html! { <Sum a=2 /> }));
        app.page.shows("#sum", "nothing").await;
        app.hub().start();
        app.page.shows("#sum", "3").await;

        // Disabled while the result is awaited.
        app.show(suspense(html! { <Sum a=1_000_000 target="Slow" /> }));
        app.page.until("#sum", |text| text.starts_with("the server answered")).await;
        app.show(suspense(html! { <Slow /> }));
        app.page.shows("#fallback", "…").await;
        app.update(|props| props.enabled = false);
        app.page.shows("#slow", "nothing").await;

        // A hub that cannot be reached, and one whose URL is invalid.
        app.update(|props| (props.url, props.enabled) = (url("/fault/status/404"), true));
        app.page.until("#slow", |text| text.contains("404")).await;
        app.update(|props| props.url = "ftp://example.com".into());
        app.page.until("#slow", |text| text.contains("the URL must start with") && !text.contains("404")).await;
    }
}

#[component]
fn Slow() -> HtmlResult {
    let slow = use_hub_resource::<String, _>("Slow", (1_000_000,))?;
    Ok(html! { <p id="slow">{ shown(slow.as_deref()) }</p> })
}

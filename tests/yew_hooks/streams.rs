//! Streams from the hub.

use hubwire::yew_hooks::{use_hub_stream, use_hub_stream_handler};
use yew::prelude::*;

use crate::page::until;
use crate::{App, test};

#[derive(PartialEq, Properties)]
struct StreamProps {
    #[prop_or("Counter")]
    target: &'static str,
    count: u32,
    #[prop_or_default]
    delay: u32,
}

#[component]
fn Latest(props: &StreamProps) -> Html {
    let numbers = use_hub_stream::<u32>(props.target, (props.count, props.delay));
    let error = numbers.error.as_ref().map(ToString::to_string);
    html! { <p id="latest">{ format!("{:?} {} {error:?}", numbers.latest, numbers.is_done) }</p> }
}

async fn cancelled(app: &App) -> u64 {
    app.hub().invoke("CancelledStreams", ()).await.unwrap()
}

/// What is cancelled is counted by the server in its own time.
async fn one_more_is_cancelled(app: &App, before: u64) {
    let counts = std::cell::Cell::new(before);
    while counts.get() <= before {
        counts.set(cancelled(app).await);
    }
    assert_eq!(counts.get(), before + 1);
}

test! {
    async fn streams_begin_again_with_other_arguments() {
        let mut app = App::new("/hub", html! { <Latest count=3 /> });
        app.page.shows("#latest", "Some(2) true None").await;
        let before = cancelled(&app).await;

        // An endless one, which is cancelled by the next.
        app.show(html! { <Latest count=1_000_000 delay=1 /> });
        app.page.until("#latest", |text| text.ends_with("false None") && text.starts_with("Some")).await;
        app.show(html! { <Latest count=5 /> });
        app.page.shows("#latest", "Some(4) true None").await;
        one_more_is_cancelled(&app, before).await;

        // The same arguments: nothing begins again.
        app.show(html! { <Latest count=1_000_000 delay=10 /> });
        let number = |text: &str| text.strip_prefix("Some(")?.split_once(')')?.0.parse::<u32>().ok();
        app.page.until("#latest", |text| text.ends_with("false None") && number(text) > Some(3)).await;
        let mut last = 0;
        for _ in 0..3 {
            app.show(html! { <Latest count=1_000_000 delay=10 /> });
            let text = app.page.until("#latest", |text| number(text) != Some(last)).await;
            assert!(number(&text).unwrap() > last, "{text} after {last}");
            last = number(&text).unwrap();
        }

        // It is cancelled with the component.
        app.show(html! {});
        one_more_is_cancelled(&app, before + 1).await;
    }
}

test! {
    async fn streams_begin_again_after_a_reconnect_and_tell_their_end() {
        let mut app = App::new("/hub", html! { <Latest count=1_000_000 delay=1 /> });
        let number = |text: &str| text.strip_prefix("Some(")?.split_once(')')?.0.parse::<u32>().ok();
        app.page.until("#latest", |text| number(text) > Some(200)).await;
        let id = app.hub().connection().unwrap().connection_id();
        let _ = app.hub().invoke::<()>("Drop", ()).await;
        let again = app.page.until("#latest", |text| number(text) < Some(100)).await;
        assert!(number(&again).is_some(), "what came last stays until then: {again}");
        assert_ne!(app.hub().connection().unwrap().connection_id(), id);

        app.show(html! { <Failing /> });
        app.page.until("#latest", |text| text.starts_with("Some(1) true Some(") && text.contains("over")).await;
    }
}

#[component]
fn Failing() -> Html {
    let numbers = use_hub_stream::<u32>("CounterThenError", (2, "over"));
    let error = numbers.error.as_ref().map(ToString::to_string);
    html! { <p id="latest">{ format!("{:?} {} {error:?}", numbers.latest, numbers.is_done) }</p> }
}

#[derive(PartialEq, Properties)]
struct ItemsProps {
    count: u32,
    #[prop_or_default]
    delay: u32,
    label: &'static str,
}

#[component]
fn Items(props: &ItemsProps) -> Html {
    let items = use_mut_ref(Vec::new);
    let update = use_force_update();
    let (label, more) = (props.label, items.clone());
    let end = use_hub_stream_handler("Counter", (props.count, props.delay), move |item: u32| {
        more.borrow_mut().push(format!("{label}{item}"));
        update.force_update();
    });
    html! { <><p id="items">{ items.borrow().join(" ") }</p><p id="done">{ end.map(|end| end.error.is_none()) }</p></> }
}

test! {
    async fn stream_handlers_miss_no_item_and_see_the_last_rendering() {
        let mut app = App::new("/hub", html! { <Items count=500 label="a" /> });
        app.page.shows("#done", "true").await;
        let all = (0..500).map(|number| format!("a{number}")).collect::<Vec<_>>().join(" ");
        app.page.shows("#items", &all).await;

        // Another label goes on with the same stream.
        app.show(html! { <Items key="slow" count=30 delay=10 label="b" /> });
        app.page.until("#items", |items| items.contains("b2")).await;
        app.show(html! { <Items key="slow" count=30 delay=10 label="c" /> });
        app.page.shows("#done", "true").await;
        let items = app.page.text("#items").unwrap();
        let numbers: Vec<u32> = items.split(' ').map(|item| item[1..].parse().unwrap()).collect();
        assert_eq!(numbers, (0..30).collect::<Vec<_>>(), "{items}");
        assert!(items.starts_with("b0 b1 b2") && items.ends_with("c28 c29"), "{items}");
    }
}

test! {
    async fn streams_that_end_with_their_component_are_cancelled() {
        let mut app = App::new("/hub", html! { <Items count=1_000_000 delay=1 label="a" /> });
        app.page.until("#items", |items| items.contains("a2")).await;
        let before = cancelled(&app).await;
        app.show(html! {});
        until("the component is gone", || app.page.find("#items").is_none()).await;
        one_more_is_cancelled(&app, before).await;
    }
}

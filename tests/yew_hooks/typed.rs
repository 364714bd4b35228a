//! The hooks by a typed handle.

use std::convert::Infallible;

use hubwire::yew_hooks::{
    use_hub_as, use_hub_event, use_hub_handler_as, use_hub_invoke_as, use_hub_invoke_handler_as,
    use_hub_resource_as, use_hub_stream_as, use_hub_stream_handler_as,
};
use yew::prelude::*;

use crate::{App, test};

hubwire::hub! {
    trait Reference: Hub<ReferenceClient> {
        fn add(a: i32, b: i32) -> i32;
        send fn push_numbers(target: &str, count: u32);
        send fn ask_later(target: &str, question: &str);
        stream fn counter(count: u32, delay_milliseconds: u32) -> u32;
    }

    trait ReferenceClient {
        fn number(number: i32);
        fn question(question: String) -> String;
    }
}

#[derive(PartialEq, Properties)]
struct Props {
    label: &'static str,
    count: u32,
}

#[component]
fn Everything(props: &Props) -> HtmlResult {
    let update = use_force_update();
    let (calls, items) = (use_mut_ref(String::new), use_mut_ref(|| 0));
    let (label, call, item) = (props.label, calls.clone(), items.clone());
    let updated = update.clone();
    use_hub_handler_as(
        |hub: Reference, calls| hub.on().number(move |number| calls.give(number)),
        move |number: i32| {
            *call.borrow_mut() += &format!("{label}{number} ");
            updated.force_update();
        },
    );
    use_hub_invoke_handler_as(
        |hub: Reference, calls| hub.on().question(move |question| calls.ask(question)),
        move |question: String| async move { Ok::<_, Infallible>(format!("{label}: {question}")) },
    );
    let answered = use_hub_event::<String>("Answered");
    let last =
        use_hub_stream_as(props.count, |hub: Reference, count| async move { hub.counter(count, 0).await });
    let end = use_hub_stream_handler_as(
        props.count,
        |hub: Reference, count| async move { hub.counter(count, 0).await },
        move |_| {
            *item.borrow_mut() += 1;
            update.force_update();
        },
    );
    let sum = use_hub_invoke_as::<Reference, i32>();
    let shown = sum.result().map(|sum| *sum.as_ref().unwrap());
    let hub = use_hub_as::<Reference>().unwrap();
    let onclick = move |_| {
        sum.call(|hub| async move { hub.add(1, 2).await });
        let hub = hub.clone();
        yew::platform::spawn_local(async move {
            hub.push_numbers("Number", 2).await.unwrap();
            hub.ask_later("Question", "why?").await.unwrap();
        });
    };
    let resource = use_hub_resource_as(props.count, |hub: Reference, count| async move {
        hub.add(count.try_into().unwrap(), 1).await
    })?;
    let resource = resource.as_deref().map(|sum| *sum.as_ref().unwrap());
    Ok(html! {
        <>
            <button {onclick}>{ "call" }</button>
            <p id="calls">{ calls.borrow().as_str() }</p>
            <p id="answered">{ answered }</p>
            <p id="stream">
                { format!("{:?} {} {}", last.latest, items.borrow(), last.is_done && end.is_some()) }
            </p>
            <p id="sum">{ shown }</p>
            <p id="resource">{ resource }</p>
        </>
    })
}

test! {
    async fn typed_hooks_do_what_the_others_do() {
        let everything = |label, count| html! { <Suspense><Everything {label} {count} /></Suspense> };
        let mut app = App::new("/hub", everything("a", 3));
        app.connected().await;
        app.page.shows("#resource", "4").await;
        app.page.shows("#stream", "Some(2) 3 true").await;
        app.page.click("button");
        app.page.shows("#sum", "3").await;
        app.page.shows("#calls", "a0 a1 ").await;
        app.page.shows("#answered", "a: why?").await;

        app.show(everything("b", 5));
        app.page.shows("#resource", "6").await;
        app.page.shows("#stream", "Some(4) 8 true").await;
        app.page.click("button");
        app.page.shows("#calls", "a0 a1 b0 b1 ").await;
        app.page.shows("#answered", "b: why?").await;
    }
}

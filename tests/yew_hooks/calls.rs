//! Calls of the hub, by a click.

use hubwire::yew_hooks::{use_hub, use_hub_invoke};
use yew::prelude::*;

use crate::page::until;
use crate::{App, test, url};

#[derive(PartialEq, Properties)]
struct CallProps {
    #[prop_or("EchoInt")]
    target: &'static str,
}

#[component]
fn Call(props: &CallProps) -> Html {
    let call = use_hub_invoke::<i32>(props.target);
    let text = match call.result() {
        Some(Ok(number)) => number.to_string(),
        Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
        None => "nothing".to_owned(),
    };
    // A handle of the first rendering calls what the last rendering would.
    let number = use_mut_ref(|| 0);
    let onclick = use_callback((), {
        let call = call.clone();
        move |_, ()| {
            *number.borrow_mut() += 1;
            call.call((*number.borrow(),));
        }
    });
    // Every text that was shown.
    let shown = use_mut_ref(Vec::new);
    let shows = format!("{text}{}", if call.is_pending() { " …" } else { "" });
    if shown.borrow().last() != Some(&shows) {
        shown.borrow_mut().push(shows);
    }
    html! { <><button id={props.target} {onclick}>{ "call" }</button><p id="shown">{ shown.borrow().join(", ") }</p></> }
}

test! {
    async fn calls_keep_the_last_result_until_the_next() {
        let mut app = App::new("/hub", html! { <Call /> });
        app.connected().await;
        app.page.click("button");
        app.page.shows("#shown", "nothing, nothing …, 1").await;
        app.page.click("button");
        app.page.shows("#shown", "nothing, nothing …, 1, 1 …, 2").await;

        app.show(html! { <Call target="EchoNullable" /> });
        until("it is rendered", || app.page.find("#EchoNullable").is_some()).await;
        app.page.click("button");
        app.page.shows("#shown", "nothing, nothing …, 1, 1 …, 2, 2 …, 3").await;

        // With another hub.
        app.move_to("/detailed").await;
        app.page.click("button");
        app.page.shows("#shown", "nothing, nothing …, 1, 1 …, 2, 2 …, 3, 3 …, 4").await;
        app.show(html! { <Call target="HubError" /> });
        until("it is rendered", || app.page.find("#HubError").is_some()).await;
        app.page.click("button");
        app.page.until("#shown", |shown| shown.contains("4 …, the server answered with an error")).await;
    }
}

#[component]
fn Slow() -> Html {
    let slow = use_hub_invoke::<String>("Slow");
    let onclick = {
        let slow = slow.clone();
        move |_| slow.call((1_000_000,))
    };
    html! { <><button {onclick}>{ "call" }</button><p id="pending">{ slow.is_pending() }</p></> }
}

test! {
    async fn calls_do_not_stay_pending_with_a_hub_that_is_gone() {
        let mut app = App::new("/hub", html! { <Slow /> });
        app.connected().await;
        app.page.click("button");
        app.page.shows("#pending", "true").await;
        app.update(|props| props.url = url("/detailed"));
        app.page.shows("#pending", "false").await;
    }
}

/// Calls by the hub itself.
#[component]
fn ByHand() -> Html {
    let sum = use_state(|| 0);
    let hub = use_hub();
    let onclick = {
        let sum = sum.clone();
        move |_| {
            let (hub, sum) = (hub.clone(), sum.setter());
            yew::platform::spawn_local(async move { sum.set(hub.invoke("Add", (1, 2)).await.unwrap()) });
        }
    };
    html! { <><button {onclick}>{ "call" }</button><p id="sum">{ *sum }</p></> }
}

test! {
    async fn the_hub_itself_can_be_called() {
        let app = App::new("/hub", html! { <ByHand /> });
        app.connected().await;
        app.page.click("button");
        app.page.shows("#sum", "3").await;
    }
}

//! What the server calls: events, handlers, and handlers that answer.

use std::convert::Infallible;

use hubwire::yew_hooks::{use_hub_event, use_hub_handler, use_hub_invoke_handler};
use yew::prelude::*;

use crate::{App, test};

#[derive(PartialEq, Properties)]
struct EventProps {
    #[prop_or("Number")]
    target: &'static str,
}

#[component]
fn Events(props: &EventProps) -> Html {
    let number = use_hub_event::<i32>(props.target);
    let pair = use_hub_event::<(String, i32)>("Pair");
    html! { <p id="events">{ format!("{number:?} {pair:?}") }</p> }
}

test! {
    async fn events_show_the_last_call() {
        let mut app = App::new("/hub", html! { <Events /> });
        let hub = app.connected().await;
        app.page.shows("#events", "None None").await;
        hub.send("PushNumbers", ("Number", 3)).await.unwrap();
        app.page.shows("#events", "Some(2) None").await;
        hub.send("Push", ("Pair", ("a", 1))).await.unwrap();
        app.page.shows("#events", r#"Some(2) Some(("a", 1))"#).await;

        // Another method has called nothing yet.
        app.show(html! { <Events target="Other" /> });
        app.page.shows("#events", r#"None Some(("a", 1))"#).await;
        hub.send("PushNumbers", ("Number", 1)).await.unwrap();
        hub.send("PushNumbers", ("Other", 6)).await.unwrap();
        app.page.shows("#events", r#"Some(5) Some(("a", 1))"#).await;
    }
}

#[derive(PartialEq, Properties)]
struct LabelProps {
    label: &'static str,
}

/// Every call, with the label that the component has when it comes.
#[component]
fn Calls(props: &LabelProps) -> Html {
    let calls = use_mut_ref(String::new);
    let update = use_force_update();
    let (label, more) = (props.label, calls.clone());
    use_hub_handler("Number", move |number: i32| {
        *more.borrow_mut() += &format!("{label}{number} ");
        update.force_update();
    });
    html! { <p id="calls">{ calls.borrow().as_str() }</p> }
}

test! {
    async fn handlers_miss_no_call_and_see_the_last_rendering() {
        let mut app = App::new("/hub", html! { <Calls label="a" /> });
        let hub = app.connected().await;
        hub.send("PushNumbers", ("Number", 3)).await.unwrap();
        app.page.shows("#calls", "a0 a1 a2 ").await;
        app.show(html! { <Calls label="b" /> });
        hub.send("PushNumbers", ("Number", 2)).await.unwrap();
        app.page.shows("#calls", "a0 a1 a2 b0 b1 ").await;

        // Removed with its component: a new one begins with nothing.
        app.show(html! {});
        app.page.until("#state", |_| app.page.find("#calls").is_none()).await;
        hub.invoke::<()>("PushNumbers", ("Number", 2)).await.unwrap();
        app.show(html! { <Calls label="c" /> });
        hub.send("PushNumbers", ("Number", 1)).await.unwrap();
        app.page.shows("#calls", "c0 ").await;
    }
}

/// Answers with the label that the component has when the question comes.
#[component]
fn Answers(props: &LabelProps) -> Html {
    let label = props.label;
    use_hub_invoke_handler("Question", move |question: String| async move {
        match question.as_str() {
            "fail" => Err(format!("{label} refuses")),
            question => Ok(format!("{label}: {question}")),
        }
    });
    let answered = use_hub_event::<String>("Answered");
    html! { <p id="answered">{ answered }</p> }
}

test! {
    async fn invoke_handlers_answer_and_see_the_last_rendering() {
        let mut app = App::new("/hub", html! { <Answers label="a" /> });
        let hub = app.connected().await;
        hub.send("AskLater", ("Question", "one?")).await.unwrap();
        app.page.shows("#answered", "a: one?").await;
        app.show(html! { <Answers label="b" /> });
        hub.send("AskLater", ("Question", "two?")).await.unwrap();
        app.page.shows("#answered", "b: two?").await;
        hub.send("AskLater", ("Question", "fail")).await.unwrap();
        app.page.until("#answered", |answer| answer.contains("b refuses")).await;

        // Removed with its component.
        app.show(html! { <Answered /> });
        app.page.shows("#answered", "").await;
        hub.send("AskLater", ("Question", "three?")).await.unwrap();
        app.page.until("#answered", |answer| answer.contains("HubException")).await;
    }
}

#[component]
fn Answered() -> Html {
    let answered = use_hub_event::<String>("Answered");
    html! { <p id="answered">{ answered }</p> }
}

/// Never answers, and tells when the future is dropped.
#[component]
fn Silent() -> Html {
    let dropped = use_state(|| false);
    let set = dropped.setter();
    use_hub_invoke_handler("Question", move |_: String| {
        let dropped = Dropped(set.clone());
        async move {
            std::future::pending::<()>().await;
            drop(dropped);
            Ok::<_, Infallible>(String::new())
        }
    });
    html! { <><p id="dropped">{ *dropped }</p><Answered /></> }
}

struct Dropped(UseStateSetter<bool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

test! {
    async fn answers_are_given_up_with_the_connection() {
        let app = App::new("/hub", html! { <Silent /> });
        let hub = app.connected().await;
        hub.invoke::<()>("AskLater", ("Question", "?")).await.unwrap();
        app.page.shows("#dropped", "false").await;
        hub.stop();
        app.page.shows("#dropped", "true").await;
    }
}

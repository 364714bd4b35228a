//! The provider: when it connects, with what, and what of `setup` follows the renderings.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use hubwire::yew_hooks::{use_hub_event, use_hub_handler};
use hubwire::{ConnectionEvent, ConnectionState, HubConnectionBuilder, RetryPolicy};
use yew::prelude::*;

use crate::page::until;
use crate::{App, is_down, test, url};

type Setup = Option<Callback<HubConnectionBuilder, HubConnectionBuilder>>;

async fn token(user: &str) -> String {
    let url = url(&format!("/token?user={user}&ttl=3600"));
    gloo_net::http::Request::get(&url).send().await.unwrap().text().await.unwrap()
}

fn with_token(token: &str) -> Setup {
    let token = token.to_owned();
    let setup = move |hub: HubConnectionBuilder| {
        let token = token.clone();
        hub.with_access_token(move || {
            let token = token.clone();
            async move { Ok::<_, Infallible>(token) }
        })
    };
    Some(setup.into())
}

async fn user(app: &App) -> Option<String> {
    let who: HashMap<String, Option<String>> = app.hub().invoke("WhoAmI", ()).await.unwrap();
    who["user"].clone()
}

test! {
    async fn tokens_are_those_of_the_last_rendering() {
        let (ann, bob) = (token("ann").await, token("bob").await);
        let mut app = App::with("/secure", html! {}, |props| props.setup = with_token(&ann));
        app.connected().await;
        assert_eq!(user(&app).await.as_deref(), Some("ann"));
        let before = app.hub();
        app.update(|props| props.setup = with_token(&bob));
        assert_eq!(user(&app).await.as_deref(), Some("ann"), "the connection goes on");
        app.hub().stop();
        app.page.shows("#state", "Disconnected").await;
        app.hub().start();
        app.connected().await;
        assert_eq!(user(&app).await.as_deref(), Some("bob"));
        assert!(app.hub() == before, "it is the same hub");
    }
}

type Seen = Rc<RefCell<Vec<String>>>;

/// Everything that a setup can give a function for.
fn everything(label: &'static str, seen: &Seen) -> Setup {
    let seen = Rc::clone(seen);
    let setup = move |hub: HubConnectionBuilder| {
        let see = |what: &'static str| {
            let seen = Rc::clone(&seen);
            move || seen.borrow_mut().push(format!("{label} {what}"))
        };
        let (handle, hear, ask) = (see("handler"), see("event"), see("retry"));
        hub.on("Number", move |_: i32| handle())
            .on_invoke("Question", move |_: String| Ok::<_, Infallible>(label))
            .on_event(move |event| {
                if let ConnectionEvent::Reconnected { .. } = event {
                    hear();
                }
            })
            .with_automatic_reconnect(RetryPolicy::new(move |_| {
                ask();
                Some(Duration::ZERO)
            }))
    };
    Some(setup.into())
}

#[component]
fn Answered() -> Html {
    let answered = use_hub_event::<String>("Answered");
    html! { <p id="answered">{ answered }</p> }
}

test! {
    async fn functions_of_the_setup_are_those_of_the_last_rendering() {
        let seen = Seen::default();
        let mut app = App::with("/hub", html! { <Answered /> }, |props| props.setup = everything("a", &seen));
        let hub = app.connected().await;
        for label in ["a", "b", "c"] {
            app.update(|props| props.setup = everything(label, &seen));
            seen.take();
            hub.invoke::<()>("PushNumbers", ("Number", 1)).await.unwrap();
            hub.send("AskLater", ("Question", "?")).await.unwrap();
            app.page.shows("#answered", label).await;
            let id = hub.connection().unwrap().connection_id();
            let _ = hub.invoke::<()>("Drop", ()).await;
            until("the callback was told", || seen.borrow().iter().any(|what| what.ends_with("event"))).await;
            assert_ne!(hub.connection().unwrap().connection_id(), id);
            let expected = ["handler", "retry", "event"].map(|what| format!("{label} {what}"));
            assert_eq!(*seen.borrow(), expected);
        }
        // Handlers of hooks are not those of the setup, and stay.
        app.update(|props| props.setup = None);
        hub.send("Push", ("Answered", ["still here"])).await.unwrap();
        app.page.shows("#answered", "still here").await;
    }
}

test! {
    async fn it_connects_while_it_is_enabled() {
        let mut app = App::with("/hub", html! {}, |props| props.enabled = false);
        // Meanwhile another one has connected.
        App::new("/hub", html! {}).connected().await;
        app.page.shows("#state", "Disconnected").await;
        assert_eq!(app.hub().connection().unwrap().state(), ConnectionState::Disconnected);

        app.update(|props| props.enabled = true);
        let hub = app.connected().await;
        app.update(|props| props.enabled = false);
        app.page.shows("#state", "Disconnected").await;
        is_down(&hub).await;

        // Without a pause.
        for enabled in [true, false, true] {
            app.update(|props| props.enabled = enabled);
        }
        app.connected().await;
        for enabled in [false, true] {
            app.update(|props| props.enabled = enabled);
            crate::page::turn().await;
        }
        app.connected().await;
        assert!(app.hub() == hub, "it is the same hub");
    }
}

test! {
    async fn it_starts_and_stops_by_hand() {
        let mut app = App::with("/hub", html! {}, |props| props.enabled = false);
        until("it is rendered", || app.page.find("#state").is_some()).await;
        let hub = app.hub();
        hub.start();
        app.connected().await;
        // What is connected already stays.
        let id = hub.connection().unwrap().connection_id();
        app.update(|props| props.enabled = true);
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        assert_eq!(hub.connection().unwrap().connection_id(), id);

        hub.stop();
        app.page.shows("#state", "Disconnected").await;
        // A start during a stop waits for it.
        hub.start();
        hub.stop();
        hub.start();
        app.connected().await;
        let id = hub.connection().unwrap().connection_id();
        hub.stop();
        hub.start();
        until("there is another connection", || {
            let now = hub.connection().unwrap().connection_id();
            now.is_some() && now != id
        })
        .await;
        app.connected().await;
        // It does nothing when it is connected already.
        hub.start();
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    }
}

#[component]
fn Number() -> Html {
    let all = use_mut_ref(Vec::<i32>::new);
    let update = use_force_update();
    let more = all.clone();
    use_hub_handler("Number", move |number| {
        more.borrow_mut().push(number);
        update.force_update();
    });
    let last = use_hub_event::<i32>("Number");
    html! { <p id="number">{ format!("{last:?} {:?}", all.borrow()) }</p> }
}

test! {
    async fn another_url_is_another_connection() {
        let mut app = App::new("/hub", html! { <Number /> });
        let first = app.connected().await;
        first.send("PushNumbers", ("Number", 2)).await.unwrap();
        app.page.shows("#number", "Some(1) [0, 1]").await;

        app.update(|props| props.url = url("/detailed"));
        app.page.shows("#number", "None [0, 1]").await;
        let second = app.connected().await;
        assert!(first != second);
        is_down(&first).await;
        second.send("PushNumbers", ("Number", 1)).await.unwrap();
        app.page.shows("#number", "Some(0) [0, 1, 0]").await;

        // One that refuses: why it failed is not shown any more once nobody wants a connection.
        app.update(|props| props.url = url("/fault/status/404"));
        app.page.until("#state", |state| state.starts_with("Disconnected: ")).await;
        app.update(|props| props.enabled = false);
        app.page.shows("#state", "Disconnected").await;
        app.update(|props| props.enabled = true);

        // One that is not a URL, and back.
        app.update(|props| props.url = "ftp://example.com".into());
        app.page.until("#state", |state| state.starts_with("Disconnected: ")).await;
        is_down(&second).await;
        app.move_to("/hub").await;
        app.update(|props| (props.url, props.enabled) = (url("/detailed"), false));
        app.page.shows("#state", "Disconnected").await;
    }
}

test! {
    async fn the_state_tells_of_losses_and_the_end_of_the_provider_disconnects() {
        let app = App::new("/hub", html! { <States /> });
        let hub = app.connected().await;
        let _ = hub.invoke::<()>("Drop", ()).await;
        let states = "Disconnected Connecting Connected Reconnecting! Connected";
        app.page.shows("#states", states).await;
        app.handle.destroy();
        is_down(&hub).await;
        assert!(hub.invoke::<i32>("Add", (1, 2)).await.is_err());
    }
}

#[component]
fn States() -> Html {
    let state = hubwire::yew_hooks::use_hub_state();
    let seen = use_mut_ref(Vec::new);
    let error = if state.error.is_some() { "!" } else { "" };
    seen.borrow_mut().push(format!("{}{error}", state.connection));
    html! { <p id="states">{ seen.borrow().join(" ") }</p> }
}

//! The hooks for Leptos in headless Chromium, against the ASP.NET Core reference hub.
//!
//! The hub has to run already; `HUBWIRE_TEST_HUB_URL` names it when this is compiled.

#![cfg(all(target_family = "wasm", target_os = "unknown", feature = "leptos"))]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

#[path = "leptos/mounted.rs"]
mod mounted;
#[path = "leptos/page.rs"]
mod page;

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use hubwire::leptos_hooks::*;
use hubwire::{CallError, ConnectionState};
use leptos::prelude::*;
use mounted::{Mounted, Reference, State, get, push, show, until, user};
use wasm_bindgen_test::wasm_bindgen_test;

/// The reference hub, or the end of a test without one.
macro_rules! hub_or_skip {
    ($name:ident) => {
        match option_env!("HUBWIRE_TEST_HUB_URL") {
            Some(base) => base,
            None => {
                wasm_bindgen_test::console_log!("SKIPPED: {}: no reference hub", stringify!($name));
                return;
            }
        }
    };
}

macro_rules! tests {
    ($(async fn $name:ident($base:ident: &str) $body:block)*) => {
        $(
            #[wasm_bindgen_test]
            async fn $name() {
                let $base = hub_or_skip!($name);
                $body
            }
        )*
    };
}

tests! {
    async fn state_events_and_handlers(base: &str) {
        #[component]
        fn News() -> impl IntoView {
            let last = use_hub_event::<String>("News");
            let pair = use_hub_event::<(String, String)>("Pair");
            let (all, set_all) = signal(Vec::new());
            use_hub_handler("News", move |text: String| set_all.write().push(text));
            view! {
                <State />
                <p id="last">{move || show(last.get())}</p>
                <p id="pair">{move || show(pair.get())}</p>
                <p id="all">{move || all.read().join(",")}</p>
            }
        }
        let (page, hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), News);
        assert_eq!(page.text("#state"), "Disconnected");
        assert_eq!(page.text("#last"), "None");
        page.until("#state", "Connected").await;
        for text in ["a", "b", "c"] {
            push(&hub, "News", &[text]).await;
        }
        push(&hub, "Pair", &["left", "right"]).await;
        page.until("#last", "Some(\"c\")").await;
        page.until("#all", "a,b,c").await;
        page.until("#pair", "Some((\"left\", \"right\"))").await;
        drop(page);
        until("the provider ends the connection", || {
            hub.connection().unwrap().state() == ConnectionState::Disconnected
        })
        .await;
        hub.start();
        assert_eq!(hub.connection().unwrap().state(), ConnectionState::Disconnected, "nobody watches it");
    }

    async fn handlers_go_with_their_component(base: &str) {
        let (shown, set_shown) = signal(true);
        let (seen, set_seen) = signal(0);
        #[component]
        fn Listener(set_seen: WriteSignal<i32>) -> impl IntoView {
            use_hub_handler("News", move |_: String| *set_seen.write() += 1);
            use_hub_invoke_handler("Who", |_: String| async { Ok::<_, Infallible>("listener") });
            "listening"
        }
        let (page, hub) = Mounted::with_hub(
            move || provide_hub(format!("{base}/hub"), |hub| hub),
            move || {
                let answered = use_hub_event::<String>("Answered");
                view! {
                    <State />
                    <p id="listener"><Show when=move || shown.get()><Listener set_seen /></Show></p>
                    <p id="answered">{move || answered.get()}</p>
                }
            },
        );
        page.until("#state", "Connected").await;
        page.until("#listener", "listening").await;
        push(&hub, "News", &["one"]).await;
        until("the handler is called", || seen.get_untracked() == 1).await;
        hub.send("AskLater", ("Who", "?")).await.unwrap();
        page.until("#answered", "listener").await;

        set_shown.set(false);
        page.until("#listener", "").await;
        push(&hub, "News", &["two"]).await;
        hub.send("AskLater", ("Who", "?")).await.unwrap();
        until("nobody answers", || page.text("#answered").contains("Exception")).await;
        assert_eq!(seen.get_untracked(), 1);
    }

    async fn client_results(base: &str) {
        let (name, set_name) = signal("alice".to_owned());
        let (page, hub) = Mounted::with_hub(
            move || provide_hub(format!("{base}/hub"), |hub| hub),
            move || {
                use_hub_invoke_handler("Who", move |question: String| async move {
                    if question.is_empty() { Err("no question") } else { Ok(name.get_untracked()) }
                });
                let answered = use_hub_event::<String>("Answered");
                view! { <State /><p id="answered">{move || answered.get()}</p> }
            },
        );
        page.until("#state", "Connected").await;
        hub.send("AskLater", ("Who", "?")).await.unwrap();
        page.until("#answered", "alice").await;
        set_name.set("bob".to_owned());
        hub.send("AskLater", ("Who", "?")).await.unwrap();
        page.until("#answered", "bob").await;
        hub.send("AskLater", ("Who", "")).await.unwrap();
        until("the error is told", || page.text("#answered").contains("no question")).await;
    }

    async fn streams_and_their_arguments(base: &str) {
        let (count, set_count) = signal(3);
        let (page, hub) = Mounted::with_hub(
            move || provide_hub(format!("{base}/hub"), |hub| hub),
            move || {
                let fixed = use_hub_stream::<u32>("Counter", (4, 0));
                let live = use_hub_stream::<u32>("Counter", move || (count.get(), 0));
                let failing = use_hub_stream::<u32>("CounterThenError", (2, "on purpose"));
                let endless = use_hub_stream::<u32>("Counter", move || (1_000_000, 20 + count.get()));
                let state = |state: StreamState<u32>| {
                    format!("{:?} {} {}", state.latest, state.is_done, state.error.is_some())
                };
                view! {
                    <State />
                    <p id="fixed">{move || state(fixed.get())}</p>
                    <p id="live">{move || state(live.get())}</p>
                    <p id="failing">{move || state(failing.get())}</p>
                    <p id="endless">{move || endless.get().latest.is_some()}</p>
                }
            },
        );
        page.until("#fixed", "Some(3) true false").await;
        page.until("#live", "Some(2) true false").await;
        page.until("#failing", "Some(1) true true").await;
        page.until("#endless", "true").await;
        let before = hub.invoke::<i64>("CancelledStreams", ()).await.unwrap();
        set_count.set(8);
        page.until("#live", "Some(7) true false").await;
        page.until("#fixed", "Some(3) true false").await;
        // The old endless one was cancelled, and another has begun.
        loop {
            if hub.invoke::<i64>("CancelledStreams", ()).await.unwrap() > before {
                break;
            }
        }
        page.until("#endless", "true").await;
    }

    async fn every_item_of_a_stream(base: &str) {
        let (count, set_count) = signal(300);
        let items = Rc::new(RefCell::new(Vec::new()));
        let (page, hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), {
            let items = Rc::clone(&items);
            move || {
                let end = use_hub_stream_handler("Counter", move || (count.get(), 0), move |item: u32| {
                    items.borrow_mut().push(item);
                });
                let refused = use_hub_stream_handler("RefusesToStream", (), |_: u32| unreachable!("no item"));
                view! {
                    <State />
                    <p id="end">{move || end.get().map(|end| end.error.is_some())}</p>
                    <p id="refused">{move || refused.get().map(|end| end.error.is_some())}</p>
                }
            }
        });
        page.until("#end", "false").await;
        page.until("#refused", "true").await;
        assert_eq!(items.take(), (0..300).collect::<Vec<u32>>());
        set_count.set(5);
        until("other arguments, other items", || items.borrow().len() == 5).await;
        page.until("#end", "false").await;

        // A stream that has ended stays so when its connection is lost and back.
        hub.send("Drop", ()).await.unwrap();
        page.until("#state", "Reconnecting").await;
        page.until("#state", "Connected").await;
        hub.invoke::<()>("Void", ()).await.unwrap();
        assert_eq!((items.take(), page.text("#end")), ((0..5).collect(), "false".to_owned()));
    }

    async fn streams_begin_again_after_a_reconnect(base: &str) {
        let items = Rc::new(RefCell::new(Vec::new()));
        let (page, hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), {
            let items = Rc::clone(&items);
            move || {
                let latest = use_hub_stream::<u32>("Counter", (1_000_000, 20));
                use_hub_stream_handler("Counter", (1_000_000, 20), move |item: u32| items.borrow_mut().push(item));
                view! { <State /><p id="latest">{move || latest.get().latest.is_some()}</p> }
            }
        });
        page.until("#latest", "true").await;
        until("items come", || items.borrow().len() > 2).await;
        hub.send("Drop", ()).await.unwrap();
        page.until("#state", "Reconnecting").await;
        items.borrow_mut().clear();
        assert_eq!(page.text("#latest"), "true", "the last item stays");
        until("items come again", || items.borrow().first() == Some(&0)).await;
    }

    async fn resources_resolve_and_ask_again(base: &str) {
        let (a, set_a) = signal(1);
        let asked = Rc::new(RefCell::new(0));
        let resource = Rc::new(RefCell::new(None));
        let (page, hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), {
            let (asked, resource) = (Rc::clone(&asked), Rc::clone(&resource));
            move || {
                let sum = use_hub_resource::<i32>("Add", move || {
                    *asked.borrow_mut() += 1;
                    (a.get(), 2)
                });
                resource.replace(Some(sum));
                let error = use_hub_resource::<i32>("HubError", ("on purpose",));
                view! {
                    <State />
                    <p id="sum"><Suspense fallback=|| "pending">
                        {move || Suspend::new(async move { show(sum.await.ok()) })}
                    </Suspense></p>
                    <p id="error"><Suspense fallback=|| "pending">
                        {move || Suspend::new(async move {
                            matches!(error.await.unwrap_err().as_ref(), CallError::Server(_))
                        })}
                    </Suspense></p>
                    <p id="read">{move || show(sum.get().map(|sum| sum.ok()))}</p>
                }
            }
        });
        assert_eq!(page.text("#read"), "None");
        page.until("#sum", "pending").await;
        page.until("#sum", "Some(3)").await;
        page.until("#error", "true").await;
        page.until("#read", "Some(Some(3))").await;
        set_a.set(40);
        page.until("#sum", "Some(42)").await;

        // Changed while there is no connection: the result is that of now, and asked for once.
        hub.send("Drop", ()).await.unwrap();
        page.until("#state", "Reconnecting").await;
        set_a.set(98);
        page.until("#sum", "Some(100)").await;
        assert_eq!(page.text("#state"), "Connected");
        hub.stop();
        page.until("#state", "Disconnected").await;
        set_a.set(998);
        hub.start();
        page.until("#sum", "Some(1000)").await;
        let before = *asked.borrow();
        resource.borrow().unwrap().refetch();
        until("it is asked for again", || *asked.borrow() == before + 1).await;
        page.until("#sum", "Some(1000)").await;
    }

    async fn resources_of_old_arguments_are_not_shown(base: &str) {
        let (wait, set_wait) = signal(60_000);
        let (page, _hub) = Mounted::with_hub(move || provide_hub(format!("{base}/parallel"), |hub| hub), move || {
            let slow = use_hub_resource::<String>("Slow", move || (wait.get(),));
            let (asked, set_asked) = signal(false);
            use_hub_handler("Asked", move |_: String| set_asked.set(true));
            view! {
                <State />
                <p id="slow"><Suspense fallback=|| "pending">
                    {move || Suspend::new(async move { show(slow.await.ok()) })}
                </Suspense></p>
                <p>{move || asked.get()}</p>
            }
        });
        page.until("#state", "Connected").await;
        assert_eq!(page.text("#slow"), "pending");
        // The call of a minute does not hold up the next.
        set_wait.set(1);
        page.until("#slow", "Some(\"slept\")").await;
    }

    async fn resources_made_while_connected(base: &str) {
        let (shown, set_shown) = signal(false);
        #[component]
        fn Sum() -> impl IntoView {
            let sum = use_hub_resource::<i32>("Add", (1, 2));
            view! { <Suspense fallback=|| "pending">{move || Suspend::new(async move { show(sum.await.ok()) })}</Suspense> }
        }
        let (page, _hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), move || {
            view! { <State /><p id="sum"><Show when=move || shown.get()><Sum /></Show></p> }
        });
        page.until("#state", "Connected").await;
        for _ in 0..3 {
            set_shown.set(true);
            page.until("#sum", "Some(3)").await;
            set_shown.set(false);
            page.until("#sum", "").await;
        }
    }

    async fn calls(base: &str) {
        let (page, hub) = Mounted::with_hub(move || provide_hub(format!("{base}/parallel"), |hub| hub), move || {
            let sum = use_hub_invoke::<i32>("Add");
            let slow = use_hub_invoke::<String>("Slow");
            let typed = use_hub_invoke_as::<Reference, i32>();
            view! {
                <State />
                <button id="add" on:click=move |_| sum.call((20, 22))>
                    {move || sum.result().get().map(|sum| show(sum.as_ref().as_ref().ok()))}
                </button>
                <button id="slow" on:click=move |_| slow.call((60_000,))>{move || slow.is_pending().get()}</button>
                <button id="fast" on:click=move |_| slow.call((1,))>
                    {move || slow.result().get().map(|text| show(text.as_ref().as_ref().ok()))}
                </button>
                <button id="typed" on:click=move |_| typed.call(|hub| async move { hub.add(1, 2).await })>
                    {move || typed.result().get().map(|sum| show(sum.as_ref().as_ref().ok()))}
                </button>
            }
        });
        // Without a connection a call fails.
        page.click("#add");
        page.until("#add", "None").await;
        page.until("#state", "Connected").await;
        page.click("#add");
        page.until("#add", "Some(42)").await;
        page.click("#slow");
        page.until("#slow", "true").await;
        page.click("#fast");
        page.until("#fast", "Some(\"slept\")").await;
        page.until("#slow", "false").await;
        page.click("#typed");
        page.until("#typed", "Some(3)").await;
        assert_eq!(hub.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
    }

    async fn typed_hubs(base: &str) {
        let (count, set_count) = signal(3);
        let (page, hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), move || {
            let reference = use_hub_as::<Reference>();
            let (news, set_news) = signal(String::new());
            use_hub_handler_as(move |hub: Reference| hub.on().news(move |text| set_news.set(text)));
            use_hub_handler_as(move |hub: Reference| hub.on().confirm(|question| format!("{question}!")));
            let answered = use_hub_event::<String>("Answered");
            let items = use_hub_stream_as(move |hub: Reference| {
                let count = count.get();
                async move { hub.counter(count, 0).await }
            });
            let total = RwSignal::new(0);
            use_hub_stream_handler_as(
                |hub: Reference| async move { hub.counter(5, 0).await },
                move |item| *total.write() += item,
            );
            let sum = use_hub_resource_as(move |hub: Reference| {
                let a = count.get() as i32;
                async move { hub.add(a, 1).await }
            });
            view! {
                <State />
                <p id="there">{move || reference.get().is_some()}</p>
                <p id="news">{news}</p>
                <p id="answered">{move || answered.get()}</p>
                <p id="items">{move || show(items.get().latest)}</p>
                <p id="total">{total}</p>
                <p id="sum"><Suspense fallback=|| "pending">
                    {move || Suspend::new(async move { show(sum.await.ok()) })}
                </Suspense></p>
            }
        });
        assert_eq!(page.text("#there"), "false");
        page.until("#there", "true").await;
        page.until("#items", "Some(2)").await;
        page.until("#total", "10").await;
        page.until("#sum", "Some(4)").await;
        let reference = hub.typed::<Reference>().unwrap();
        reference.push("News", vec!["hello".into()]).await.unwrap();
        page.until("#news", "hello").await;
        reference.ask_later("Confirm", "sure").await.unwrap();
        page.until("#answered", "sure!").await;
        set_count.set(10);
        page.until("#items", "Some(9)").await;
        page.until("#sum", "Some(11)").await;
        hub.stop();
        page.until("#there", "false").await;
    }

    async fn enabled_and_by_hand(base: &str) {
        let (enabled, set_enabled) = signal(false);
        let (page, hub) = Mounted::with_hub(
            move || HubProvider::new(format!("{base}/hub")).enabled(enabled).provide(),
            move || {
                let sum = use_hub_resource::<i32>("Add", (1, 2));
                let news = use_hub_event::<String>("News");
                view! {
                    <State />
                    <p id="news">{move || news.get()}</p>
                    <p id="sum"><Suspense fallback=|| "pending">
                        {move || Suspend::new(async move { show(sum.await.ok()) })}
                    </Suspense></p>
                }
            },
        );
        // By hand, against what `enabled` says.
        hub.start();
        page.until("#state", "Connected").await;
        page.until("#sum", "Some(3)").await;
        hub.stop();
        page.until("#state", "Disconnected").await;
        set_enabled.set(true);
        page.until("#state", "Connected").await;
        push(&hub, "News", &["one"]).await;
        page.until("#news", "one").await;
        set_enabled.set(false);
        page.until("#state", "Disconnected").await;
        // To and fro, faster than a connection can stop.
        set_enabled.set(true);
        page.until("#state", "Connected").await;
        hub.stop();
        hub.start();
        until("it is another connection", || {
            hub.connection().unwrap().state() == ConnectionState::Connected
        })
        .await;
        page.until("#state", "Connected").await;
        push(&hub, "News", &["two"]).await;
        page.until("#news", "two").await;
    }

    async fn nothing_connects_that_is_not_enabled(base: &str) {
        let (page, hub) = Mounted::with_hub(
            move || HubProvider::new(format!("{base}/hub")).enabled(false).provide(),
            State,
        );
        // Another provider is connected meanwhile.
        let (other, _other_hub) = Mounted::with_hub(move || provide_hub(format!("{base}/hub"), |hub| hub), State);
        other.until("#state", "Connected").await;
        assert_eq!(page.text("#state"), "Disconnected");
        assert_eq!(hub.connection().unwrap().state(), ConnectionState::Disconnected);
    }

    async fn another_url_is_another_connection(base: &str) {
        let (path, set_path) = signal("/hub?room=one");
        let (tenant, set_tenant) = signal("a");
        let (page, hub) = Mounted::with_hub(
            move || {
                provide_hub(move || format!("{base}{}", path.get()), move |hub| hub.with_header("X-Tenant", tenant.get()))
            },
            move || {
                let news = use_hub_event::<String>("News");
                let room = use_hub_resource::<String>("Query", ("room",));
                let items = use_hub_stream::<u32>("Counter", (1_000_000, 20));
                use_hub_invoke_handler("Who", |_: String| async { Ok::<_, Infallible>("still me") });
                let answered = use_hub_event::<String>("Answered");
                view! {
                    <State />
                    <p id="news">{move || show(news.get())}</p>
                    <p id="room"><Suspense fallback=|| "pending">
                        {move || Suspend::new(async move { show(room.await.ok()) })}
                    </Suspense></p>
                    <p id="items">{move || items.get().latest.is_some()}</p>
                    <p id="answered">{move || answered.get()}</p>
                }
            },
        );
        page.until("#room", "Some(\"one\")").await;
        push(&hub, "News", &["of one"]).await;
        page.until("#news", "Some(\"of one\")").await;
        page.until("#items", "true").await;
        let first = hub.connection().unwrap();
        set_path.set("/hub?room=two");
        page.until("#room", "Some(\"two\")").await;
        assert_eq!(page.text("#news"), "None", "what the old one said is not of this one");
        page.until("#items", "true").await;
        until("the old connection ends", || first.state() == ConnectionState::Disconnected).await;
        push(&hub, "News", &["of two"]).await;
        page.until("#news", "Some(\"of two\")").await;
        hub.send("AskLater", ("Who", "?")).await.unwrap();
        page.until("#answered", "still me").await;

        // What the set-up reads makes another connection too, and what stays the same makes none.
        let second = hub.connection().unwrap().connection_id();
        set_path.set("/hub?room=two");
        hub.invoke::<()>("Void", ()).await.unwrap();
        assert_eq!(hub.connection().unwrap().connection_id(), second);
        set_tenant.set("b");
        until("another connection", || {
            let id = hub.connection().unwrap().connection_id();
            id.is_some() && id != second
        })
        .await;
        page.until("#room", "Some(\"two\")").await;
    }

    async fn a_url_that_is_wrong_is_told(base: &str) {
        let (url, set_url) = signal("ftp://example.com/hub".to_owned());
        let (page, hub) = Mounted::with_hub(move || provide_hub(url, |hub| hub), move || {
            let state = use_hub_state();
            use_hub_handler("News", |_: String| {});
            let sum = use_hub_resource::<i32>("Add", (1, 2));
            view! {
                <p id="error">{move || state.get().error.is_some()}</p>
                <State />
                <p id="sum"><Suspense fallback=|| "pending">
                    {move || Suspend::new(async move {
                        match sum.await {
                            Ok(sum) => sum.to_string(),
                            Err(error) => matches!(error.as_ref(), CallError::Connection(_)).to_string(),
                        }
                    })}
                </Suspense></p>
            }
        });
        page.until("#error", "true").await;
        page.until("#sum", "true").await;
        assert!(hub.connection().is_err());
        set_url.set(format!("{base}/hub"));
        page.until("#state", "Connected").await;
        page.until("#error", "false").await;
        page.until("#sum", "3").await;
        // The server ends it for good.
        hub.send("Close", ()).await.unwrap();
        page.until("#state", "Disconnected").await;
        assert_eq!(page.text("#sum"), "3", "what came stays");
        hub.start();
        page.until("#state", "Connected").await;
        page.until("#sum", "3").await;
    }

    async fn tokens_in_signals_are_those_of_now(base: &str) {
        let (token, set_token) = signal(None::<String>);
        let (page, hub) = Mounted::with_hub(
            move || {
                HubProvider::new(format!("{base}/secure"))
                    .enabled(move || token.read().is_some())
                    .setup(move |hub| {
                        hub.with_access_token(move || async move {
                            Ok::<_, Infallible>(token.get_untracked().unwrap_or_default())
                        })
                    })
                    .provide()
            },
            State,
        );
        set_token.set(Some(get(&format!("{base}/token?user=alice&ttl=3600")).await));
        page.until("#state", "Connected").await;
        assert_eq!(user(&hub).await, "alice");
        let bob = get(&format!("{base}/token?user=bob&ttl=3600")).await;
        set_token.set(Some(bob));
        assert_eq!(user(&hub).await, "alice", "another token is no other connection");
        hub.stop();
        page.until("#state", "Disconnected").await;
        hub.start();
        page.until("#state", "Connected").await;
        assert_eq!(user(&hub).await, "bob");
        set_token.set(None);
        page.until("#state", "Disconnected").await;
    }

    async fn hydrated_pages_come_alive(base: &str) {
        let (page, hub, warnings) = mounted::hydrated(base);
        // What the server has rendered is what the browser renders first.
        assert_eq!(warnings.take(), Vec::<String>::new());
        assert_eq!((page.text("#state"), page.text("#product")), ("Disconnected".to_owned(), "pending".to_owned()));
        page.until("#state", "Connected").await;
        page.until("#product", "3").await;
        page.until("#count", "2").await;
        push(&hub, "News", &["fresh"]).await;
        page.until("#news", "fresh").await;
        page.click("#sum");
        page.until("#sum", "Some(42)").await;
        assert_eq!(warnings.take(), Vec::<String>::new());
    }
}

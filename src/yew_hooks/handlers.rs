//! What the server calls: events, handlers, and handlers that answer.

use std::fmt::Display;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use yew::prelude::*;

use crate::client::{Ask, Feed, Subscription};
use crate::front_end::Hub;
use crate::platform::MaybeSend;
use crate::typed::TypedHub;
use crate::yew_hooks::{spawn, use_hub, use_latest};
use crate::{HubConnection, client};

/// What the server's last call of a method brought; `None` before the first. The component is rendered again with
/// each call, except that of several at a time only the last is shown: [`use_hub_handler`] misses none.
///
/// `T` is the type of the first argument, or a tuple of all: `use_hub_event::<(String, String)>("ReceiveMessage")`.
/// An array of fixed length counts as a tuple. Arguments of another type are logged, as with
/// [`HubConnection::on`](crate::HubConnection::on).
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_event;
/// use yew::prelude::*;
///
/// #[component]
/// fn LastMessage() -> Html {
///     match use_hub_event::<(String, String)>("ReceiveMessage") {
///         Some((user, text)) => html! { <p><b>{ user }</b>{ text }</p> },
///         None => html! { <p>{ "Nothing so far." }</p> },
///     }
/// }
/// ```
#[hook]
pub fn use_hub_event<T>(target: &str) -> Option<T>
where
    T: DeserializeOwned + MaybeSend + Clone + 'static,
{
    // With its source: what another method or another hub has sent is not this one's.
    let last = use_state(|| None::<(Hub, Rc<str>, T)>);
    let hub = use_hub();
    let set = last.setter();
    let source = (hub.clone(), Rc::<str>::from(target));
    use_hub_handler(target, move |value: T| {
        let (hub, target) = source.clone();
        set.set(Some((hub, target, value)));
    });
    match &*last {
        Some((source, method, value)) if *source == hub && **method == *target => Some(value.clone()),
        _ => None,
    }
}

/// Gives every call of a method, in order, to a function: that of the last rendering.
///
/// `T` is what it is in [`use_hub_event`].
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_handler;
/// use yew::prelude::*;
///
/// #[component]
/// fn Messages() -> Html {
///     let messages = use_mut_ref(Vec::new);
///     let update = use_force_update();
///     let more = messages.clone();
///     use_hub_handler("ReceiveMessage", move |(user, text): (String, String)| {
///         more.borrow_mut().push(format!("{user}: {text}"));
///         update.force_update();
///     });
///     html! { <>{ for messages.borrow().iter().map(|message| html! { <p>{ message }</p> }) }</> }
/// }
/// ```
#[hook]
pub fn use_hub_handler<T, F>(target: &str, handler: F)
where
    T: DeserializeOwned + MaybeSend + 'static,
    F: Fn(T) + 'static,
{
    let target = target.to_owned();
    use_calls(target.clone(), move |connection, feed| connection.feed(&target, feed), handler);
}

/// As [`use_hub_handler`], by the typed handle that [`hub!`](crate::hub) makes: names and types are checked when the
/// program is compiled. The first function registers a handler that gives each call to the second. It captures nothing,
/// since it runs once for a connection; the second sees the state of the last rendering.
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_handler_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Chat: Hub<ChatClient> {}
///     trait ChatClient { fn receive_message(user: String, text: String); }
/// }
///
/// #[component]
/// fn Last() -> Html {
///     let last = use_state(String::new);
///     let set = last.setter();
///     use_hub_handler_as(
///         |chat: Chat, calls| chat.on().receive_message(move |user, text| calls.give((user, text))),
///         move |(user, text)| set.set(format!("{user}: {text}")),
///     );
///     html! { <p>{ &*last }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_handler_as<H, T, F>(register: fn(H, Feed<T>) -> Subscription, handler: F)
where
    H: TypedHub,
    T: 'static,
    F: Fn(T) + 'static,
{
    use_calls((), move |connection, feed| register(H::over(connection), feed), handler);
}

/// Every call that a registered handler gives.
#[hook]
fn use_calls<D, T, F>(
    source: D,
    register: impl FnOnce(HubConnection, Feed<T>) -> Subscription + 'static,
    handler: F,
) where
    D: PartialEq + 'static,
    T: 'static,
    F: Fn(T) + 'static,
{
    let hub = use_hub();
    let latest = use_latest(handler);
    use_effect_with((hub, source), move |(hub, _)| {
        let hub = hub.clone();
        spawn(async move {
            let Ok(connection) = hub.connection() else { return };
            let mut calls = client::Listener::new(|feed| register(connection, feed));
            while let Some(value) = calls.next().await {
                let handler = latest.borrow().clone();
                handler(value);
            }
        })
    });
}

/// Answers the server when it calls a method and waits for the result, by an `async` function: that of the last rendering.
/// It gets one call after the other, and returns a `Result`; the server gets the text of an error.
///
/// `T` is what it is in [`use_hub_event`]: the first argument, or a tuple of all. Another handler that answers for this
/// method is replaced. When the server cancels the call, or the component is unmounted, the future is dropped. See
/// [`HubConnection::on_invoke`](crate::HubConnection::on_invoke).
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_invoke_handler;
/// use yew::prelude::*;
///
/// #[component]
/// fn Name() -> Html {
///     let name = use_state(|| "alice".to_owned());
///     let answer = (*name).clone();
///     use_hub_invoke_handler("WhatIsYourName", move |greeting: String| {
///         let answer = format!("{greeting} I am {answer}.");
///         async move { Ok::<_, std::convert::Infallible>(answer) }
///     });
///     html! { <p>{ &*name }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_invoke_handler<T, F, R, V, E>(target: &str, handler: F)
where
    T: DeserializeOwned + MaybeSend + 'static,
    F: Fn(T) -> R + 'static,
    R: Future<Output = Result<V, E>> + 'static,
    V: Serialize + MaybeSend + 'static,
    E: Display,
{
    let target = target.to_owned();
    use_questions(target.clone(), move |connection, ask| connection.ask(&target, ask), handler);
}

/// As [`use_hub_invoke_handler`], by the typed handle that [`hub!`](crate::hub) makes, like [`use_hub_handler_as`].
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew_hooks::HubProvider).
///
/// ```
/// use hubwire::yew_hooks::use_hub_invoke_handler_as;
/// use yew::prelude::*;
///
/// hubwire::hub! {
///     trait Chat: Hub<ChatClient> {}
///     trait ChatClient { fn confirm(question: String) -> bool; }
/// }
///
/// #[component]
/// fn Confirm() -> Html {
///     let agrees = use_state(|| true);
///     let answer = *agrees;
///     use_hub_invoke_handler_as(
///         |chat: Chat, calls| chat.on().confirm(move |question| calls.ask(question)),
///         move |question| async move { Ok::<_, std::convert::Infallible>(answer && !question.is_empty()) },
///     );
///     html! { <button onclick={move |_| agrees.set(!*agrees)}>{ "Change your mind" }</button> }
/// }
/// ```
#[hook]
pub fn use_hub_invoke_handler_as<H, T, F, R, V, E>(register: fn(H, Ask<T, V>) -> Subscription, handler: F)
where
    H: TypedHub,
    T: 'static,
    F: Fn(T) -> R + 'static,
    R: Future<Output = Result<V, E>> + 'static,
    V: 'static,
    E: Display,
{
    use_questions((), move |connection, ask| register(H::over(connection), ask), handler);
}

/// Answers every call that a registered handler asks.
#[hook]
fn use_questions<D, T, F, R, V, E>(
    source: D,
    register: impl FnOnce(HubConnection, Ask<T, V>) -> Subscription + 'static,
    handler: F,
) where
    D: PartialEq + 'static,
    T: 'static,
    F: Fn(T) -> R + 'static,
    R: Future<Output = Result<V, E>> + 'static,
    V: 'static,
    E: Display,
{
    let hub = use_hub();
    let latest = use_latest(handler);
    use_effect_with((hub, source), move |(hub, _)| {
        let hub = hub.clone();
        spawn(async move {
            let Ok(connection) = hub.connection() else { return };
            let mut questions = client::Questions::new(|ask| register(connection, ask));
            while let Some(question) = questions.next().await {
                let answer = latest.borrow().clone();
                question.answer(|arguments| answer(arguments)).await;
            }
        })
    });
}

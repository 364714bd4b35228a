//! What the server calls: events, handlers, and handlers that answer.

use std::fmt::Display;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use yew::prelude::*;

use crate::front_end::Hub;
use crate::platform::MaybeSend;
use crate::yew::{spawn, use_hub, use_latest};

/// What the server's last call of a method brought; `None` before the first. The component is rendered again with
/// each call, except that of several at a time only the last is shown: [`use_hub_handler`] misses none.
///
/// `T` is the type of the first argument, or a tuple of all: `use_hub_event::<(String, String)>("ReceiveMessage")`.
/// An array of fixed length counts as a tuple. Arguments of another type are logged, as with
/// [`HubConnection::on`](crate::HubConnection::on).
///
/// # Panics
/// Outside of a [`HubProvider`](crate::yew::HubProvider).
///
/// ```
/// use hubwire::yew::use_hub_event;
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
/// Outside of a [`HubProvider`](crate::yew::HubProvider).
///
/// ```
/// use hubwire::yew::use_hub_handler;
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
    let hub = use_hub();
    let latest = use_latest(handler);
    use_effect_with((hub, target.to_owned()), move |(hub, target)| {
        let (hub, target) = (hub.clone(), target.clone());
        spawn(async move {
            let Ok(connection) = hub.connection() else { return };
            let mut calls = connection.listen::<T>(&target);
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
/// Outside of a [`HubProvider`](crate::yew::HubProvider).
///
/// ```
/// use hubwire::yew::use_hub_invoke_handler;
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
    let hub = use_hub();
    let latest = use_latest(handler);
    use_effect_with((hub, target.to_owned()), move |(hub, target)| {
        let (hub, target) = (hub.clone(), target.clone());
        spawn(async move {
            let Ok(connection) = hub.connection() else { return };
            let mut questions = connection.listen_to_questions::<T, V>(&target);
            while let Some(question) = questions.next().await {
                let answer = latest.borrow().clone();
                question.answer(|arguments| answer(arguments)).await;
            }
        })
    });
}

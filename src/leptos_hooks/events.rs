//! What the server calls.

use std::rc::Rc;

use leptos::prelude::*;
use serde::de::DeserializeOwned;

use crate::client::{InvokeHandler, Subscription};
use crate::front_end::Unsubscribe;
use crate::leptos_hooks::provider::{Provided, in_browser, spawn};
use crate::platform::MaybeSend;
use crate::typed::TypedHub;

/// What the server's last call of a method brought; `None` before the first, and with another URL of the hub. Effects
/// see the last of several that come at a time: [`use_hub_handler`] misses none.
///
/// `T` is the type of the first argument, or a tuple of all: `use_hub_event::<(String, String)>("ReceiveMessage")`.
/// An array of fixed length counts as a tuple. Arguments of another type are logged, as with
/// [`HubConnection::on`](crate::HubConnection::on).
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_event;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Price() -> impl IntoView {
///     let price = use_hub_event::<f64>("Price");
///     view! { <p>{move || price.get().map_or("–".to_owned(), |price| format!("{price:.2}"))}</p> }
/// }
/// ```
#[must_use]
pub fn use_hub_event<T>(target: &str) -> ReadSignal<Option<T>>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let (last, set) = signal(None);
    use_hub_handler(target, move |value: T| {
        let _gone = set.try_set(Some(value));
    });
    // It is the last of this hub.
    let provided = Provided::nearest();
    in_browser(move |turn: Option<u32>| {
        let (now, _) = provided.session();
        if turn.is_some_and(|turn| turn != now) {
            let _gone = set.try_set(None);
        }
        now
    });
    last
}

/// Gives every call of a method, in order, to a function.
///
/// `T` is what it is in [`use_hub_event`].
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_handler;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Messages() -> impl IntoView {
///     let (messages, set_messages) = signal(Vec::new());
///     use_hub_handler("ReceiveMessage", move |(user, text): (String, String)| {
///         set_messages.write().push(format!("{user}: {text}"));
///     });
///     view! { <pre>{move || messages.read().join("\n")}</pre> }
/// }
/// ```
pub fn use_hub_handler<T>(target: &str, handler: impl Fn(T) + 'static)
where
    T: DeserializeOwned + MaybeSend + 'static,
{
    let (target, handler) = (target.to_owned(), Rc::new(handler));
    Provided::nearest().with_connection(move |connection| {
        let (mut calls, handler) = (connection.listen(&target), Rc::clone(&handler));
        spawn(async move {
            while let Some(value) = calls.next().await {
                handler(value);
            }
        })
    });
}

/// Registers what the server calls by the typed handle that [`hub!`](crate::hub) makes: names and types are checked
/// when the program is compiled. What was registered is removed with the component.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use hubwire::leptos_hooks::use_hub_handler_as;
/// use leptos::prelude::*;
///
/// hubwire::hub! {
///     trait Chat: Hub<ChatClient> {}
///     trait ChatClient {
///         fn receive_message(user: String, text: String);
///         fn confirm(question: String) -> bool;
///     }
/// }
///
/// #[component]
/// fn Messages() -> impl IntoView {
///     let (messages, set_messages) = signal(Vec::new());
///     use_hub_handler_as(move |chat: Chat| {
///         chat.on().receive_message(move |user, text| {
///             set_messages.write().push(format!("{user}: {text}"));
///         })
///     });
///     use_hub_handler_as(move |chat: Chat| chat.on().confirm(|question| !question.is_empty()));
///     view! { <pre>{move || messages.read().join("\n")}</pre> }
/// }
/// ```
pub fn use_hub_handler_as<H: TypedHub>(register: impl Fn(H) -> Subscription + 'static) {
    Provided::nearest().with_connection(move |connection| Unsubscribe::new(register(H::over(connection))));
}

/// Answers the server when it calls a method and waits for the result, as
/// [`HubConnection::on_invoke`](crate::HubConnection::on_invoke) does: the closure has one parameter for each argument, and
/// not a tuple of all. The handler is removed with the component.
///
/// # Panics
/// Where there is no [`provide_hub`](super::provide_hub).
///
/// ```
/// use std::convert::Infallible;
/// use hubwire::leptos_hooks::use_hub_invoke_handler;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Name() -> impl IntoView {
///     let (name, set_name) = signal("alice".to_owned());
///     use_hub_invoke_handler("WhoAreYou", move |_greeting: String| async move {
///         Ok::<_, Infallible>(name.get_untracked())
///     });
///     view! { <input prop:value=name on:input=move |event| set_name.set(event_target_value(&event)) /> }
/// }
/// ```
pub fn use_hub_invoke_handler<M: 'static>(target: &str, handler: impl InvokeHandler<M> + Clone) {
    let target = target.to_owned();
    Provided::nearest()
        .with_connection(move |connection| Unsubscribe::new(connection.on_invoke(&target, handler.clone())));
}

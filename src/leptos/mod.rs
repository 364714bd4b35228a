//! Signals and resources for [Leptos](https://leptos.dev).
//!
//! [`provide_hub`] opens a connection; the components under it show what comes:
//!
//! ```
//! use hubwire::leptos::{provide_hub, use_hub_event};
//! use leptos::prelude::*;
//!
//! #[component]
//! fn Price() -> impl IntoView {
//!     let price = use_hub_event::<f64>("Price");
//!     view! { <p>{price}</p> }
//! }
//!
//! #[component]
//! fn App() -> impl IntoView {
//!     provide_hub("/prices", |hub| hub);
//!     view! { <Price /> }
//! }
//! ```
//!
//! | function | what it gives |
//! | --- | --- |
//! | [`use_hub_event`] | a signal: the arguments of the server's last call of a method |
//! | [`use_hub_handler`] | every call of a method, to a function |
//! | [`use_hub_stream`] | a signal: the last item of a stream from the hub |
//! | [`use_hub_resource`] | a resource: the result of a method |
//! | [`use_hub_invoke`] | calls of a method, and the result of the last as a signal |
//! | [`use_hub_state`] | a signal: whether there is a connection, or may be again soon, and why not |
//! | [`use_hub`] | the hub itself |
//!
//! The connection is made once the component that provides it is there, and ends with it; all components under it
//! share it. A connection that is lost comes back, which [`use_hub_state`] tells. What a function began ends with the
//! component that called it.
//!
//! On a server that renders the page nothing connects and nothing has come yet. Give this crate the feature `leptos-ssr`
//! where Leptos gets its feature `ssr`:
//!
//! ```toml
//! [features]
//! hydrate = ["leptos/hydrate"]
//! ssr = ["leptos/ssr", "hubwire/leptos-ssr"]
//! ```

use std::fmt;
use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::de::DeserializeOwned;

pub use crate::front_end::{Hub, HubState, StreamState};

use crate::HubConnectionBuilder;
use crate::arguments::Arguments;
use crate::client::CallError;
use crate::front_end::{Job, follow, keep, never, until_dropped};
use crate::platform::MaybeSend;

/// Where the state of the nearest hub is found.
#[derive(Clone, Copy)]
struct Provided(ReadSignal<HubState>);

/// Shares a connection to a hub among the current component and those under it, until the current one is gone.
///
/// The URL may be relative to the page. `setup` gets a builder that tries again when the connection cannot be made or
/// is lost ([`with_automatic_reconnect`](HubConnectionBuilder::with_automatic_reconnect),
/// [`with_first_connect_retry`](HubConnectionBuilder::with_first_connect_retry)), and may change that, give tokens,
/// choose the protocol:
///
/// ```
/// use hubwire::leptos::provide_hub;
/// use leptos::prelude::*;
///
/// # async fn fetch_token() -> std::io::Result<String> { Ok(String::new()) }
/// #[component]
/// fn App() -> impl IntoView {
///     provide_hub("https://example.com/chat", |hub| {
///         hub.with_access_token(|| async { fetch_token().await })
///     });
///     view! { "…" }
/// }
/// ```
pub fn provide_hub(url: &str, setup: impl FnOnce(HubConnectionBuilder) -> HubConnectionBuilder) -> Hub {
    let hub = Hub::new(url, setup);
    let (state, set_state) = signal(HubState::default());
    provide_context(hub.clone());
    provide_context(Provided(state));
    in_browser(keep(hub.clone(), move |state| {
        let _gone = set_state.try_set(state);
    }));
    hub
}

/// Runs a task from when the current component is there until it is gone; on a server not at all.
fn in_browser(task: impl Future<Output = ()> + 'static) {
    if cfg!(feature = "leptos-ssr") {
        return;
    }
    let (job, task) = until_dropped(task);
    on_cleanup(move || drop(job));
    let mut task = Some(task);
    Effect::new(move |_| {
        if let Some(task) = task.take() {
            spawn_local(task);
        }
    });
}

/// The hub of the nearest [`provide_hub`], to call it.
///
/// # Panics
/// Where there is no [`provide_hub`] above.
///
/// ```
/// use hubwire::ErrorChain;
/// use hubwire::leptos::use_hub;
/// use leptos::prelude::*;
/// use leptos::task::spawn_local;
///
/// #[component]
/// fn Wave() -> impl IntoView {
///     let hub = use_hub();
///     let wave = move |_| {
///         let hub = hub.clone();
///         spawn_local(async move {
///             if let Err(error) = hub.send("Wave", ("hello",)).await {
///                 tracing::warn!(error = %ErrorChain::new(&error), "the wave was not sent");
///             }
///         });
///     };
///     view! { <button on:click=wave>"Wave"</button> }
/// }
/// ```
#[must_use]
pub fn use_hub() -> Hub {
    use_context().expect("use_hub and its like need a provide_hub in a component above")
}

/// What the connection is doing.
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos::use_hub_state;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Status() -> impl IntoView {
///     let state = use_hub_state();
///     let text = move || {
///         let state = state.get();
///         match state.error {
///             _ if state.is_reconnecting() => "Lost; trying again …".to_owned(),
///             Some(error) => hubwire::ErrorChain::new(&error).to_string(),
///             None => state.connection.to_string(),
///         }
///     };
///     view! { <p role="status">{text}</p> }
/// }
/// ```
#[must_use]
pub fn use_hub_state() -> ReadSignal<HubState> {
    use_context::<Provided>().expect("use_hub_state needs a provide_hub in a component above").0
}

/// What the server's last call of a method brought; `None` before the first. Effects see the last of several that
/// come at a time: [`use_hub_handler`] misses none.
///
/// `T` is the type of the first argument, or a tuple of all: `use_hub_event::<(String, String)>("ReceiveMessage")`.
/// An array of fixed length counts as a tuple. Arguments of another type are logged, as with
/// [`HubConnection::on`](crate::HubConnection::on).
///
/// # Panics
/// Where there is no [`provide_hub`].
#[must_use]
pub fn use_hub_event<T>(target: &str) -> ReadSignal<Option<T>>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let (last, set) = signal(None);
    use_hub_handler(target, move |value: T| {
        let _gone = set.try_set(Some(value));
    });
    last
}

/// Gives every call of a method, in order, to a function.
///
/// `T` is what it is in [`use_hub_event`].
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos::use_hub_handler;
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
    let (hub, target) = (use_hub(), target.to_owned());
    in_browser(async move {
        let Ok(connection) = hub.connection() else { return };
        let mut calls = connection.listen(&target);
        while let Some(value) = calls.next().await {
            handler(value);
        }
    });
}

/// The items of a stream from the hub: the last one, and whether there will be more. It begins when there is a
/// connection, again after a reconnect, and is cancelled with the component.
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos::use_hub_stream;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Ticks() -> impl IntoView {
///     let ticks = use_hub_stream::<u64>("Ticks", ("MSFT",));
///     view! { <p>{move || ticks.read().latest}{move || ticks.read().is_done.then_some(" (closed)")}</p> }
/// }
/// ```
#[must_use]
pub fn use_hub_stream<T>(
    target: &str,
    arguments: impl Arguments + Clone + 'static,
) -> ReadSignal<StreamState<T>>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    let (state, set) = signal(StreamState::default());
    in_browser(follow(use_hub(), target.to_owned(), arguments, move |state| {
        let _gone = set.try_set(state);
    }));
    state
}

/// The result of a method, as a resource: it is asked for when there is a connection, after every reconnect, and when
/// signals change that the arguments are made of. Until then it is pending, and on a server for good.
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos::use_hub_resource;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Product(id: ReadSignal<u32>) -> impl IntoView {
///     let name = use_hub_resource::<String, _>("ProductName", move || (id.get(),));
///     view! {
///         <Suspense fallback=|| "…">
///             {move || Suspend::new(async move {
///                 name.await.unwrap_or_else(|error| hubwire::ErrorChain::new(&*error).to_string())
///             })}
///         </Suspense>
///     }
/// }
/// ```
#[must_use]
pub fn use_hub_resource<R, A>(
    target: &str,
    arguments: impl Fn() -> A + 'static,
) -> LocalResource<Result<R, Arc<CallError>>>
where
    R: DeserializeOwned + MaybeSend + 'static,
    A: Arguments + 'static,
{
    let (hub, target) = (use_hub(), Arc::<str>::from(target));
    let state = use_hub_state();
    let connected = Memo::new(move |_| state.read().is_connected());
    LocalResource::new(move || {
        let arguments = connected.get().then(&arguments);
        let (hub, target) = (hub.clone(), Arc::clone(&target));
        async move {
            match arguments {
                Some(arguments) => hub.invoke(&target, arguments).await.map_err(Arc::new),
                None => never().await,
            }
        }
    })
}

/// Calls of a method, one at a time, for a button or a form.
///
/// # Panics
/// Where there is no [`provide_hub`].
///
/// ```
/// use hubwire::leptos::use_hub_invoke;
/// use leptos::prelude::*;
///
/// #[component]
/// fn Sum() -> impl IntoView {
///     let sum = use_hub_invoke::<i32>("Add");
///     let text = move || match sum.result().get().as_deref() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
///         None => String::new(),
///     };
///     view! { <button prop:disabled=sum.is_pending() on:click=move |_| sum.call((1, 2))>"1 + 2"</button>{text} }
/// }
/// ```
#[must_use]
pub fn use_hub_invoke<R>(target: &str) -> UseHubInvoke<R>
where
    R: DeserializeOwned + Send + Sync + 'static,
{
    UseHubInvoke {
        callee: StoredValue::new((use_hub(), Arc::from(target))),
        pending: RwSignal::new(false),
        result: RwSignal::new(None),
        job: StoredValue::new(None),
    }
}

/// What [`use_hub_invoke`] gives.
pub struct UseHubInvoke<R: Send + Sync + 'static> {
    callee: StoredValue<(Hub, Arc<str>)>,
    pending: RwSignal<bool>,
    result: RwSignal<Option<Arc<Result<R, CallError>>>>,
    /// Dropped with the component.
    job: StoredValue<Option<Job>>,
}

impl<R: DeserializeOwned + Send + Sync + 'static> UseHubInvoke<R> {
    /// Calls the method. A call that is still pending is cancelled; so is this one when the component is gone.
    pub fn call(self, arguments: impl Arguments + 'static) {
        let Some((hub, target)) = self.callee.try_get_value() else { return };
        let _gone = self.pending.try_set(true);
        let (job, task) = until_dropped(async move {
            let result = hub.invoke(&target, arguments).await;
            let _gone = self.pending.try_set(false);
            let _gone = self.result.try_set(Some(Arc::new(result)));
        });
        self.job.set_value(Some(job));
        spawn_local(task);
    }

    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(self) -> ReadSignal<bool> {
        self.pending.read_only()
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(self) -> ReadSignal<Option<Arc<Result<R, CallError>>>> {
        self.result.read_only()
    }
}

impl<R: Send + Sync> Clone for UseHubInvoke<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Send + Sync> Copy for UseHubInvoke<R> {}

impl<R: Send + Sync> fmt::Debug for UseHubInvoke<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UseHubInvoke").finish_non_exhaustive()
    }
}

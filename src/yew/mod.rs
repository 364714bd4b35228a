//! Hooks for [Yew](https://yew.rs).
//!
//! A [`HubProvider`] holds a connection; the components in it show what comes:
//!
//! ```
//! use hubwire::yew::{HubProvider, use_hub_event};
//! use yew::prelude::*;
//!
//! #[component]
//! fn Price() -> Html {
//!     let price = use_hub_event::<f64>("Price");
//!     html! { <p>{ price }</p> }
//! }
//!
//! #[component]
//! fn App() -> Html {
//!     html! { <HubProvider url="/prices"><Price /></HubProvider> }
//! }
//! ```
//!
//! | hook | what it gives |
//! | --- | --- |
//! | [`use_hub_event`] | the arguments of the server's last call of a method |
//! | [`use_hub_handler`] | every call of a method, to a function |
//! | [`use_hub_stream`] | the last item of a stream from the hub |
//! | [`use_hub_invoke`] | calls of a method, and the result of the last |
//! | [`use_hub_state`] | whether there is a connection, or may be again soon, and why not |
//! | [`use_hub`] | the hub itself |
//!
//! The provider connects when it is mounted and disconnects when it is unmounted; all components in it share the
//! connection. A connection that is lost comes back, which [`use_hub_state`] tells. What a hook began ends with its
//! component. On a server that renders the page nothing connects and nothing has come yet.

use std::cell::RefCell;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use yew::platform::spawn_local;
use yew::prelude::*;

pub use crate::front_end::{Hub, HubState, StreamState};

use crate::HubConnectionBuilder;
use crate::arguments::Arguments;
use crate::client::CallError;
use crate::front_end::{Job, follow, keep, until_dropped};
use crate::platform::MaybeSend;

/// The properties of a [`HubProvider`].
#[derive(Debug, Clone, PartialEq, Properties)]
pub struct HubProviderProps {
    /// The hub's URL, such as `https://example.com/chat`; it may be relative to the page. With another one there is
    /// another connection.
    pub url: AttrValue,
    /// Sets up the connection: tokens, protocol, retries. It is asked when the URL is new, and gets a builder that
    /// tries again when the connection cannot be made or is lost
    /// ([`with_automatic_reconnect`](HubConnectionBuilder::with_automatic_reconnect),
    /// [`with_first_connect_retry`](HubConnectionBuilder::with_first_connect_retry)).
    #[prop_or_default]
    pub setup: Option<Callback<HubConnectionBuilder, HubConnectionBuilder>>,
    /// The components that share the connection.
    #[prop_or_default]
    pub children: Html,
}

/// Shares a connection to a hub among the components in it, for as long as it is mounted.
///
/// ```
/// use hubwire::HubConnectionBuilder;
/// use hubwire::yew::HubProvider;
/// use yew::prelude::*;
///
/// # async fn fetch_token() -> std::io::Result<String> { Ok(String::new()) }
/// #[component]
/// fn App() -> Html {
///     let setup = |hub: HubConnectionBuilder| hub.with_access_token(|| async { fetch_token().await });
///     html! { <HubProvider url="https://example.com/chat" {setup}>{ "…" }</HubProvider> }
/// }
/// ```
#[component]
pub fn HubProvider(props: &HubProviderProps) -> Html {
    let setup = props.setup.clone();
    let hub = use_memo(props.url.clone(), move |url| {
        Hub::new(url, |builder| match setup {
            Some(setup) => setup.emit(builder),
            None => builder,
        })
    });
    let state = use_state_eq(HubState::default);
    let set = state.setter();
    use_effect_with((*hub).clone(), move |hub| spawn(keep(hub.clone(), move |state| set.set(state))));
    html! {
        <ContextProvider<Hub> context={(*hub).clone()}>
            <ContextProvider<HubState> context={(*state).clone()}>{ props.children.clone() }</ContextProvider<HubState>>
        </ContextProvider<Hub>>
    }
}

/// Runs a task until what this returns is called: the end of an effect.
fn spawn(task: impl Future<Output = ()> + 'static) -> impl FnOnce() {
    let (job, task) = until_dropped(task);
    spawn_local(task);
    move || drop(job)
}

/// The hub of the [`HubProvider`] around this component, to call it.
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::ErrorChain;
/// use hubwire::yew::use_hub;
/// use yew::prelude::*;
///
/// #[component]
/// fn Wave() -> Html {
///     let hub = use_hub();
///     let wave = move |_| {
///         let hub = hub.clone();
///         yew::platform::spawn_local(async move {
///             if let Err(error) = hub.send("Wave", ("hello",)).await {
///                 tracing::warn!(error = %ErrorChain::new(&error), "the wave was not sent");
///             }
///         });
///     };
///     html! { <button onclick={wave}>{ "Wave" }</button> }
/// }
/// ```
#[hook]
pub fn use_hub() -> Hub {
    use_context::<Hub>().expect("use_hub and its like need a HubProvider around the component")
}

/// What the connection is doing. The component is rendered again when that changes.
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::yew::use_hub_state;
/// use yew::prelude::*;
///
/// #[component]
/// fn Status() -> Html {
///     let state = use_hub_state();
///     let text = match &state.error {
///         _ if state.is_reconnecting() => "Lost; trying again …".to_owned(),
///         Some(error) => hubwire::ErrorChain::new(error).to_string(),
///         None => state.connection.to_string(),
///     };
///     html! { <p role="status">{ text }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_state() -> HubState {
    use_context::<HubState>().expect("use_hub_state needs a HubProvider around the component")
}

/// What the server's last call of a method brought; `None` before the first. The component is rendered again with
/// each call, except that of several at a time only the last is shown: [`use_hub_handler`] misses none.
///
/// `T` is the type of the first argument, or a tuple of all: `use_hub_event::<(String, String)>("ReceiveMessage")`.
/// An array of fixed length counts as a tuple. Arguments of another type are logged, as with
/// [`HubConnection::on`](crate::HubConnection::on).
///
/// # Panics
/// Outside of a [`HubProvider`].
#[hook]
pub fn use_hub_event<T>(target: &str) -> Option<T>
where
    T: DeserializeOwned + MaybeSend + Clone + 'static,
{
    let last = use_state(|| None);
    let set = last.setter();
    use_hub_handler(target, move |value: T| set.set(Some(value)));
    (*last).clone()
}

/// Gives every call of a method, in order, to a function: that of the last rendering.
///
/// `T` is what it is in [`use_hub_event`].
///
/// # Panics
/// Outside of a [`HubProvider`].
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
    let latest = use_mut_ref(|| None);
    *latest.borrow_mut() = Some(Rc::new(handler));
    use_effect_with((hub, target.to_owned()), move |(hub, target)| {
        let (hub, target) = (hub.clone(), target.clone());
        spawn(async move {
            let Ok(connection) = hub.connection() else { return };
            let mut calls = connection.listen::<T>(&target);
            while let Some(value) = calls.next().await {
                let handler: Option<Rc<F>> = latest.borrow().clone();
                if let Some(handler) = handler {
                    handler(value);
                }
            }
        })
    });
}

/// The items of a stream from the hub: the last one, and whether there will be more. It begins when there is a
/// connection, again after a reconnect or with other arguments, and is cancelled with the component.
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::yew::use_hub_stream;
/// use yew::prelude::*;
///
/// #[component]
/// fn Ticks() -> Html {
///     let ticks = use_hub_stream::<u64>("Ticks", ("MSFT",));
///     html! { <p>{ ticks.latest }{ ticks.is_done.then_some(" (closed)") }</p> }
/// }
/// ```
#[hook]
pub fn use_hub_stream<T>(
    target: &str,
    arguments: impl Arguments + Clone + PartialEq + 'static,
) -> StreamState<T>
where
    T: DeserializeOwned + MaybeSend + Clone + 'static,
{
    let state = use_state(StreamState::default);
    let set = state.setter();
    let hub = use_hub();
    use_effect_with((hub, target.to_owned(), arguments), move |(hub, target, arguments)| {
        spawn(follow(hub.clone(), target.clone(), arguments.clone(), move |state| set.set(state)))
    });
    (*state).clone()
}

/// Calls of a method, one at a time, for a button or a form.
///
/// # Panics
/// Outside of a [`HubProvider`].
///
/// ```
/// use hubwire::yew::use_hub_invoke;
/// use yew::prelude::*;
///
/// #[component]
/// fn Sum() -> Html {
///     let sum = use_hub_invoke::<i32>("Add");
///     let text = match sum.result() {
///         Some(Ok(sum)) => sum.to_string(),
///         Some(Err(error)) => hubwire::ErrorChain::new(error).to_string(),
///         None => String::new(),
///     };
///     let disabled = sum.is_pending();
///     html! { <><button {disabled} onclick={move |_| sum.call((1, 2))}>{ "1 + 2" }</button>{ text }</> }
/// }
/// ```
#[hook]
pub fn use_hub_invoke<R>(target: &str) -> UseHubInvoke<R>
where
    R: DeserializeOwned + MaybeSend + 'static,
{
    let hub = use_hub();
    let state = use_state(InvokeState::default);
    let job = use_mut_ref(|| None);
    use_effect_with(hub.clone(), {
        let job = job.clone();
        move |_| move || drop(job.take())
    });
    UseHubInvoke { hub, target: Rc::from(target), state, job }
}

/// What [`use_hub_invoke`] gives.
pub struct UseHubInvoke<R> {
    hub: Hub,
    target: Rc<str>,
    state: UseStateHandle<InvokeState<R>>,
    job: Rc<RefCell<Option<Job>>>,
}

struct InvokeState<R> {
    pending: bool,
    result: Option<Rc<Result<R, CallError>>>,
}

impl<R> Default for InvokeState<R> {
    fn default() -> Self {
        Self { pending: false, result: None }
    }
}

impl<R: DeserializeOwned + MaybeSend + 'static> UseHubInvoke<R> {
    /// Calls the method. A call that is still pending is cancelled; so is this one when the component is unmounted.
    pub fn call(&self, arguments: impl Arguments + 'static) {
        let (hub, target, set) = (self.hub.clone(), Rc::clone(&self.target), self.state.setter());
        let before = self.state.result.clone();
        set.set(InvokeState { pending: true, result: before });
        let (job, task) = until_dropped(async move {
            let result = hub.invoke(&target, arguments).await;
            set.set(InvokeState { pending: false, result: Some(Rc::new(result)) });
        });
        self.job.replace(Some(job));
        spawn_local(task);
    }
}

impl<R> UseHubInvoke<R> {
    /// Whether a call awaits its result.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.state.pending
    }

    /// The result of the last call that has ended.
    #[must_use]
    pub fn result(&self) -> Option<&Result<R, CallError>> {
        self.state.result.as_deref()
    }
}

impl<R> Clone for UseHubInvoke<R> {
    fn clone(&self) -> Self {
        Self {
            hub: self.hub.clone(),
            target: Rc::clone(&self.target),
            state: self.state.clone(),
            job: Rc::clone(&self.job),
        }
    }
}

impl<R> std::fmt::Debug for UseHubInvoke<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UseHubInvoke").field("target", &self.target).finish_non_exhaustive()
    }
}

//! Hooks for [Yew](https://yew.rs).
//!
//! A [`HubProvider`] holds a connection; the components in it show what comes:
//!
//! ```
//! use hubwire::yew_hooks::{HubProvider, use_hub_event};
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
//! | [`use_hub_invoke_handler`] | every call of a method that awaits an answer, to a function that gives it |
//! | [`use_hub_stream`] | the last item of a stream from the hub |
//! | [`use_hub_stream_handler`] | every item of a stream from the hub, to a function |
//! | [`use_hub_invoke`] | calls of a method, and the result of the last |
//! | [`use_hub_resource`] | the result of a method, for `<Suspense>` |
//! | [`use_hub_state`] | whether there is a connection, or may be again soon, and why not |
//! | [`use_hub`] | the hub itself: calls, [`start`](Hub::start) and [`stop`](Hub::stop) |
//!
//! With the typed handle that [`hub!`](crate::hub) makes, names and types are checked when the program is compiled:
//! [`use_hub_as`], [`use_hub_handler_as`], [`use_hub_invoke_handler_as`], [`use_hub_stream_as`],
//! [`use_hub_stream_handler_as`], [`use_hub_resource_as`] and [`use_hub_invoke_as`] take it in place of a name.
//!
//! The provider connects when it is mounted and [`enabled`](HubProviderProps::enabled), and disconnects when it is not;
//! all components in it share the connection. A connection that is lost comes back, which [`use_hub_state`] tells. What a hook began ends with its
//! component. Functions that are given to a hook are those of the last rendering whenever they are called, so that they see
//! its state. On a server that renders the page nothing connects and nothing has come yet.

use std::cell::RefCell;
use std::rc::Rc;

use yew::platform::spawn_local;
use yew::prelude::*;

mod calls;
mod handlers;
mod provider;
mod resource;
mod streams;

pub use crate::client::{Ask, Feed};
pub use crate::front_end::{Hub, HubState, StreamEnd, StreamState};

pub use self::{
    calls::{UseHubInvoke, UseHubInvokeAs, use_hub_invoke, use_hub_invoke_as},
    handlers::{
        use_hub_event, use_hub_handler, use_hub_handler_as, use_hub_invoke_handler, use_hub_invoke_handler_as,
    },
    provider::{HubProvider, HubProviderProps, use_hub, use_hub_as, use_hub_state},
    resource::{use_hub_resource, use_hub_resource_as},
    streams::{use_hub_stream, use_hub_stream_as, use_hub_stream_handler, use_hub_stream_handler_as},
};

use crate::front_end::until_dropped;

/// Runs a task until what this returns is called: the end of an effect.
fn spawn(task: impl Future<Output = ()> + 'static) -> impl FnOnce() {
    let (job, task) = until_dropped(task);
    spawn_local(task);
    move || drop(job)
}

/// The function of the last rendering, for tasks that go on from one rendering to the next.
#[hook]
fn use_latest<F: 'static>(function: F) -> Rc<RefCell<Rc<F>>> {
    let function = Rc::new(function);
    let latest = use_mut_ref(|| Rc::clone(&function));
    latest.replace(function);
    latest
}

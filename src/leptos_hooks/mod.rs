//! Signals and resources for [Leptos](https://leptos.dev).
//!
//! [`provide_hub`] opens a connection; the components under it show what comes:
//!
//! ```
//! use hubwire::leptos_hooks::{provide_hub, use_hub_event};
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
//! | [`provide_hub`], [`HubProvider`] | the connection: its URL, its tokens, whether there is to be one |
//! | [`use_hub_event`] | a signal: the arguments of the server's last call of a method |
//! | [`use_hub_handler`] | every call of a method, to a function |
//! | [`use_hub_invoke_handler`] | answers to the server, where it waits for a result |
//! | [`use_hub_stream`] | a signal: the last item of a stream from the hub |
//! | [`use_hub_stream_handler`] | every item of a stream, to a function |
//! | [`use_hub_resource`] | a resource: the result of a method |
//! | [`use_hub_invoke`] | calls of a method, and the result of the last as a signal |
//! | [`use_hub_state`] | a signal: whether there is a connection, or may be again soon, and why not |
//! | [`use_hub`] | the hub itself: calls, [`start`](Hub::start) and [`stop`](Hub::stop) |
//!
//! With the typed handle that [`hub!`](crate::hub) makes, names and types are checked when the program is compiled:
//! [`use_hub_as`], [`use_hub_handler_as`], [`use_hub_stream_as`], [`use_hub_stream_handler_as`],
//! [`use_hub_resource_as`] and [`use_hub_invoke_as`] take it in place of a name.
//!
//! The connection is made once the component that provides it is there, and ends with it; all components under it
//! share it. A connection that is lost comes back, which [`use_hub_state`] tells. What a function began ends with the
//! component that called it. Arguments and URLs may be closures that read signals: what depends on them begins anew
//! when they change.
//!
//! On a server that renders the page nothing connects and nothing has come yet. Give this crate the feature `leptos-ssr`
//! where Leptos gets its feature `ssr`:
//!
//! ```toml
//! [features]
//! hydrate = ["leptos/hydrate"]
//! ssr = ["leptos/ssr", "hubwire/leptos-ssr"]
//! ```

mod events;
mod inputs;
mod invoke;
mod provider;
mod resource;
mod streams;

pub use self::{
    events::{use_hub_event, use_hub_handler, use_hub_handler_as, use_hub_invoke_handler},
    inputs::ReactiveArguments,
    invoke::{UseHubInvoke, UseHubInvokeAs, use_hub_invoke, use_hub_invoke_as},
    provider::{HubProvider, UseHubAs, provide_hub, use_hub, use_hub_as, use_hub_state},
    resource::{use_hub_resource, use_hub_resource_as},
    streams::{use_hub_stream, use_hub_stream_as, use_hub_stream_handler, use_hub_stream_handler_as},
};
pub use crate::front_end::{Hub, HubState, StreamEnd, StreamState};
pub use crate::typed::TypedHub;

//! What the hooks of all front-end frameworks build on: the hub that they share, its state, and the tasks that end
//! with the component that began them.

mod hub;
mod stream;
mod task;
#[cfg(all(test, native))]
mod tests;

#[cfg(feature = "yew")]
pub(crate) use self::{
    hub::builder,
    stream::{StreamEvent, follow_items},
};
#[cfg(all(test, native))]
use self::{hub::keep, stream::follow};
pub(crate) use self::{
    hub::watch,
    task::{Job, until_dropped},
};
pub use self::{
    hub::{Hub, HubState},
    stream::{StreamEnd, StreamState},
};
#[cfg(feature = "leptos")]
pub(crate) use self::{
    stream::{end_of, read},
    task::Unsubscribe,
};

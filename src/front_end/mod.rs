//! What the hooks of all front-end frameworks build on: the hub that they share, its state, and the tasks that end
//! with the component that began them.

mod hub;
mod stream;
mod task;
#[cfg(test)]
mod tests;

pub(crate) use self::task::{Job, until_dropped};
#[cfg(any(feature = "yew", test))]
pub(crate) use self::{hub::keep, stream::follow};
#[cfg(feature = "leptos")]
pub(crate) use self::{
    hub::watch,
    stream::{end_of, read},
    task::Unsubscribe,
};
pub use self::{
    hub::{Hub, HubState},
    stream::{StreamEnd, StreamState},
};

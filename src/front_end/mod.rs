//! What the hooks of all front-end frameworks build on: the hub that they share, its state, and the tasks that end
//! with the component that began them.

mod hub;
mod stream;
mod task;
#[cfg(test)]
mod tests;

#[cfg(feature = "leptos")]
pub(crate) use self::task::never;
pub(crate) use self::{
    hub::keep,
    stream::follow,
    task::{Job, until_dropped},
};
pub use self::{
    hub::{Hub, HubState},
    stream::StreamState,
};

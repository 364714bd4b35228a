//! A hub: what clients can call, who may, and whom it calls.

mod arguments;
mod budget;
mod caller;
mod cancel;
mod clients;
mod dispatcher;
mod error;
mod front;
mod hub_server;
mod identity;
mod in_memory;
mod kept;
pub(crate) mod lifetime;
mod methods;
mod refresh;
mod service;
mod state;
mod turns;

#[cfg(feature = "actix")]
pub(super) use self::service::open_pipe;
pub use self::{
    arguments::{HubArgument, Incoming, UploadError},
    caller::Caller,
    clients::{Client, Clients, Groups, Receivers},
    error::{ClientResultError, HubError, SendError},
    hub_server::{HubServer, HubServerBuilder},
    identity::{HubRequest, Identity, Rejection},
    methods::{HubMethod, HubStreamMethod},
    refresh::AuthenticationRefresh,
};
pub use crate::cors::InvalidOrigin;

//! A hub: what clients can call, who may, and whom it calls.

mod arguments;
mod budget;
mod caller;
mod clients;
pub(in crate::server) mod dispatcher;
mod error;
mod front;
mod hub_server;
mod identity;
mod in_memory;
pub(crate) mod lifetime;
mod methods;
pub(in crate::server) mod refresh;
mod service;
pub(in crate::server) mod state;
pub(crate) mod typed;

#[cfg(feature = "actix")]
pub(super) use self::service::open_pipe;
pub use self::{
    arguments::{HubArgument, Incoming, UploadError},
    caller::Caller,
    clients::{Client, Clients, Groups, Receivers},
    error::{ClientResultError, HubError, HubResult, SendError},
    hub_server::{HubServer, HubServerBuilder},
    identity::{HubRequest, Identity, Rejection},
    methods::{HubMethod, HubStreamMethod},
    refresh::AuthenticationRefresh,
    typed::{HubContext, HubContract, SentAs, TypedClients, Untyped},
};
pub use crate::cors::InvalidOrigin;

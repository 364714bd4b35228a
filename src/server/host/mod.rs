//! A hub: what clients can call, who may, and whom it calls.

mod arguments;
mod budget;
mod caller;
mod cancel;
mod clients;
pub(in crate::server) mod dispatcher;
mod error;
mod filter;
mod front;
mod hub_server;
mod identity;
mod in_memory;
mod invocation;
mod invoke;
mod kept;
pub(crate) mod lifetime;
mod methods;
#[cfg(feature = "metrics")]
pub(in crate::server) mod metrics;
pub(crate) mod observed;
mod outgoing;
mod policy;
mod presence;
mod rate_limit;
pub(in crate::server) mod refresh;
mod reply;
mod rules;
mod service;
pub(in crate::server) mod state;
mod telemetry;
mod turns;
pub(crate) mod typed;

#[cfg(feature = "actix")]
pub(super) use self::service::open_pipe;
pub use self::{
    arguments::{HubArgument, Incoming, UploadError},
    caller::Caller,
    clients::{Client, Clients, Groups, Receivers},
    error::{ClientResultError, HubError, HubResult, SendError},
    filter::{HubFilter, Next, NextConnected, NextDisconnected},
    hub_server::{HubServer, HubServerBuilder},
    identity::{HubRequest, Identity, Rejection},
    invocation::HubInvocation,
    lifetime::Recipients,
    methods::{HubMethod, HubStreamMethod},
    outgoing::{Deliver, DeliveredMessage, OutgoingMessage, Recipient, SlowConsumerCounts},
    policy::Authorizing,
    presence::{Presence, PresenceChange},
    rate_limit::RateLimit,
    refresh::AuthenticationRefresh,
    reply::Reply,
    typed::{HubContext, HubContract, SentAs, TypedClients, Untyped},
};
pub use crate::cors::InvalidOrigin;

//! A hub: what clients can call, who may, and whom it calls.

mod arguments;
mod budget;
mod builder;
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
mod refreshable;
mod reply;
mod rules;
mod sender;
mod service;
pub(in crate::server) mod state;
mod telemetry;
mod turns;
pub(crate) mod typed;

#[cfg(feature = "actix")]
pub(super) use self::service::open_pipe;
pub use self::{
    arguments::{HubArgument, Incoming, UploadError},
    builder::HubServerBuilder,
    caller::{Caller, Untyped},
    clients::{Client, Clients, Groups, Receivers},
    error::{ClientResultError, HubError, HubResult, SendError},
    filter::{HubFilter, Next, NextConnected, NextDisconnected},
    hub_server::HubServer,
    identity::{HubRequest, Identity, Rejection},
    invocation::HubInvocation,
    lifetime::Recipients,
    methods::{HubMethod, HubStreamMethod},
    outgoing::{Deliver, DeliveredMessage, OutgoingMessage, Recipient, SlowConsumerCounts},
    policy::Authorizing,
    presence::{Presence, PresenceChange},
    rate_limit::RateLimit,
    refreshable::AuthenticationRefresh,
    reply::Reply,
    typed::{HubContext, HubContract, SentAs, TypedClients},
};
pub use crate::cors::InvalidOrigin;

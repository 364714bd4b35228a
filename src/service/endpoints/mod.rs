//! One endpoint, or several: which of them a client is sent to, and which ones get a message.
//!
//! A [`ServiceEndpoint`](crate::service::ServiceEndpoint) is the address of an Azure SignalR Service resource with a
//! credential for it; [`EndpointError`] is why it cannot be used. Of several endpoints an [`EndpointRouter`] chooses,
//! by what each [`EndpointStatus`] says; [`DefaultRouter`] does so unless you give another one.

pub(super) mod connected;
pub(super) mod endpoint;
pub(super) mod health;
pub(super) mod list;
pub(super) mod router;

pub use endpoint::{EndpointError, EndpointRole};
pub use router::{DefaultRouter, EndpointRouter, EndpointStatus, choose_endpoint};

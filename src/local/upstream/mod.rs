//! What clients do, told to upstreams, as the service in serverless mode tells it.
//!
//! 1. `teller`: what is told of a connection.
//! 2. `events`: its queue.
//! 3. `answer`: calls and their answers, in the client's protocol.
//! 4. `request`: the HTTP request, which says who the `client` is.
//! 5. `upstreams`: which there are. `rule`: which of them is told.
//!
//! Source: [Upstream endpoints](https://learn.microsoft.com/azure/azure-signalr/concept-upstream).

mod answer;
mod client;
mod events;
mod request;
pub(super) mod rule;
mod teller;
mod upstreams;

pub(super) use client::Client;
pub(super) use teller::Teller;
pub(super) use upstreams::Upstreams;

//! Default mode: clients talk to app servers, and the service carries what they say.
//!
//! An app server opens server connections to its hubs. Over them it hears of each client and of
//! what the client sends, and says what clients get: the [service protocol](crate::core::service_protocol).
//!
//! ```text
//! client ── transport ── Relay ──▶ Hub ──▶ ToServer ── WebSocket ── app server
//!                          ▲                                             │
//!                        Outbox ◀── Connections ◀── Hub ◀── Link ◀───────┘
//! ```
//!
//! | file, from the top down | what it decides |
//! | --- | --- |
//! | `client_connection`, `server_connection` | nothing: they move bytes, and wait |
//! | `hubs` | all hubs, one change at a time |
//! | `messages`, `sends`, `refresh` | what each message of an app server does |
//! | `hub` | which app server has which client; how they come and go |
//! | `invocations` | calls of clients' methods that app servers wait for |
//! | `servers` | the server connections of a hub, and whose turn it is |
//! | `visitor`, `claims`, `payloads` | what app servers hear of clients, and what clients get |
//! | `relay` | the stream of one client |
//! | `progress` | the calls of one client that a stop waits for |
//! | `link`, `to_server` | one server connection: handshake, pings, silence; what waits for it |

mod access_key;
mod claims;
mod client_connection;
mod hub;
mod hubs;
mod invocations;
mod link;
mod messages;
mod payloads;
mod progress;
mod refresh;
mod relay;
mod sends;
mod server_connection;
mod servers;
mod to_server;
mod visitor;

pub(super) use client_connection::RelayedClient;
pub(super) use hubs::Hubs;
pub(super) use server_connection::{MAX_FRAME, ServerConnection};
pub(super) use visitor::Visitor;

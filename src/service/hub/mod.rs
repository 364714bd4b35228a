//! What can be done with a hub: access for clients, messages to them, groups, calls with a result, commands.
//!
//! A [`HubClient`](crate::service::HubClient) leads to the receivers of a message:
//!
//! | receiver | from | what else it can do |
//! | --- | --- | --- |
//! | [`AllClients`] | `hub.all()` | exclude connections, close all |
//! | [`User`] | `hub.user(id)` | existence, closing, leaving all groups |
//! | [`Group`] | `hub.group(name)` | members: add, remove, existence, [pages](GroupConnections) |
//! | [`Connection`] | `hub.connection(id)` | existence, closing, calls with a result, [streams](ClientStream) |
//! | [`Several`] | `hub.users(ids)`, `hub.groups(names)`, `hub.connections(ids)` | |
//!
//! [`Commands`] are carried out for every connection that a filter matches.

mod clients;
mod commands;
mod connection;
mod group;
mod group_connections;
pub(super) mod hub_client;
pub(super) mod negotiation;
mod requests;

pub use clients::{AllClients, Several, User, UserConnections};
pub use commands::{Commands, filter_text};
pub use connection::{ClientStream, Connection};
pub use group::Group;
pub use group_connections::{ConnectionPage, ConnectionPages, GroupConnection, GroupConnections};

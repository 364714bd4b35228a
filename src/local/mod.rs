//! An Azure SignalR Service with its own Entra authority, for one machine.
//!
//! [`LocalService`] runs in the process that starts it and listens on the loopback interface, or where it is
//! [told to](LocalServiceBuilder::address). One port serves what in Azure are three services:
//!
//! - **the Entra authority**: `POST /{tenant}/oauth2/v2.0/token` gives client-credential tokens to the
//!   [`EntraApplication`]s it was told about, for a client secret, a certificate's assertion or a token that they
//!   trust. Its discovery documents (`/{tenant}/.well-known/openid-configuration`, and the same below `/{tenant}/v2.0`)
//!   and key set (`/{tenant}/discovery/v2.0/keys`) let any library verify them;
//! - **the managed identities** of the machine ([`LocalManagedIdentity`]): `GET /metadata/identity/oauth2/token` as on
//!   a virtual machine, `GET /msi/token` as in App Service;
//! - **the client endpoint**: `POST /client/negotiate`, and at `/client/` WebSockets, Server-Sent Events and long
//!   polling, with the JSON and the MessagePack protocol;
//! - **the REST API**, all of it: messages, groups and connections, invocations of clients and their results, streams,
//!   commands by filter, the authentication refresh and the claims of connections (`QUERY`), the exchange of an Entra token
//!   for a temporary access key, and `:generateToken`.
//!
//! Tokens are checked for signature, audience, expiry and role, and what is refused says why.
//!
//! In **serverless mode**, the default, what clients do is told to [upstreams](UpstreamRule), signed with both access keys
//! and, if a rule says so, with a token of a managed identity; a client that invokes a hub method that no rule matches gets
//! an error in its completion. Streams and uploads of clients are refused there, as Azure SignalR Service refuses them.
//!
//! In **default mode** ([`ServiceMode::Default`]) app servers answer clients: those of `Microsoft.Azure.SignalR` run
//! unchanged with the connection string of this service, or with a managed identity and `AuthType=azure.msi`. They open
//! server connections at `/server/`; what clients call and what hubs send goes through them, groups, users, client
//! results, graceful shutdown with migration, authentication refresh and stateful reconnect (where the app servers of a hub
//! take part in it) included. The REST API reaches the clients of this mode as well. What it does not do there: pausing
//! clients (flow control), asking for further server connections, message tracing, and several instances of the service.
//!
//! **Keys.** There are a primary and a secondary access key, which can be [regenerated](LocalService::regenerate_key) while
//! the service runs, or be [refused](LocalServiceBuilder::local_auth) for good. Temporary keys, the key of the authority and
//! the identity header are derived from the primary access key that the service is started with: what app servers and
//! applications have of an earlier run stays good. With the emulator's key, which is public, anyone can derive them. A
//! regenerated key lasts as long as the service runs, so that every run of the tests begins with the keys that it names;
//! Azure keeps it.
//!
//! Limits are those of Azure: a client token has up to 4096 characters (413), a request line 12 KB (414), all headers
//! of a request 16 KB (431). A client has 5 seconds to connect after it has negotiated (404), and 15 seconds for its
//! handshake; its messages have up to 1 MiB, those of the REST API up to 1 MB (413). How many connections there may be
//! is [said](LocalServiceBuilder::max_connections) (429). A client that does not keep up, so that more than 16 MiB wait
//! for it, is cut off without a Close message, and comes back if it reconnects automatically. Each connection is an
//! open file: thousands of them need `ulimit -n 20000` or so where the service is started.
//!
//! Foreign web pages cannot call it, although its default key is public: the pages of this machine can
//! (`http://localhost:3000`), and those that [`allow_origin`](LocalServiceBuilder::allow_origin) names. It answers to
//! `localhost`, addresses, names without dots as container networks have them, names that end in `.internal`, and those
//! that [`allow_host`](LocalServiceBuilder::allow_host) names. Programs are not asked for an origin.
//!
//! It is a service for development and tests, and keeps everything in memory. [Tests in other
//! languages](testing_guide) start it as a program. To outgrow one machine, put the
//! connection string of an [Azure SignalR Service](https://learn.microsoft.com/azure/azure-signalr/signalr-overview)
//! where this one's is.
//!
#![doc = include_str!("emulator.md")]

#[cfg(any(doc, doctest))]
#[doc = include_str!("testing_guide.md")]
pub mod testing_guide {}

mod access;
mod api_error;
mod builder;
#[cfg(feature = "dashboard")]
mod dashboard;
mod default_mode;
mod entra;
mod error;
mod faults;
mod filter;
mod guard;
mod https;
mod keys;
mod listen;
mod message;
mod mode;
mod roles;
mod routes;
mod running;
mod serverless;
mod service;
mod start;
mod token;
mod transcode;
mod upstream;
mod user_groups;

pub use builder::LocalServiceBuilder;
pub use entra::{application::EntraApplication, identity::LocalManagedIdentity};
pub use error::LocalError;
pub use faults::{Cut, FaultKind, FaultRule, FaultScope, Faults, InvalidFault};
pub use keys::KeyType;
pub use mode::ServiceMode;
pub use roles::Role;
#[cfg(feature = "cli")]
pub(crate) use routes::REQUESTS;
pub use running::LocalService;
#[cfg(feature = "cli")]
pub(crate) use start::check_names;
pub use upstream::rule::UpstreamRule;

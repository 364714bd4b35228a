//! A hub on several servers: what one of them sends reaches the clients of all.
//!
//! Each server has clients of its own; a load balancer spreads them. [`HubServerBuilder::backplane`] connects the servers
//! by a broker, of which Redis is built in ([`RedisBackplane`], feature `redis`):
//!
#![cfg_attr(feature = "redis", doc = "```no_run")]
#![cfg_attr(not(feature = "redis"), doc = "```ignore")]
//! use hubwire::server::{Caller, HubServer, backplane::{BackplaneEvent, RedisBackplane}};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let redis = RedisBackplane::new("redis://localhost:6379")?;
//! let chat = HubServer::builder()
//!     .on("Say", |caller: Caller, text: String| async move {
//!         Ok(caller.clients().all().send("Said", (caller.user_id(), text)).await?)
//!     })
//!     .backplane("Contoso.Hubs.ChatHub", redis)
//!     .on_backplane_event(|event| {
//!         if let BackplaneEvent::Restored { away, .. } = event {
//!             eprintln!("what others have sent in {away:?} is lost");
//!         }
//!     })
//!     .build();
//! # drop(chat);
//! # Ok(())
//! # }
//! ```
//!
//! What is said to each other is what `Microsoft.AspNetCore.SignalR.StackExchangeRedis` says: with the full name of the
//! hub's .NET type as its name, Rust and ASP.NET Core servers are one hub, with common users, groups and client results.
//! [`Emitter`] reaches the clients from a process that has none. Any other broker can be used by a [`Backplane`] of your own,
//! and tests do with [`InMemoryBackplane`].
//!
//! # What is different with several servers
//!
//! - A client stays with its server: the load balancer has to send all its requests there (sticky sessions), unless it skips
//!   negotiate and uses WebSockets alone.
//! - What is sent to all, to groups and to users goes through the broker, to the clients of the same server as well: what one
//!   server sends arrives everywhere in the same order. What is sent to single connections of the same server does not leave
//!   it, and may overtake that.
//! - While there is no connection to the broker, sending is an [error](crate::server::error::SendError::Unreachable), and nothing is
//!   kept for later. Only what is for connections of the same server goes on. What others send meanwhile is lost for the
//!   clients of this server; the log, and
//!   [`on_backplane_event`](crate::server::HubServerBuilder::on_backplane_event), say for how long. Groups that clients join meanwhile are
//!   there when it is restored.
//! - A client of another server that is asked for a result and never answers is waited for, as one of this server; the wait
//!   ends when the connection to the broker breaks.
//! - [`Groups::members`](crate::server::Groups::members) knows the members on this server alone.
//!
//! [`HubServerBuilder::backplane`]: crate::server::HubServerBuilder::backplane

mod carrier;
mod distributed;
mod emitter;
mod event;
mod memory;
mod options;
mod pending;
mod protocol;
mod receive;
#[cfg(feature = "redis")]
mod redis;
mod subscriptions;

pub(crate) use self::options::Options;
#[cfg(feature = "redis")]
pub use self::redis::{RedisBackplane, RedisCredentials, RedisSettingsError};
pub use self::{
    carrier::{Backplane, BackplaneError, BackplaneSink},
    emitter::Emitter,
    event::BackplaneEvent,
    memory::InMemoryBackplane,
};

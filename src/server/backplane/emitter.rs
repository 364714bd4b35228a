//! Sending to the clients of a hub from a process that has none.

use std::fmt;

use super::Backplane;
use crate::server::host::{Clients, Groups, HubServer};

/// Reaches the clients of a hub from any process, such as a worker or a command-line tool: it has no clients itself, and
/// goes over the backplane of the hub's servers, be they Rust's or ASP.NET Core's.
///
/// ```no_run
/// use hubwire::server::backplane::{Emitter, RedisBackplane};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let chat = Emitter::new("Contoso.Hubs.ChatHub", RedisBackplane::new("redis://localhost")?);
/// chat.clients().all().send("ReceiveMessage", ("system", "good morning")).await?;
/// chat.clients().user("ann").send("ReceiveMessage", ("system", "only to you")).await?;
/// chat.groups().add("a-connection-id", "admins").await?;
/// let sure: bool = chat.clients().client("a-connection-id").invoke("Confirm", ("sure?",)).await?;
/// # drop(sure);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter(HubServer);

impl Emitter {
    /// For the hub of this name: the one that its servers give to
    /// [`HubServerBuilder::backplane`](crate::server::HubServerBuilder::backplane), in .NET the full name of its type.
    pub fn new(hub: impl Into<String>, backplane: impl Backplane) -> Self {
        Self(HubServer::builder().backplane(hub, backplane).without_clients().build())
    }

    /// The clients of the hub, on all its servers.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        self.0.clients()
    }

    /// The groups of the hub. Its [members](Groups::members) are not known here.
    #[must_use]
    pub fn groups(&self) -> Groups<'_> {
        self.0.groups()
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").finish_non_exhaustive()
    }
}

//! Whom a message goes to, and which group a connection is in.

use std::fmt;

use serde::de::DeserializeOwned;

use super::{
    error::{ClientResultError, SendError},
    lifetime::{ClientCall, Recipients, Sending},
    sender::HubSender,
};
use crate::{
    Arguments,
    core::{codec::Payload, message::Outcome},
    payload::Decode as _,
    property_names::PropertyNames,
};

/// The clients of a hub: whom to call.
///
/// ```no_run
/// # async fn run(hub: hubwire::server::HubServer) -> Result<(), hubwire::server::error::SendError> {
/// hub.clients().all().send("ReceiveMessage", ("system", "welcome")).await?;
/// hub.clients().group("admins").except(["a-connection-id"]).send("Alarm", ()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Clients<'h> {
    pub(super) sender: &'h HubSender,
    pub(super) caller: Option<&'h str>,
}

impl<'h> Clients<'h> {
    pub(super) fn to(&self, to: Recipients) -> Receivers<'h> {
        Receivers { sender: self.sender, caller: self.caller, to, except: Vec::new() }
    }

    /// Everybody.
    pub fn all(&self) -> Receivers<'h> {
        self.to(Recipients::All)
    }

    /// Everybody but the caller; from outside of a call, everybody.
    pub fn others(&self) -> Receivers<'h> {
        self.all().except(self.caller)
    }

    /// The caller, which may also be asked for a result; from outside of a call, nobody.
    pub fn caller(&self) -> Client<'h> {
        // No connection has an empty id.
        self.client(self.caller.unwrap_or_default())
    }

    /// One connection, which may also be asked for a result.
    pub fn client(&self, connection_id: impl Into<String>) -> Client<'h> {
        Client { sender: self.sender, caller: self.caller, id: connection_id.into() }
    }

    /// Several connections.
    pub fn clients<S: Into<String>>(&self, connection_ids: impl IntoIterator<Item = S>) -> Receivers<'h> {
        self.to(Recipients::Connections(connection_ids.into_iter().map(Into::into).collect()))
    }

    /// A group.
    pub fn group(&self, name: impl Into<String>) -> Receivers<'h> {
        self.groups([name])
    }

    /// Several groups. A client that is in two of them gets the message twice, as in ASP.NET Core.
    pub fn groups<S: Into<String>>(&self, names: impl IntoIterator<Item = S>) -> Receivers<'h> {
        self.to(Recipients::Groups(names.into_iter().map(Into::into).collect()))
    }

    /// A group, without the caller.
    pub fn others_in_group(&self, name: impl Into<String>) -> Receivers<'h> {
        self.group(name).except(self.caller)
    }

    /// All connections of a user.
    pub fn user(&self, id: impl Into<String>) -> Receivers<'h> {
        self.users([id])
    }

    /// All connections of several users.
    pub fn users<S: Into<String>>(&self, ids: impl IntoIterator<Item = S>) -> Receivers<'h> {
        self.to(Recipients::Users(ids.into_iter().map(Into::into).collect()))
    }
}

impl fmt::Debug for Clients<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

/// Clients that a message is sent to.
#[derive(Clone)]
#[must_use = "nothing is sent until `send` is called"]
pub struct Receivers<'h> {
    sender: &'h HubSender,
    caller: Option<&'h str>,
    to: Recipients,
    except: Vec<String>,
}

impl Receivers<'_> {
    /// But not to these connections.
    pub fn except<S: Into<String>>(mut self, connection_ids: impl IntoIterator<Item = S>) -> Self {
        self.except.extend(connection_ids.into_iter().map(Into::into));
        self
    }

    /// Calls a method of these clients, whose end is not waited for. Arguments are written once for each hub protocol. A
    /// client that does not keep up, so that more than 16 MiB wait for it, is cut off, unless
    /// [`slow_consumers`](super::HubServerBuilder::slow_consumers) says otherwise.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), SendError> {
        let Self { sender, caller, to, except } = self;
        let call = ClientCall::new(method, arguments)?;
        let Some(call) = sender.outgoing(call, to) else { return Ok(()) };
        let message = call.message(None);
        let sending = Sending { to, except, caller: *caller, method, message: &message };
        sender.lifetime.send(sending).await
    }
}

impl fmt::Debug for Receivers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receivers")
            .field("to", &self.to)
            .field("except", &self.except)
            .finish_non_exhaustive()
    }
}

/// One client.
#[derive(Clone)]
#[must_use = "nothing is sent until `send` or `invoke` is called"]
pub struct Client<'h> {
    sender: &'h HubSender,
    caller: Option<&'h str>,
    id: String,
}

impl Client<'_> {
    /// Calls a method of the client, whose end is not waited for. Nothing happens if there is no such connection.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), SendError> {
        let Self { sender, caller, id } = self;
        Clients { sender, caller: *caller }.clients([&**id]).send(method, arguments).await
    }

    /// Calls a method of the client and waits for its result. It may be used from within a method, which then waits while
    /// the client answers. There is no time limit: put one around it, since a client may never answer.
    ///
    /// # Errors
    /// [`ClientResultError`].
    pub async fn invoke<T: DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl Arguments,
    ) -> Result<T, ClientResultError> {
        let call = ClientCall::new(method, arguments)?;
        let to = Recipients::Connections(vec![self.id.clone()]);
        let call = self.sender.outgoing(call, &to).ok_or(ClientResultError::Dropped)?;
        let (protocol, answer) = self.sender.lifetime.invoke(&self.id, call).await?;
        match answer {
            Outcome::Error(error) => Err(ClientResultError::Client(error.into_owned())),
            Outcome::Void => Ok(Payload::null(protocol).decode(PropertyNames::AsDeclared)?),
            Outcome::Value(value) => Ok(Payload::new(protocol, &value).decode(PropertyNames::AsDeclared)?),
        }
    }
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The groups of a hub. A group is there while somebody is in it; when a connection ends, it leaves its groups.
#[derive(Clone, Copy)]
pub struct Groups<'h> {
    pub(super) sender: &'h HubSender,
}

impl Groups<'_> {
    /// Puts a connection into a group. `false` when it is known that there is no such connection.
    ///
    /// # Errors
    /// [`SendError::Unreachable`], of hubs with several servers.
    pub async fn add(&self, connection_id: &str, group: &str) -> Result<bool, SendError> {
        self.sender.lifetime.add_to_group(connection_id, group).await
    }

    /// Takes a connection out of a group.
    ///
    /// # Errors
    /// [`SendError::Unreachable`], of hubs with several servers.
    pub async fn remove(&self, connection_id: &str, group: &str) -> Result<(), SendError> {
        self.sender.lifetime.remove_from_group(connection_id, group).await
    }

    /// Up to `count` connections of a group with their users, in the order of their ids, from behind the id `after` on.
    ///
    /// # Errors
    /// [`SendError::Unreachable`], of hubs with several servers.
    pub async fn members(
        &self,
        group: &str,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<(String, Option<String>)>, SendError> {
        self.sender.lifetime.members(group, after, count).await
    }
}

impl fmt::Debug for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Groups")
    }
}

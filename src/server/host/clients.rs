//! Whom a message goes to, and which group a connection is in.

use std::fmt;

use serde::de::DeserializeOwned;

use super::{error::ClientResultError, state::Hub};
use crate::{
    Arguments, SerializeError,
    arguments::ArgumentWriter,
    core::{
        codec::Payload,
        message::{HubMessage, Invocation, Outcome},
    },
    payload::Decode as _,
    property_names::PropertyNames,
    server::{connections::Target, message::Message},
};

/// The clients of a hub: whom to call.
///
/// ```no_run
/// # async fn run(hub: hubwire::server::HubServer) -> Result<(), hubwire::SerializeError> {
/// hub.clients().all().send("ReceiveMessage", ("system", "welcome")).await?;
/// hub.clients().group("admins").except(["a-connection-id"]).send("Alarm", ()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Clients<'h> {
    pub(super) hub: &'h Hub,
    pub(super) caller: Option<&'h str>,
}

impl<'h> Clients<'h> {
    fn to(&self, to: impl IntoIterator<Item = To>) -> Receivers<'h> {
        Receivers { hub: self.hub, to: to.into_iter().collect(), except: Vec::new() }
    }

    /// Everybody.
    pub fn all(&self) -> Receivers<'h> {
        self.to([To::All])
    }

    /// Everybody but the caller; from outside of a call, everybody.
    pub fn others(&self) -> Receivers<'h> {
        self.all().except(self.caller)
    }

    /// The caller; from outside of a call, nobody.
    pub fn caller(&self) -> Receivers<'h> {
        self.to(self.caller.map(|id| To::Connection(id.to_owned())))
    }

    /// One connection, which may also be asked for a result.
    pub fn client(&self, connection_id: impl Into<String>) -> Client<'h> {
        Client { hub: self.hub, id: connection_id.into() }
    }

    /// Several connections.
    pub fn clients<S: Into<String>>(&self, connection_ids: impl IntoIterator<Item = S>) -> Receivers<'h> {
        self.to(connection_ids.into_iter().map(|id| To::Connection(id.into())))
    }

    /// A group.
    pub fn group(&self, name: impl Into<String>) -> Receivers<'h> {
        self.to([To::Group(name.into())])
    }

    /// Several groups. A client that is in two of them gets the message twice, as in ASP.NET Core.
    pub fn groups<S: Into<String>>(&self, names: impl IntoIterator<Item = S>) -> Receivers<'h> {
        self.to(names.into_iter().map(|name| To::Group(name.into())))
    }

    /// A group, without the caller.
    pub fn others_in_group(&self, name: impl Into<String>) -> Receivers<'h> {
        self.group(name).except(self.caller)
    }

    /// All connections of a user.
    pub fn user(&self, id: impl Into<String>) -> Receivers<'h> {
        self.to([To::User(id.into())])
    }

    /// All connections of several users.
    pub fn users<S: Into<String>>(&self, ids: impl IntoIterator<Item = S>) -> Receivers<'h> {
        self.to(ids.into_iter().map(|id| To::User(id.into())))
    }
}

impl fmt::Debug for Clients<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

#[derive(Debug, Clone)]
enum To {
    All,
    Group(String),
    User(String),
    Connection(String),
}

/// Clients that a message is sent to.
#[derive(Clone)]
#[must_use = "nothing is sent until `send` is called"]
pub struct Receivers<'h> {
    hub: &'h Hub,
    to: Vec<To>,
    except: Vec<String>,
}

impl Receivers<'_> {
    /// But not to these connections.
    pub fn except<S: Into<String>>(mut self, connection_ids: impl IntoIterator<Item = S>) -> Self {
        self.except.extend(connection_ids.into_iter().map(Into::into));
        self
    }

    /// Calls a method of these clients, whose end is not waited for. Arguments are written once for each hub protocol. A
    /// client that does not keep up, so that more than 16 MiB wait for it, is cut off.
    ///
    /// # Errors
    /// When an argument cannot be written.
    #[allow(clippy::unused_async, reason = "with several servers it waits")]
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), SerializeError> {
        let message = encode(method, arguments)?;
        let except: Vec<&str> = self.except.iter().map(String::as_str).collect();
        for to in &self.to {
            let target = match to {
                To::All => Target::All,
                To::Group(name) => Target::Group(name),
                To::User(id) => Target::User(id),
                To::Connection(id) if except.contains(&&**id) => continue,
                To::Connection(id) => Target::Connection(id),
            };
            self.hub.room.connections.send(HUB, target, &except, &message);
        }
        Ok(())
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
    hub: &'h Hub,
    id: String,
}

impl Client<'_> {
    /// Calls a method of the client, whose end is not waited for. Nothing happens if there is no such connection.
    ///
    /// # Errors
    /// When an argument cannot be written.
    pub async fn send(&self, method: &str, arguments: impl Arguments) -> Result<(), SerializeError> {
        Clients { hub: self.hub, caller: None }.clients([&*self.id]).send(method, arguments).await
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
        let (call, size) = prepare(method, arguments)?;
        let pending = self.hub.room.connections.call(HUB, &self.id, size, call);
        let pending = pending.ok_or(ClientResultError::NotConnected)?;
        let protocol = pending.protocol;
        let payload = match pending.answer().await.ok_or(ClientResultError::Disconnected)? {
            Outcome::Error(error) => return Err(ClientResultError::Client(error.into_owned())),
            Outcome::Void => return Ok(Payload::null(protocol).decode(PropertyNames::AsDeclared)?),
            Outcome::Value(value) => value,
        };
        Ok(Payload::new(protocol, &payload).decode(PropertyNames::AsDeclared)?)
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
    pub(super) hub: &'h Hub,
}

impl Groups<'_> {
    /// Puts a connection into a group. Whether there is such a connection.
    #[allow(clippy::unused_async, reason = "with several servers it waits")]
    pub async fn add(&self, connection_id: &str, group: &str) -> bool {
        self.hub.room.connections.add_to_group(HUB, connection_id, group)
    }

    /// Takes a connection out of a group.
    #[allow(clippy::unused_async, reason = "with several servers it waits")]
    pub async fn remove(&self, connection_id: &str, group: &str) {
        self.hub.room.connections.remove_from_group(HUB, connection_id, Some(group));
    }

    /// Up to `count` connections of a group with their users, in the order of their ids, from behind the id `after` on.
    #[must_use]
    pub fn members(&self, group: &str, after: Option<&str>, count: usize) -> Vec<(String, Option<String>)> {
        let (listed, _) = self.hub.room.connections.list(HUB, group, after, count);
        listed.into_iter().map(|(id, user)| (id.to_string(), user)).collect()
    }
}

impl fmt::Debug for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Groups")
    }
}

/// A room has many hubs; here each has its own.
pub(super) const HUB: &str = "";

/// A call that wants no answer, in both protocols.
fn encode(method: &str, arguments: impl Arguments) -> Result<Message, SerializeError> {
    let (json, msgpack) = written(arguments)?;
    Ok(message(None, method, &json, msgpack))
}

type WriteCall = Box<dyn FnOnce(&str) -> Message + Send + Sync>;

/// A call whose id is not known yet, and about how long it will be.
fn prepare(method: &str, arguments: impl Arguments) -> Result<(WriteCall, usize), SerializeError> {
    let (json, msgpack) = written(arguments)?;
    let (size, method) = (json.len().max(msgpack.len()), method.to_owned());
    Ok((Box::new(move |id| message(Some(id), &method, &json, msgpack)), size))
}

fn written(arguments: impl Arguments) -> Result<(Vec<u8>, Vec<u8>), SerializeError> {
    let mut writer = ArgumentWriter::json_and_msgpack();
    arguments.write(&mut writer)?;
    writer.finish_both()
}

fn message(id: Option<&str>, method: &str, json: &[u8], msgpack: Vec<u8>) -> Message {
    let json = std::str::from_utf8(json).unwrap_or("[]");
    Message::new(
        &HubMessage::Invocation(invocation(id, method, json)),
        &HubMessage::Invocation(invocation(id, method, msgpack)),
    )
}

fn invocation<'a, P>(id: Option<&'a str>, method: &'a str, arguments: P) -> Invocation<'a, P> {
    Invocation {
        headers: Vec::new(),
        invocation_id: id.map(Into::into),
        target: method.into(),
        arguments,
        stream_ids: Vec::new(),
    }
}

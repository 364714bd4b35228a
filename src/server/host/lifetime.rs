//! What carries the messages of a hub to its clients, wherever they are connected: `HubLifetimeManager` in ASP.NET Core's
//! terms.
//!
//! [`Local`] knows the connections of this process alone. A backplane and Azure SignalR Service are others.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use futures_util::future::{BoxFuture, Either};

use super::error::{ClientResultError, SendError};
use crate::{
    Arguments, SerializeError,
    arguments::ArgumentWriter,
    core::{
        HubProtocol,
        codec::Payload,
        message::{HubMessage, Invocation, Outcome},
    },
    server::{
        calls::Answer,
        connections::{Connections, Target},
        message::Message,
    },
};

/// A room has many hubs; here each has its own.
pub(crate) const HUB: &str = "";

/// Done at once, or by others.
pub(crate) type Doing<'a, T> = Either<Ready<T>, BoxFuture<'a, T>>;

/// The recipients of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// Everybody.
    All,
    /// The members of these groups; a connection that is in two of them gets the message twice.
    Groups(Vec<String>),
    /// All connections of these users.
    Users(Vec<String>),
    /// These connections.
    Connections(Vec<String>),
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "what is local has the order by itself")]
pub(crate) struct Sending<'a> {
    pub(crate) to: &'a Recipients,
    /// Connections that do not get it.
    pub(crate) except: &'a [String],
    /// On whose behalf, if it is sent within a call: what one caller has sent keeps its order.
    pub(crate) caller: Option<&'a str>,
    /// The method of the clients that it calls.
    pub(crate) method: &'a str,
    pub(crate) message: &'a Message,
}

/// A call of a client's method that wants a result. It is written once its id is known.
#[derive(Debug, Clone)]
pub(crate) struct ClientCall {
    method: String,
    /// With the trace context, if there is one.
    headers: Vec<(String, String)>,
    json: Vec<u8>,
    msgpack: Vec<u8>,
}

impl ClientCall {
    /// Writes the arguments in both protocols.
    pub(crate) fn new(method: &str, arguments: impl Arguments) -> Result<Self, SerializeError> {
        let mut writer = ArgumentWriter::json_and_msgpack();
        arguments.write(&mut writer)?;
        let (json, msgpack) = writer.finish_both()?;
        Ok(Self { method: method.to_owned(), headers: Vec::new(), json, msgpack })
    }

    pub(crate) fn with_headers(self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut headers: Vec<_> = headers.into_iter().collect();
        headers.sort_unstable();
        Self { headers, ..self }
    }

    /// The method of the client.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// The arguments.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    /// About how long its message is, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.json.len().max(self.msgpack.len()) + self.method.len()
    }

    /// The message. Without an id no result is expected.
    pub(crate) fn message(self, id: Option<&str>) -> Message {
        let json = std::str::from_utf8(&self.json).unwrap_or("[]");
        Message::new(
            &HubMessage::Invocation(invocation(id, &self.method, &self.headers, json)),
            &HubMessage::Invocation(invocation(id, &self.method, &self.headers, self.msgpack)),
        )
    }
}

fn invocation<'a, P>(
    id: Option<&'a str>,
    method: &'a str,
    headers: &'a [(String, String)],
    arguments: P,
) -> Invocation<'a, P> {
    Invocation {
        headers: headers.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        invocation_id: id.map(Into::into),
        target: method.into(),
        arguments,
        stream_ids: Vec::new(),
    }
}

/// A connection and its user.
pub(crate) type Member = (String, Option<String>);

/// What carries the messages of a hub to its clients.
pub(crate) trait Lifetime: Send + Sync {
    /// Whether clients of the hub may be connected to other servers.
    fn is_shared(&self) -> bool {
        true
    }

    /// A client of this process is connected. It is in the room already; its first method waits for this.
    fn connected<'a>(&'a self, _connection_id: &'a str, _user: Option<&'a str>) -> Doing<'a, ()> {
        Either::Left(ready(()))
    }

    /// It has gone, and is no longer in the room.
    fn disconnected<'a>(&'a self, _connection_id: &'a str, _user: Option<&'a str>) -> Doing<'a, ()> {
        Either::Left(ready(()))
    }

    /// A client of this process answers a call that this server has not made. Nothing here may wait.
    fn answered_elsewhere(
        &self,
        _connection_id: &str,
        _call_id: &str,
        _protocol: HubProtocol,
        _outcome: Outcome<'_, Payload<'_>>,
    ) {
    }

    /// Sends a message to all that it is for.
    fn send<'a>(&'a self, sending: Sending<'a>) -> Doing<'a, Result<(), SendError>>;

    /// Calls a method of a client, and waits for its result, in the client's protocol.
    fn invoke<'a>(
        &'a self,
        connection_id: &'a str,
        call: ClientCall,
    ) -> BoxFuture<'a, Result<(HubProtocol, Answer), ClientResultError>>;

    /// Puts a connection into a group. `false` when it is known that there is no such connection.
    fn add_to_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<bool, SendError>>;

    /// Takes a connection out of a group.
    fn remove_from_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<(), SendError>>;

    /// Up to `count` connections of a group, in the order of their ids, from behind `after` on.
    fn members<'a>(
        &'a self,
        group: &'a str,
        after: Option<&'a str>,
        count: usize,
    ) -> Doing<'a, Result<Vec<Member>, SendError>>;
}

/// Asks a client of this process.
pub(crate) fn ask(
    connections: &Connections,
    connection_id: &str,
    call: ClientCall,
) -> BoxFuture<'static, Result<(HubProtocol, Answer), ClientResultError>> {
    let size = call.size();
    let pending = connections.call(HUB, connection_id, size, move |id| call.message(Some(id)));
    Box::pin(async move {
        let pending = pending.ok_or(ClientResultError::NotConnected)?;
        let protocol = pending.protocol;
        Ok((protocol, pending.answer().await.ok_or(ClientResultError::Disconnected)?))
    })
}

/// The connections of this process.
#[derive(Debug)]
pub(crate) struct Local(pub(crate) Arc<Connections>);

impl Lifetime for Local {
    fn is_shared(&self) -> bool {
        false
    }

    fn send<'a>(&'a self, sending: Sending<'a>) -> Doing<'a, Result<(), SendError>> {
        let Sending { to, except, message, .. } = sending;
        let except: Vec<&str> = except.iter().map(String::as_str).collect();
        let send = |target| self.0.send(HUB, target, &except, message);
        match to {
            Recipients::All => send(Target::All),
            Recipients::Groups(names) => names.iter().for_each(|name| send(Target::Group(name))),
            Recipients::Users(ids) => ids.iter().for_each(|id| send(Target::User(id))),
            Recipients::Connections(ids) => {
                let ids = ids.iter().filter(|id| !except.contains(&id.as_str()));
                ids.for_each(|id| send(Target::Connection(id)));
            }
        }
        Either::Left(ready(Ok(())))
    }

    fn invoke<'a>(
        &'a self,
        connection_id: &'a str,
        call: ClientCall,
    ) -> BoxFuture<'a, Result<(HubProtocol, Answer), ClientResultError>> {
        ask(&self.0, connection_id, call)
    }

    fn add_to_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<bool, SendError>> {
        Either::Left(ready(Ok(self.0.add_to_group(HUB, connection_id, group))))
    }

    fn remove_from_group<'a>(
        &'a self,
        connection_id: &'a str,
        group: &'a str,
    ) -> Doing<'a, Result<(), SendError>> {
        self.0.remove_from_group(HUB, connection_id, Some(group));
        Either::Left(ready(Ok(())))
    }

    fn members<'a>(
        &'a self,
        group: &'a str,
        after: Option<&'a str>,
        count: usize,
    ) -> Doing<'a, Result<Vec<Member>, SendError>> {
        let (listed, _) = self.0.list(HUB, group, after, count);
        let members = listed.into_iter().map(|(id, user)| (id.to_string(), user)).collect();
        Either::Left(ready(Ok(members)))
    }
}

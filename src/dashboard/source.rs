//! What a dashboard is of: hosted hubs, or the local service.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::contract::{Info, MethodItem, Signature};
use crate::{
    core::token::ClientToken,
    server::{Recipients, room::Room},
};

/// A room that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// What its only hub is called; without it, the room has several hubs, by their own names.
    pub(crate) name: Option<String>,
    pub(crate) room: Arc<Room>,
}

impl Watched {
    /// The name in the room of what the dashboard calls so, if it is in this room.
    pub(super) fn inner<'n>(&self, hub: &'n str) -> Option<&'n str> {
        match &self.name {
            Some(name) => (name == hub).then_some(""),
            None => Some(hub),
        }
    }

    /// What the dashboard calls a hub of the room.
    pub(super) fn outer(&self, hub: String) -> String {
        self.name.clone().unwrap_or(hub)
    }
}

/// A message that somebody sends from the dashboard.
#[derive(Debug)]
pub(crate) struct Sending<'s> {
    /// As the room calls it.
    pub(crate) hub: &'s str,
    pub(crate) to: Recipients,
    pub(crate) target: &'s str,
    pub(crate) arguments: Vec<Value>,
}

/// What a dashboard is of. Errors are texts for people.
pub(crate) trait Source: std::fmt::Debug + Send + Sync + 'static {
    /// What does not change, or seldom.
    fn info(&self) -> Info;

    fn rooms(&self) -> &[Watched];

    /// How many server connections each hub has, where there are any.
    fn servers(&self) -> Vec<(String, usize)> {
        Vec::new()
    }

    /// The app server that a client is with.
    fn server_of(&self, _hub: &str, _connection: &str) -> Option<String> {
        None
    }

    /// Whether clients may be connected to other servers, so that how many a message goes to is not known.
    fn is_shared(&self) -> bool {
        false
    }

    /// How often the methods of the hubs were called.
    fn methods(&self) -> Vec<MethodItem> {
        Vec::new()
    }

    /// Sends a message; `room` says in which of the rooms.
    fn send<'s>(&'s self, room: usize, sending: Sending<'s>) -> BoxFuture<'s, Result<(), String>>;

    /// Who has signed a token, and why it would be refused here.
    fn judge(&self, _text: &str, _token: &ClientToken) -> (Signature, Vec<String>) {
        (Signature::Unknown, Vec::new())
    }
}

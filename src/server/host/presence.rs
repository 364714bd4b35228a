//! Who is online.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    caller::Caller,
    clients::{Clients, Groups},
    lifetime::HUB,
    sender::HubSender,
};
use crate::lock::lock;
use crate::{client::guarded, platform::BoxFuture, server::connections::Target};

/// Who is connected to this server. With several servers each knows its own clients; the members of a group are known as far
/// as what connects the servers knows them, see [`Groups::members`].
#[derive(Clone, Copy)]
pub struct Presence<'h> {
    pub(super) sender: &'h HubSender,
}

impl Presence<'_> {
    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sender.room.connections.count(HUB)
    }

    /// The users that have a connection, in no order.
    #[must_use]
    pub fn users(&self) -> Vec<String> {
        self.sender.room.connections.users(HUB)
    }

    /// Whether a user has a connection.
    #[must_use]
    pub fn is_online(&self, user_id: &str) -> bool {
        self.sender.room.connections.exists(HUB, Target::User(user_id))
    }

    /// The ids of a user's connections, in no order.
    #[must_use]
    pub fn connections_of(&self, user_id: &str) -> Vec<String> {
        self.sender.room.connections.ids_of(HUB, user_id)
    }
}

impl fmt::Debug for Presence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presence")
    }
}

/// A user has come online, or gone offline.
#[derive(Clone)]
pub struct PresenceChange {
    sender: Arc<HubSender>,
    user: String,
    is_online: bool,
}

impl PresenceChange {
    /// The user.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user
    }

    /// Whether the user has a connection now.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.is_online
    }

    /// The clients of the hub.
    #[must_use]
    pub fn clients(&self) -> Clients<'_> {
        Clients { sender: &self.sender, caller: None }
    }

    /// The groups of the hub.
    #[must_use]
    pub fn groups(&self) -> Groups<'_> {
        Groups { sender: &self.sender }
    }
}

impl fmt::Debug for PresenceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PresenceChange");
        debug.field("user", &self.user).field("is_online", &self.is_online).finish_non_exhaustive()
    }
}

type OnChange = Arc<dyn Fn(PresenceChange) -> BoxFuture<()> + Send + Sync>;

/// What the hub's handler is to be told of.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) handler: Option<OnChange>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many connections a user has.
    connections: HashMap<String, usize>,
    /// The users of which the handler knows that they are online.
    told: HashSet<String>,
    /// The users that something has changed for, in order.
    changed: VecDeque<String>,
    /// The same ones: nobody is in it twice.
    is_changed: HashSet<String>,
    is_telling: bool,
}

impl State {
    /// The next change that the handler is to be told of; a change that was undone meanwhile is left out.
    fn next(&mut self) -> Option<(String, bool)> {
        while let Some(user) = self.changed.pop_front() {
            self.is_changed.remove(&user);
            let is_online = self.connections.contains_key(&user);
            let was_told = if is_online { !self.told.insert(user.clone()) } else { !self.told.remove(&user) };
            if !was_told {
                return Some((user, is_online));
            }
        }
        None
    }

    fn change(&mut self, user: &str, comes: bool) {
        let has_changed = match (comes, self.connections.get_mut(user)) {
            (true, Some(count)) => {
                *count += 1;
                false
            }
            (true, None) => self.connections.insert(user.to_owned(), 1).is_none(),
            (false, Some(count)) if *count > 1 => {
                *count -= 1;
                false
            }
            (false, _) => self.connections.remove(user).is_some(),
        };
        if has_changed && self.is_changed.insert(user.to_owned()) {
            self.changed.push_back(user.to_owned());
        }
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// A connection of a user has been let in, or one that was has gone.
    pub(super) fn change(self: &Arc<Self>, sender: &Arc<HubSender>, user: Option<&str>, comes: bool) {
        let (Some(user), Some(handler)) = (user, &self.handler) else { return };
        let mut state = self.lock();
        state.change(user, comes);
        if !state.changed.is_empty() && !mem::replace(&mut state.is_telling, true) {
            tokio::spawn(tell(self.clone(), sender.clone(), handler.clone()));
        }
    }
}

/// Tells the handler of one change after the other, while there are any.
async fn tell(watch: Arc<Watch>, sender: Arc<HubSender>, handler: OnChange) {
    loop {
        let change = {
            let mut state = watch.lock();
            let change = state.next();
            state.is_telling = change.is_some();
            change
        };
        let Some((user, is_online)) = change else { return };
        guarded(handler(PresenceChange { sender: sender.clone(), user, is_online })).await;
    }
}

impl<C, S> Caller<C, S> {
    /// Who is connected to this server.
    #[must_use]
    pub fn presence(&self) -> Presence<'_> {
        Presence { sender: &self.sender }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_undone_is_not_told() {
        let mut state = State::default();
        for (user, comes) in [
            ("ann", true),
            ("bob", true),
            ("ann", true),
            ("bob", false),
            ("cid", true),
            ("cid", false),
            ("cid", true),
        ] {
            state.change(user, comes);
        }
        let told = |state: &mut State| std::iter::from_fn(|| state.next()).collect::<Vec<_>>();
        assert_eq!(told(&mut state), [("ann".to_owned(), true), ("cid".to_owned(), true)]);
        state.change("ann", false);
        assert_eq!(told(&mut state), []);
        state.change("ann", false);
        state.change("cid", false);
        state.change("cid", true);
        assert_eq!(told(&mut state), [("ann".to_owned(), false)]);
        state.change("nobody", false);
        assert!(state.connections.len() == 1 && state.told.len() == 1 && state.changed.is_empty());
    }
}

//! Who is connected: hubs, users and groups.
//!
//! A message for many is encoded once for each protocol and its bytes are shared; what a connection costs is a push to its
//! [`Outbox`]. Nothing here waits, so the lock is never held for longer than that takes.

pub(crate) mod listing;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::lock::{read, write};
use crate::server::{calls::PendingCall, message::Message, outbox::Outbox, traffic::Totals};

/// Connections that a call addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    All,
    Group(&'a str),
    User(&'a str),
    Connection(&'a str),
}

/// The connections of all hubs.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    hubs: RwLock<Hubs>,
    /// Has another value after each change.
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct Hubs {
    by_name: HashMap<String, Hub>,
    /// What the connections that have ended had sent and got.
    ended: Totals,
}

/// A connection id and its user.
pub(crate) type Listed = (Arc<str>, Option<String>);

type Outboxes = HashMap<Arc<str>, Arc<Outbox>>;

#[derive(Debug, Default)]
struct Hub {
    members: HashMap<Arc<str>, Member>,
    users: HashMap<String, Outboxes>,
    groups: HashMap<String, Outboxes>,
}

#[derive(Debug)]
struct Member {
    outbox: Arc<Outbox>,
    user: Option<String>,
    groups: HashSet<String>,
}

impl Connections {
    fn read(&self) -> RwLockReadGuard<'_, Hubs> {
        read(&self.hubs)
    }

    /// Who takes it changes something.
    fn write(&self) -> RwLockWriteGuard<'_, Hubs> {
        self.version.fetch_add(1, Ordering::Relaxed);
        write(&self.hubs)
    }

    /// Adds a connection.
    pub(crate) fn insert(&self, hub: &str, id: &str, user: Option<&str>, outbox: Arc<Outbox>) {
        let mut hubs = self.write();
        let hub = hubs.by_name.entry(hub.to_owned()).or_default();
        let id: Arc<str> = id.into();
        if let Some(user) = user {
            hub.users.entry(user.to_owned()).or_default().insert(id.clone(), outbox.clone());
        }
        let member = Member { outbox, user: user.map(str::to_owned), groups: HashSet::new() };
        hub.members.insert(id, member);
    }

    /// Removes a connection from everything.
    pub(crate) fn remove(&self, hub_name: &str, id: &str) {
        let Hubs { by_name, ended } = &mut *self.write();
        let Some(hub) = by_name.get_mut(hub_name) else { return };
        let Some(member) = hub.members.remove(id) else { return };
        *ended += member.outbox.traffic.totals();
        if let Some(user) = &member.user {
            remove_from(&mut hub.users, user, id);
        }
        for group in &member.groups {
            remove_from(&mut hub.groups, group, id);
        }
        if hub.members.is_empty() {
            by_name.remove(hub_name);
        }
    }

    /// Queues an encoded message for every connection addressed.
    pub(crate) fn send(&self, hub: &str, target: Target<'_>, excluded: &[&str], message: &Message) {
        self.each(hub, target, excluded, |outbox| outbox.send(message));
    }

    /// Closes every connection addressed, with the reason as the error of its Close message.
    pub(crate) fn close(&self, hub: &str, target: Target<'_>, excluded: &[&str], reason: Option<&str>) {
        self.each(hub, target, excluded, |outbox| outbox.close(reason));
    }

    /// Closes every connection addressed, whose client may come back. The reason is the error of the Close message, if it
    /// is not empty.
    pub(crate) fn close_for_now(
        &self,
        hub: &str,
        target: Target<'_>,
        excluded: &[&str],
        reason: Option<&str>,
    ) {
        let reason = reason.filter(|reason| !reason.is_empty());
        self.each(hub, target, excluded, |outbox| outbox.close_for_now(reason));
    }

    /// Does something for every connection addressed.
    pub(crate) fn each(
        &self,
        hub: &str,
        target: Target<'_>,
        excluded: &[&str],
        mut act: impl FnMut(&Outbox),
    ) {
        let hubs = self.read();
        let Some(hub) = hubs.by_name.get(hub) else { return };
        let mut all = |outboxes: Option<&Outboxes>| {
            for (id, outbox) in outboxes.into_iter().flatten() {
                if !excluded.contains(&&**id) {
                    act(outbox);
                }
            }
        };
        match target {
            Target::All => {
                for (id, member) in &hub.members {
                    if !excluded.contains(&&**id) {
                        act(&member.outbox);
                    }
                }
            }
            Target::Group(group) => all(hub.groups.get(group)),
            Target::User(user) => all(hub.users.get(user)),
            Target::Connection(id) => {
                if let Some(member) = hub.members.get(id) {
                    act(&member.outbox);
                }
            }
        }
    }

    /// Whether anybody is addressed.
    pub(crate) fn exists(&self, hub: &str, target: Target<'_>) -> bool {
        self.read().by_name.get(hub).is_some_and(|hub| match target {
            Target::All => !hub.members.is_empty(),
            Target::Group(group) => hub.groups.contains_key(group),
            Target::User(user) => hub.users.contains_key(user),
            Target::Connection(id) => hub.members.contains_key(id),
        })
    }

    /// Adds a connection to a group, and tells whether there is such a connection.
    pub(crate) fn add_to_group(&self, hub: &str, id: &str, group: &str) -> bool {
        self.write().by_name.get_mut(hub).is_some_and(|hub| hub.join(id, group))
    }

    /// Removes a connection from one group, or from all.
    pub(crate) fn remove_from_group(&self, hub: &str, id: &str, group: Option<&str>) {
        if let Some(hub) = self.write().by_name.get_mut(hub) {
            hub.leave(id, group);
        }
    }

    /// Adds all connections that a user has to a group. They stay in it until they end.
    pub(crate) fn add_user_to_group(&self, hub: &str, user: &str, group: &str) {
        if let Some(hub) = self.write().by_name.get_mut(hub) {
            for id in hub.connections_of(user) {
                hub.join(&id, group);
            }
        }
    }

    /// Removes all connections of a user from one group, or from all.
    pub(crate) fn remove_user_from_group(&self, hub: &str, user: &str, group: Option<&str>) {
        if let Some(hub) = self.write().by_name.get_mut(hub) {
            for id in hub.connections_of(user) {
                hub.leave(&id, group);
            }
        }
    }

    /// Whether a connection of the user is in the group.
    pub(crate) fn is_user_in_group(&self, hub: &str, user: &str, group: &str) -> bool {
        self.read().by_name.get(hub).is_some_and(|hub| {
            hub.users
                .get(user)
                .zip(hub.groups.get(group))
                .is_some_and(|(connections, members)| connections.keys().any(|id| members.contains_key(id)))
        })
    }

    /// Calls a method of a client, which answers. `message` writes the call with its invocation id, in about `size`
    /// bytes.
    pub(crate) fn call(
        &self,
        hub: &str,
        id: &str,
        size: usize,
        message: impl FnOnce(&str) -> Message + Send + Sync + 'static,
    ) -> Option<PendingCall> {
        let hubs = self.read();
        Some(hubs.by_name.get(hub)?.members.get(id)?.outbox.call(size, message))
    }

    /// The hubs that have connections.
    pub(crate) fn hubs(&self) -> Vec<String> {
        self.read().by_name.keys().cloned().collect()
    }

    /// How many connections there are.
    pub(crate) fn count(&self, hub: &str) -> usize {
        self.read().by_name.get(hub).map_or(0, |hub| hub.members.len())
    }

    /// The users that have a connection.
    pub(crate) fn users(&self, hub: &str) -> Vec<String> {
        self.read().by_name.get(hub).map(|hub| hub.users.keys().cloned().collect()).unwrap_or_default()
    }

    /// The connections of a user.
    pub(crate) fn ids_of(&self, hub: &str, user: &str) -> Vec<String> {
        let hubs = self.read();
        let ids = hubs.by_name.get(hub).map(|hub| hub.connections_of(user)).unwrap_or_default();
        ids.iter().map(|id| id.to_string()).collect()
    }

    /// Up to `count` connections of a group with their users, in the order of their ids from behind `after`, and
    /// whether there are more.
    pub(crate) fn list(
        &self,
        hub: &str,
        group: &str,
        after: Option<&str>,
        count: usize,
    ) -> (Vec<Listed>, bool) {
        let hubs = self.read();
        let Some(hub) = hubs.by_name.get(hub) else { return (Vec::new(), false) };
        let ids = hub.groups.get(group).into_iter().flatten().map(|(id, _)| id);
        let mut ids: Vec<_> = ids.filter(|id| after.is_none_or(|after| &***id > after)).collect();
        ids.sort_unstable();
        let more = ids.len() > count;
        let user = |id: &Arc<str>| hub.members.get(id).and_then(|member| member.user.clone());
        (ids.into_iter().take(count).map(|id| (id.clone(), user(id))).collect(), more)
    }

    /// The connections that match, by id, user and groups.
    pub(crate) fn matching(
        &self,
        hub: &str,
        matches: impl Fn(&str, Option<&str>, &HashSet<String>) -> bool,
    ) -> Vec<Arc<str>> {
        let hubs = self.read();
        let members = hubs.by_name.get(hub).into_iter().flat_map(|hub| &hub.members);
        members
            .filter(|(id, member)| matches(id, member.user.as_deref(), &member.groups))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Cuts every connection off.
    pub(crate) fn cut_all(&self) {
        for hub in self.read().by_name.values() {
            hub.members.values().for_each(|member| member.outbox.cut());
        }
    }
}

impl Hub {
    fn join(&mut self, id: &str, group: &str) -> bool {
        let Some((id, member)) = self.members.get_key_value(id) else { return false };
        let (id, outbox) = (id.clone(), member.outbox.clone());
        self.groups.entry(group.to_owned()).or_default().insert(id.clone(), outbox);
        if let Some(member) = self.members.get_mut(&id) {
            member.groups.insert(group.to_owned());
        }
        true
    }

    fn leave(&mut self, id: &str, group: Option<&str>) {
        let Some(member) = self.members.get_mut(id) else { return };
        let left: Vec<String> = match group {
            Some(group) => member.groups.take(group).into_iter().collect(),
            None => member.groups.drain().collect(),
        };
        for group in left {
            remove_from(&mut self.groups, &group, id);
        }
    }

    fn connections_of(&self, user: &str) -> Vec<Arc<str>> {
        self.users.get(user).map(|connections| connections.keys().cloned().collect()).unwrap_or_default()
    }
}

/// Removes a connection from a set of connections, and the set when it is empty.
fn remove_from(sets: &mut HashMap<String, Outboxes>, name: &str, id: &str) {
    if let Some(set) = sets.get_mut(name) {
        set.remove(id);
        if set.is_empty() {
            sets.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;
    use crate::{
        core::HubProtocol,
        server::{outbox::Outgoing, queue::Receiver},
    };

    struct Client(Receiver<Outgoing>);

    impl Client {
        fn received(&mut self) -> usize {
            std::iter::from_fn(|| self.0.try_recv()).count()
        }
    }

    fn connect(connections: &Connections, id: &str, user: Option<&str>) -> Client {
        let (outbox, outgoing) = Outbox::new(HubProtocol::Json);
        connections.insert("chat", id, user, Arc::new(outbox));
        Client(outgoing)
    }

    #[test]
    fn everybody_gets_what_is_addressed_to_them() {
        let connections = Connections::default();
        let mut a1 = connect(&connections, "a1", Some("alice"));
        let mut a2 = connect(&connections, "a2", Some("alice"));
        let mut b = connect(&connections, "b", None);
        assert!(connections.add_to_group("chat", "a1", "g"));
        assert!(connections.add_to_group("chat", "b", "g"));
        assert!(!connections.add_to_group("chat", "nobody", "g"));
        assert!(!connections.add_to_group("other", "b", "g"));
        let message = Message::from_encoded("{}\u{1e}".into(), Bytes::new());
        let mut send = |target, excluded: &[&str]| {
            connections.send("chat", target, excluded, &message);
            connections.send("other", target, excluded, &message);
            [a1.received(), a2.received(), b.received()]
        };
        assert_eq!(send(Target::All, &[]), [1, 1, 1]);
        assert_eq!(send(Target::All, &["b", "a1"]), [0, 1, 0]);
        assert_eq!(send(Target::User("alice"), &[]), [1, 1, 0]);
        assert_eq!(send(Target::User("Alice"), &[]), [0, 0, 0]);
        assert_eq!(send(Target::Group("g"), &[]), [1, 0, 1]);
        assert_eq!(send(Target::Group("g"), &["b"]), [1, 0, 0]);
        assert_eq!(send(Target::Connection("b"), &[]), [0, 0, 1]);
        connections.remove_from_group("chat", "a1", Some("g"));
        assert_eq!(send(Target::Group("g"), &[]), [0, 0, 1]);
    }

    #[test]
    fn all_connections_of_a_user_join_and_leave() {
        let connections = Connections::default();
        let _clients = ["1", "2"].map(|id| connect(&connections, id, Some("u")));
        let _other = connect(&connections, "3", Some("v"));
        for group in ["g", "h"] {
            connections.add_user_to_group("chat", "u", group);
        }
        connections.add_user_to_group("chat", "nobody", "i");
        let is_in = |user, group| connections.is_user_in_group("chat", user, group);
        assert!(is_in("u", "g") && is_in("u", "h") && !is_in("u", "i") && !is_in("v", "g"));
        let both = |_: &str, _: Option<&str>, groups: &HashSet<String>| groups.len() == 2;
        assert_eq!(connections.matching("chat", both).len(), 2);
        connections.remove_user_from_group("chat", "u", Some("g"));
        assert!(!is_in("u", "g") && is_in("u", "h"));
        connections.remove_user_from_group("chat", "u", None);
        assert!(!is_in("u", "h") && !connections.exists("chat", Target::Group("h")));
    }

    #[test]
    fn nothing_is_left_behind() {
        let connections = Connections::default();
        let _client = connect(&connections, "1", Some("u"));
        connections.add_to_group("chat", "1", "g");
        connections.add_user_to_group("chat", "u", "h");
        assert!(connections.exists("chat", Target::Group("h")));
        connections.remove("chat", "1");
        for target in [Target::All, Target::User("u"), Target::Group("g"), Target::Connection("1")] {
            assert!(!connections.exists("chat", target), "{target:?}");
        }
        assert!(connections.read().by_name.is_empty());
    }
}

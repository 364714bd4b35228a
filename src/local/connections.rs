//! Who is connected: hubs, users and groups.
//!
//! A message for many is encoded once for each protocol and its bytes are shared; what a connection costs is a push to its
//! [`Outbox`]. Nothing here waits, so the lock is never held for longer than that takes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::local::{calls::Call, filter::Filter, outbox::Outbox, protocol::Message};

/// Of the groups that a user is in without a time limit, Azure keeps the latest of this many.
const LASTING_GROUPS: usize = 100;

/// Connections that a call addresses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    All,
    Group(&'a str),
    User(&'a str),
    Connection(&'a str),
}

/// The connections of all hubs.
#[derive(Debug, Default)]
pub(super) struct Connections(RwLock<HashMap<String, Hub>>);

/// A connection id and its user.
pub(super) type Listed = (Arc<str>, Option<String>);

type Outboxes = HashMap<Arc<str>, Arc<Outbox>>;

#[derive(Debug, Default)]
struct Hub {
    members: HashMap<Arc<str>, Member>,
    users: HashMap<String, Outboxes>,
    groups: HashMap<String, Outboxes>,
    /// The groups that future connections of a user join, the latest last.
    subscriptions: HashMap<String, Vec<Subscription>>,
}

#[derive(Debug)]
struct Member {
    outbox: Arc<Outbox>,
    user: Option<String>,
    groups: HashSet<String>,
}

#[derive(Debug)]
struct Subscription {
    group: String,
    /// `None` lasts.
    ends: Option<Instant>,
}

impl Connections {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Hub>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Hub>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, and adds it to the groups of its user.
    pub(super) fn insert(&self, hub: &str, id: &str, user: Option<&str>, outbox: Arc<Outbox>, now: Instant) {
        let mut hubs = self.write();
        let hub = hubs.entry(hub.to_owned()).or_default();
        let id: Arc<str> = id.into();
        let member = Member { outbox: outbox.clone(), user: user.map(str::to_owned), groups: HashSet::new() };
        hub.members.insert(id.clone(), member);
        let Some(user) = user else { return };
        hub.users.entry(user.to_owned()).or_default().insert(id.clone(), outbox);
        let groups: Vec<_> = hub.subscribed(user, now).map(str::to_owned).collect();
        for group in &groups {
            hub.join(&id, group);
        }
    }

    /// Removes a connection from everything.
    pub(super) fn remove(&self, hub_name: &str, id: &str) {
        let mut hubs = self.write();
        let Some(hub) = hubs.get_mut(hub_name) else { return };
        let Some(member) = hub.members.remove(id) else { return };
        if let Some(user) = &member.user {
            remove_from(&mut hub.users, user, id);
        }
        for group in &member.groups {
            remove_from(&mut hub.groups, group, id);
        }
        if hub.members.is_empty() && hub.subscriptions.is_empty() {
            hubs.remove(hub_name);
        }
    }

    /// Queues an encoded message for every connection addressed.
    pub(super) fn send(&self, hub: &str, target: Target<'_>, excluded: &[&str], message: &Message) {
        self.each(hub, target, excluded, |outbox| outbox.send(message));
    }

    /// Closes every connection addressed, with the reason as the error of its Close message.
    pub(super) fn close(&self, hub: &str, target: Target<'_>, excluded: &[&str], reason: Option<&str>) {
        let message = Message::close(reason, false);
        self.each(hub, target, excluded, |outbox| outbox.close(&message));
    }

    fn each(&self, hub: &str, target: Target<'_>, excluded: &[&str], act: impl Fn(&Outbox)) {
        let hubs = self.read();
        let Some(hub) = hubs.get(hub) else { return };
        let all = |outboxes: Option<&Outboxes>| {
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
    pub(super) fn exists(&self, hub: &str, target: Target<'_>) -> bool {
        self.read().get(hub).is_some_and(|hub| match target {
            Target::All => !hub.members.is_empty(),
            Target::Group(group) => hub.groups.contains_key(group),
            Target::User(user) => hub.users.contains_key(user),
            Target::Connection(id) => hub.members.contains_key(id),
        })
    }

    /// Adds a connection to a group, and tells whether there is such a connection.
    pub(super) fn add_to_group(&self, hub: &str, id: &str, group: &str) -> bool {
        self.write().get_mut(hub).is_some_and(|hub| hub.join(id, group))
    }

    /// Removes a connection from one group, or from all.
    pub(super) fn remove_from_group(&self, hub: &str, id: &str, group: Option<&str>) {
        if let Some(hub) = self.write().get_mut(hub) {
            hub.leave(id, group);
        }
    }

    /// Adds a user's connections to a group, and those of the future for as long as `ttl` says: `None` for good,
    /// zero for none of them. The connections of today stay in the group until they end.
    pub(super) fn add_user_to_group(
        &self,
        hub: &str,
        user: &str,
        group: &str,
        ttl: Option<Duration>,
        now: Instant,
    ) {
        let mut hubs = self.write();
        let hub = hubs.entry(hub.to_owned()).or_default();
        for id in hub.connections_of(user) {
            hub.join(&id, group);
        }
        let known = hub.subscriptions.entry(user.to_owned()).or_default();
        known.retain(|s| s.group != group && s.ends.is_none_or(|ends| ends > now));
        if ttl != Some(Duration::ZERO) {
            // What is too far away to be a moment is for good.
            let ends = ttl.and_then(|ttl| now.checked_add(ttl));
            known.push(Subscription { group: group.to_owned(), ends });
        }
        if known.iter().filter(|s| s.ends.is_none()).count() > LASTING_GROUPS
            && let Some(oldest) = known.iter().position(|s| s.ends.is_none())
        {
            known.remove(oldest);
        }
        if known.is_empty() {
            hub.subscriptions.remove(user);
        }
    }

    /// Removes a user with all connections from one group, or from all.
    pub(super) fn remove_user_from_group(&self, hub: &str, user: &str, group: Option<&str>) {
        let mut hubs = self.write();
        let Some(hub) = hubs.get_mut(hub) else { return };
        if let Some(known) = hub.subscriptions.get_mut(user) {
            known.retain(|s| group.is_some_and(|group| s.group != group));
            if known.is_empty() {
                hub.subscriptions.remove(user);
            }
        }
        for id in hub.connections_of(user) {
            hub.leave(&id, group);
        }
    }

    /// Whether a user was added to a group, or has a connection in it.
    pub(super) fn is_user_in_group(&self, hub: &str, user: &str, group: &str, now: Instant) -> bool {
        self.read().get(hub).is_some_and(|hub| {
            hub.subscribed(user, now).any(|known| known == group)
                || hub.users.get(user).is_some_and(|connections| {
                    let members = hub.groups.get(group);
                    members.is_some_and(|members| connections.keys().any(|id| members.contains_key(id)))
                })
        })
    }

    /// Queues a message that the client answers. `message` writes it with its invocation id.
    pub(super) fn call(&self, hub: &str, id: &str, message: impl FnOnce(&str) -> Message) -> Option<Call> {
        let hubs = self.read();
        let outbox = &hubs.get(hub)?.members.get(id)?.outbox;
        let (invocation_id, call) = outbox.calls.begin();
        outbox.send(&message(&invocation_id));
        Some(call)
    }

    /// Up to `count` connections of a group with their users, in the order of their ids from behind `after`, and
    /// whether there are more.
    pub(super) fn list(
        &self,
        hub: &str,
        group: &str,
        after: Option<&str>,
        count: usize,
    ) -> (Vec<Listed>, bool) {
        let hubs = self.read();
        let Some(hub) = hubs.get(hub) else { return (Vec::new(), false) };
        let ids = hub.groups.get(group).into_iter().flatten().map(|(id, _)| id);
        let mut ids: Vec<_> = ids.filter(|id| after.is_none_or(|after| &***id > after)).collect();
        ids.sort_unstable();
        let more = ids.len() > count;
        let user = |id: &Arc<str>| hub.members.get(id).and_then(|member| member.user.clone());
        (ids.into_iter().take(count).map(|id| (id.clone(), user(id))).collect(), more)
    }

    /// The connections that a filter matches.
    pub(super) fn matching(&self, hub: &str, filter: &Filter) -> Vec<Arc<str>> {
        let hubs = self.read();
        let members = hubs.get(hub).into_iter().flat_map(|hub| &hub.members);
        let matches =
            |(id, member): &(&Arc<str>, &Member)| filter.matches(id, member.user.as_deref(), &member.groups);
        members.filter(matches).map(|(id, _)| id.clone()).collect()
    }

    /// Cuts every connection off.
    pub(super) fn cut_all(&self) {
        for hub in self.read().values() {
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

    /// The groups that a connection of this user joins.
    fn subscribed<'h>(&'h self, user: &str, now: Instant) -> impl Iterator<Item = &'h str> + use<'h> {
        let known = self.subscriptions.get(user).into_iter().flatten();
        known.filter(move |s| s.ends.is_none_or(|ends| ends > now)).map(|s| s.group.as_str())
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
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::local::{outbox::Outgoing, protocol::Protocol};

    struct Client(UnboundedReceiver<Outgoing>);

    impl Client {
        fn received(&mut self) -> usize {
            std::iter::from_fn(|| self.0.try_recv().ok()).count()
        }
    }

    fn connect(connections: &Connections, id: &str, user: Option<&str>, now: Instant) -> Client {
        let (outbox, outgoing) = Outbox::new(Protocol::Json);
        connections.insert("chat", id, user, Arc::new(outbox), now);
        Client(outgoing)
    }

    #[test]
    fn everybody_gets_what_is_addressed_to_them() {
        let (connections, now) = (Connections::default(), Instant::now());
        let mut a1 = connect(&connections, "a1", Some("alice"), now);
        let mut a2 = connect(&connections, "a2", Some("alice"), now);
        let mut b = connect(&connections, "b", None, now);
        assert!(connections.add_to_group("chat", "a1", "g"));
        assert!(connections.add_to_group("chat", "b", "g"));
        assert!(!connections.add_to_group("chat", "nobody", "g"));
        assert!(!connections.add_to_group("other", "b", "g"));
        let message = Message::close(None, false);
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
    fn users_stay_in_groups_as_long_as_they_are_told_to() {
        let (connections, now) = (Connections::default(), Instant::now());
        let second = Duration::from_secs(1);
        let _first = connect(&connections, "1", Some("u"), now);
        connections.add_user_to_group("chat", "u", "lasting", None, now);
        connections.add_user_to_group("chat", "u", "timed", Some(10 * second), now);
        connections.add_user_to_group("chat", "u", "once", Some(Duration::ZERO), now);
        connections.add_user_to_group("chat", "u", "endless", Some(Duration::MAX), now);
        let groups_of = |id: &str| {
            let hubs = connections.read();
            let mut groups: Vec<_> = hubs["chat"].members[id].groups.iter().cloned().collect();
            groups.sort();
            groups
        };
        assert_eq!(groups_of("1"), ["endless", "lasting", "once", "timed"]);
        let _second = connect(&connections, "2", Some("u"), now + 9 * second);
        assert_eq!(groups_of("2"), ["endless", "lasting", "timed"]);
        let _third = connect(&connections, "3", Some("u"), now + 10 * second);
        assert_eq!(groups_of("3"), ["endless", "lasting"]);

        let is_in = |group| connections.is_user_in_group("chat", "u", group, now + 10 * second);
        assert!(is_in("lasting") && is_in("once") && !is_in("other"));
        connections.remove_user_from_group("chat", "u", Some("lasting"));
        assert!(!is_in("lasting") && is_in("endless"));
        connections.remove_user_from_group("chat", "u", None);
        assert_eq!(groups_of("1"), Vec::<String>::new());
    }

    #[test]
    fn of_lasting_groups_the_latest_hundred_are_kept() {
        let (connections, now) = (Connections::default(), Instant::now());
        for n in 0..=LASTING_GROUPS {
            connections.add_user_to_group("chat", "u", &n.to_string(), None, now);
        }
        assert!(!connections.is_user_in_group("chat", "u", "0", now));
        assert!(connections.is_user_in_group("chat", "u", "1", now));
        assert!(connections.is_user_in_group("chat", "u", &LASTING_GROUPS.to_string(), now));
    }

    #[test]
    fn nothing_is_left_behind() {
        let (connections, now) = (Connections::default(), Instant::now());
        let _client = connect(&connections, "1", Some("u"), now);
        connections.add_to_group("chat", "1", "g");
        connections.add_user_to_group("chat", "u", "h", Some(Duration::ZERO), now);
        assert!(connections.exists("chat", Target::Group("h")));
        connections.remove("chat", "1");
        for target in [Target::All, Target::User("u"), Target::Group("g"), Target::Connection("1")] {
            assert!(!connections.exists("chat", target), "{target:?}");
        }
        assert!(connections.read().is_empty());
    }
}

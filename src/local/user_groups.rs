//! The groups that users are in, whether they are connected or not: their future connections join them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::lock::lock;
use crate::server::connections::Connections;

/// Of the groups that a user is in without a time limit, Azure keeps the latest of this many.
const LASTING_GROUPS: usize = 100;

/// By hub and user, the latest group last. Each method holds the lock until the connections know, too, so that a
/// connection that begins meanwhile is in the groups that its user is in.
#[derive(Debug, Default)]
pub(super) struct UserGroups(Mutex<HashMap<(String, String), Vec<Subscription>>>);

#[derive(Debug)]
struct Subscription {
    group: String,
    /// `None` lasts.
    ends: Option<Instant>,
}

impl Subscription {
    fn is_in_force(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| ends > now)
    }
}

impl UserGroups {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Vec<Subscription>>> {
        lock(&self.0)
    }

    /// Adds a new connection to the groups of its user.
    pub(super) fn join(&self, connections: &Connections, hub: &str, id: &str, user: &str, now: Instant) {
        let known = self.lock();
        let groups = known.get(&(hub.to_owned(), user.to_owned())).into_iter().flatten();
        for subscription in groups.filter(|subscription| subscription.is_in_force(now)) {
            connections.add_to_group(hub, id, &subscription.group);
        }
    }

    /// Adds a user's connections to a group, and those of the future for as long as `ttl` says: `None` for good,
    /// zero for none of them. The connections of today stay in the group until they end.
    pub(super) fn add(
        &self,
        connections: &Connections,
        hub: &str,
        user: &str,
        group: &str,
        ttl: Option<Duration>,
        now: Instant,
    ) {
        let mut all = self.lock();
        let key = (hub.to_owned(), user.to_owned());
        let known = all.entry(key.clone()).or_default();
        known.retain(|s| s.group != group && s.is_in_force(now));
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
            all.remove(&key);
        }
        connections.add_user_to_group(hub, user, group);
    }

    /// Removes a user with all connections from one group, or from all.
    pub(super) fn remove(&self, connections: &Connections, hub: &str, user: &str, group: Option<&str>) {
        let mut all = self.lock();
        let key = (hub.to_owned(), user.to_owned());
        if let Some(known) = all.get_mut(&key) {
            known.retain(|s| group.is_some_and(|group| s.group != group));
            if known.is_empty() {
                all.remove(&key);
            }
        }
        connections.remove_user_from_group(hub, user, group);
    }

    /// Whether a user was added to a group, or has a connection in it.
    pub(super) fn contains(
        &self,
        connections: &Connections,
        hub: &str,
        user: &str,
        group: &str,
        now: Instant,
    ) -> bool {
        let all = self.lock();
        let mut known = all.get(&(hub.to_owned(), user.to_owned())).into_iter().flatten();
        known.any(|s| s.group == group && s.is_in_force(now))
            || connections.is_user_in_group(hub, user, group)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use super::*;
    use crate::{core::HubProtocol, server::outbox::Outbox};

    #[derive(Default)]
    struct World {
        connections: Connections,
        users: UserGroups,
    }

    impl World {
        fn connect(&self, id: &str, now: Instant) {
            let (outbox, _) = Outbox::new(HubProtocol::Json);
            self.connections.insert("chat", id, Some("u"), Arc::new(outbox));
            self.users.join(&self.connections, "chat", id, "u", now);
        }

        fn add(&self, group: &str, ttl: Option<Duration>, now: Instant) {
            self.users.add(&self.connections, "chat", "u", group, ttl, now);
        }

        fn contains(&self, group: &str, now: Instant) -> bool {
            self.users.contains(&self.connections, "chat", "u", group, now)
        }

        fn is_in(&self, id: &str, expected: &[&str]) -> bool {
            let expected: HashSet<_> = expected.iter().map(|&group| group.to_owned()).collect();
            let same =
                |other: &str, _: Option<&str>, groups: &HashSet<String>| other == id && *groups == expected;
            self.connections.matching("chat", same).len() == 1
        }
    }

    #[test]
    fn users_stay_in_groups_as_long_as_they_are_told_to() {
        let (world, now, second) = (World::default(), Instant::now(), Duration::from_secs(1));
        world.connect("1", now);
        world.add("lasting", None, now);
        world.add("timed", Some(10 * second), now);
        world.add("once", Some(Duration::ZERO), now);
        world.add("endless", Some(Duration::MAX), now);
        assert!(world.is_in("1", &["endless", "lasting", "once", "timed"]));
        world.connect("2", now + 9 * second);
        assert!(world.is_in("2", &["endless", "lasting", "timed"]));
        world.connect("3", now + 10 * second);
        assert!(world.is_in("3", &["endless", "lasting"]));

        let contains = |group| world.contains(group, now + 10 * second);
        assert!(contains("lasting") && contains("once") && !contains("other"));
        world.users.remove(&world.connections, "chat", "u", Some("lasting"));
        assert!(!contains("lasting") && contains("endless"));
        world.users.remove(&world.connections, "chat", "u", None);
        assert!(world.is_in("1", &[]));
        assert!(world.users.lock().is_empty());
    }

    #[test]
    fn of_lasting_groups_the_latest_hundred_are_kept() {
        let (world, now) = (World::default(), Instant::now());
        for n in 0..=LASTING_GROUPS {
            world.add(&n.to_string(), None, now);
        }
        assert!(!world.contains("0", now));
        assert!(world.contains("1", now));
        assert!(world.contains(&LASTING_GROUPS.to_string(), now));
    }
}

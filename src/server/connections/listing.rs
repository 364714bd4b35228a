//! Who is connected, for people: pages of connections, users and groups, and sums.
//!
//! A page is taken under the lock that messages need as well, so that it looks at each connection once and copies only what is
//! on it.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use super::{Connections, Hub, Member, Outboxes};
use crate::server::{outbox::Outbox, traffic::Totals};

/// How many groups of a connection are named.
const GROUPS: usize = 20;

/// Which connections a page is of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter<'f> {
    pub(crate) hub: Option<&'f str>,
    pub(crate) user: Option<&'f str>,
    pub(crate) group: Option<&'f str>,
    /// A part of the id or of the user, in any case.
    pub(crate) search: Option<&'f str>,
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: Arc<str>,
    pub(crate) hub: String,
    pub(crate) user: Option<String>,
    /// The first of its groups, in the order of the alphabet.
    pub(crate) groups: Vec<String>,
    pub(crate) group_count: usize,
    pub(crate) outbox: Arc<Outbox>,
}

/// Which sets of connections a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sets {
    Users,
    Groups,
}

/// A user or a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) hub: String,
    pub(crate) name: String,
    pub(crate) connections: usize,
}

/// How many are in a hub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hub: String,
    pub(crate) connections: usize,
    pub(crate) users: usize,
    pub(crate) groups: usize,
}

impl Connections {
    /// Has another value after a connection, a user or a group has come or gone.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// The connections that match, those that were there first coming first, and how many there are in all.
    pub(crate) fn page(&self, filter: Filter<'_>, range: Range) -> (usize, Vec<Row>) {
        let hubs = self.read();
        let search = filter.search.map(str::to_lowercase);
        let mut found: Vec<(&str, &Arc<str>, &Member)> = Vec::new();
        for (name, hub) in hubs.by_name.iter().filter(|(name, _)| filter.hub.is_none_or(|hub| hub == *name)) {
            let found_in_hub = hub.matching(filter).filter(|(id, member)| {
                search.as_deref().is_none_or(|part| {
                    contains(id, part) || member.user.as_deref().is_some_and(|user| contains(user, part))
                })
            });
            found.extend(found_in_hub.map(|(id, member)| (name.as_str(), id, member)));
        }
        let total = found.len();
        let by_age = |(_, _, member): &(&str, &Arc<str>, &Member)| member.outbox.about.number;
        let page = cut(&mut found, range, by_age);
        (total, page.iter().map(|(hub, id, member)| row(hub, id, member)).collect())
    }

    /// One connection.
    pub(crate) fn row(&self, hub: &str, id: &str) -> Option<Row> {
        let hubs = self.read();
        let (id, member) = hubs.by_name.get(hub)?.members.get_key_value(id)?;
        Some(row(hub, id, member))
    }

    /// The users or groups whose names contain a text, in the order of hubs and names, and how many there are in all.
    pub(crate) fn named(
        &self,
        sets: Sets,
        hub: Option<&str>,
        search: Option<&str>,
        range: Range,
    ) -> (usize, Vec<Named>) {
        let hubs = self.read();
        let search = search.map(str::to_lowercase);
        let mut found: Vec<(&str, &str, usize)> = Vec::new();
        for (name, hub) in hubs.by_name.iter().filter(|(name, _)| hub.is_none_or(|hub| hub == *name)) {
            let sets = match sets {
                Sets::Users => &hub.users,
                Sets::Groups => &hub.groups,
            };
            let matching =
                sets.iter().filter(|(set, _)| search.as_deref().is_none_or(|part| contains(set, part)));
            found.extend(matching.map(|(set, members)| (name.as_str(), set.as_str(), members.len())));
        }
        let total = found.len();
        let page = cut(&mut found, range, |(hub, name, _)| ((*hub).to_owned(), (*name).to_owned()));
        let named = |(hub, name, connections): &(&str, &str, usize)| Named {
            hub: (*hub).to_owned(),
            name: (*name).to_owned(),
            connections: *connections,
        };
        (total, page.iter().map(named).collect())
    }

    /// How many connections a message for these would go to.
    pub(crate) fn count_of(&self, hub: &str, target: super::Target<'_>) -> usize {
        let mut count = 0;
        self.each(hub, target, &[], |_| count += 1);
        count
    }

    /// How many are in each hub, in the order of the hubs' names.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        let hubs = self.read();
        let counts = hubs.by_name.iter().map(|(name, hub)| Counts {
            hub: name.clone(),
            connections: hub.members.len(),
            users: hub.users.len(),
            groups: hub.groups.len(),
        });
        let mut counts: Vec<_> = counts.collect();
        counts.sort_unstable_by(|a, b| a.hub.cmp(&b.hub));
        counts
    }

    /// What all connections have sent and got, those that have ended included.
    pub(crate) fn traffic(&self) -> Totals {
        let hubs = self.read();
        let mut totals = hubs.ended;
        for member in hubs.by_name.values().flat_map(|hub| hub.members.values()) {
            totals += member.outbox.traffic.totals();
        }
        totals
    }
}

impl Hub {
    /// The connections of a user and in a group, as far as these are named.
    fn matching<'h>(
        &'h self,
        filter: Filter<'h>,
    ) -> Box<dyn Iterator<Item = (&'h Arc<str>, &'h Member)> + 'h> {
        let set: Option<&'h Outboxes> = match (filter.user, filter.group) {
            (None, None) => return Box::new(self.members.iter()),
            (Some(user), _) => self.users.get(user),
            (None, Some(group)) => self.groups.get(group),
        };
        let members = set.into_iter().flatten().filter_map(|(id, _)| self.members.get_key_value(id));
        Box::new(
            members.filter(move |(_, member)| filter.group.is_none_or(|group| member.groups.contains(group))),
        )
    }
}

fn row(hub: &str, id: &Arc<str>, member: &Member) -> Row {
    Row {
        id: id.clone(),
        hub: hub.to_owned(),
        user: member.user.clone(),
        groups: first(&member.groups),
        group_count: member.groups.len(),
        outbox: member.outbox.clone(),
    }
}

fn first(groups: &HashSet<String>) -> Vec<String> {
    let mut names: Vec<&String> = groups.iter().collect();
    cut(&mut names, Range { offset: 0, limit: GROUPS }, |name| (*name).clone())
        .iter()
        .map(|name| (*name).clone())
        .collect()
}

/// A part of a list by the order of its keys. The rest is not sorted.
fn cut<T, K: Ord>(list: &mut [T], Range { offset, limit }: Range, key: impl Fn(&T) -> K) -> &mut [T] {
    let end = offset.saturating_add(limit).min(list.len());
    if end > 0 && end < list.len() {
        list.select_nth_unstable_by_key(end, &key);
    }
    let (page, _) = list.split_at_mut(end);
    page.sort_unstable_by_key(&key);
    page.get_mut(offset..).unwrap_or_default()
}

/// Whether a text contains another one, which is in lower case.
fn contains(text: &str, part: &str) -> bool {
    if text.is_ascii() && part.is_ascii() {
        let (text, part) = (text.as_bytes(), part.as_bytes());
        return part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part));
    }
    text.to_lowercase().contains(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::HubProtocol, server::connections::Target};

    /// Many connections of some users, every tenth of them in a group.
    fn filled(count: usize) -> Connections {
        let connections = Connections::default();
        for number in 0..count {
            let (outbox, _) = Outbox::new(HubProtocol::Json);
            outbox.traffic.received(1, 10);
            let hub = if number % 2 == 0 { "chat" } else { "news" };
            let (id, user) = (format!("c{number}"), format!("User {}", number % 50));
            connections.insert(hub, &id, Some(&user), outbox.into());
            if number % 10 == 0 {
                connections.add_to_group(hub, &id, "tenth");
            }
        }
        connections
    }

    fn ids(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| &*row.id).collect()
    }

    #[test]
    fn pages_are_in_the_order_of_coming_and_overlap_nowhere() {
        let connections = filled(1_000);
        let mut all = Vec::new();
        for offset in (0..1_200).step_by(150) {
            let (total, rows) = connections.page(Filter::default(), Range { offset, limit: 150 });
            assert_eq!(total, 1_000);
            all.extend(rows.into_iter().map(|row| row.id.to_string()));
        }
        let expected: Vec<_> = (0..1_000).map(|number| format!("c{number}")).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn filters_meet() {
        let connections = filled(100);
        let page = |filter| connections.page(filter, Range { offset: 0, limit: 3 });
        let (total, rows) = page(Filter { hub: Some("news"), ..Filter::default() });
        assert_eq!((total, ids(&rows)), (50, vec!["c1", "c3", "c5"]));
        let (total, rows) = page(Filter { user: Some("User 10"), ..Filter::default() });
        assert_eq!((total, ids(&rows)), (2, vec!["c10", "c60"]));
        let (total, rows) = page(Filter { group: Some("tenth"), ..Filter::default() });
        assert_eq!((total, ids(&rows)), (10, vec!["c0", "c10", "c20"]));
        assert_eq!((rows[0].groups.as_slice(), rows[0].group_count), (&["tenth".to_owned()][..], 1));
        let filter = Filter { user: Some("User 11"), group: Some("tenth"), ..Filter::default() };
        assert_eq!(page(filter).0, 0);
        let (total, rows) = page(Filter { search: Some("uSER 4"), ..Filter::default() });
        assert_eq!((total, ids(&rows)), (22, vec!["c4", "c40", "c41"]));
        assert_eq!(page(Filter { search: Some("C99"), ..Filter::default() }).0, 1);
    }

    #[test]
    fn users_and_groups_are_listed_with_their_connections() {
        let connections = filled(100);
        let range = Range { offset: 1, limit: 2 };
        let (total, users) = connections.named(Sets::Users, Some("chat"), Some("user 1"), range);
        let named = |name: &str, connections| Named { hub: "chat".into(), name: name.into(), connections };
        assert_eq!((total, users), (5, vec![named("User 12", 2), named("User 14", 2)]));
        let (total, groups) = connections.named(Sets::Groups, None, None, Range { offset: 0, limit: 9 });
        assert_eq!((total, groups), (1, vec![named("tenth", 10)]));
        let counts = connections.counts();
        let chat = Counts { hub: "chat".into(), connections: 50, users: 25, groups: 1 };
        assert_eq!((counts.len(), &counts[0]), (2, &chat));
        assert_eq!(connections.count_of("chat", Target::Group("tenth")), 10);
    }

    #[test]
    fn what_was_sent_is_remembered_after_a_connection_has_ended() {
        let connections = filled(10);
        let (before, version) = (connections.traffic(), connections.version());
        assert_eq!((before.messages_in, before.bytes_in), (10, 100));
        connections.remove("chat", "c0");
        assert_eq!(connections.traffic(), before);
        assert_ne!(connections.version(), version);
    }

    #[test]
    fn texts_are_found_in_any_case() {
        for (text, part, found) in
            [("Ärger", "ärg", true), ("abc", "", true), ("abc", "bC", true), ("ab", "abc", false)]
        {
            assert_eq!(contains(text, &part.to_lowercase()), found, "{text} {part}");
        }
    }
}

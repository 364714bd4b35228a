//! What a page sees live: an item at once, then one whenever something has changed, at most four a second, and at least one
//! every five seconds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep};

use super::{
    contract::{HubItem, Watch},
    source::{Source, Watched},
};
use crate::server::{
    HubError,
    observe::{Cursor, Observed, Watching},
    traffic::{Totals, now_ms},
};

/// The time from one look to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// An item comes after this time, whether something has changed or not.
const QUIET: Duration = Duration::from_secs(5);

/// How many requests of before are in the first item.
const HISTORY: usize = 200;

/// How many requests are in an item at most.
const MAX_REQUESTS: usize = 500;

/// How many hubs are listed.
const MAX_HUBS: usize = 200;

/// What has changed if this has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    version: u64,
    requests: u64,
    traffic: Totals,
}

struct Watcher {
    source: Arc<dyn Source>,
    /// Those who watch are counted.
    _watching: Vec<Watching>,
    cursors: Vec<Cursor>,
    told: Option<(Instant, Seen)>,
}

pub(super) fn watch(source: Arc<dyn Source>) -> impl Stream<Item = Result<Watch, HubError>> + Send + 'static {
    let watching: Vec<_> = source.rooms().iter().map(|watched| watched.room.observe().watch()).collect();
    let cursors = vec![Cursor::default(); watching.len()];
    let watcher = Watcher { source, _watching: watching, cursors, told: None };
    stream::unfold(watcher, |mut watcher| async move {
        let item = watcher.next().await;
        Some((Ok(item), watcher))
    })
}

impl Watcher {
    async fn next(&mut self) -> Watch {
        loop {
            let seen = self.look();
            let is_new = self.told.is_none_or(|(at, told)| told != seen || at.elapsed() >= QUIET);
            if is_new {
                // Between two items there is always a pause, even if the next one is asked for late.
                if let Some((at, _)) = self.told {
                    sleep(PAUSE.saturating_sub(at.elapsed())).await;
                }
                let seen = self.look();
                self.told = Some((Instant::now(), seen));
                return self.item(seen);
            }
            sleep(PAUSE).await;
        }
    }

    fn look(&self) -> Seen {
        let mut seen = Seen { version: 0, requests: 0, traffic: Totals::default() };
        for Watched { room, .. } in self.source.rooms() {
            seen.version += room.connections.version();
            seen.requests += room.observe().count();
            seen.traffic += room.connections.traffic();
        }
        seen
    }

    fn item(&mut self, seen: Seen) -> Watch {
        let (mut requests, mut missed) = (Vec::new(), 0);
        for (watched, cursor) in self.source.rooms().iter().zip(&mut self.cursors) {
            let (read, lost) = watched.room.observe().read(cursor, HISTORY);
            missed += lost;
            requests.extend(read.into_iter().map(|observed| named(watched, observed)));
        }
        if self.cursors.len() > 1 {
            requests.sort_unstable_by_key(|observed| observed.id);
            let surplus = requests.len().saturating_sub(MAX_REQUESTS);
            requests.drain(..surplus);
            missed += surplus as u64;
        }
        let (version, traffic) = (seen.version, seen.traffic);
        Watch { at: now_ms(), hubs: hubs(&*self.source), traffic, version, requests, missed }
    }
}

/// With the hub's name as the dashboard has it.
fn named(watched: &Watched, observed: Arc<Observed>) -> Arc<Observed> {
    match &watched.name {
        Some(name) => Arc::new(Observed { hub: Some(name.clone()), ..(*observed).clone() }),
        None => observed,
    }
}

/// The hubs in the order of their names, those without clients that app servers are there for included.
fn hubs(source: &dyn Source) -> Vec<HubItem> {
    let mut items: BTreeMap<String, HubItem> = BTreeMap::new();
    for watched in source.rooms() {
        let empty = |name: String| HubItem { name, connections: 0, users: 0, groups: 0, servers: None };
        if let Some(name) = &watched.name {
            items.insert(name.clone(), empty(name.clone()));
        }
        for counts in watched.room.connections.counts() {
            let name = watched.outer(counts.hub);
            let (connections, users, groups) = (counts.connections, counts.users, counts.groups);
            items.insert(name.clone(), HubItem { connections, users, groups, ..empty(name) });
        }
    }
    for (name, servers) in source.servers() {
        let empty = HubItem { name: name.clone(), connections: 0, users: 0, groups: 0, servers: None };
        items.entry(name).or_insert(empty).servers = Some(servers);
    }
    items.into_values().take(MAX_HUBS).collect()
}

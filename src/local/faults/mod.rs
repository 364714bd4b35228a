//! Faults on demand: what a client or an app server meets of a bad network and a service in trouble.

mod meeting;
mod rule;

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

pub use rule::{FaultKind, FaultRule, FaultScope, InvalidFault};

use rule::Met;

use crate::{
    core::HubProtocol,
    lock::{read, write},
    server::{
        connections::{Connections, Target},
        disturbance::{Disturb, Disturbed},
        message::Message,
        negotiated::Negotiation,
        outbox::Delivery,
        random::random_bytes,
    },
};

/// How many rules there may be.
const MAX_RULES: usize = 100;

/// How a connection is [cut](Faults::cut).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// Without a word, as by a broken network.
    Silently,
    /// With a Close message, after which a client does not come back.
    Close,
    /// With a Close message that has this error.
    Error(String),
    /// As if the authentication had expired: with a Close message that lets the client come back.
    Expired,
}

/// The faults of a [`LocalService`](super::LocalService). Clones are the same.
///
/// Rules say [when](FaultScope) what happens. Those about requests delay, refuse or never answer them; those of the kind
/// [`Message`](FaultKind::Message) delay or lose what is sent to connected clients. [`cut`](Self::cut) ends connections, once.
/// In a test in Rust they come from [`LocalService::faults`](super::LocalService::faults):
///
/// ```
/// use hubwire::local::{Cut, FaultKind, FaultRule, FaultScope, LocalService};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let local = LocalService::builder().start().await?;
/// let negotiate = FaultScope::of(FaultKind::Negotiate);
/// local.faults().set(vec![FaultRule::refuse(503).retry_after(1).when(negotiate).times(2)])?;
/// local.faults().cut(&FaultScope::new().hub("chat").user("alice"), &Cut::Silently);
/// local.faults().clear();
/// # Ok(())
/// # }
/// ```
///
/// Tests in other languages use HTTP, with the access key in the header `X-Hubwire-Key` or as a bearer token. Pages of other
/// sites are [refused](super::LocalServiceBuilder::allow_origin), as everywhere.
///
/// ```text
/// # The next two clients that negotiate are refused; every third message of the hub chat is lost.
/// curl -X PUT http://localhost:8888/_hubwire/faults -H "X-Hubwire-Key: $KEY" -d '[
///   { "when": { "kind": "negotiate" }, "do": { "status": 503, "retry_after": 1 }, "times": 2 },
///   { "when": { "kind": "message", "hub": "chat" }, "do": { "lose": true }, "every": 3 } ]'
///
/// # The rules, and how often each was met.
/// curl http://localhost:8888/_hubwire/faults -H "X-Hubwire-Key: $KEY"
///
/// # All connections of a user are gone, without a word.
/// curl http://localhost:8888/_hubwire/cut -H "X-Hubwire-Key: $KEY" -d '{ "when": { "user": "alice" }, "how": "silently" }'
///
/// # No faults any more.
/// curl -X DELETE http://localhost:8888/_hubwire/faults -H "X-Hubwire-Key: $KEY"
/// ```
///
/// `POST /_hubwire/keys/primary` and `…/secondary` do what [`regenerate_key`](super::LocalService::regenerate_key) does; the
/// answer is `{"accessKey": "…"}`, and the old key is refused from then on, here as well.
///
/// | member of `when` | what it is compared with |
/// | --- | --- |
/// | `kind` | `negotiate`, `connect` (a WebSocket, an event stream, a first poll), `poll`, `send` (of clients without a WebSocket), `rest`, `server` (server connections), `token` (Entra and managed identities), `message` (what goes to connected clients); without it, all requests |
/// | `path` | the beginning of the path of a request |
/// | `hub`, `user` | the hub; the user of a client, or the one that a path of the REST API names |
/// | `connection`, `group` | a client's connection id, for messages and cuts; a group, for cuts |
///
/// | member of `do` | what happens |
/// | --- | --- |
/// | `delay_ms` | it takes so much longer, up to ten minutes; with messages, each write to the client |
/// | `status`, `retry_after` | the request is refused with this status, and the header `Retry-After` |
/// | `expire` | the token of the request is refused as expired (401) |
/// | `silence` | requests are never answered, until the rules change; connected clients get nothing at all, not even pings |
/// | `lose` | a message that a hub or the REST API sends to a client is lost |
///
/// `times` says for how many requests or messages a rule holds, `every` that it holds for each third (or so) only,
/// `probability` for which share of them.
///
/// `how` of a cut is `silently` (as by a broken network), `close` (a Close message, after which clients do not come back),
/// `error` (one with an error) or `expired` (as if the authentication had expired: clients may come back).
#[derive(Debug, Clone)]
pub struct Faults(Arc<State>);

#[derive(Debug)]
struct State {
    rules: RwLock<Vec<Arc<Armed>>>,
    /// Whether there is any rule at all, which nearly never is so.
    is_any: AtomicBool,
    /// Ends silence.
    changed: watch::Sender<()>,
    connections: Arc<Connections>,
}

/// A rule with what it has met.
#[derive(Debug)]
struct Armed {
    rule: FaultRule,
    met: AtomicU64,
    hits: AtomicU64,
}

/// What all the rules together do with it.
#[derive(Debug, Default)]
pub(super) struct Fault {
    delay: Duration,
    status: Option<(u16, Option<u32>)>,
    expires: bool,
    silence: bool,
    lost: bool,
}

impl Armed {
    /// Whether the rule holds for what it has met.
    fn holds(&self) -> bool {
        let met = self.met.fetch_add(1, Ordering::Relaxed) + 1;
        let rule = &self.rule;
        if rule.every.is_some_and(|every| !met.is_multiple_of(every.into())) {
            return false;
        }
        if rule
            .probability
            .is_some_and(|share| f64::from(u32::from_le_bytes(random_bytes())) >= share * 2f64.powi(32))
        {
            return false;
        }
        let limit = rule.times.map_or(u64::MAX, u64::from);
        let one_more = |hits| (hits < limit).then_some(hits + 1);
        self.hits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl Faults {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self(Arc::new(State {
            rules: RwLock::default(),
            is_any: AtomicBool::new(false),
            changed: watch::Sender::new(()),
            connections,
        }))
    }

    /// Sets the rules in the place of those before. They hold for what comes from now on.
    ///
    /// # Errors
    /// [`InvalidFault`] says what cannot be; nothing has changed then.
    pub fn set(&self, rules: Vec<FaultRule>) -> Result<(), InvalidFault> {
        if rules.len() > MAX_RULES {
            return Err(InvalidFault::TooMany { limit: MAX_RULES });
        }
        rules.iter().try_for_each(FaultRule::check)?;
        let armed = |rule| Arc::new(Armed { rule, met: AtomicU64::new(0), hits: AtomicU64::new(0) });
        let rules: Vec<_> = rules.into_iter().map(armed).collect();
        let is_any = !rules.is_empty();
        *write(&self.0.rules) = rules;
        self.0.is_any.store(is_any, Ordering::Release);
        self.0.changed.send_replace(());
        Ok(())
    }

    /// Ends all faults.
    pub fn clear(&self) {
        // Nothing can be wrong with no rules.
        let _ = self.set(Vec::new());
    }

    /// The rules, each with how often it has held.
    #[must_use]
    pub fn rules(&self) -> Vec<(FaultRule, u64)> {
        let rules = read(&self.0.rules);
        rules.iter().map(|armed| (armed.rule.clone(), armed.hits.load(Ordering::Relaxed))).collect()
    }

    /// Ends connections of clients. Returns how many there were.
    pub fn cut(&self, whom: &FaultScope, how: &Cut) -> usize {
        let connections = &self.0.connections;
        let mut count = 0;
        for hub in connections.hubs() {
            if whom.hub.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&hub)) {
                continue;
            }
            let ids = connections.matching(&hub, |id, user, groups| {
                whom.connection.as_deref().is_none_or(|wanted| wanted == id)
                    && whom.user.as_deref().is_none_or(|wanted| Some(wanted) == user)
                    && whom.group.as_deref().is_none_or(|wanted| groups.contains(wanted))
            });
            count += ids.len();
            for id in ids {
                connections.each(&hub, Target::Connection(&id), &[], |outbox| match how {
                    Cut::Silently => outbox.cut(),
                    Cut::Close => outbox.close(None),
                    Cut::Error(error) => outbox.close(Some(error)),
                    Cut::Expired => outbox.close_for_now(None),
                });
            }
        }
        count
    }

    /// What the rules do with what is met, those of `wanted` alone.
    fn meet(&self, met: Met<'_>, wanted: impl Fn(&FaultRule) -> bool) -> Fault {
        let mut fault = Fault::default();
        if !self.0.is_any.load(Ordering::Acquire) {
            return fault;
        }
        let rules = read(&self.0.rules).clone();
        for armed in rules.iter().filter(|armed| wanted(&armed.rule) && armed.rule.when.matches(&met)) {
            if !armed.holds() {
                continue;
            }
            let action = &armed.rule.action;
            fault.delay += Duration::from_millis(action.delay_ms.unwrap_or_default());
            fault.status = fault.status.or(action.status.map(|status| (status, action.retry_after)));
            fault.expires |= action.expire;
            fault.silence |= action.silence;
            fault.lost |= action.lose;
        }
        fault
    }

    /// How messages get into the queue of a client: some not at all.
    pub(super) fn delivery(&self, protocol: HubProtocol, client: &Negotiation) -> Delivery {
        let (faults, client) = (self.clone(), client.clone());
        let gate = move |message: &Message| {
            let Negotiation { hub, user, connection_id, .. } = &client;
            message.frame(protocol).filter(|_| !faults.loses(hub, user.as_deref(), connection_id))
        };
        Delivery { gate: Some(Box::new(gate)), ..Delivery::default() }
    }

    /// Whether a message of a hub or of the REST API is lost on its way to a client.
    pub(super) fn loses(&self, hub: &str, user: Option<&str>, connection: &str) -> bool {
        self.meet(message(hub, user, connection), |rule| rule.action.lose).lost
    }
}

fn message<'m>(hub: &'m str, user: Option<&'m str>, connection: &'m str) -> Met<'m> {
    let (hub, connection) = (Some(hub), Some(connection));
    Met { kind: FaultKind::Message, path: "", hub, user, connection }
}

/// What is written to a client's transport.
impl Disturb for Faults {
    fn written(&self, hub: &str, user: Option<&str>, connection: &str) -> Disturbed {
        let fault = self.meet(message(hub, user, connection), |rule| !rule.action.lose);
        Disturbed { delay: fault.delay, is_lost: fault.silence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_as_often_as_it_says() {
        let faults = Faults::new(Arc::default());
        let count = |rule: FaultRule| {
            faults.set(vec![rule.when(FaultScope::of(FaultKind::Message))]).expect("it is valid");
            (0..100).filter(|_| faults.loses("chat", None, "1")).count()
        };
        assert_eq!(count(FaultRule::lose()), 100);
        assert_eq!(count(FaultRule::lose().times(7)), 7);
        assert_eq!(count(FaultRule::lose().every(3)), 33);
        assert_eq!(count(FaultRule::lose().every(3).times(2)), 2);
        assert_eq!(count(FaultRule::lose().probability(0.0)), 0);
        assert_eq!(count(FaultRule::lose().probability(1.0)), 100);
        assert!((5..96).contains(&count(FaultRule::lose().probability(0.5))));
        assert_eq!(faults.rules()[0].0.probability, Some(0.5));
        faults.clear();
        assert!(faults.rules().is_empty() && !faults.loses("chat", None, "1"));
    }
}

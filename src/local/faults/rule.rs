//! Rules for faults, in Rust and as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::IgnoredAny};

/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// The longest name that a rule may have.
const MAX_NAME: usize = 1024;

/// What a fault happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FaultKind {
    /// A client negotiates.
    Negotiate,
    /// A client opens a WebSocket or an event stream, or polls for the first time.
    Connect,
    /// A client polls.
    Poll,
    /// A client without a WebSocket sends something.
    Send,
    /// A request of the REST API.
    Rest,
    /// An app server opens a server connection.
    Server,
    /// A token is asked of the Entra authority or of a managed identity.
    Token,
    /// Something is sent to a connected client.
    Message,
}

/// What a rule is about. What is not said is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultScope {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<FaultKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
}

/// A request or a message, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met<'m> {
    pub(super) kind: FaultKind,
    pub(super) path: &'m str,
    pub(super) hub: Option<&'m str>,
    pub(super) user: Option<&'m str>,
    pub(super) connection: Option<&'m str>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<u32>,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) expire: bool,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) silence: bool,
    #[serde(skip_serializing_if = "is_off")]
    pub(super) lose: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_off(flag: &bool) -> bool {
    !flag
}

/// What happens when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a rule does nothing until it is set"]
pub struct FaultRule {
    #[serde(default)]
    pub(super) when: FaultScope,
    #[serde(rename = "do")]
    pub(super) action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) probability: Option<f64>,
    /// What was read may be set again, with how often it has held.
    #[serde(default, rename = "hits", skip_serializing)]
    _hits: Option<IgnoredAny>,
}

/// Why rules are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFault {
    /// There are more than can be looked through for each request.
    #[error("there may be {limit} rules at a time")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// A rule does nothing.
    #[error("a rule needs something to do: delay_ms, status, expire, silence or lose")]
    Nothing,
    /// The status does not refuse a request.
    #[error("{status} does not refuse a request; a status is from 300 to 599")]
    Status {
        /// What was given.
        status: u16,
    },
    /// A delay is longer than ten minutes.
    #[error("a delay has ten minutes at most; silence has no end")]
    Delay,
    /// A rule about messages refuses requests, or one about requests loses messages.
    #[error("status and expire are for requests, lose is for the kind message")]
    Kind,
    /// A rule about requests names a connection, or a rule a group: those have to be looked up.
    #[error("a connection is for rules about messages and for cuts, a group for cuts alone")]
    Scope,
    /// A share of less than nothing or more than everything, or each zeroth.
    #[error("probability is from 0 to 1, and every is 1 or more")]
    Share,
    /// A name is longer than any can be.
    #[error("a name or a path in a rule has at most 1024 characters")]
    Name,
}

impl FaultScope {
    /// Whether it is about requests, too: a cut has none.
    pub(in crate::local) fn names_requests(&self) -> bool {
        self.kind.is_some() || self.path.is_some()
    }

    /// Everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything of a kind.
    #[must_use]
    pub fn of(kind: FaultKind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Requests whose path begins like this.
    #[must_use]
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// What concerns a hub.
    #[must_use]
    pub fn hub(self, hub: impl Into<String>) -> Self {
        Self { hub: Some(hub.into()), ..self }
    }

    /// What concerns a user.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// What concerns a client's connection, by its connection id.
    #[must_use]
    pub fn connection(self, id: impl Into<String>) -> Self {
        Self { connection: Some(id.into()), ..self }
    }

    /// The connections in a group, to be [cut](super::Faults::cut).
    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    pub(super) fn matches(&self, met: &Met<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let hub = self
            .hub
            .as_deref()
            .is_none_or(|wanted| met.hub.is_some_and(|hub| hub.eq_ignore_ascii_case(wanted)));
        self.kind.map_or(met.kind != FaultKind::Message, |kind| kind == met.kind)
            && self.path.as_deref().is_none_or(|path| met.path.starts_with(path))
            && hub
            && is(&self.user, met.user)
            && is(&self.connection, met.connection)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        [&self.path, &self.hub, &self.user, &self.connection, &self.group].into_iter().flatten()
    }
}

impl FaultRule {
    fn doing(action: Action) -> Self {
        let when = FaultScope::new();
        Self { when, action, times: None, every: None, probability: None, _hits: None }
    }

    /// It takes so much longer, up to ten minutes. A message's delay holds up those after it.
    pub fn delay(delay: Duration) -> Self {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self::doing(Action { delay_ms: Some(delay_ms), ..Action::default() })
    }

    /// Requests are refused with this status.
    pub fn refuse(status: u16) -> Self {
        Self::doing(Action { status: Some(status), ..Action::default() })
    }

    /// Requests are refused as if their tokens had expired.
    pub fn expire() -> Self {
        Self::doing(Action { expire: true, ..Action::default() })
    }

    /// Requests are not answered until the rules change, and connected clients get nothing, not even pings.
    pub fn silence() -> Self {
        Self::doing(Action { silence: true, ..Action::default() })
    }

    /// Messages that a hub or the REST API sends to clients are lost, for the kind [`FaultKind::Message`].
    pub fn lose() -> Self {
        Self::doing(Action { lose: true, ..Action::default() })
    }

    /// What it is about. Without it, every request.
    pub fn when(self, when: FaultScope) -> Self {
        Self { when, ..self }
    }

    /// The seconds in the header `Retry-After` of a refusal.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.action.retry_after = Some(seconds);
        self
    }

    /// It holds so many times, and never again.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// It holds for each third, or so, of what it is about.
    pub fn every(self, every: u32) -> Self {
        Self { every: Some(every), ..self }
    }

    /// It holds for this share of what it is about, from 0 to 1.
    pub fn probability(self, share: f64) -> Self {
        Self { probability: Some(share), ..self }
    }

    pub(super) fn check(&self) -> Result<(), InvalidFault> {
        let Action { delay_ms, status, expire, silence, lose, .. } = self.action;
        if delay_ms.is_none() && status.is_none() && !expire && !silence && !lose {
            return Err(InvalidFault::Nothing);
        }
        if let Some(status) = status.filter(|status| !(300..600).contains(status)) {
            return Err(InvalidFault::Status { status });
        }
        if delay_ms.is_some_and(|delay| Duration::from_millis(delay) > MAX_DELAY) {
            return Err(InvalidFault::Delay);
        }
        let is_message = self.when.kind == Some(FaultKind::Message);
        if if is_message { status.is_some() || expire } else { lose } {
            return Err(InvalidFault::Kind);
        }
        if self.when.group.is_some() || (self.when.connection.is_some() && !is_message) {
            return Err(InvalidFault::Scope);
        }
        if self.every == Some(0) || self.probability.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(InvalidFault::Share);
        }
        if self.when.names().any(|name| name.len() > MAX_NAME) {
            return Err(InvalidFault::Name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        let message = FaultScope::of(FaultKind::Message);
        let long = FaultScope::new().path("x".repeat(1025));
        for (rule, error) in [
            (FaultRule::doing(Action::default()), InvalidFault::Nothing),
            (FaultRule::refuse(200), InvalidFault::Status { status: 200 }),
            (FaultRule::refuse(600), InvalidFault::Status { status: 600 }),
            (FaultRule::delay(Duration::MAX), InvalidFault::Delay),
            (FaultRule::refuse(500).when(message.clone()), InvalidFault::Kind),
            (FaultRule::lose(), InvalidFault::Kind),
            (FaultRule::silence().when(FaultScope::new().connection("1")), InvalidFault::Scope),
            (FaultRule::silence().when(message.clone().group("g")), InvalidFault::Scope),
            (FaultRule::silence().every(0), InvalidFault::Share),
            (FaultRule::silence().probability(f64::NAN), InvalidFault::Share),
            (FaultRule::silence().when(long), InvalidFault::Name),
        ] {
            assert_eq!(rule.check(), Err(error), "{rule:?}");
        }
        assert_eq!(FaultRule::lose().when(message.connection("1")).check(), Ok(()));
    }
}

//! The claims of a client token, its times and its size.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::{
    core::{
        negotiate::Transports,
        token::{
            SERVICE_LIMIT,
            claims::{CLOSES_ON_EXPIRY, EXPIRY, LAST_SECOND, USER, is_of_token, is_reserved, renamed},
        },
    },
    service::{
        error::ServiceError,
        jwt::{self, Validity},
        negotiate::options::NegotiateOptions,
    },
};

pub(in crate::service) type Claims = Vec<(String, Value)>;

/// A client token. `audience` is `{audience base}client/?hub={hub}`.
pub(in crate::service) fn sign(
    key: &jwt::Key,
    audience: &str,
    claims: Claims,
    validity: Validity,
) -> Result<String, ServiceError> {
    let token = key.sign(claims.iter().map(|(n, v)| (n, v)), validity, audience);
    if token.len() > SERVICE_LIMIT {
        let mut largest: Vec<_> =
            claims.into_iter().map(|(name, value)| (name, value.to_string().chars().count())).collect();
        largest.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
        largest.truncate(3);
        return Err(ServiceError::TokenTooLong { length: token.len(), largest });
    }
    Ok(token)
}

/// From now until the lifetime is over, or what the client has authenticated with.
pub(in crate::service) fn validity(options: &NegotiateOptions, now: u64) -> Result<Validity, ServiceError> {
    let lifetime = options.lifetime.as_secs().checked_add(u64::from(options.lifetime.subsec_nanos() > 0));
    let expires_at =
        lifetime.filter(|&s| s > 0).and_then(|s| now.checked_add(s)).filter(|&at| at <= LAST_SECOND);
    let mut expires_at = expires_at.ok_or(ServiceError::InvalidLifetime)?;
    if let Some(end) = authentication_expiry(options) {
        if end <= now {
            return Err(ServiceError::AuthenticationExpired);
        }
        expires_at = expires_at.min(end);
    }
    Ok(Validity { issued_at: now, expires_at })
}

fn authentication_expiry(options: &NegotiateOptions) -> Option<u64> {
    let end = options.authentication_expiry?.duration_since(SystemTime::UNIX_EPOCH);
    Some(end.unwrap_or_default().as_secs().min(LAST_SECOND))
}

/// When the connection is no longer authenticated, as far as the options say it: where it closes then, and nothing else
/// is said, with its token.
pub(in crate::service) fn deadline(options: &NegotiateOptions, expires_at: u64) -> Option<u64> {
    authentication_expiry(options).or(options.close_on_expiry.then_some(expires_at))
}

/// The claims in their order, each name once.
pub(in crate::service) fn claims(
    options: &NegotiateOptions,
    expires_at: u64,
) -> Result<Claims, ServiceError> {
    let mut claims: Claims = Vec::with_capacity(options.claims.len() + 1);
    let mut own = |name: &str, value: String| claims.push((name.to_owned(), Value::from(value)));
    if let Some(user_id) = &options.user_id {
        if user_id.trim().is_empty() {
            return Err(ServiceError::EmptyUserId);
        }
        check(USER, user_id, options)?;
        own(USER, user_id.clone());
    }
    if let Some((server_id, mode)) = &options.sticky {
        own("asrs.s.sn", server_id.clone());
        own("asrs.s.ssticky", (*mode).to_owned());
    }
    if options.diagnostic {
        own("asrs.s.dc", "true".to_owned());
    }
    if let Some(timeout) = options.handshake_timeout {
        let seconds = whole_seconds(timeout, 30, "handshake timeout", "1 to 30 seconds")?;
        // What is the default anyway is not said.
        if seconds != 15 {
            own("asrs.s.cht", seconds.to_string());
        }
    }
    if let Some(count) = options.endpoint_count.filter(|&count| count > 1) {
        own("asrs.s.secn", count.to_string());
    }
    if options.detailed_errors {
        // Written as .NET writes it.
        own("asrs.s.derror", "True".to_owned());
    }
    if let Some(interval) = options.long_poll_interval {
        let seconds = whole_seconds(interval, 300, "long-poll interval", "1 to 300 seconds")?;
        own("asrs.s.ttl", seconds.to_string());
    }
    if let Some(transports) = options.transports {
        if transports == Transports::NONE {
            return Err(ServiceError::InvalidOption {
                option: "transports",
                range: "at least one of the three",
            });
        }
        own("asrs.s.htt", transports.mask().to_string());
    }
    if options.close_on_expiry {
        own(CLOSES_ON_EXPIRY, "true".to_owned());
        own(EXPIRY, deadline(options, expires_at).unwrap_or(expires_at).to_string());
    }
    for (name, value) in &options.claims {
        if is_reserved(name) {
            return Err(ServiceError::ReservedClaim { name: name.clone() });
        }
        check(name, value, options)?;
        // Only the first `sub` is the token's subject.
        let taken = name == "sub" && claims.iter().any(|(known, _)| known == "sub");
        let is_renamed = taken || is_of_token(name);
        let name = if is_renamed { renamed(name) } else { name.clone() };
        add(&mut claims, name, value);
    }
    Ok(claims)
}

/// Adds a claim. A name that occurs several times becomes a list.
pub(in crate::service) fn add(claims: &mut Claims, name: String, value: &str) {
    let value = Value::from(value);
    match claims.iter_mut().find(|(known, _)| *known == name) {
        Some((_, Value::Array(values))) => values.push(value),
        Some((_, first)) => *first = Value::Array(vec![first.take(), value]),
        None => claims.push((name, value)),
    }
}

/// Whether a claim reaches an upstream as it is, where there is one that reads claims. A header has no control characters: with one, all claims would be lost.
fn check(name: &str, value: &str, options: &NegotiateOptions) -> Result<(), ServiceError> {
    let invalid = |reason| Err(ServiceError::InvalidClaim { name: name.to_owned(), reason });
    if name.is_empty() {
        return invalid("it has no name");
    }
    if options.ambiguous_claims {
        return Ok(());
    }
    if name.chars().chain(value.chars()).any(char::is_control) {
        return invalid("it has a control character, such as a line break");
    }
    if reads_as_another(name, value) {
        return Err(ServiceError::AmbiguousClaim { name: name.to_owned() });
    }
    Ok(())
}

/// Whether an upstream could take a claim for another one. The service writes `name: value, name: value` and escapes
/// nothing; upstreams split that at commas and colons, with or without the blanks.
fn reads_as_another(name: &str, value: &str) -> bool {
    let other_value = value.split_once(',').is_some_and(|(_, rest)| rest.contains(':'));
    other_value || name.contains(',') || name.contains(": ") || name.trim() != name
}

fn whole_seconds(
    time: Duration,
    longest: u64,
    option: &'static str,
    range: &'static str,
) -> Result<u64, ServiceError> {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    if (1..=longest).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(ServiceError::InvalidOption { option, range })
    }
}

//! What the headers of HTTP answers say, on whichever platform they are read.

use std::time::Duration;

/// The longest pause that `Retry-After` can ask for. A server, or whatever answers in its place, must not be able to
/// put a client to sleep forever: what is longer counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The pause that a `Retry-After` header asks for (RFC 9110, 10.2.3): a whole number of seconds. A date is ignored: it
/// would need both clocks to agree, and SignalR's servers send none.
///
/// ```
/// # #[cfg(feature = "unstable-machines")] {
/// use std::time::Duration;
/// use hubwire::core::http::{MAX_RETRY_AFTER, retry_after};
///
/// assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after("18446744073709551616"), Some(MAX_RETRY_AFTER));
/// assert_eq!(retry_after("soon"), None);
/// # }
/// ```
#[must_use]
pub fn retry_after(value: &str) -> Option<Duration> {
    let digits = value.trim_matches([' ', '\t']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // All that cannot be parsed now is too large a number.
    Some(digits.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER))
}

/// Whether a request that was refused with this status may succeed later.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_and_capped() {
        for (value, seconds) in [
            ("0", Some(0)),
            (" 7\t", Some(7)),
            ("007", Some(7)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("18446744073709551615", Some(3600)),
            ("18446744073709551616", Some(3600)),
            (&"9".repeat(10_000), Some(3600)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("1 2", None),
            ("\u{663}", None),
            ("nonsense", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ] {
            assert_eq!(retry_after(value), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}

//! Times as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// Reads a time: a number with `ms`, `s`, `m`, `h` or `d`, such as `90s` or `1.5h`; seconds where no unit is given.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "it is a number with ms, s, m, h or d, such as 90s or 1.5h";
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(FORM),
    };
    let number: f64 = number.parse().map_err(|_| FORM)?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "it is too long")
}

/// A length of time as people write it, in arguments and in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a time above zero.
pub(super) fn parse_positive(text: &str) -> Result<Duration, &'static str> {
    parse(text).and_then(|time| if time.is_zero() { Err("it has to be longer than 0s") } else { Ok(time) })
}

/// Longer ones are mistakes: a token cannot be taken back.
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads how long a token lasts.
pub(super) fn parse_lifetime(text: &str) -> Result<Duration, &'static str> {
    parse(text).and_then(check_lifetime)
}

/// Refuses what a token cannot last.
pub(super) fn check_lifetime(time: Duration) -> Result<Duration, &'static str> {
    if (Duration::from_secs(1)..=LONGEST_LIFETIME).contains(&time) {
        Ok(time)
    } else {
        Err("a token lasts from 1s to 365d")
    }
}

/// A time in words, in its two largest units: `1 h 5 min`.
pub(super) fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |large: u64, large_name: &str, small: u64, small_name: &str| match small {
        0 => format!("{large} {large_name}"),
        small => format!("{large} {large_name} {small} {small_name}"),
    };
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86400, if seconds < 2 * 86400 { "day" } else { "days" }, seconds / 3600 % 24, "h"),
    }
}

/// A time as milliseconds with one decimal.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in [
            ("5", 5000),
            ("250ms", 250),
            ("90s", 90_000),
            ("1.5h", 5_400_000),
            ("2 m", 120_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1s", "1 week", "1e3", "99999999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for (seconds, text) in
            [(59, "59 s"), (60, "1 min"), (3661, "1 h 1 min"), (86_400, "1 day"), (200_000, "2 days 7 h")]
        {
            assert_eq!(words(Duration::from_secs(seconds)), text);
        }
    }
}

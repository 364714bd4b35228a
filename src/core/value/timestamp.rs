//! Points in time in either protocol.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use time::{Date, Month};

/// The years 1 to 9999 in seconds since 1970, which are what .NET knows.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The Julian day of 1970-01-01.
const EPOCH_DAY: i32 = 2_440_588;

const DAY: i64 = 86_400;

/// How far from UTC a zone may be, in minutes; .NET has the same limit.
const MAX_OFFSET: i16 = 14 * 60;

/// The type of the extension that MessagePack has for timestamps.
const EXTENSION: i8 = -1;

/// The name by which rmp-serde knows an extension.
const EXTENSION_NAME: &str = "_ExtStruct";

/// A moment: a `DateTime` or a `DateTimeOffset` of .NET, a `Date` of JavaScript's MessagePack.
///
/// In JSON it is ISO 8601 text. In MessagePack it is a timestamp; with [`Zone::Offset`] a pair of the local time and
/// the offset in minutes, which is how .NET writes a `DateTimeOffset` and the only thing that it reads as one. Both
/// are read in either protocol, since a hub passes on what it got from a client of the other one.
///
/// It lies in the years 1 to 9999 and counts nanoseconds; .NET cuts them down to tenths of a microsecond.
///
/// ```
/// use std::time::SystemTime;
/// use hubwire::{Timestamp, Zone};
///
/// let start: Timestamp = "2026-11-24T10:30:00.5Z".parse()?;
/// assert_eq!((start.unix_seconds(), start.nanoseconds()), (1_795_516_200, 500_000_000));
/// let there = start.with_zone(Zone::Offset(120))?;
/// assert_eq!(there.to_string(), "2026-11-24T12:30:00.5+02:00");
/// let now = Timestamp::try_from(SystemTime::now())?;
/// assert!(now.unix_seconds() > start.unix_seconds() - 1_000_000_000);
/// # Ok::<(), hubwire::TimestampError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
    zone: Zone,
}

/// How the time of a [`Timestamp`] is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Zone {
    /// In UTC, with a `Z`: a `DateTime` of the kind `Utc`.
    #[default]
    Utc,
    /// So many minutes ahead of UTC: a `DateTimeOffset`.
    Offset(i16),
    /// Without a zone: a `DateTime` of the kind `Unspecified`. It counts as UTC, as in MessagePack, which does not
    /// know the difference.
    Unspecified,
}

/// Why something is not a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The text is not a date and time.
    #[error("expected a date and time in ISO 8601, such as 2026-11-24T10:30:00Z")]
    Format,
    /// There is no such moment in the years 1 to 9999.
    #[error("a timestamp has to lie in the years 1 to 9999, with less than 1 000 000 000 nanoseconds")]
    Range,
    /// The zone is too far from UTC.
    #[error("an offset from UTC has to be 14 hours at most")]
    Offset,
}

impl Timestamp {
    /// So many seconds and nanoseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// [`TimestampError::Range`].
    pub fn from_unix(seconds: i64, nanoseconds: u32) -> Result<Self, TimestampError> {
        Self { seconds, nanoseconds, zone: Zone::Utc }.checked()
    }

    /// The whole seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// The nanoseconds since the whole second.
    #[must_use]
    pub fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// How it is written.
    #[must_use]
    pub fn zone(self) -> Zone {
        self.zone
    }

    /// The same moment, written in another zone.
    ///
    /// # Errors
    /// [`TimestampError::Offset`], and [`TimestampError::Range`] when its date there is not in the years 1 to 9999.
    pub fn with_zone(self, zone: Zone) -> Result<Self, TimestampError> {
        Self { zone, ..self }.checked()
    }

    fn checked(self) -> Result<Self, TimestampError> {
        match self.zone {
            Zone::Offset(minutes) if !(-MAX_OFFSET..=MAX_OFFSET).contains(&minutes) => {
                Err(TimestampError::Offset)
            }
            _ if self.nanoseconds > 999_999_999 => Err(TimestampError::Range),
            _ => match self.local_seconds() {
                Some(local) if SECONDS.contains(&local) => Ok(self),
                _ => Err(TimestampError::Range),
            },
        }
    }

    /// The seconds that a clock in its zone shows.
    fn local_seconds(self) -> Option<i64> {
        match self.zone {
            Zone::Offset(minutes) => self.seconds.checked_add(i64::from(minutes) * 60),
            Zone::Utc | Zone::Unspecified => Some(self.seconds),
        }
    }

    /// The other way round.
    fn from_local(seconds: i64, nanoseconds: u32, zone: Zone) -> Result<Self, TimestampError> {
        let behind = if let Zone::Offset(minutes) = zone { i64::from(minutes) * 60 } else { 0 };
        let seconds = seconds.checked_sub(behind).ok_or(TimestampError::Range)?;
        Self { seconds, nanoseconds, zone }.checked()
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = TimestampError;

    fn try_from(time: SystemTime) -> Result<Self, TimestampError> {
        let (seconds, nanoseconds) = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => (i64::try_from(after.as_secs()).ok(), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                let seconds = i64::try_from(before.as_secs()).ok().map(|seconds| -seconds);
                match before.subsec_nanos() {
                    0 => (seconds, 0),
                    // The nanoseconds count forwards, from the second before.
                    some => (seconds.and_then(|seconds| seconds.checked_sub(1)), 1_000_000_000 - some),
                }
            }
        };
        Self::from_unix(seconds.ok_or(TimestampError::Range)?, nanoseconds)
    }
}

impl TryFrom<Timestamp> for SystemTime {
    type Error = TimestampError;

    /// Fails where the system's clock does not reach that far, as that of Windows before 1601.
    fn try_from(timestamp: Timestamp) -> Result<Self, TimestampError> {
        let seconds = Duration::from_secs(timestamp.seconds.unsigned_abs());
        let second = if timestamp.seconds < 0 {
            UNIX_EPOCH.checked_sub(seconds)
        } else {
            UNIX_EPOCH.checked_add(seconds)
        };
        second
            .and_then(|second| second.checked_add(Duration::from_nanos(timestamp.nanoseconds.into())))
            .ok_or(TimestampError::Range)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.local_seconds().unwrap_or_default();
        let day = i32::try_from(local.div_euclid(DAY)).unwrap_or_default().saturating_add(EPOCH_DAY);
        let (year, month, day) = Date::from_julian_day(day).map_err(|_| fmt::Error)?.to_calendar_date();
        let second = local.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month))?;
        if self.nanoseconds > 0 {
            let (mut fraction, mut digits) = (self.nanoseconds, 9);
            while fraction.is_multiple_of(10) {
                fraction /= 10;
                digits -= 1;
            }
            write!(f, ".{fraction:0digits$}")?;
        }
        match self.zone {
            Zone::Utc => f.write_str("Z"),
            Zone::Unspecified => Ok(()),
            Zone::Offset(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let minutes = minutes.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// Reads `2026-11-24`, with `T10:30`, with `:00`, with `.5`, with `Z`, `+02:00` or no zone.
impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let mut rest = text.as_bytes();
        let year = digits(&mut rest, 4)?;
        separator(&mut rest, b'-')?;
        let month = digits(&mut rest, 2)?;
        separator(&mut rest, b'-')?;
        let day = digits(&mut rest, 2)?;
        let date = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok()).and_then(|month| {
            Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
        });
        let date = date.ok_or(TimestampError::Format)?;
        let (mut second, mut nanoseconds, mut zone) = (0, 0, Zone::Unspecified);
        if !rest.is_empty() {
            separator(&mut rest, b'T')?;
            let hours = number(&mut rest, 23)?;
            separator(&mut rest, b':')?;
            let minutes = number(&mut rest, 59)?;
            second = hours * 3600 + minutes * 60;
            if separator(&mut rest, b':').is_ok() {
                second += number(&mut rest, 59)?;
                if separator(&mut rest, b'.').is_ok() {
                    nanoseconds = fraction(&mut rest)?;
                }
            }
            zone = read_zone(&mut rest)?;
        }
        if !rest.is_empty() {
            return Err(TimestampError::Format);
        }
        let days = date.to_julian_day() - EPOCH_DAY;
        Self::from_local(i64::from(days) * DAY + i64::from(second), nanoseconds, zone)
    }
}

fn separator(rest: &mut &[u8], wanted: u8) -> Result<(), TimestampError> {
    match rest.split_first() {
        Some((&byte, tail)) if byte == wanted => {
            *rest = tail;
            Ok(())
        }
        _ => Err(TimestampError::Format),
    }
}

fn digits(rest: &mut &[u8], count: usize) -> Result<u32, TimestampError> {
    let (digits, tail) = rest.split_at_checked(count).ok_or(TimestampError::Format)?;
    *rest = tail;
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + u32::from(digit - b'0')),
        _ => Err(TimestampError::Format),
    })
}

/// Two digits.
fn number(rest: &mut &[u8], max: u32) -> Result<u32, TimestampError> {
    let number = digits(rest, 2)?;
    if number <= max { Ok(number) } else { Err(TimestampError::Format) }
}

/// The digits of a fraction as nanoseconds; what is finer is cut off.
fn fraction(rest: &mut &[u8]) -> Result<u32, TimestampError> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err(TimestampError::Format);
    }
    let (all, tail) = rest.split_at_checked(count).ok_or(TimestampError::Format)?;
    *rest = tail;
    Ok((0..9).fold(0, |number, n| number * 10 + u32::from(all.get(n).map_or(0, |digit| digit - b'0'))))
}

fn read_zone(rest: &mut &[u8]) -> Result<Zone, TimestampError> {
    let Some((&first, tail)) = rest.split_first() else { return Ok(Zone::Unspecified) };
    *rest = tail;
    let sign = match first {
        b'Z' => return Ok(Zone::Utc),
        b'+' => 1,
        b'-' => -1,
        _ => return Err(TimestampError::Format),
    };
    let hours = number(rest, 99)?;
    let minutes = if rest.is_empty() {
        0
    } else {
        separator(rest, b':')?;
        number(rest, 59)?
    };
    let minutes = i16::try_from(hours * 60 + minutes).map_err(|_| TimestampError::Offset)?;
    Ok(Zone::Offset(sign * minutes))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        let instant = Instant { seconds: self.local_seconds().unwrap_or_default(), ..(*self).into() };
        match self.zone {
            Zone::Utc | Zone::Unspecified => instant.serialize(serializer),
            Zone::Offset(minutes) => {
                let mut pair = serializer.serialize_tuple(2)?;
                pair.serialize_element(&instant)?;
                pair.serialize_element(&minutes)?;
                pair.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp, or a date and time in ISO 8601")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Timestamp, D::Error> {
                let instant = extension.deserialize_tuple(2, Extension)?;
                Timestamp::from_unix(instant.seconds, instant.nanoseconds).map_err(D::Error::custom)
            }

            /// A `DateTimeOffset`.
            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Timestamp, A::Error> {
                let missing = || A::Error::invalid_length(0, &"a local time and an offset in minutes");
                let Local(local) = pair.next_element()?.ok_or_else(missing)?;
                let minutes = pair.next_element()?.ok_or_else(missing)?;
                let (seconds, nanoseconds) = (local.seconds, local.nanoseconds);
                Timestamp::from_local(seconds, nanoseconds, Zone::Offset(minutes)).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// The first half of a `DateTimeOffset`: what a clock there shows.
struct Local(Instant);

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Local;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp, or a date and time in ISO 8601")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Local, E> {
                let timestamp: Timestamp = text.parse().map_err(E::custom)?;
                Ok(Local(timestamp.into()))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, extension: D) -> Result<Local, D::Error> {
                extension.deserialize_tuple(2, Extension).map(Local)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// What the extension says.
#[derive(Clone, Copy)]
struct Instant {
    seconds: i64,
    nanoseconds: u32,
}

impl From<Timestamp> for Instant {
    fn from(timestamp: Timestamp) -> Self {
        Self { seconds: timestamp.seconds, nanoseconds: timestamp.nanoseconds }
    }
}

/// The smallest of the three forms that holds it, as .NET writes it: 32 bits of seconds, or 34 with 30 of nanoseconds,
/// or 64 with 32.
impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = [0; 12];
        let (head, tail) = bytes.split_at_mut(4);
        let form = match u64::try_from(self.seconds) {
            Ok(seconds) if seconds >> 34 == 0 => {
                let both = u64::from(self.nanoseconds) << 34 | seconds;
                tail.copy_from_slice(&both.to_be_bytes());
                if both >> 32 == 0 { tail.get(4..).unwrap_or_default() } else { tail }
            }
            _ => {
                head.copy_from_slice(&self.nanoseconds.to_be_bytes());
                tail.copy_from_slice(&self.seconds.to_be_bytes());
                &bytes
            }
        };
        serializer.serialize_newtype_struct(EXTENSION_NAME, &(EXTENSION, Bytes(form)))
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Reads an extension: its type, then its bytes.
struct Extension;

impl<'de> Visitor<'de> for Extension {
    type Value = Instant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a timestamp, which is extension -1")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut extension: A) -> Result<Instant, A::Error> {
        let kind: Option<i8> = extension.next_element()?;
        if kind != Some(EXTENSION) {
            return Err(A::Error::custom("expected a timestamp, which is extension -1"));
        }
        extension.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl Visitor<'_> for Form {
            type Value = Instant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("4, 8 or 12 bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Instant, E> {
                if let Ok(seconds) = bytes.try_into() {
                    return Ok(Instant { seconds: u32::from_be_bytes(seconds).into(), nanoseconds: 0 });
                }
                if let Ok(both) = bytes.try_into() {
                    let both = u64::from_be_bytes(both);
                    #[allow(clippy::cast_possible_truncation, reason = "30 bits are left")]
                    let nanoseconds = (both >> 34) as u32;
                    return Ok(Instant { seconds: (both & 0x3_ffff_ffff).cast_signed(), nanoseconds });
                }
                if let Some((nanoseconds, seconds)) = bytes.split_first_chunk()
                    && let Ok(seconds) = seconds.try_into()
                {
                    let nanoseconds = u32::from_be_bytes(*nanoseconds);
                    return Ok(Instant { seconds: i64::from_be_bytes(seconds), nanoseconds });
                }
                Err(E::invalid_length(bytes.len(), &self))
            }
        }

        deserializer.deserialize_bytes(Form)
    }
}

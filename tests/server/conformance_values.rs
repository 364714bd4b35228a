//! Values of the conformance hub that .NET writes in its own way, and otherwise in each protocol.

use std::fmt;

use hubwire::{Binary, Timestamp, Zone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap as _};
use serde_json::value::RawValue;

/// Whatever a client sends: C#'s `object`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Any(Option<rmpv::Value>);

impl Any {
    /// As C# turns it into text.
    pub(crate) fn text(&self) -> String {
        match &self.0 {
            None | Some(rmpv::Value::Nil) => String::new(),
            Some(rmpv::Value::String(text)) => text.as_str().unwrap_or_default().to_owned(),
            Some(other) => other.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        rmpv::Value::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => Written(value).serialize(serializer),
            None => serializer.serialize_unit(),
        }
    }
}

/// A value from either protocol, for either.
struct Written<'v>(&'v rmpv::Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            rmpv::Value::Binary(bytes) => Binary(bytes.clone()).serialize(serializer),
            // A time; JSON has it as text.
            rmpv::Value::Ext(-1, _) => {
                let time = rmpv::ext::from_value::<Timestamp>(self.0.clone());
                time.map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
            rmpv::Value::Array(items) => serializer.collect_seq(items.iter().map(Written)),
            rmpv::Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&Written(key), &Written(value))?;
                }
                map.end()
            }
            other => other.serialize(serializer),
        }
    }
}

/// A class: camelCase in JSON and PascalCase in MessagePack.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Point {
    #[serde(alias = "x")]
    pub(crate) x: i32,
    #[serde(alias = "y")]
    pub(crate) y: f64,
    #[serde(alias = "label")]
    pub(crate) label: Option<String>,
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [x, y, label] =
            if serializer.is_human_readable() { ["x", "y", "label"] } else { ["X", "Y", "Label"] };
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry(x, &self.x)?;
        map.serialize_entry(y, &self.y)?;
        map.serialize_entry(label, &self.label)?;
        map.end()
    }
}

/// An enum: a number in JSON, its name in MessagePack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(i32);

const COLOURS: [&str; 3] = ["Red", "Green", "Blue"];

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return i32::deserialize(deserializer).map(Self);
        }
        let name = String::deserialize(deserializer)?;
        let number = COLOURS.iter().position(|colour| *colour == name);
        number.map(|number| Self(number as i32)).ok_or_else(|| D::Error::custom("there is no such colour"))
    }
}

impl Serialize for Colour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match usize::try_from(self.0).ok().and_then(|number| COLOURS.get(number)) {
            Some(name) if !serializer.is_human_readable() => serializer.serialize_str(name),
            _ => serializer.serialize_i32(self.0),
        }
    }
}

/// A `decimal`: a number in JSON, a text in MessagePack. All its digits stay.
#[derive(Debug)]
pub(crate) struct Decimal(String);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return String::deserialize(deserializer).map(Self);
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let is_number = raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if is_number { Ok(Self(raw.get().to_owned())) } else { Err(D::Error::custom("not a number")) }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_str(&self.0);
        }
        let raw = RawValue::from_string(self.0.clone()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// .NET's round-trip format of a `DateTime`, and its kind.
pub(crate) struct DateAndKind(pub(crate) Timestamp);

impl fmt::Display for DateAndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let plain = text.trim_end_matches('Z');
        let (second, fraction) = plain.split_once('.').unwrap_or((plain, ""));
        let (mark, kind) = if self.0.zone() == Zone::Utc { ("Z", "Utc") } else { ("", "Unspecified") };
        write!(f, "{second}.{fraction:0<7}{mark} {kind}")
    }
}

/// How the numbers of a series have come.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeriesReport {
    count: usize,
    last: i64,
    in_order: bool,
    duplicates: Vec<i64>,
    missing: Vec<i64>,
}

impl SeriesReport {
    pub(crate) fn of(numbers: &[i64]) -> Self {
        let mut seen = std::collections::HashSet::new();
        let duplicates = numbers.iter().copied().filter(|number| !seen.insert(*number)).take(100).collect();
        let last = numbers.iter().copied().max().unwrap_or(-1);
        Self {
            count: numbers.len(),
            last,
            in_order: numbers.is_sorted_by(|one, next| one < next),
            duplicates,
            missing: (0..=last).filter(|number| !seen.contains(number)).take(100).collect(),
        }
    }
}

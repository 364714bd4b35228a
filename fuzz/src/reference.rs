//! JSON as serde_json reads it, to compare with.

use std::fmt;

use serde::de;
use serde_json::value::RawValue;

/// The members of an object, in order, doubles and all.
#[derive(Debug)]
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a str)>);

impl<'a> Members<'a> {
    pub(crate) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// A member that is neither absent nor null.
    pub(crate) fn present(&self, name: &str) -> Option<&'a str> {
        self.get(name).filter(|json| *json != "null")
    }

    /// Of doubles the last one counts.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).last()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> de::Deserialize<'de> for Members<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

/// The items of an array.
pub(crate) fn items(json: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

pub(crate) fn text(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// serde_json takes `-0` for a fraction. A fraction of zero is an integer.
pub(crate) fn integer(json: &str) -> Option<i64> {
    let zeros =
        |(_, fraction): &(_, &str)| !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    let json = json.split_once('.').filter(zeros).map_or(json, |(whole, _)| whole);
    if json == "-0" { Some(0) } else { serde_json::from_str(json).ok() }
}

/// How deep the brackets nest, outside of strings.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Values may nest this deep, within the object that they are members of.
pub(crate) const MAX_DEPTH: usize = 128;

/// How many headers or stream ids one message may have.
pub(crate) const MAX_ENTRIES: usize = 1_000;

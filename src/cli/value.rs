//! Values of either protocol as JSON, and arguments as they are typed.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use time::OffsetDateTime;

/// Any value that a hub protocol can carry, as JSON can show it: bytes as base64, times as RFC 3339, numbers that JSON lacks
/// and keys of maps as text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AnyValue(pub(super) Value);

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(BASE64.encode(value).into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Self)
    }

    /// The extension types of MessagePack: a number and bytes.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let (kind, bytes) = <(i8, Bytes)>::deserialize(deserializer)?;
        Ok(match timestamp(&bytes.0).filter(|_| kind == -1) {
            Some(time) => rfc3339(time).into(),
            None => BASE64.encode(bytes.0).into(),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(AnyValue(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((AnyValue(key), AnyValue(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                other => other.to_string(),
            };
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Read)
    }
}

/// The three forms of MessagePack's timestamp.
fn timestamp(bytes: &[u8]) -> Option<OffsetDateTime> {
    let (seconds, nanoseconds) = match bytes.len() {
        4 => (i64::from(u32::from_be_bytes(bytes.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(bytes.try_into().ok()?);
            ((both & 0x3_ffff_ffff).cast_signed(), (both >> 34) as u32)
        }
        12 => {
            let (nanoseconds, seconds) = bytes.split_at_checked(4)?;
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(nanoseconds.try_into().ok()?))
        }
        _ => return None,
    };
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.replace_nanosecond(nanoseconds).ok()
}

/// A moment as JSON has it, in UTC and with as many digits of a second as it needs, up to milliseconds for those of this
/// program.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let fraction = match time.nanosecond() {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z", u8::from(month))
}

/// A value as it is typed in a shell: JSON, or else the text itself. What begins as JSON is meant to be JSON, and a number to
/// be that number.
pub(super) fn typed(word: &str) -> Result<Value, String> {
    // Read without its values it is not refused for a number that is too large.
    if serde_json::from_str::<IgnoredAny>(word).is_ok() {
        check_numbers(word)?;
    }
    match serde_json::from_str(word) {
        Ok(value) => Ok(value),
        Err(error) if word.starts_with(['{', '[', '"']) => Err(format!(
            "`{}` is not JSON: {error}; a text that begins so is given as a JSON string",
            printable(word)
        )),
        Err(_) => Ok(word.into()),
    }
}

/// Refuses the numbers of a JSON text that would be rounded to another whole number, or to infinity.
fn check_numbers(json: &str) -> Result<(), String> {
    let mut rest = json;
    while let Some(start) = rest.find(|next: char| next == '"' || next == '-' || next.is_ascii_digit()) {
        rest = rest.get(start..).unwrap_or_default();
        if let Some(text) = rest.strip_prefix('"') {
            rest = after_string(text);
            continue;
        }
        let is_part = |next: char| next.is_ascii_digit() || matches!(next, '-' | '+' | '.' | 'e' | 'E');
        let (number, after) = rest.split_at(rest.find(|next: char| !is_part(next)).unwrap_or(rest.len()));
        let fits = if number.contains(['.', 'e', 'E']) {
            number.parse::<f64>().is_ok_and(f64::is_finite)
        } else {
            number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
        };
        if !fits {
            return Err(format!(
                "the number {number} does not fit into 64 bits; a text of digits is given as a JSON string, in double quotes"
            ));
        }
        rest = after;
    }
    Ok(())
}

/// What follows a JSON string whose opening quote has been read.
fn after_string(text: &str) -> &str {
    let mut characters = text.chars();
    while let Some(next) = characters.next() {
        match next {
            '"' => break,
            '\\' => {
                characters.next();
            }
            _ => {}
        }
    }
    characters.as_str()
}

/// The values of a line: JSON values, or words, with blanks between them. A word that is not JSON is a text; so is what
/// stands in single quotes.
pub(super) fn values(line: &str) -> Result<Vec<Value>, String> {
    let (mut values, mut rest) = (Vec::new(), line.trim_start());
    while let Some(first) = rest.chars().next() {
        let (value, width) = match first {
            '"' | '{' | '[' => {
                let mut read = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
                let value = read.next().unwrap_or(Ok(Value::Null));
                let value = value.map_err(|error| format!("`{rest}` does not begin with JSON: {error}"))?;
                let width = read.byte_offset();
                check_numbers(rest.get(..width).unwrap_or_default())?;
                (value, width)
            }
            '\'' => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner.find('\'').ok_or("a single quote is not closed")?;
                (inner.get(..end).unwrap_or_default().into(), end + 2)
            }
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (typed(rest.get(..end).unwrap_or_default())?, end)
            }
        };
        let after = rest.get(width..).unwrap_or_default();
        if after.chars().next().is_some_and(|next| !next.is_whitespace()) {
            return Err(format!("a blank is missing before `{after}`"));
        }
        values.push(value);
        rest = after.trim_start();
    }
    Ok(values)
}

/// A text of the network for a terminal: nothing in it moves the cursor or changes colours.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // Besides control characters those that turn the direction of writing.
        if character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A text that may be of any length, with a sign where the rest is left out.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{PropertyNames, core::codec::Payload, payload::Decode as _};

    #[test]
    fn words_are_json_or_text() {
        let all = values(r#"1 -2.5 true null hello "two words" {"a": [1, 2]} [ ] 'it is' 2026-11-30 x"y"#);
        let expected = json!([1, -2.5, true, null, "hello", "two words", {"a": [1, 2]}, [], "it is", "2026-11-30", "x\"y"]);
        assert_eq!(all.map(Value::from), Ok(expected));
        assert_eq!(values("   "), Ok(Vec::new()));
        for wrong in [r#"{"a":1"#, r#""a"b"#, "'a", "[1]2"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
    }

    /// A double would stand for another number, and a text for something else than a number.
    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        for number in ["18446744073709551616", "-9223372036854775809", "1e400", "-1E+400"] {
            for text in [number.to_owned(), format!("[1, {number}]"), format!(r#"{{"a\"": {number}}}"#)] {
                let refused = typed(&text).expect_err(&text);
                assert!(refused.contains(number), "{refused}");
                assert!(values(&format!("1 {text} 2")).is_err(), "{text}");
            }
            let quoted = json!([number, {"a": [number]}]);
            assert_eq!(typed(&quoted.to_string()), Ok(quoted));
            assert_eq!(
                values(&format!("'{number}' \"{number}\"")).map(Value::from),
                Ok(json!([number, number]))
            );
        }
        let fit = "[18446744073709551615, -9223372036854775808, 1e308, 0.1, -0]";
        assert_eq!(typed(fit), Ok(json!([u64::MAX, i64::MIN, 1e308, 0.1, -0.0])));
        assert_eq!(typed("1e400x"), Ok(json!("1e400x")));
    }

    #[test]
    fn values_of_messagepack_are_shown_as_json() {
        let read = |bytes: &[u8]| {
            let value = Payload::MessagePack(bytes).decode::<AnyValue>(PropertyNames::AsDeclared);
            value.expect("it is a value").0
        };
        assert_eq!(read(b"\xc4\x03abc"), json!("YWJj"));
        assert_eq!(read(b"\xd6\xff\x00\x00\x00\x01"), json!("1970-01-01T00:00:01Z"));
        assert_eq!(read(b"\xd7\xff\x1d\xcd\x65\x00\x00\x00\x00\x02"), json!("1970-01-01T00:00:02.125Z"));
        assert_eq!(
            read(b"\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
            json!("1969-12-31T23:59:59Z")
        );
        assert_eq!(read(b"\xd4\x05\x07"), json!("Bw=="));
        assert_eq!(
            read(b"\x82\x01\xc3\xa1k\x93\x01\xc0\xcb\x7f\xf8\0\0\0\0\0\0"),
            json!({"1": true, "k": [1, null, "NaN"]})
        );
        assert_eq!(read(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), json!(u64::MAX));
    }

    #[test]
    fn what_is_printed_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\u{9b}"), "a\\u{1b}[31mb\\u{202e}c\\u{9b}");
    }
}

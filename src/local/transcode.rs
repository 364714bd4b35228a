//! Payloads from JSON to MessagePack and back, for clients that speak the other one.
//!
//! What JSON cannot express is lost as it is in Azure: there are no bytes and no extensions in what comes from JSON. The
//! other way round, bytes become base64, timestamps ISO 8601, and other extensions the base64 of their bytes.

use std::fmt;

use azure_core::time::{OffsetDateTime, to_rfc3339};
use base64ct::{Base64, Encoding};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use crate::core::{
    ProtocolError,
    json::write_string,
    msgpack::{self, reader::Reader},
};

/// How deep a payload may nest that is written as JSON: as deep as JSON is read.
const MAX_DEPTH: usize = 128;

/// The MessagePack of a JSON text.
pub(super) fn to_msgpack(json: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(json.len());
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Writer(&mut out).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// Writes the value that it is shown.
struct Writer<'w>(&'w mut Vec<u8>);

impl Writer<'_> {
    /// Writes what a header has to count first.
    fn counted<E>(
        self,
        header: fn(&mut Vec<u8>, usize),
        mut next: impl FnMut(Writer<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let (start, mut count, mut start_of_it) = (self.0.len(), 0, Vec::with_capacity(5));
        while next(Writer(&mut *self.0))? {
            count += 1;
        }
        header(&mut start_of_it, count);
        self.0.splice(start..start, start_of_it);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push(0xc0);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push(if value { 0xc3 } else { 0xc2 });
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        msgpack::write_integer(self.0, number);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if let Ok(number) = i64::try_from(number) {
            return self.visit_i64(number);
        }
        self.0.push(0xcf);
        self.0.extend_from_slice(&number.to_be_bytes());
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.push(0xcb);
        self.0.extend_from_slice(&number.to_be_bytes());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        msgpack::write_text(self.0, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.counted(msgpack::write_array, |writer| Ok(list.next_element_seed(writer)?.is_some()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.counted(msgpack::write_map, |writer| {
            let Writer(out) = writer;
            let key = map.next_key_seed(Writer(&mut *out))?;
            if key.is_some() {
                map.next_value_seed(Writer(out))?;
            }
            Ok(key.is_some())
        })
    }
}

/// The JSON of a MessagePack value.
pub(super) fn to_json(value: &[u8]) -> Result<String, ProtocolError> {
    let mut out = Vec::with_capacity(value.len());
    let mut reader = Reader::new(value);
    write_value(&mut out, &mut reader, 0)?;
    reader.end()?;
    String::from_utf8(out).map_err(|_| ProtocolError::Message("a text is not UTF-8"))
}

fn write_value(out: &mut Vec<u8>, reader: &mut Reader<'_>, depth: usize) -> Result<(), ProtocolError> {
    let deeper = || {
        let fits = depth < MAX_DEPTH;
        fits.then_some(depth + 1).ok_or(ProtocolError::Message("a value is nested too deeply"))
    };
    match reader.peek() {
        Some(0x90..=0x9f | 0xdc | 0xdd) => {
            let depth = deeper()?;
            out.push(b'[');
            for n in 0..reader.array()? {
                if n > 0 {
                    out.push(b',');
                }
                write_value(out, reader, depth)?;
            }
            out.push(b']');
        }
        Some(0x80..=0x8f | 0xde | 0xdf) => {
            let depth = deeper()?;
            out.push(b'{');
            for n in 0..reader.map()? {
                if n > 0 {
                    out.push(b',');
                }
                write_key(out, reader)?;
                out.push(b':');
                write_value(out, reader, depth)?;
            }
            out.push(b'}');
        }
        Some(0xa0..=0xbf | 0xd9..=0xdb) => write_string(out, reader.text()?.unwrap_or_default()),
        _ => write_scalar(out, reader.value()?),
    }
    Ok(())
}

/// Names are texts in JSON; what else MessagePack allows becomes the text of its JSON.
fn write_key(out: &mut Vec<u8>, reader: &mut Reader<'_>) -> Result<(), ProtocolError> {
    let start = out.len();
    write_value(out, reader, MAX_DEPTH)?;
    if out.get(start) != Some(&b'"') {
        out.insert(start, b'"');
        out.push(b'"');
    }
    Ok(())
}

/// Writes a whole value that is not a text, a list or a map.
fn write_scalar(out: &mut Vec<u8>, value: &[u8]) {
    fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.try_into().unwrap_or([0; N])
    }
    let Some((&kind, rest)) = value.split_first() else { return };
    let body = |width: usize| rest.get(width..).unwrap_or_default();
    let text = match kind {
        0xc2 => "false".to_owned(),
        0xc3 => "true".to_owned(),
        0xc4..=0xc6 => return write_base64(out, body(1 << (kind - 0xc4))),
        0xc7..=0xc9 => return write_extension(out, body(1 << (kind - 0xc7))),
        0xd4..=0xd8 => return write_extension(out, rest),
        // A number that JSON does not have, such as infinity, becomes null.
        0xca => serde_json::to_string(&f32::from_be_bytes(number(rest))).unwrap_or_default(),
        0xcb => serde_json::to_string(&f64::from_be_bytes(number(rest))).unwrap_or_default(),
        0xcf => u64::from_be_bytes(number(rest)).to_string(),
        _ => Reader::new(value).integer().map_or_else(|_| "null".to_owned(), |number| number.to_string()),
    };
    out.extend_from_slice(text.as_bytes());
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    write_string(out, &Base64::encode_string(bytes));
}

/// Writes an extension from its type on.
fn write_extension(out: &mut Vec<u8>, extension: &[u8]) {
    let Some((&kind, data)) = extension.split_first() else { return };
    match (kind == 0xff).then(|| timestamp(data)).flatten() {
        Some(text) => write_string(out, &text),
        None => write_base64(out, data),
    }
}

/// A timestamp in one of its three lengths.
///
/// Source: [Timestamp extension type](https://github.com/msgpack/msgpack/blob/master/spec.md#timestamp-extension-type).
fn timestamp(data: &[u8]) -> Option<String> {
    let (seconds, nanoseconds) = match data.len() {
        4 => (i64::from(u32::from_be_bytes(data.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(data.try_into().ok()?);
            (i64::try_from(both & 0x3_ffff_ffff).ok()?, u32::try_from(both >> 34).ok()?)
        }
        12 => {
            let (nanoseconds, seconds) = data.split_first_chunk::<4>()?;
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(*nanoseconds))
        }
        _ => return None,
    };
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_nanosecond(nanoseconds).ok()?;
    // RFC 3339 has years of four digits.
    (0..=9999).contains(&time.year()).then(|| to_rfc3339(&time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_to_messagepack_and_back() {
        for json in [
            "null",
            "[true,false,null]",
            "[0,127,128,255,256,65535,65536,4294967295,4294967296,9223372036854775807,18446744073709551615]",
            "[-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-9223372036854775808]",
            "[0.5,-1.25e10]",
            r#"{"a":{"b":[]},"":"\"\\\n\u0001ü👋"}"#,
            &format!("[{}]", vec!["\"x\""; 70_000].join(",")),
            &format!("\"{}\"", "x".repeat(70_000)),
            &format!("{}1{}", "[".repeat(127), "]".repeat(127)),
        ] {
            let packed = to_msgpack(json).unwrap();
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            let unpacked = to_json(&packed).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&unpacked).unwrap(), value);
        }
    }

    #[test]
    fn messagepack_is_as_short_as_it_can_be() {
        for (json, packed) in [
            ("1", &b"\x01"[..]),
            ("1.0", b"\xcb\x3f\xf0\0\0\0\0\0\0"),
            ("200", b"\xcc\xc8"),
            (r#"{"a":[1,"x"]}"#, b"\x81\xa1a\x92\x01\xa1x"),
            ("1e400x", b""),
        ] {
            assert_eq!(to_msgpack(json).unwrap_or_default(), packed, "{json}");
        }
        for json in ["", "[", "1 2", r#""\ud800""#, &"[".repeat(100_000)] {
            assert!(to_msgpack(json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_json_lacks_becomes_text() {
        for (packed, json) in [
            (&b"\xc4\x03\x01\x02\x03"[..], r#""AQID""#),
            (b"\xc5\0\x01\xff", r#""/w==""#),
            (b"\xca\x3d\xcc\xcc\xcd", "0.1"),
            (b"\xcb\x7f\xf0\0\0\0\0\0\0", "null"),
            (b"\xd6\xff\x65\x53\xf1\x00", r#""2023-11-14T22:13:20Z""#),
            (b"\xd7\xff\x77\x35\x94\0\x65\x53\xf1\x00", r#""2023-11-14T22:13:20.5Z""#),
            (b"\xc7\x0c\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", r#""1969-12-31T23:59:59Z""#),
            (b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", r#""AAAAAH//////////""#),
            (b"\xd4\x05\x01", r#""AQ==""#),
            (b"\x82\x01\x02\xa1b\xc3", r#"{"1":2,"b":true}"#),
        ] {
            assert_eq!(to_json(packed).as_deref(), Ok(json), "{packed:?}");
        }
        let deep = [vec![0x91; 100_000], vec![1]].concat();
        for packed in [&b""[..], b"\x92\x01", b"\xa2\xff\xff", b"\x01\x01", b"\xc1", b"\x81\x90\x01", &deep] {
            assert!(to_json(packed).is_err(), "{packed:?}");
        }
    }
}

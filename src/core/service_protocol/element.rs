//! The kinds of elements that a message is made of: how each is read and written.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::core::ProtocolError;
use crate::core::msgpack::reader::Reader;
use crate::core::msgpack::{write_array, write_binary, write_integer, write_map, write_text};

/// A text. What is not UTF-8 was replaced when it was read.
pub type Text<'a> = Cow<'a, str>;

/// Types of claims and their values, in order. A type may come more than once.
pub type Claims<'a> = Vec<(Text<'a>, Text<'a>)>;

/// Names of HTTP headers and their values, in order.
pub type Headers<'a> = Vec<(Text<'a>, Vec<Option<Text<'a>>>)>;

/// A message once for each hub protocol: the protocol's name, and the whole hub message with its framing.
pub type Payloads<'a> = Vec<(Text<'a>, &'a [u8])>;

/// An instant in UTC, as .NET counts: in tenths of a microsecond, up to the end of the year 9999.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstantUtc {
    /// Seconds since 1970.
    pub unix_seconds: i64,
    /// Nanoseconds of the second; on the wire a multiple of 100.
    pub nanoseconds: u32,
}

impl InstantUtc {
    /// The end of .NET's calendar, which says that a deadline stays as it is.
    pub const MAX: Self = Self { unix_seconds: 253_402_300_799, nanoseconds: 999_999_900 };
    /// The first second of .NET's calendar.
    const MIN_SECONDS: i64 = -62_135_596_800;
}

type Result<T> = std::result::Result<T, ProtocolError>;

fn fault<T>(reason: &'static str) -> Result<T> {
    Err(ProtocolError::Message(reason))
}

/// The elements of the array that a message is.
pub(super) struct Elements<'a> {
    pub(super) reader: Reader<'a>,
    /// How many there are, the type included, by the array's header.
    pub(super) count: u64,
}

impl<'a> Elements<'a> {
    /// Any integer that fits; a floating point number is refused.
    fn integer(&mut self) -> Result<i64> {
        match self.reader.peek() {
            Some(0xca | 0xcb) => fault("expected an integer"),
            _ => self.reader.integer(),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        if let Some(number) = self.reader.unsigned_64()? {
            return Ok(number);
        }
        self.integer()?.try_into().or_else(|_| fault("expected an integer that is not negative"))
    }

    fn is_nil(&self) -> bool {
        self.reader.peek() == Some(0xc0)
    }

    fn text(&mut self) -> Result<Option<Text<'a>>> {
        Ok(self.reader.text_bytes()?.map(String::from_utf8_lossy))
    }

    /// A value of an unknown key: anything but an array or a map.
    pub(super) fn skip_scalar(&mut self) -> Result<()> {
        match self.reader.peek() {
            Some(0x80..=0x9f | 0xdc..=0xdf) => fault("an unknown extension is an array or a map"),
            _ => self.reader.skip(1),
        }
    }
}

/// A kind of element: how it is read, and how it is written.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident: $type:ty, read($elements:ident) $read:block, write($out:ident, $value:ident) $write:block) => {
        $(#[$doc])*
        pub(super) mod $name {
            use super::*;

            #[allow(clippy::extra_unused_lifetimes, reason = "not every kind borrows")]
            pub(in super::super) fn read<'a>($elements: &mut Elements<'a>) -> Result<$type> $read

            #[allow(clippy::extra_unused_lifetimes, reason = "not every kind borrows")]
            pub(in super::super) fn write<'a>($out: &mut Vec<u8>, $value: &$type) $write
        }
    };
}

kind! { text: Text<'a>,
    read(elements) { elements.text()?.map_or_else(|| fault("a text is nil"), Ok) },
    write(out, value) { write_text(out, value) }
}

kind! { optional_text: Option<Text<'a>>,
    read(elements) { elements.text() },
    write(out, value) {
        match value {
            Some(text) => write_text(out, text),
            None => out.push(0xc0),
        }
    }
}

kind! {
    /// May be written as nil, which is read as an empty text.
    text_or_nil: Option<Text<'a>>,
    read(elements) { Ok(Some(elements.text()?.unwrap_or_default())) },
    write(out, value) { optional_text::write(out, value) }
}

kind! { int: i32,
    read(elements) { elements.integer()?.try_into().or_else(|_| fault("an integer does not fit into 32 bits")) },
    write(out, value) { write_integer(out, i64::from(*value)) }
}

kind! { optional_int: Option<i32>,
    read(elements) {
        if elements.is_nil() {
            elements.reader.skip(1)?;
            return Ok(None);
        }
        int::read(elements).map(Some)
    },
    write(out, value) {
        match value {
            Some(number) => int::write(out, number),
            None => out.push(0xc0),
        }
    }
}

kind! {
    /// In five bytes, however small it is: the one place where the SDK writes so.
    wide_int: i32,
    read(elements) { int::read(elements) },
    write(out, value) {
        out.push(0xd2);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

kind! { boolean: bool,
    read(elements) {
        if elements.is_nil() {
            return fault("expected a boolean");
        }
        elements.reader.boolean_or_nil()
    },
    write(out, value) { out.push(if *value { 0xc3 } else { 0xc2 }) }
}

kind! { bytes: &'a [u8],
    read(elements) { elements.reader.binary() },
    write(out, value) { write_binary(out, value) }
}

kind! {
    /// Nil is written for none, and read as empty.
    optional_bytes: Option<&'a [u8]>,
    read(elements) { elements.reader.binary().map(Some) },
    write(out, value) {
        match value {
            Some(bytes) => write_binary(out, bytes),
            None => out.push(0xc0),
        }
    }
}

kind! {
    /// What is nil among them is left out.
    texts: Vec<Text<'a>>,
    read(elements) {
        let mut texts = Vec::new();
        for _ in 0..elements.reader.array()? {
            texts.extend(elements.text()?);
        }
        Ok(texts)
    },
    write(out, value) {
        write_array(out, value.len());
        value.iter().for_each(|text| write_text(out, text));
    }
}

kind! {
    /// All elements that are left.
    rest: Vec<Option<Text<'a>>>,
    read(elements) { (1..elements.count).map(|_| elements.text()).collect() },
    write(out, value) { value.iter().for_each(|text| optional_text::write(out, text)) }
}

kind! { payloads: Payloads<'a>,
    read(elements) {
        let mut payloads = Vec::new();
        for _ in 0..elements.reader.map()? {
            payloads.push((text::read(elements)?, bytes::read(elements)?));
        }
        Ok(payloads)
    },
    write(out, value) {
        write_map(out, value.len());
        for (protocol, payload) in value {
            write_text(out, protocol);
            write_binary(out, payload);
        }
    }
}

kind! { claims: Claims<'a>,
    read(elements) {
        let mut claims = Vec::new();
        for _ in 0..elements.reader.map()? {
            claims.push((text::read(elements)?, text::read(elements)?));
        }
        Ok(claims)
    },
    write(out, value) {
        write_map(out, value.len());
        for (kind, value) in value {
            write_text(out, kind);
            write_text(out, value);
        }
    }
}

kind! { headers: Headers<'a>,
    read(elements) {
        let mut headers = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..elements.reader.map()? {
            let name = text::read(elements)?;
            if !names.insert(name.to_lowercase()) {
                return fault("a header comes twice");
            }
            let values = elements.reader.array()?;
            headers.push((name, (0..values).map(|_| elements.text()).collect::<Result<_>>()?));
        }
        Ok(headers)
    },
    write(out, value) {
        write_map(out, value.len());
        for (name, values) in value {
            write_text(out, name);
            write_array(out, values.len());
            values.iter().for_each(|value| optional_text::write(out, value));
        }
    }
}

kind! {
    /// The timestamp of MessagePack, in the shortest of its three forms.
    instant: InstantUtc,
    read(elements) {
        let (kind, data) = elements.reader.extension()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| (number << 8) | u64::from(byte));
        let (unix_seconds, nanoseconds) = match (kind, data.len()) {
            (-1, 4) => (number(data).cast_signed(), 0),
            (-1, 8) => ((number(data) & 0x3_ffff_ffff).cast_signed(), number(data) >> 34),
            (-1, 12) => {
                let (nanoseconds, seconds) = data.split_at(4);
                (number(seconds).cast_signed(), number(nanoseconds))
            }
            _ => return fault("expected a timestamp"),
        };
        let nanoseconds = u32::try_from(nanoseconds).unwrap_or(u32::MAX);
        let years = InstantUtc::MIN_SECONDS..=InstantUtc::MAX.unix_seconds;
        if nanoseconds > 999_999_999 || !years.contains(&unix_seconds) {
            return fault("a timestamp is outside the years 1 to 9999");
        }
        Ok(InstantUtc { unix_seconds, nanoseconds: nanoseconds / 100 * 100 })
    },
    write(out, value) {
        let nanoseconds = u64::from(value.nanoseconds);
        match u64::try_from(value.unix_seconds) {
            Ok(seconds) if nanoseconds == 0 && seconds >> 32 == 0 => {
                out.extend_from_slice(&[0xd6, 0xff]);
                out.extend_from_slice(&(seconds as u32).to_be_bytes());
            }
            Ok(seconds) if seconds >> 34 == 0 => {
                out.extend_from_slice(&[0xd7, 0xff]);
                out.extend_from_slice(&(nanoseconds << 34 | seconds).to_be_bytes());
            }
            _ => {
                out.extend_from_slice(&[0xc7, 12, 0xff]);
                out.extend_from_slice(&value.nanoseconds.to_be_bytes());
                out.extend_from_slice(&value.unix_seconds.to_be_bytes());
            }
        }
    }
}

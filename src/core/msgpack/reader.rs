//! A pull reader for MessagePack, one pass, no allocation.
//!
//! Source: [the MessagePack specification](https://github.com/msgpack/msgpack/blob/master/spec.md).

use crate::core::ProtocolError;

type Result<T> = std::result::Result<T, ProtocolError>;

#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What follows a value's first byte.
enum Body {
    /// So many bytes.
    Bytes(u64),
    /// So many values.
    Values(u64),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn error<T>(&self, reason: &'static str) -> Result<T> {
        Err(ProtocolError::MessagePack { offset: self.at, reason })
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        match usize::try_from(length).ok().and_then(|length| self.rest().get(..length)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => self.error("the message ends in the middle of a value"),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        match self.peek() {
            Some(byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => self.error("the message ends where a value should be"),
        }
    }

    /// A big-endian number of so many bytes, at most eight.
    fn number(&mut self, width: u64) -> Result<u64> {
        Ok(self.take(width)?.iter().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        if self.rest().is_empty() { Ok(()) } else { self.error("something follows the message") }
    }

    /// Reads the header of an array: how many values follow.
    pub(crate) fn array(&mut self) -> Result<u64> {
        match self.peek() {
            Some(0x90..=0x9f | 0xdc | 0xdd) => match self.header()? {
                Body::Values(count) => Ok(count),
                Body::Bytes(_) => self.error("expected an array"),
            },
            _ => self.error("expected an array"),
        }
    }

    /// Reads the header of a map: how many pairs follow.
    pub(crate) fn map(&mut self) -> Result<u64> {
        match self.peek() {
            Some(0x80..=0x8f | 0xde | 0xdf) => match self.header()? {
                Body::Values(count) => Ok(count / 2),
                Body::Bytes(_) => self.error("expected a map"),
            },
            _ => self.error("expected a map"),
        }
    }

    /// Reads an integer of any width, or a floating point number that is one: some writers know nothing else.
    pub(crate) fn integer(&mut self) -> Result<i64> {
        let at = self.at;
        let number = match self.byte()? {
            fix @ 0..=0x7f => Some(i64::from(fix)),
            fix @ 0xe0..=0xff => Some(i64::from(fix.cast_signed())),
            0xcc => i64::try_from(self.number(1)?).ok(),
            0xcd => i64::try_from(self.number(2)?).ok(),
            0xce => i64::try_from(self.number(4)?).ok(),
            0xcf => i64::try_from(self.number(8)?).ok(),
            width @ 0xd0..=0xd3 => {
                let bytes = 1 << (width - 0xd0);
                let shift = 64 - 8 * bytes;
                // Moved up and back down, the sign fills the upper bytes.
                Some((self.number(bytes)? << shift).cast_signed() >> shift)
            }
            0xca => whole(f32::from_bits(self.number(4)? as u32).into()),
            0xcb => whole(f64::from_bits(self.number(8)?)),
            _ => None,
        };
        match number {
            Some(number) => Ok(number),
            None => Err(ProtocolError::MessagePack { offset: at, reason: "expected an integer" }),
        }
    }

    /// Reads a boolean; nil is false.
    pub(crate) fn boolean_or_nil(&mut self) -> Result<bool> {
        match self.peek() {
            Some(value @ (0xc0 | 0xc2 | 0xc3)) => {
                self.at += 1;
                Ok(value == 0xc3)
            }
            _ => self.error("expected a boolean"),
        }
    }

    /// Reads a text, or nil.
    pub(crate) fn text(&mut self) -> Result<Option<&'a str>> {
        match self.text_bytes()?.map(std::str::from_utf8) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => self.error("a text is not UTF-8"),
        }
    }

    /// Reads the bytes of a text, or nil.
    pub(crate) fn text_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        match self.peek() {
            Some(0xc0) => {
                self.at += 1;
                Ok(None)
            }
            Some(0xa0..=0xbf | 0xd9..=0xdb) => match self.header()? {
                Body::Bytes(length) => self.take(length).map(Some),
                Body::Values(_) => self.error("expected a text"),
            },
            _ => self.error("expected a text"),
        }
    }

    /// Reads bytes, which old writers write as a text; nil counts as no bytes.
    #[cfg(all(native, any(feature = "unstable-machines", feature = "server")))]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8]> {
        match self.peek() {
            Some(0xc4..=0xc6) => match self.header()? {
                Body::Bytes(length) => self.take(length),
                Body::Values(_) => self.error("expected bytes"),
            },
            _ => Ok(self.text_bytes()?.unwrap_or_default()),
        }
    }

    /// Reads an integer of 64 bits without a sign, if one is next.
    #[cfg(all(native, any(feature = "unstable-machines", all(feature = "server", feature = "service"))))]
    pub(crate) fn unsigned_64(&mut self) -> Result<Option<u64>> {
        if self.peek() != Some(0xcf) {
            return Ok(None);
        }
        self.at += 1;
        self.number(8).map(Some)
    }

    /// Reads an extension: its type and its bytes.
    #[cfg(all(native, any(feature = "unstable-machines", all(feature = "server", feature = "service"))))]
    pub(crate) fn extension(&mut self) -> Result<(i8, &'a [u8])> {
        match self.peek() {
            Some(0xc7..=0xc9 | 0xd4..=0xd8) => match self.header()? {
                Body::Bytes(length) => match self.take(length)? {
                    [kind, data @ ..] => Ok((kind.cast_signed(), data)),
                    [] => self.error("expected an extension"),
                },
                Body::Values(_) => self.error("expected an extension"),
            },
            _ => self.error("expected an extension"),
        }
    }

    /// The next value of any kind, as it is.
    pub(crate) fn value(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        self.skip(1)?;
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Skips so many values, without recursion: what a value contains is counted as values to come.
    pub(crate) fn skip(&mut self, values: u64) -> Result<()> {
        let mut left = values;
        while left > 0 {
            left -= 1;
            match self.header()? {
                Body::Bytes(length) => {
                    self.take(length)?;
                }
                Body::Values(count) => left = left.saturating_add(count),
            }
            // A value is a byte at least.
            if left > self.rest().len() as u64 {
                return self.error("the message ends in the middle of a value");
            }
        }
        Ok(())
    }

    /// Reads a value's first byte and its length, if it has one.
    fn header(&mut self) -> Result<Body> {
        Ok(match self.byte()? {
            0..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Body::Bytes(0),
            fix @ 0x80..=0x8f => Body::Values(u64::from(fix & 0x0f) * 2),
            fix @ 0x90..=0x9f => Body::Values(u64::from(fix & 0x0f)),
            fix @ 0xa0..=0xbf => Body::Bytes(u64::from(fix & 0x1f)),
            0xc1 => return self.error("0xc1 begins no value"),
            kind @ 0xc4..=0xc6 => Body::Bytes(self.number(1 << (kind - 0xc4))?),
            // An extension has its type between length and bytes.
            kind @ 0xc7..=0xc9 => Body::Bytes(self.number(1 << (kind - 0xc7))? + 1),
            0xca => Body::Bytes(4),
            0xcb => Body::Bytes(8),
            kind @ 0xcc..=0xcf => Body::Bytes(1 << (kind - 0xcc)),
            kind @ 0xd0..=0xd3 => Body::Bytes(1 << (kind - 0xd0)),
            kind @ 0xd4..=0xd8 => Body::Bytes((1 << (kind - 0xd4)) + 1),
            kind @ 0xd9..=0xdb => Body::Bytes(self.number(1 << (kind - 0xd9))?),
            0xdc => Body::Values(self.number(2)?),
            0xdd => Body::Values(self.number(4)?),
            0xde => Body::Values(self.number(2)? * 2),
            0xdf => Body::Values(self.number(4)? * 2),
        })
    }
}

/// The integer that a floating point number is, if it is one that such numbers are exact for.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// How deep payloads may nest that are decoded into a type: as deep as in JSON.
#[cfg(feature = "msgpack")]
pub(crate) const MAX_DEPTH: usize = 128;

/// Whether a value nests no deeper than [`MAX_DEPTH`]. What is not a value does not.
#[cfg(feature = "msgpack")]
pub(crate) fn is_shallow(value: &[u8]) -> bool {
    let mut reader = Reader::new(value);
    // How many values are left on each level.
    let mut levels = [0_u64; MAX_DEPTH];
    let mut depth = 0;
    loop {
        match reader.header() {
            Ok(Body::Bytes(length)) => {
                if reader.take(length).is_err() {
                    return false;
                }
            }
            Ok(Body::Values(0)) => {}
            Ok(Body::Values(count)) => {
                let Some(level) = levels.get_mut(depth) else { return false };
                *level = count;
                depth += 1;
            }
            Err(_) => return false,
        }
        loop {
            let Some(level) = depth.checked_sub(1).and_then(|top| levels.get_mut(top)) else { return true };
            if *level > 0 {
                *level -= 1;
                break;
            }
            depth -= 1;
        }
    }
}

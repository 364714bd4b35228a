//! A strict pull reader for JSON (RFC 8259), one pass, no allocation.
//!
//! The browser package decodes payloads with the browser's own `JSON.parse`, so all it needs of JSON in Rust is
//! this: 20 kB (gzip) less than a general parser. Payloads that Rust code asks for go to serde_json.

use std::borrow::Cow;

use crate::core::ProtocolError;
use crate::core::ascii::{decimal, split_at_byte};

/// How deep values may nest. serde_json has the same limit; System.Text.Json stops at 64.
const MAX_DEPTH: u32 = 128;

type Result<T> = std::result::Result<T, ProtocolError>;

/// What was read, or what is wrong at the reader's position.
type Scan<T> = std::result::Result<T, &'static str>;

pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn error(&self, reason: &'static str) -> ProtocolError {
        ProtocolError::Json { offset: self.at, reason }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space, which stays to be read.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                next => return next,
            }
        }
    }

    pub(super) fn next_is(&mut self, wanted: u8) -> bool {
        let is = self.peek() == Some(wanted);
        self.at += usize::from(is);
        is
    }

    fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error("something follows the value")) }
    }

    /// Reads an object; `field` gets each name and each value's text, in order, duplicates included.
    pub(crate) fn object(&mut self, mut field: impl FnMut(&str, &'a str) -> Result<()>) -> Result<()> {
        self.members(&mut |name, value| field(&name, value))
    }

    /// As [`object`](Self::object), for names that are kept: one without escapes is a slice of the text.
    ///
    /// One for all, since there is code for each kind of closure otherwise.
    pub(crate) fn members(
        &mut self,
        member: &mut dyn FnMut(Cow<'a, str>, &'a str) -> Result<()>,
    ) -> Result<()> {
        if !self.next_is(b'{') {
            return Err(self.error("expected an object"));
        }
        if self.next_is(b'}') {
            return Ok(());
        }
        loop {
            let (name, is_plain) = self.member_name().map_err(|reason| self.error(reason))?;
            let name = if is_plain { Cow::Borrowed(inner(name)) } else { unescape(inner(name))? };
            let value = self.value()?;
            member(name, value)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("expected a comma or the end of the object")),
            }
        }
    }

    /// Reads an array; `item` gets each value's text.
    pub(crate) fn array(&mut self, item: &mut dyn FnMut(&'a str) -> Result<()>) -> Result<()> {
        if !self.next_is(b'[') {
            return Err(self.error("expected an array"));
        }
        if self.next_is(b']') {
            return Ok(());
        }
        loop {
            item(self.value()?)?;
            if self.next_is(b']') {
                return Ok(());
            }
            if !self.next_is(b',') {
                return Err(self.error("expected a comma or the end of the array"));
            }
        }
    }

    /// Checks one value of any kind and returns its text, without white space around it.
    pub(crate) fn value(&mut self) -> Result<&'a str> {
        self.scan_value().map_err(|reason| self.error(reason))
    }

    fn scan_value(&mut self) -> Scan<&'a str> {
        self.peek();
        let start = self.at;
        // One bit a level: whether it is an object.
        let (mut objects, mut depth) = (0_u128, 0_u32);
        loop {
            // Here a value has to begin.
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err("nested too deeply");
                    }
                    self.at += 1;
                    let object = open == b'{';
                    if !self.next_is(if object { b'}' } else { b']' }) {
                        depth += 1;
                        objects = (objects << 1) | u128::from(object);
                        if object {
                            self.member_name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string_token()?;
                }
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => return Err("expected a value"),
            }
            // Here a value has ended; close what it was the last of.
            loop {
                if depth == 0 {
                    return Ok(self.slice(start));
                }
                let object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if object {
                            self.member_name()?;
                        }
                        break;
                    }
                    Some(b'}') if object => self.at += 1,
                    Some(b']') if !object => self.at += 1,
                    _ => return Err("expected a comma or a closing bracket"),
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// With its colon.
    fn member_name(&mut self) -> Scan<(&'a str, bool)> {
        self.peek();
        let name = self.string_token()?;
        if self.next_is(b':') { Ok(name) } else { Err("expected a colon") }
    }

    fn word(&mut self, word: &'static str) -> Scan<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err("expected a digit") }
    }

    fn number(&mut self) -> Scan<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a string with its quotes, and says whether it has no escapes; those are checked, not yet decoded.
    fn string_token(&mut self) -> Scan<(&'a str, bool)> {
        let start = self.at;
        if self.byte() != Some(b'"') {
            return Err("expected a string");
        }
        self.at += 1;
        let mut is_plain = true;
        loop {
            self.at += plain_length(self.text.as_bytes().get(self.at..).unwrap_or_default());
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((self.slice(start), is_plain));
                }
                Some(b'\\') => {
                    is_plain = false;
                    self.at += 1;
                    match self.byte() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit)) {
                                return Err("expected four hexadecimal digits");
                            }
                            self.at += 5;
                        }
                        _ => return Err("unknown escape"),
                    }
                }
                Some(_) => return Err("a control character in a string"),
                None => return Err("the string does not end"),
            }
        }
    }
}

/// The number of bytes before the first quote, backslash or control character: short texts eight bytes at a time, long
/// ones by the processor's vector instructions where it has any.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const WORDS: usize = 4;
    let mut done = 0;
    for word in bytes.chunks_exact(8).take(if cfg!(native) { WORDS } else { usize::MAX }) {
        match special_in(word) {
            Some(at) => return done + at,
            None => done += 8,
        }
    }
    if cfg!(native) {
        done += plain_blocks(bytes.get(done..).unwrap_or_default());
        for word in bytes.get(done..).unwrap_or_default().chunks_exact(8) {
            match special_in(word) {
                Some(at) => return done + at,
                None => done += 8,
            }
        }
    }
    let rest = bytes.get(done..).unwrap_or_default();
    done + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Where in eight bytes the first special one is.
fn special_in(word: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let word = <[u8; 8]>::try_from(word).map_or(0, u64::from_le_bytes);
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    // The classic test for a byte below n; bytes of 0x80 and above are masked out.
    let found = (word.wrapping_sub(ONES * 0x20) & !word)
        | (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash);
    (found & HIGH != 0).then(|| (found & HIGH).trailing_zeros() as usize / 8)
}

/// The length of the blocks at the beginning that have no special byte. The loop over a block has no way out, so that the
/// compiler makes vector instructions of it.
fn plain_blocks(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let is_plain = |block: &&[u8]| !block.iter().fold(false, |found, &byte| found | is_special(byte));
    BLOCK * bytes.chunks_exact(BLOCK).take_while(is_plain).count()
}

/// The text of a string value, or `None` if the value is of another kind.
pub(crate) fn as_string(value: &str) -> Result<Option<Cow<'_, str>>> {
    if !value.starts_with('"') {
        return Ok(None);
    }
    let inner = inner(value);
    let is_plain = plain_length(inner.as_bytes()) == inner.len();
    if is_plain { Ok(Some(Cow::Borrowed(inner))) } else { unescape(inner).map(Some) }
}

/// As [`as_string`], for a text that is kept.
pub(crate) fn as_text(value: &str) -> Result<Option<String>> {
    Ok(as_string(value)?.map(Cow::into_owned))
}

/// The value of an integer, or `None` if the value is of another kind or out of range. Some writers know floating point
/// numbers only, and write `1.0`.
pub(crate) fn as_integer(value: &str) -> Option<i64> {
    let (whole, fraction) = split_at_byte(value, b'.');
    if fraction.bytes().skip(1).any(|digit| digit != b'0') {
        return None;
    }
    let (digits, is_negative) = whole.strip_prefix('-').map_or((whole, false), |digits| (digits, true));
    let number = decimal(digits)?;
    if is_negative { 0_i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

/// A string token without its quotes.
fn inner(token: &str) -> &str {
    token.get(1..token.len().saturating_sub(1)).unwrap_or_default()
}

/// Decodes what is inside of a string token that [`Reader`] has checked.
fn unescape(inner: &str) -> Result<Cow<'_, str>> {
    const HALF: ProtocolError = ProtocolError::Message("half of a surrogate pair");
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        let plain;
        (plain, rest) = split_at_byte(rest, b'\\');
        out.push_str(plain);
        let Some((escape, after)) = rest.split_at_checked(2) else { return Ok(Cow::Owned(out)) };
        rest = after;
        out.push(match escape.as_bytes().last() {
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let mut unit = take_unit(&mut rest);
                if let 0xd800..=0xdbff = unit {
                    let low = rest.strip_prefix("\\u").ok_or(HALF)?;
                    rest = low;
                    let low = take_unit(&mut rest);
                    if !(0xdc00..=0xdfff).contains(&low) {
                        return Err(HALF);
                    }
                    unit = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
                }
                char::from_u32(unit).ok_or(HALF)?
            }
            other => char::from(*other.unwrap_or(&b'\\')),
        });
    }
}

/// The four hexadecimal digits that follow `\u`.
fn take_unit(rest: &mut &str) -> u32 {
    let (digits, after) = rest.split_at_checked(4).unwrap_or_default();
    *rest = after;
    digits.chars().fold(0, |unit, digit| unit << 4 | digit.to_digit(16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Result<&str> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }

    #[test]
    fn values_are_found_whole() {
        for text in [
            "{}",
            "[]",
            "[[],{}]",
            "{\"a\":[1,{\"b\":null}],\"c\":\"]}\"}",
            "-0.5e+3",
            "\"\\u00e9\\\"\"",
            "true",
        ] {
            assert_eq!(whole(text), Ok(text));
            assert_eq!(whole(&format!(" \n{text}\t ")), Ok(text));
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "tru",
            "[1 2]",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "\"",
            "[}",
            "{]",
            "1 2",
            "nul",
            "+1",
            ".5",
            "1e",
            "'a'",
        ] {
            assert!(whole(text).is_err(), "{text:?}");
        }
    }

    /// Short texts, long ones, and what is left over at the end of either are looked through in different ways.
    #[test]
    fn special_bytes_are_found_wherever_they_are() {
        for length in (0..200).chain([1000, 1007]) {
            let plain = "\u{fc}\u{7f} ~".repeat(length).into_bytes();
            let plain = &plain[..length];
            assert_eq!(plain_length(plain), length);
            for at in (0..length).step_by(if length < 200 { 1 } else { 97 }) {
                for special in [b'"', b'\\', 0, 0x1e, 0x1f] {
                    let mut bytes = plain.to_vec();
                    bytes[at] = special;
                    assert_eq!(plain_length(&bytes), at, "{special} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(whole(&nested(128)).is_ok());
        assert!(whole(&nested(129)).is_err());
        assert!(whole(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn escapes() {
        for (token, text) in [
            (r#""a\\b""#, "a\\b"),
            (r#""\\\\n""#, "\\\\n"),
            (r#""\\u0041\u0041""#, "\\u0041A"),
            (r#""\ud83d\ude00!""#, "\u{1f600}!"),
            (r#""\/\b\f\n\r\t\"""#, "/\u{8}\u{c}\n\r\t\""),
            (r#""\\\"""#, "\\\""),
        ] {
            assert_eq!(
                as_string(token).map(|t| t.map(Cow::into_owned)),
                Ok(Some(text.to_owned())),
                "{token}"
            );
        }
        for token in [r#""\ud83d""#, r#""\ud83dx""#, r#""\ude00""#, r#""\ud83d\n""#, r#""\ud83d\ud83d""#] {
            assert!(as_string(token).is_err(), "{token}");
        }
    }
}

//! Framing: where a message ends. In text protocols it ends in 0x1E, the ASCII record separator; in binary ones its
//! length comes first.
//!
//! A transport may cut the stream anywhere, so [`TextFraming`] and [`BinaryFraming`] keep what has no end yet.
//! Messages that lie whole in a chunk are handed on without a copy.
//!
//! Source: [HubProtocol.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md).

use crate::core::ProtocolError;

/// Ends every message of a text protocol, and the handshake of every protocol.
pub const RECORD_SEPARATOR: u8 = 0x1e;

/// The largest message that is accepted unless said otherwise, in bytes.
pub const DEFAULT_MESSAGE_LIMIT: usize = 32 * 1024 * 1024;

/// Cuts a stream of chunks into records. Order of calls: [`feed`](Self::feed) for every chunk, then
/// [`finish`](Self::finish) when the stream has ended.
#[derive(Debug, Clone)]
pub struct TextFraming {
    partial: Vec<u8>,
    limit: usize,
}

impl Default for TextFraming {
    fn default() -> Self {
        Self::new(DEFAULT_MESSAGE_LIMIT)
    }
}

impl TextFraming {
    /// With a limit for one record, in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit }
    }

    /// Takes a chunk. Returns the records that it ends, without their separators. A record that began in an earlier
    /// chunk is put together in `spare`; the others are borrowed from this chunk.
    pub fn take<'f>(&mut self, chunk: impl Into<Chunk<'f>>, spare: &'f mut Vec<u8>) -> Records<'f> {
        let (limit, chunk) = (self.limit, chunk.into());
        let whole = memchr::memrchr(RECORD_SEPARATOR, chunk.bytes()).map_or(0, |last| last + 1);
        let (mut whole, rest) = chunk.split_at(whole);
        let rest = rest.bytes();
        let mut first = None;
        if !self.partial.is_empty()
            && let Some(end) = memchr::memchr(RECORD_SEPARATOR, whole.bytes())
        {
            let (head, tail) = whole.split_at(end);
            if self.partial.len() + head.bytes().len() > limit {
                let end = Some(ProtocolError::TooLong { limit });
                return Records { first, rest: Chunk::default(), limit, end };
            }
            self.partial.extend_from_slice(head.bytes());
            *spare = std::mem::take(&mut self.partial);
            first = Some(spare.as_slice());
            whole = tail.split_at(1).1;
        }
        let end = (self.partial.len() + rest.len() > limit).then_some(ProtocolError::TooLong { limit });
        if end.is_none() {
            self.partial.extend_from_slice(rest);
        }
        Records { first, rest: whole, limit, end }
    }

    /// Takes a chunk and hands on each record that it ends, without the separator.
    ///
    /// # Errors
    /// As [`Records`], and whatever `record` returns. The stream cannot be read on after any of them.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut record: impl FnMut(&str) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.take(chunk, &mut Vec::new()).try_for_each(|text| record(text?))
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`ProtocolError::Incomplete`] if it ended in the middle of a record.
    pub fn finish(&self) -> Result<(), ProtocolError> {
        if self.partial.is_empty() { Ok(()) } else { Err(ProtocolError::Incomplete) }
    }
}

/// The records of one chunk. It ends after the first error: [`ProtocolError::TooLong`] if a record passes the limit,
/// [`ProtocolError::Json`] if one is not UTF-8. The stream cannot be read on after that.
#[derive(Debug)]
pub struct Records<'f> {
    /// The record that began in an earlier chunk.
    first: Option<&'f [u8]>,
    /// The others, each with its separator.
    rest: Chunk<'f>,
    limit: usize,
    /// What is wrong with what follows them.
    end: Option<ProtocolError>,
}

/// A piece of a stream of text: what is known to be UTF-8 is not checked again.
#[derive(Debug, Clone, Copy)]
pub enum Chunk<'f> {
    /// UTF-8.
    Text(&'f str),
    /// Not known to be UTF-8.
    Bytes(&'f [u8]),
}

impl Default for Chunk<'_> {
    fn default() -> Self {
        Self::Bytes(&[])
    }
}

impl<'f> From<&'f str> for Chunk<'f> {
    fn from(text: &'f str) -> Self {
        Self::Text(text)
    }
}

impl<'f> From<&'f [u8]> for Chunk<'f> {
    fn from(bytes: &'f [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'f> Chunk<'f> {
    fn bytes(self) -> &'f [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Both parts, the first with so many bytes if there are as many.
    fn split_at(self, at: usize) -> (Self, Self) {
        match self {
            // A separator is a whole character, so a text is never cut within one.
            Self::Text(text) => match text.split_at_checked(at) {
                Some((head, tail)) => (Self::Text(head), Self::Text(tail)),
                None => (self, Self::default()),
            },
            Self::Bytes(bytes) => match bytes.split_at_checked(at) {
                Some((head, tail)) => (Self::Bytes(head), Self::Bytes(tail)),
                None => (self, Self::default()),
            },
        }
    }

    fn text(self) -> Result<&'f str, ProtocolError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|e| ProtocolError::Json {
                offset: e.valid_up_to(),
                reason: "the text is not UTF-8",
            }),
        }
    }
}

impl<'f> Iterator for Records<'f> {
    type Item = Result<&'f str, ProtocolError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.first.take() {
            Some(first) => Chunk::Bytes(first),
            None => match memchr::memchr(RECORD_SEPARATOR, self.rest.bytes()) {
                Some(end) => {
                    let (record, rest) = self.rest.split_at(end);
                    self.rest = rest.split_at(1).1;
                    record
                }
                None => return self.end.take().map(Err),
            },
        };
        let limit = self.limit;
        let is_long = record.bytes().len() > limit;
        let record = if is_long { Err(ProtocolError::TooLong { limit }) } else { record.text() };
        if record.is_err() {
            self.rest = Chunk::default();
            self.end = None;
        }
        Some(record)
    }
}

/// The widest length prefix, in bytes.
const MAX_PREFIX: usize = 5;

/// Cuts a stream of chunks into messages that begin with their length: an integer of seven bits a byte, the lowest
/// first, of which every byte but the last has its top bit set. Order of calls as in [`TextFraming`].
#[derive(Debug, Clone)]
pub struct BinaryFraming {
    /// The beginning of one message, with its length.
    partial: Vec<u8>,
    limit: usize,
}

impl Default for BinaryFraming {
    fn default() -> Self {
        Self::new(DEFAULT_MESSAGE_LIMIT)
    }
}

impl BinaryFraming {
    /// With a limit for one message, in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit }
    }

    /// Takes a chunk. Returns the messages that it ends, without their lengths. A message that began in an earlier
    /// chunk is put together in `spare`; the others are borrowed from this chunk.
    pub fn take<'f>(&mut self, mut chunk: &'f [u8], spare: &'f mut Vec<u8>) -> Messages<'f> {
        let nothing = |end| Messages { first: None, rest: &[], limit: self.limit, end };
        let mut begun = None;
        while !self.partial.is_empty() {
            let (missing, width) = match length(&self.partial, self.limit) {
                Ok(Some((width, length))) => {
                    ((width + length).saturating_sub(self.partial.len()), Some(width))
                }
                // The rest of the length.
                Ok(None) => (1, None),
                Err(error) => return nothing(Some(error)),
            };
            let Some((head, tail)) = chunk.split_at_checked(missing) else {
                self.partial.extend_from_slice(chunk);
                return nothing(None);
            };
            self.partial.extend_from_slice(head);
            chunk = tail;
            if width.is_some() {
                *spare = std::mem::take(&mut self.partial);
                begun = width;
            }
        }
        let first = begun.and_then(|width| spare.get(width..));
        let (mut rest, mut end) = (chunk, None);
        loop {
            match length(rest, self.limit) {
                Ok(Some((width, length))) => match rest.split_at_checked(width + length) {
                    Some((_, tail)) => rest = tail,
                    None => break,
                },
                Ok(None) => break,
                Err(error) => {
                    end = Some(error);
                    break;
                }
            }
        }
        let whole = chunk.get(..chunk.len() - rest.len()).unwrap_or_default();
        if end.is_none() {
            self.partial.extend_from_slice(rest);
        }
        Messages { first, rest: whole, limit: self.limit, end }
    }

    /// Takes a chunk and hands on each message that it ends, without its length.
    ///
    /// # Errors
    /// As [`Messages`], and whatever `message` returns. The stream cannot be read on after any of them.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut message: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.take(chunk, &mut Vec::new()).try_for_each(|bytes| message(bytes?))
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`ProtocolError::Incomplete`] if it ended in the middle of a message.
    pub fn finish(&self) -> Result<(), ProtocolError> {
        if self.partial.is_empty() { Ok(()) } else { Err(ProtocolError::Incomplete) }
    }
}

/// The messages of one chunk. It ends after the first error: [`ProtocolError::TooLong`] if a message passes the limit,
/// [`ProtocolError::MessagePack`] if a length is malformed. The stream cannot be read on after that.
#[derive(Debug)]
pub struct Messages<'f> {
    /// The message that began in an earlier chunk.
    first: Option<&'f [u8]>,
    /// The others, each with its length.
    rest: &'f [u8],
    limit: usize,
    /// What is wrong with what follows them.
    end: Option<ProtocolError>,
}

impl<'f> Iterator for Messages<'f> {
    type Item = Result<&'f [u8], ProtocolError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let Ok(Some((width, length))) = length(self.rest, self.limit) else {
            return self.end.take().map(Err);
        };
        let (message, rest) = self.rest.split_at_checked(width + length)?;
        self.rest = rest;
        message.get(width..).map(Ok)
    }
}

/// The width of the length that the bytes begin with, and the length; `None` if it has no end yet.
pub(crate) fn length(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, ProtocolError> {
    let mut length = 0;
    for (n, &byte) in bytes.iter().take(MAX_PREFIX).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * n);
        if n + 1 == MAX_PREFIX && byte > 7 {
            let reason = "a message length of 2 GiB or more";
            return Err(ProtocolError::MessagePack { offset: n, reason });
        }
        if byte < 0x80 {
            return match usize::try_from(length) {
                Ok(length) if length <= limit => Ok(Some((n + 1, length))),
                _ => Err(ProtocolError::TooLong { limit }),
            };
        }
    }
    Ok(None)
}

/// How many bytes the length takes that a message begins with.
pub(crate) fn prefix_width(length: usize) -> usize {
    (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize
}

/// The bytes of the length that a message begins with.
pub(crate) fn length_prefix(length: usize) -> impl Iterator<Item = u8> {
    let width = prefix_width(length);
    (0..width).map(move |n| {
        let more = if n + 1 < width { 0x80 } else { 0 };
        (length >> (7 * n)) as u8 & 0x7f | more
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(chunks: &[&[u8]], limit: usize) -> Result<Vec<String>, ProtocolError> {
        let mut framing = TextFraming::new(limit);
        let mut all = Vec::new();
        for chunk in chunks {
            framing.feed(chunk, |record| {
                all.push(record.to_owned());
                Ok(())
            })?;
        }
        framing.finish()?;
        Ok(all)
    }

    #[test]
    fn split_at_every_byte() {
        let stream = "{\"type\":6}\u{1e}{\"a\":\"h\u{e9}\u{1f600}\"}\u{1e}\u{1e}x\u{1e}".as_bytes();
        let whole = records(&[stream], 100);
        assert_eq!(whole.as_ref().map(Vec::len), Ok(4));
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(records(&chunks, 100), whole);
            }
        }
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(records(&bytes, 100), whole);
    }

    #[test]
    fn limits_and_ends() {
        assert_eq!(records(&[b"12345\x1e"], 5), Ok(vec!["12345".to_owned()]));
        assert_eq!(records(&[b"123456\x1e"], 5), Err(ProtocolError::TooLong { limit: 5 }));
        assert_eq!(records(&[b"123", b"456"], 5), Err(ProtocolError::TooLong { limit: 5 }));
        assert_eq!(records(&[b"a\x1eb"], 5), Err(ProtocolError::Incomplete));
        assert!(matches!(records(&[b"\xff\x1e"], 5), Err(ProtocolError::Json { .. })));
    }

    fn messages(chunks: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut framing = BinaryFraming::new(limit);
        let mut all = Vec::new();
        for chunk in chunks {
            framing.feed(chunk, |message| {
                all.push(message.to_owned());
                Ok(())
            })?;
        }
        framing.finish()?;
        Ok(all)
    }

    #[test]
    fn binary_split_at_every_byte() {
        let long = vec![7; 200];
        let mut stream = vec![2, 0x91, 6, 0, 1, 0xc0, 0x81, 0x80, 0x80, 0, 5];
        stream.extend(length_prefix(long.len()));
        stream.extend(&long);
        let whole = messages(&[&stream], 200);
        assert_eq!(whole, Ok(vec![vec![0x91, 6], vec![], vec![0xc0], vec![5], long]));
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(messages(&chunks, 200), whole);
            }
        }
        let bytes: Vec<_> = stream.chunks(1).collect();
        assert_eq!(messages(&bytes, 200), whole);
    }

    #[test]
    fn binary_limits_and_ends() {
        assert_eq!(messages(&[b"\x03123"], 3), Ok(vec![b"123".to_vec()]));
        assert_eq!(messages(&[b"\x04"], 3), Err(ProtocolError::TooLong { limit: 3 }));
        assert_eq!(messages(&[b"\x03", b"12"], 3), Err(ProtocolError::Incomplete));
        assert_eq!(messages(&[b"\x83"], 3), Err(ProtocolError::Incomplete));
        let large = i32::MAX as usize;
        assert_eq!(messages(&[b"\xff\xff\xff\xff\x07"], large), Err(ProtocolError::Incomplete));
        for stream in [&b"\x80\x80\x80\x80\x08"[..], b"\x80\x80\x80\x80\x80", b"\xff\xff\xff\xff\xff\xff"] {
            for cut in 0..stream.len() {
                let refused = messages(&[&stream[..cut], &stream[cut..]], usize::MAX);
                assert!(matches!(refused, Err(ProtocolError::MessagePack { .. })), "{stream:?}: {refused:?}");
            }
        }
    }

    /// A message in small pieces is not moved with each of them: its buffer grows by doubling.
    #[test]
    fn many_pieces_take_few_allocations() {
        const LENGTH: usize = 4 << 20;
        let (mut text, mut whole, mut grown) = (TextFraming::default(), 0, 0);
        for piece in [&vec![b'x'; LENGTH][..], b"\x1e"].concat().chunks(1024) {
            let before = text.partial.capacity();
            let mut record = |record: &str| {
                whole = record.len();
                Ok(())
            };
            text.feed(piece, &mut record).unwrap();
            grown += usize::from(text.partial.capacity() > before);
        }
        assert_eq!(whole, LENGTH);
        assert!((1..=20).contains(&grown), "{grown}");

        let mut stream: Vec<u8> = length_prefix(LENGTH).collect();
        stream.resize(stream.len() + LENGTH, b'x');
        let (mut binary, mut whole, mut grown) = (BinaryFraming::default(), 0, 0);
        for piece in stream.chunks(1024) {
            let before = binary.partial.capacity();
            let mut message = |message: &[u8]| {
                whole = message.len();
                Ok(())
            };
            binary.feed(piece, &mut message).unwrap();
            grown += usize::from(binary.partial.capacity() > before);
        }
        assert_eq!(whole, LENGTH);
        assert!((1..=20).contains(&grown), "{grown}");
        // What was long once does not stay in memory.
        assert_eq!([text.partial.capacity(), binary.partial.capacity()], [0, 0]);
    }

    #[test]
    fn lengths_go_both_ways() {
        let lengths = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000, 0xfff_ffff, 0x1000_0000];
        for length in lengths.into_iter().chain([i32::MAX as usize]) {
            let prefix: Vec<u8> = length_prefix(length).collect();
            let read = super::length(&prefix, usize::MAX);
            assert_eq!(read, Ok(Some((prefix.len(), length))), "{length}");
        }
    }
}

//! Framing of text protocols: every message ends in 0x1E, the ASCII record separator.
//!
//! A transport may cut the stream anywhere, so [`TextFraming`] keeps what has no end yet. Messages that lie whole
//! in a chunk are handed on without a copy.

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

    /// Takes a chunk and hands on each record that it ends, without the separator.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] if a record passes the limit, [`ProtocolError::Json`] if one is not UTF-8, and
    /// whatever `record` returns. The stream is of no use after any of them.
    pub fn feed(
        &mut self,
        mut chunk: &[u8],
        mut record: impl FnMut(&str) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        while let Some(end) = memchr::memchr(RECORD_SEPARATOR, chunk) {
            let (head, tail) = chunk.split_at_checked(end).ok_or(ProtocolError::Incomplete)?;
            chunk = tail.get(1..).unwrap_or_default();
            if self.partial.len() + head.len() > self.limit {
                return Err(ProtocolError::TooLong { limit: self.limit });
            }
            if self.partial.is_empty() {
                record(text(head)?)?;
            } else {
                self.partial.extend_from_slice(head);
                let whole = std::mem::take(&mut self.partial);
                record(text(&whole)?)?;
            }
        }
        if self.partial.len() + chunk.len() > self.limit {
            return Err(ProtocolError::TooLong { limit: self.limit });
        }
        self.partial.extend_from_slice(chunk);
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`ProtocolError::Incomplete`] if it ended in the middle of a record.
    pub fn finish(&self) -> Result<(), ProtocolError> {
        if self.partial.is_empty() { Ok(()) } else { Err(ProtocolError::Incomplete) }
    }
}

fn text(bytes: &[u8]) -> Result<&str, ProtocolError> {
    std::str::from_utf8(bytes)
        .map_err(|e| ProtocolError::Json { offset: e.valid_up_to(), reason: "the text is not UTF-8" })
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
}

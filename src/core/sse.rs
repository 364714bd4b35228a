//! Server-Sent Events: the body of one HTTP answer as a stream of texts.
//!
//! Only `data` means anything to SignalR. Comments and the fields `event`, `id` and `retry` are read past, and what
//! the stream ends in the middle of is not an event.
//!
//! Source: [WHATWG HTML, 9.2.5 and 9.2.6](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).

use crate::core::ProtocolError;
use crate::core::framing::DEFAULT_MESSAGE_LIMIT;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How much memory is kept from one event to the next, in bytes.
const KEPT: usize = 64 * 1024;

/// Reads the events out of a stream of chunks, which may be cut anywhere. Call [`feed`](Self::feed) for every chunk.
#[derive(Debug)]
pub struct EventStream {
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    /// The `data` lines of the event so far, each with a line feed behind it.
    data: Vec<u8>,
    /// The last line ended in CR, so an LF that comes now belongs to it.
    after_return: bool,
    at_start: bool,
    limit: usize,
}

impl Default for EventStream {
    fn default() -> Self {
        Self::new(DEFAULT_MESSAGE_LIMIT)
    }
}

impl EventStream {
    /// With a limit for one event, in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { line: Vec::new(), data: Vec::new(), after_return: false, at_start: true, limit }
    }

    /// Takes a chunk and hands on the data of each event that it ends.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] if an event or a line passes the limit, [`ProtocolError::Json`] if an event is not
    /// UTF-8. The stream cannot be read on after either.
    pub fn feed(&mut self, mut chunk: &[u8], mut event: impl FnMut(&str)) -> Result<(), ProtocolError> {
        loop {
            if self.after_return && !chunk.is_empty() {
                self.after_return = false;
                chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', chunk) else { break };
            let (head, tail) = chunk.split_at_checked(end).ok_or(ProtocolError::Incomplete)?;
            self.after_return = tail.starts_with(b"\r");
            chunk = tail.get(1..).unwrap_or_default();
            self.check_length(head)?;
            if self.line.is_empty() {
                self.end_line(head, &mut event)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                self.end_line(&line, &mut event)?;
            }
        }
        self.check_length(chunk)?;
        self.line.extend_from_slice(chunk);
        Ok(())
    }

    fn check_length(&self, more: &[u8]) -> Result<(), ProtocolError> {
        if self.data.len() + self.line.len() + more.len() > self.limit {
            return Err(ProtocolError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    fn end_line(&mut self, mut line: &[u8], event: &mut impl FnMut(&str)) -> Result<(), ProtocolError> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            // Without a data line there is no event.
            if let Some((_line_feed, data)) = self.data.split_last() {
                let text = std::str::from_utf8(data).map_err(|e| ProtocolError::Json {
                    offset: e.valid_up_to(),
                    reason: "the text is not UTF-8",
                })?;
                event(text);
                self.data.clear();
                // One long event does not take its memory for the rest of the connection.
                self.data.shrink_to(KEPT);
            }
            return Ok(());
        }
        if let Some([b':', b' ', value @ ..] | [b':', value @ ..] | value @ []) = line.strip_prefix(b"data") {
            self.data.extend_from_slice(value);
            self.data.push(b'\n');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<String>, ProtocolError> {
        let mut stream = EventStream::default();
        let mut events = Vec::new();
        for chunk in chunks {
            stream.feed(chunk, |event| events.push(event.to_owned()))?;
        }
        Ok(events)
    }

    #[test]
    fn what_counts_as_an_event_wherever_the_stream_is_cut() {
        for (stream, wanted) in [
            ("data: {\"type\":6}\u{1e}\r\n\r\n", &["{\"type\":6}\u{1e}"][..]),
            ("data:a\n\ndata:  b\n\n", &["a", " b"]),
            ("data: one\rdata: two\r\rdata: three\r\n\r\n", &["one\ntwo", "three"]),
            ("data\n\n", &[""]),
            ("data\ndata\n\n", &["\n"]),
            ("data:\n\ndata: \n\n", &["", ""]),
            (":\r\n\r\n: comment\r\ndata: x\r\n:\r\n\r\n\n\n\n", &["x"]),
            ("event: e\nid: 1\nretry: 5\ndata: x\nother: y\nno colon\n\n", &["x"]),
            ("event: e\nid: 1\n\n", &[]),
            ("\u{feff}data: x\n\n", &["x"]),
            ("\u{feff}\u{feff}data: x\n\n\u{feff}data: y\n\n", &[]),
            ("data : x\nDATA: y\ndatas: z\n\n", &[]),
            ("data: grüße \u{1f600}\n\n", &["grüße \u{1f600}"]),
            ("data: whole\n\ndata: has no end\n", &["whole"]),
            ("data: has no end", &[]),
            ("", &[]),
        ] {
            let bytes = stream.as_bytes();
            assert_eq!(events(&[bytes]).unwrap(), wanted, "{stream:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&single).unwrap(), wanted, "{stream:?} byte by byte");
            for at in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(events(&[head, b"", tail]).unwrap(), wanted, "{stream:?} cut at {at}");
            }
        }
    }

    #[test]
    fn an_event_ends_with_its_empty_line() {
        let mut stream = EventStream::default();
        let mut count = 0;
        // The CR alone is the end; the LF after it is not waited for.
        stream.feed(b"data: x\r\n\r", |_| count += 1).unwrap();
        assert_eq!(count, 1);
        stream.feed(b"\ndata: y\n\n", |_| count += 1).unwrap();
        assert_eq!(count, 2);
    }

    /// An event in small pieces is not moved with each of them: its buffers grow by doubling.
    #[test]
    fn many_pieces_take_few_allocations() {
        let mut stream = EventStream::default();
        let mut whole = 0;
        let mut grown = 0;
        for line in ["data: ", "data: "] {
            let text = line.to_owned() + &"x".repeat(4 << 20) + "\n";
            for piece in text.as_bytes().chunks(1024) {
                let before = (stream.line.capacity(), stream.data.capacity());
                stream.feed(piece, |_| ()).unwrap();
                grown += usize::from(stream.line.capacity() > before.0);
                grown += usize::from(stream.data.capacity() > before.1);
            }
        }
        stream.feed(b"\n", |event| whole = event.len()).unwrap();
        assert_eq!(whole, (8 << 20) + 1);
        assert!((1..=40).contains(&grown), "{grown}");
        assert!(stream.data.capacity() + stream.line.capacity() <= KEPT);
    }

    #[test]
    fn lengths_are_limited() {
        let feed = |chunks: &[&[u8]]| {
            let mut stream = EventStream::new(10);
            chunks.iter().try_for_each(|chunk| stream.feed(chunk, |_| ()))
        };
        let too_long = Err(ProtocolError::TooLong { limit: 10 });
        assert_eq!(feed(&[b"data: 1234\n\n", b"data: 1234\n\n"]), Ok(()));
        assert_eq!(feed(&[b"data: 12345\n"]), too_long);
        assert_eq!(feed(&[b"data: 12345"]), too_long);
        assert_eq!(feed(&[b"data: 1\n", b"data: 2\n", b"data: 3\n"]), too_long);
        assert_eq!(feed(&[b": a comm", b"ent"]), too_long);
    }

    #[test]
    fn events_are_utf8() {
        assert_eq!(events(&[b"other: \xff\n: \xff\ndata: x\n\n"]).unwrap(), ["x"]);
        assert!(matches!(events(&[b"data: a\xff\n\n"]), Err(ProtocolError::Json { offset: 1, .. })));
    }
}

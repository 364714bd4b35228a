//! The handshake: one JSON record each way before any hub message, whatever the protocol.
//!
//! Source: [HubProtocol.md](https://github.com/dotnet/aspnetcore/blob/main/src/SignalR/docs/specs/HubProtocol.md#overview).

use crate::core::ProtocolError;
use crate::core::ascii::push_decimal;
use crate::core::framing::RECORD_SEPARATOR;
use crate::core::json::reader::{Reader, as_integer, as_text};
use crate::core::json::write_string;

/// The largest handshake record that is accepted, in bytes. The two that exist have less than 100; an error text
/// may be longer.
pub const LIMIT: usize = 16 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeRequest {
    /// `json` or `messagepack`.
    pub protocol: String,
    /// 1, or 2 for stateful reconnect.
    pub version: i64,
}

impl HandshakeRequest {
    /// Writes the request with its separator to the end of `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"protocol\":");
        write_string(out, &self.protocol);
        out.extend_from_slice(b",\"version\":");
        let mut version = String::new();
        if self.version < 0 {
            version.push('-');
        }
        push_decimal(&mut version, self.version.unsigned_abs());
        out.extend_from_slice(version.as_bytes());
        out.push(b'}');
        out.push(RECORD_SEPARATOR);
    }

    /// Reads a request, without its separator.
    ///
    /// # Errors
    /// [`ProtocolError`] when it is not a handshake request.
    pub fn parse(record: &str) -> Result<Self, ProtocolError> {
        let (mut protocol, mut version) = (None, None);
        let mut reader = Reader::new(record);
        reader.object(|name, value| {
            match name {
                "protocol" => protocol = as_text(value)?,
                "version" => version = as_integer(value),
                _ => {}
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(Self {
            protocol: protocol.ok_or(ProtocolError::Message("`protocol` is missing"))?,
            version: version.ok_or(ProtocolError::Message("`version` is missing"))?,
        })
    }
}

/// What the server answers: nothing, or why it refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandshakeResponse {
    /// The server's reason to refuse. The server closes the connection after it.
    pub error: Option<String>,
}

impl HandshakeResponse {
    /// Writes the response with its separator to the end of `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(error) = &self.error {
            out.extend_from_slice(b"\"error\":");
            write_string(out, error);
        }
        out.extend_from_slice(&[b'}', RECORD_SEPARATOR]);
    }

    /// Reads a response, without its separator. An empty error text counts as no error.
    ///
    /// # Errors
    /// [`ProtocolError::NotAHandshake`] for a hub message, else what is wrong with the JSON.
    pub fn parse(record: &str) -> Result<Self, ProtocolError> {
        let mut error = None;
        let mut reader = Reader::new(record);
        reader.object(|name, value| match name {
            "error" if value != "null" => {
                error = Some(as_text(value)?.ok_or(ProtocolError::Message("`error` is not a string"))?);
                Ok(())
            }
            "type" if value != "null" => Err(ProtocolError::NotAHandshake),
            _ => Ok(()),
        })?;
        reader.end()?;
        Ok(Self { error: error.filter(|text| !text.is_empty()) })
    }
}

/// Collects the first record of a stream, wherever the transport cuts it.
#[derive(Debug, Default)]
pub struct HandshakeBuffer {
    bytes: Vec<u8>,
}

impl HandshakeBuffer {
    /// Takes a chunk. Once the record is whole, returns it without its separator, together with the rest of the
    /// chunk: hub messages, not to be lost.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] past [`LIMIT`], [`ProtocolError::NotAHandshake`] if the record does not begin as JSON
    /// does, whose end need not be waited for, or is not UTF-8.
    pub fn feed<'c>(&mut self, chunk: &'c [u8]) -> Result<Option<(String, &'c [u8])>, ProtocolError> {
        let end = chunk.iter().position(|byte| *byte == RECORD_SEPARATOR);
        let head = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        if self.bytes.is_empty()
            && head.first().is_some_and(|byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\r' | b'\n'))
        {
            return Err(ProtocolError::NotAHandshake);
        }
        if self.bytes.len() + head.len() > LIMIT {
            return Err(ProtocolError::TooLong { limit: LIMIT });
        }
        self.bytes.extend_from_slice(head);
        let Some(end) = end else { return Ok(None) };
        let record =
            String::from_utf8(std::mem::take(&mut self.bytes)).map_err(|_| ProtocolError::NotAHandshake)?;
        Ok(Some((record, chunk.get(end + 1..).unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_both_ways() {
        let request = HandshakeRequest { protocol: "json".into(), version: 1 };
        let mut out = Vec::new();
        request.write(&mut out);
        assert_eq!(out, b"{\"protocol\":\"json\",\"version\":1}\x1e");
        let record = std::str::from_utf8(&out[..out.len() - 1]).unwrap_or_default();
        assert_eq!(HandshakeRequest::parse(record), Ok(request));
        for bad in ["{}", "{\"protocol\":1,\"version\":1}", "{\"protocol\":\"json\",\"version\":\"1\"}", "x"]
        {
            assert!(HandshakeRequest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn responses_go_both_ways() {
        for error in [None, Some("no \"such\" protocol".to_owned())] {
            let response = HandshakeResponse { error };
            let mut out = Vec::new();
            response.write(&mut out);
            let record = std::str::from_utf8(&out[..out.len() - 1]).unwrap_or_default();
            assert_eq!(HandshakeResponse::parse(record), Ok(response));
        }
        assert_eq!(
            HandshakeResponse::parse("{\"error\":\"\",\"minorVersion\":1}"),
            Ok(HandshakeResponse::default())
        );
        assert_eq!(HandshakeResponse::parse("{\"type\":6}"), Err(ProtocolError::NotAHandshake));
    }

    #[test]
    fn what_is_null_is_absent() {
        let response = HandshakeResponse::parse(r#"{"error":null,"type":null,"minorVersion":null}"#);
        assert_eq!(response, Ok(HandshakeResponse::default()));
        let request = HandshakeRequest { protocol: "json".into(), version: 1 };
        assert_eq!(HandshakeRequest::parse(r#"{"protocol":"json","version":1.0}"#), Ok(request));
        assert!(HandshakeRequest::parse(r#"{"protocol":"json","version":null}"#).is_err());
    }

    #[test]
    fn the_rest_of_the_chunk_is_handed_back_wherever_it_is_cut() {
        let stream = b"{\"error\":null}\x1e{\"type\":6}\x1e";
        for cut in 0..=stream.len() {
            let mut buffer = HandshakeBuffer::default();
            let (mut record, mut rest) = (None, Vec::new());
            for chunk in [&stream[..cut], &stream[cut..]] {
                if record.is_some() {
                    rest.extend_from_slice(chunk);
                } else if let Ok(Some((text, after))) = buffer.feed(chunk) {
                    record = Some(text);
                    rest.extend_from_slice(after);
                }
            }
            assert_eq!(record.as_deref(), Some("{\"error\":null}"), "cut at {cut}");
            assert_eq!(rest, b"{\"type\":6}\x1e", "cut at {cut}");
        }
    }

    #[test]
    fn bytes_that_begin_no_record_are_refused_at_once() {
        for chunk in [&b"\x02"[..], b"\x91\x06", b"x{}\x1e", b"\xff\x1e"] {
            assert_eq!(HandshakeBuffer::default().feed(chunk), Err(ProtocolError::NotAHandshake));
        }
        assert_eq!(HandshakeBuffer::default().feed(b" {}\x1e"), Ok(Some((" {}".to_owned(), &b""[..]))));
    }

    #[test]
    fn an_endless_record_is_refused() {
        let mut buffer = HandshakeBuffer::default();
        let chunk = [b' '; 1000];
        let refused = (0..20).any(|_| buffer.feed(&chunk) == Err(ProtocolError::TooLong { limit: LIMIT }));
        assert!(refused);
    }
}

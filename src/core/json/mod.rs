//! The JSON hub protocol: reads and writes every [`HubMessage`] as JSON.
//!
//! Reading finds the envelope in one pass and leaves payloads as slices of the text. They are checked to be JSON,
//! so what a handler decodes later can be of the wrong type, but not malformed. Property names are case-sensitive
//! and come in any order, unknown ones are ignored, and of duplicates the last one counts, as in the official parsers.
//! A property that is null is absent, wherever null is not a value of its own.

pub(crate) mod reader;

use std::borrow::Cow;

use self::reader::{Reader, as_integer, as_string, plain_length};
use crate::core::ProtocolError;
use crate::core::framing::RECORD_SEPARATOR;
use crate::core::headers::keep_last;
use crate::core::message::{Headers, HubMessage, Invocation, MAX_ENTRIES, Outcome};

/// The name of the protocol in the handshake.
pub const NAME: &str = "json";

/// Reads one record, without its separator. `None` is a message of an unknown type, to be ignored.
///
/// Payloads are slices of the record: an argument list with its brackets, an item, a result.
///
/// # Errors
/// [`ProtocolError::Json`] and [`ProtocolError::Message`]; the connection has to be closed.
///
/// ```
/// # #[cfg(feature = "unstable-machines")]
/// # fn main() -> Result<(), hubwire::core::ProtocolError> {
/// use hubwire::core::{json, message::HubMessage};
///
/// let message = json::parse(r#"{"type":1,"target":"Greet","arguments":["world"]}"#)?;
/// let Some(HubMessage::Invocation(call)) = message else { panic!() };
/// assert_eq!((&*call.target, call.arguments), ("Greet", r#"["world"]"#));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "unstable-machines"))]
/// # fn main() {}
/// ```
#[inline]
pub fn parse(record: &str) -> Result<Option<HubMessage<'_, &str>>, ProtocolError> {
    match parse_usual(record) {
        Some(message) => Ok(Some(message)),
        None => parse_any(record),
    }
}

/// Reads calls and results in the words and order of ASP.NET Core, which are most of what comes, without looking at each
/// property by itself. `None` for all others.
#[inline]
fn parse_usual(record: &str) -> Option<HubMessage<'_, &str>> {
    let headers = Headers::new();
    if let Some(rest) = record.strip_prefix("{\"type\":1,") {
        let (invocation_id, rest) = match text_after("\"invocationId\":\"", rest) {
            Some((id, rest)) => (Some(Cow::Borrowed(id)), rest.strip_prefix(',')?),
            None => (None, rest),
        };
        let (target, rest) = text_after("\"target\":\"", rest)?;
        let arguments = value_at_end(",\"arguments\":", rest).filter(|list| list.starts_with('['))?;
        let (target, stream_ids) = (Cow::Borrowed(target), Vec::new());
        return Some(HubMessage::Invocation(Invocation {
            headers,
            invocation_id,
            target,
            arguments,
            stream_ids,
        }));
    }
    let (id, rest) = text_after("{\"type\":3,\"invocationId\":\"", record)?;
    let outcome = Outcome::Value(value_at_end(",\"result\":", rest)?);
    Some(HubMessage::Completion { headers, invocation_id: Cow::Borrowed(id), outcome })
}

/// A text without escapes that follows a property's name and its quotation mark, and what comes after the text.
fn text_after<'a>(before: &str, rest: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = rest.strip_prefix(before)?;
    let (text, rest) = rest.split_at_checked(plain_length(rest.as_bytes()))?;
    let rest = rest.strip_prefix('"')?;
    (!text.is_empty()).then_some((text, rest))
}

/// The value of an object's last property.
fn value_at_end<'a>(before: &str, rest: &'a str) -> Option<&'a str> {
    let mut reader = Reader::new(rest.strip_prefix(before)?);
    let value = reader.value().ok()?;
    (reader.next_is(b'}') && reader.end().is_ok()).then_some(value)
}

/// Reads properties in any order, and says what is wrong with them.
fn parse_any(record: &str) -> Result<Option<HubMessage<'_, &str>>, ProtocolError> {
    let mut fields = Fields::default();
    let mut reader = Reader::new(record);
    reader.object(|name, value| {
        let slot = match name {
            "type" => &mut fields.kind,
            "headers" => &mut fields.headers,
            "invocationId" => &mut fields.invocation_id,
            "target" => &mut fields.target,
            "arguments" => &mut fields.arguments,
            "streamIds" => &mut fields.stream_ids,
            "item" => &mut fields.item,
            "result" => &mut fields.result,
            "error" => &mut fields.error,
            "allowReconnect" => &mut fields.allow_reconnect,
            "sequenceId" => &mut fields.sequence_id,
            _ => return Ok(()),
        };
        // An item and a result may be null; whatever else is null is absent.
        *slot = (value != "null" || matches!(name, "item" | "result")).then_some(value);
        Ok(())
    })?;
    reader.end()?;
    fields.message()
}

/// The text of each known property.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    headers: Option<&'a str>,
    invocation_id: Option<&'a str>,
    target: Option<&'a str>,
    arguments: Option<&'a str>,
    stream_ids: Option<&'a str>,
    item: Option<&'a str>,
    result: Option<&'a str>,
    error: Option<&'a str>,
    allow_reconnect: Option<&'a str>,
    sequence_id: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn message(&self) -> Result<Option<HubMessage<'a, &'a str>>, ProtocolError> {
        let kind = self.kind.ok_or(ProtocolError::Message("`type` is missing"))?;
        let kind = as_integer(kind).ok_or(ProtocolError::Message("`type` is not an integer"))?;
        Ok(Some(match kind {
            1 => HubMessage::Invocation(self.invocation()?),
            2 => HubMessage::StreamItem {
                headers: self.headers()?,
                invocation_id: self.required_id()?,
                item: self.item.ok_or(ProtocolError::Message("`item` is missing"))?,
            },
            3 => HubMessage::Completion {
                headers: self.headers()?,
                invocation_id: self.required_id()?,
                outcome: self.outcome()?,
            },
            4 => {
                self.required_id()?;
                HubMessage::StreamInvocation(self.invocation()?)
            }
            5 => {
                HubMessage::CancelInvocation { headers: self.headers()?, invocation_id: self.required_id()? }
            }
            6 => HubMessage::Ping,
            7 => HubMessage::Close { error: self.error()?, allow_reconnect: self.allow_reconnect()? },
            8 => HubMessage::Ack { sequence_id: self.sequence_id()? },
            9 => HubMessage::Sequence { sequence_id: self.sequence_id()? },
            _ => return Ok(None),
        }))
    }

    fn invocation(&self) -> Result<Invocation<'a, &'a str>, ProtocolError> {
        let target = self.target.ok_or(ProtocolError::Message("`target` is missing"))?;
        let target = as_string(target)?.ok_or(ProtocolError::Message("`target` is not a string"))?;
        if target.is_empty() {
            return Err(ProtocolError::Message("`target` is empty"));
        }
        // The official JavaScript client calls handlers without arguments then.
        let arguments = self.arguments.unwrap_or("[]");
        if !arguments.starts_with('[') {
            return Err(ProtocolError::Message("`arguments` is not an array"));
        }
        Ok(Invocation {
            headers: self.headers()?,
            invocation_id: self.invocation_id()?,
            target,
            arguments,
            stream_ids: self.stream_ids()?,
        })
    }

    /// An empty id does not count.
    fn invocation_id(&self) -> Result<Option<Cow<'a, str>>, ProtocolError> {
        let Some(value) = self.invocation_id else { return Ok(None) };
        let id = as_string(value)?.ok_or(ProtocolError::Message("`invocationId` is not a string"))?;
        Ok(Some(id).filter(|id| !id.is_empty()))
    }

    fn required_id(&self) -> Result<Cow<'a, str>, ProtocolError> {
        self.invocation_id()?.ok_or(ProtocolError::Message("`invocationId` is missing"))
    }

    fn error(&self) -> Result<Option<Cow<'a, str>>, ProtocolError> {
        match self.error {
            None => Ok(None),
            Some(value) => {
                Ok(Some(as_string(value)?.ok_or(ProtocolError::Message("`error` is not a string"))?))
            }
        }
    }

    fn outcome(&self) -> Result<Outcome<'a, &'a str>, ProtocolError> {
        match (self.error()?, self.result) {
            (Some(error), None | Some("null")) => Ok(Outcome::Error(error)),
            // An empty error text does not count.
            (Some(error), Some(result)) if error.is_empty() => Ok(Outcome::Value(result)),
            (Some(_), Some(_)) => Err(ProtocolError::Message("both `result` and `error` are present")),
            (None, Some(result)) => Ok(Outcome::Value(result)),
            (None, None) => Ok(Outcome::Void),
        }
    }

    fn allow_reconnect(&self) -> Result<bool, ProtocolError> {
        match self.allow_reconnect {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ProtocolError::Message("`allowReconnect` is not a boolean")),
        }
    }

    fn sequence_id(&self) -> Result<i64, ProtocolError> {
        let value = self.sequence_id.ok_or(ProtocolError::Message("`sequenceId` is missing"))?;
        as_integer(value).ok_or(ProtocolError::Message("`sequenceId` is not an integer"))
    }

    fn headers(&self) -> Result<Headers<'a>, ProtocolError> {
        let mut headers = Vec::new();
        let Some(value) = self.headers else { return Ok(headers) };
        if !value.starts_with('{') {
            return Err(ProtocolError::Message("`headers` is not an object"));
        }
        Reader::new(value).members(&mut |name, value| {
            if value == "null" {
                return Ok(());
            }
            let value = as_string(value)?.ok_or(ProtocolError::Message("a header is not a string"))?;
            if headers.len() == MAX_ENTRIES {
                return Err(ProtocolError::Message("too many headers"));
            }
            headers.push((name, value));
            Ok(())
        })?;
        keep_last(&mut headers);
        Ok(headers)
    }

    fn stream_ids(&self) -> Result<Vec<Cow<'a, str>>, ProtocolError> {
        let mut ids = Vec::new();
        let Some(value) = self.stream_ids else { return Ok(ids) };
        if !value.starts_with('[') {
            return Err(ProtocolError::Message("`streamIds` is not an array"));
        }
        Reader::new(value).array(&mut |id| {
            if ids.len() == MAX_ENTRIES {
                return Err(ProtocolError::Message("too many stream ids"));
            }
            ids.push(as_string(id)?.ok_or(ProtocolError::Message("a stream id is not a string"))?);
            Ok(())
        })?;
        Ok(ids)
    }
}

/// Writes one message with its separator to the end of `out`. Payloads have to be JSON, as text or as its bytes: an
/// argument list with its brackets, an item, a result.
///
/// ```
/// # #[cfg(feature = "unstable-machines")]
/// # fn main() -> Result<(), hubwire::core::ProtocolError> {
/// use hubwire::core::{json, message::HubMessage};
///
/// let mut out = Vec::new();
/// json::write::<&str>(&mut out, &HubMessage::Ping);
/// assert_eq!(out, b"{\"type\":6}\x1e");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "unstable-machines"))]
/// # fn main() {}
/// ```
pub fn write<P: AsRef<[u8]>>(out: &mut Vec<u8>, message: &HubMessage<'_, P>) {
    let mut raw = |text: &str| out.extend_from_slice(text.as_bytes());
    match message {
        HubMessage::Invocation(call) => write_invocation(out, 1, call),
        HubMessage::StreamInvocation(call) => write_invocation(out, 4, call),
        HubMessage::StreamItem { headers, invocation_id, item } => {
            write_start(out, 2, headers, Some(invocation_id));
            out.extend_from_slice(b",\"item\":");
            out.extend_from_slice(item.as_ref());
        }
        HubMessage::Completion { headers, invocation_id, outcome } => {
            write_start(out, 3, headers, Some(invocation_id));
            match outcome {
                Outcome::Void => {}
                Outcome::Value(value) => {
                    out.extend_from_slice(b",\"result\":");
                    out.extend_from_slice(value.as_ref());
                }
                Outcome::Error(error) => {
                    out.extend_from_slice(b",\"error\":");
                    write_string(out, error);
                }
            }
        }
        HubMessage::CancelInvocation { headers, invocation_id } => {
            write_start(out, 5, headers, Some(invocation_id));
        }
        HubMessage::Ping => raw("{\"type\":6"),
        HubMessage::Close { error, allow_reconnect } => {
            raw("{\"type\":7");
            if let Some(error) = error {
                raw(",\"error\":");
                write_string(out, error);
            }
            if *allow_reconnect {
                out.extend_from_slice(b",\"allowReconnect\":true");
            }
        }
        HubMessage::Ack { sequence_id } => raw(&format!("{{\"type\":8,\"sequenceId\":{sequence_id}")),
        HubMessage::Sequence { sequence_id } => raw(&format!("{{\"type\":9,\"sequenceId\":{sequence_id}")),
    }
    out.extend_from_slice(&[b'}', RECORD_SEPARATOR]);
}

/// Writes the order of properties that .NET writes.
fn write_start(out: &mut Vec<u8>, kind: u8, headers: &Headers<'_>, invocation_id: Option<&str>) {
    out.extend_from_slice(b"{\"type\":");
    out.push(b'0' + kind);
    if !headers.is_empty() {
        out.extend_from_slice(b",\"headers\":");
        for (n, (name, value)) in headers.iter().enumerate() {
            out.push(if n == 0 { b'{' } else { b',' });
            write_string(out, name);
            out.push(b':');
            write_string(out, value);
        }
        out.push(b'}');
    }
    if let Some(id) = invocation_id {
        out.extend_from_slice(b",\"invocationId\":");
        write_string(out, id);
    }
}

fn write_invocation<P: AsRef<[u8]>>(out: &mut Vec<u8>, kind: u8, call: &Invocation<'_, P>) {
    write_start(out, kind, &call.headers, call.invocation_id.as_deref());
    out.extend_from_slice(b",\"target\":");
    write_string(out, &call.target);
    out.extend_from_slice(b",\"arguments\":");
    out.extend_from_slice(call.arguments.as_ref());
    if !call.stream_ids.is_empty() {
        out.extend_from_slice(b",\"streamIds\":");
        for (n, id) in call.stream_ids.iter().enumerate() {
            out.push(if n == 0 { b'[' } else { b',' });
            write_string(out, id);
        }
        out.push(b']');
    }
}

/// Writes a JSON string. 0x1E, a control character, cannot appear in it unescaped.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((&special, tail)) = tail.split_first() else { break };
        match special {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', special]),
            _ => {
                let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(special >> 4), digit(special & 15)]);
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &HubMessage<'_, &str>) -> String {
        let mut out = Vec::new();
        write(&mut out, message);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The sizes of the official tests, separator included.
    #[test]
    fn sizes_are_the_official_ones() {
        let call = |id: Option<&'static str>| Invocation {
            headers: Vec::new(),
            invocation_id: id.map(Cow::Borrowed),
            target: "Target".into(),
            arguments: "[1]",
            stream_ids: Vec::new(),
        };
        for (message, size) in [
            (HubMessage::Invocation(call(None)), 45),
            (HubMessage::Invocation(call(Some("1"))), 64),
            (HubMessage::Close { error: None, allow_reconnect: false }, 11),
            (HubMessage::StreamItem { headers: vec![], invocation_id: "1".into(), item: "1" }, 39),
            (
                HubMessage::Completion { headers: vec![], invocation_id: "1".into(), outcome: Outcome::Void },
                30,
            ),
            (HubMessage::CancelInvocation { headers: vec![], invocation_id: "1".into() }, 30),
            (HubMessage::Ping, 11),
        ] {
            assert_eq!(written(&message).len(), size, "{message:?}");
        }
    }

    /// The short cut and the long way read alike, whatever is wrong with a message.
    #[test]
    fn usual_messages_are_read_as_any_others() {
        let mut usual = 0;
        for record in [
            r#"{"type":1,"target":"Say","arguments":["a\"b",{"c":[null,1.5e3]}]}"#,
            r#"{"type":1,"invocationId":"s1","target":"Say","arguments":[]}"#,
            r#"{"type":1,"target":"S\u0061y","arguments":[]}"#,
            r#"{"type":1,"target":"Say","arguments":null}"#,
            r#"{"type":1,"target":"Say","arguments":[],"streamIds":["1"]}"#,
            r#"{"type":3,"invocationId":"17","result": {"d":"\u00fc"} } "#,
            r#"{"type":3,"invocationId":"17","result":null}"#,
            r#"{"type":3,"invocationId":"17","error":"no"}"#,
        ] {
            let mut variants = vec![record.to_owned()];
            for (at, char) in record.char_indices() {
                let (head, tail) = record.split_at(at);
                variants.push(head.to_owned());
                variants.push(format!("{head}{}", &tail[char.len_utf8()..]));
                variants.extend(["\"", "\\", "}", " ", "\u{fc}"].map(|more| format!("{head}{more}{tail}")));
            }
            for variant in variants {
                let Some(message) = parse_usual(&variant) else { continue };
                assert_eq!(parse_any(&variant), Ok(Some(message)), "{variant}");
                usual += 1;
            }
        }
        assert!(usual > 100, "{usual}");
    }

    #[test]
    fn envelope_in_any_order() {
        let record =
            r#" { "arguments" : [1, {"target":"no"}], "extra":[[]], "target":"\u0041dd", "type":1 } "#;
        assert_eq!(
            parse(record),
            Ok(Some(HubMessage::Invocation(Invocation {
                headers: vec![],
                invocation_id: None,
                target: "Add".into(),
                arguments: r#"[1, {"target":"no"}]"#,
                stream_ids: vec![],
            })))
        );
    }

    #[test]
    fn what_is_null_is_absent() {
        for (record, same) in [
            (r#"{"type":1,"target":"A","arguments":null}"#, r#"{"type":1,"target":"A","arguments":[]}"#),
            (r#"{"type":1,"target":"A"}"#, r#"{"type":1,"target":"A","arguments":[]}"#),
            (
                r#"{"type":1.0,"target":"A","arguments":[1],"headers":null,"streamIds":null,"invocationId":null,"error":null}"#,
                r#"{"type":1,"target":"A","arguments":[1]}"#,
            ),
            (
                r#"{"type":1,"target":"A","arguments":[1],"invocationId":"","headers":{"a":null,"b":"c"}}"#,
                r#"{"type":1,"target":"A","arguments":[1],"headers":{"b":"c"}}"#,
            ),
            (r#"{"type":3,"invocationId":"1","error":null}"#, r#"{"type":3,"invocationId":"1"}"#),
            (r#"{"type":3,"invocationId":"1","error":"x","error":null}"#, r#"{"type":3,"invocationId":"1"}"#),
            (r#"{"type":7,"error":null,"allowReconnect":null}"#, r#"{"type":7}"#),
            (r#"{"type":8,"sequenceId":3.00}"#, r#"{"type":8,"sequenceId":3}"#),
        ] {
            let message = parse(record);
            assert!(matches!(message, Ok(Some(_))), "{record}: {message:?}");
            assert_eq!(message, parse(same), "{record}");
        }
        let value = Ok(Some(HubMessage::Completion {
            headers: vec![],
            invocation_id: "1".into(),
            outcome: Outcome::Value("null"),
        }));
        assert_eq!(parse(r#"{"type":3,"invocationId":"1","result":null,"error":null}"#), value);
        for record in [r#"{"type":null}"#, r#"{"type":1,"target":null}"#, r#"{"type":8,"sequenceId":3.5}"#] {
            assert!(parse(record).is_err(), "{record}");
        }
    }

    #[test]
    fn each_malformed_message_is_refused() {
        for record in [
            "",
            "null",
            "[42]",
            "{}",
            "{\"type\":\"1\"}",
            "{\"type\":6}x",
            "{\"type\":1,\"target\":\"\",\"arguments\":[]}",
            "{\"type\":1,\"target\":\"a\",\"arguments\":{}}",
            "{\"type\":1,\"target\":\"a\",\"arguments\":\"\"}",
            "{\"type\":1,\"target\":\"a\",\"arguments\":[tru]}",
            "{\"type\":1,\"invocationId\":1,\"target\":\"a\",\"arguments\":[]}",
            "{\"type\":4,\"invocationId\":null,\"target\":\"a\",\"arguments\":[]}",
            "{\"type\":5,\"invocationId\":\"\"}",
            "{\"type\":2,\"invocationId\":\"1\"}",
            "{\"type\":3,\"invocationId\":1}",
            "{\"type\":3}",
            "{\"type\":3,\"invocationId\":\"1\",\"result\":1,\"error\":\"e\"}",
            "{\"type\":3,\"invocationId\":\"1\",\"error\":1}",
            "{\"type\":4,\"target\":\"a\",\"arguments\":[]}",
            "{\"type\":5}",
            "{\"type\":7,\"allowReconnect\":\"yes\"}",
            "{\"type\":8}",
            "{\"type\":9,\"sequenceId\":\"1\"}",
            "{\"type\":9,\"sequenceId\":1.5}",
            "{\"type\":5,\"invocationId\":\"1\",\"headers\":{\"a\":1}}",
        ] {
            assert!(parse(record).is_err(), "{record}");
        }
        assert_eq!(parse("{\"type\":99,\"target\":5}"), Ok(None));
    }

    #[test]
    fn headers_are_slices_of_the_record_and_of_doubles_the_last_one_counts() {
        let headers = |json: &str| -> Result<Vec<(String, String)>, ProtocolError> {
            let record = format!("{{\"type\":5,\"invocationId\":\"1\",\"headers\":{json}}}");
            let Some(HubMessage::CancelInvocation { headers, .. }) = parse(&record)? else {
                panic!("{json}")
            };
            for (name, value) in &headers {
                assert!(matches!((name, value), (Cow::Borrowed(_), Cow::Borrowed(_))) || json.contains('\\'));
            }
            Ok(headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
        };
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(
            headers(r#"{"a":"1","b":"2","\u0061":"3","c":"4"}"#),
            Ok([("b", "2"), ("a", "3"), ("c", "4")].map(pair).into())
        );
        let many = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| format!("\"{n}\":\"\"")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(headers(&many(MAX_ENTRIES)).map(|headers| headers.len()), Ok(MAX_ENTRIES));
        assert_eq!(headers(&many(MAX_ENTRIES + 1)), Err(ProtocolError::Message("too many headers")));
    }
}

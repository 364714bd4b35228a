//! What holds for the codecs and parsers of the core whatever comes: round trips, and agreement with other libraries.

use hubwire::core::framing::{BinaryFraming, TextFraming};
use hubwire::core::handshake::{HandshakeBuffer, HandshakeRequest, HandshakeResponse};
use hubwire::core::message::{Headers, HubMessage, Invocation, Outcome};
use hubwire::core::negotiate::NegotiateResponse;
use hubwire::core::sse::EventStream;
use hubwire::core::{json, msgpack};
use hubwire::{ClientToken, HubUrl, Timestamp, Zone};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

/// JSON of every kind, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// MessagePack of every kind, not too deep.
fn any_packed() -> impl Strategy<Value = rmpv::Value> {
    let leaf = prop_oneof![
        Just(rmpv::Value::Nil),
        any::<bool>().prop_map(rmpv::Value::from),
        any::<i64>().prop_map(rmpv::Value::from),
        any::<u64>().prop_map(rmpv::Value::from),
        any::<f32>().prop_map(rmpv::Value::from),
        any::<f64>().prop_map(rmpv::Value::from),
        any::<String>().prop_map(rmpv::Value::from),
        vec(any::<u8>(), 0..300).prop_map(rmpv::Value::from),
        (any::<i8>(), vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| rmpv::Value::Ext(kind, bytes)),
    ];
    leaf.prop_recursive(3, 24, 18, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..18).prop_map(rmpv::Value::from),
            vec((inner.clone(), inner), 0..18).prop_map(rmpv::Value::from),
        ]
    })
}

fn encoded(value: &rmpv::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

/// Where the stream is cut, from beginning to end.
fn edges(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(length)).collect();
    cuts.extend([0, length]);
    cuts.sort_unstable();
    cuts
}

/// A message that owns its texts, to borrow the real one from.
#[derive(Debug, Clone)]
struct Owned {
    kind: u8,
    headers: Vec<(String, String)>,
    id: Option<String>,
    text: String,
    json: String,
    packed: Vec<u8>,
    ids: Vec<String>,
    number: i64,
    flag: bool,
}

impl Owned {
    fn message<'a, P: Copy>(&'a self, payload: P) -> HubMessage<'a, P> {
        let headers: Headers<'_> = self.headers.iter().map(|(k, v)| (k.into(), v.into())).collect();
        let invocation_id = self.id.as_deref().unwrap_or("0").into();
        let call = |id: Option<&'_ str>| Invocation {
            headers: headers.clone(),
            invocation_id: id.map(|id| id.to_owned().into()),
            target: self.text.as_str().into(),
            arguments: payload,
            stream_ids: self.ids.iter().map(Into::into).collect(),
        };
        match self.kind {
            1 => HubMessage::Invocation(call(self.id.as_deref())),
            2 => HubMessage::StreamItem { headers, invocation_id, item: payload },
            3 => {
                let outcome = match self.number % 3 {
                    0 => Outcome::Void,
                    1 => Outcome::Value(payload),
                    _ => Outcome::Error(self.text.as_str().into()),
                };
                HubMessage::Completion { headers, invocation_id, outcome }
            }
            4 => HubMessage::StreamInvocation(call(Some(self.id.as_deref().unwrap_or("0")))),
            5 => HubMessage::CancelInvocation { headers, invocation_id },
            6 => HubMessage::Ping,
            7 => HubMessage::Close {
                error: self.id.as_ref().map(|_| self.text.as_str().into()),
                allow_reconnect: self.flag,
            },
            8 => HubMessage::Ack { sequence_id: self.number },
            _ => HubMessage::Sequence { sequence_id: self.number },
        }
    }
}

fn any_message() -> impl Strategy<Value = Owned> {
    let header = || any::<String>().prop_map(|text| text + "x");
    let headers = proptest::collection::btree_map(header(), header(), 0..3);
    let text = "\\PC{0,8}[\\x00-\\x20\"\\\\\u{1e}]{0,4}x";
    (
        (1_u8..10, headers, proptest::option::of(text), text),
        (vec(any_json(), 0..4), vec(any_packed(), 0..3), vec(text, 0..20), any::<i64>(), any::<bool>()),
    )
        .prop_map(|((kind, headers, id, text), (json, packed, ids, number, flag))| Owned {
            kind,
            headers: headers.into_iter().collect(),
            id,
            text,
            json: Value::from(json).to_string(),
            packed: encoded(&rmpv::Value::Array(packed)),
            ids,
            number,
            flag,
        })
}

proptest! {
    #[test]
    fn messages_survive_any_cut(messages in vec(any_message(), 1..5), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        let mut stream = Vec::new();
        for message in &messages {
            json::write(&mut stream, &message.message(message.json.as_str()));
        }
        let cuts = edges(&cuts, stream.len());
        let mut framing = TextFraming::default();
        let mut read = 0;
        for chunk in cuts.windows(2) {
            framing
                .feed(&stream[chunk[0]..chunk[1]], |record| {
                    let message = json::parse(record)?.expect("a known type");
                    assert_eq!(message, messages[read].message(messages[read].json.as_str()));
                    read += 1;
                    Ok(())
                })
                .unwrap();
        }
        framing.finish().unwrap();
        prop_assert_eq!(read, messages.len());
    }

    #[test]
    fn packed_messages_survive_any_cut(messages in vec(any_message(), 1..5), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        let mut stream = Vec::new();
        for message in &messages {
            msgpack::write(&mut stream, &message.message(message.packed.as_slice()));
        }
        let cuts = edges(&cuts, stream.len());
        let mut framing = BinaryFraming::default();
        let mut read = 0;
        for chunk in cuts.windows(2) {
            framing
                .feed(&stream[chunk[0]..chunk[1]], |bytes| {
                    let message = msgpack::parse(bytes)?.expect("a known type");
                    assert_eq!(message, messages[read].message(messages[read].packed.as_slice()));
                    read += 1;
                    Ok(())
                })
                .unwrap();
        }
        framing.finish().unwrap();
        prop_assert_eq!(read, messages.len());
    }

    /// A value ends where another library says it does, and is one only if that library says so. That one takes 0xc1,
    /// which begins no value, for nil.
    #[test]
    fn messagepack_is_what_rmpv_says(value in any_packed(), noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
        let mut bytes = encoded(&value);
        for (at, byte) in noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut rest = &bytes[..];
        let theirs = rmpv::decode::read_value(&mut rest).is_ok() && rest.is_empty();
        let message = [b"\x94\x02\x80\xa11", &bytes[..]].concat();
        let ours = msgpack::parse(&message);
        if theirs && !bytes.contains(&0xc1) {
            let Ok(Some(HubMessage::StreamItem { item, .. })) = ours else { panic!("refused: {ours:?}") };
            prop_assert_eq!(item, bytes);
        } else if !theirs {
            prop_assert!(ours.is_err(), "taken: {:02x?}", bytes);
        }
    }

    #[test]
    fn packed_noise_never_panics(
        message in any_message(),
        noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let mut stream = Vec::new();
        msgpack::write(&mut stream, &message.message(message.packed.as_slice()));
        for (at, byte) in noise {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        for bytes in [stream, bytes] {
            let _ = BinaryFraming::new(1000).feed(&bytes, |message| msgpack::parse(message).map(drop));
            let _ = msgpack::parse(&bytes);
            // As if each kind of message, whose elements then are anything.
            for kind in 1..10 {
                let _ = msgpack::parse(&[&[0x97, kind, 0x80], &bytes[..]].concat());
            }
        }
    }

    /// What a parser takes, ours must take as well, and what it refuses, ours must refuse.
    #[test]
    fn json_is_what_serde_json_says(text in "[\\[\\]{}\",:\\\\0-9.eE+\\-truefalsn u\u{e9}\n]{0,12}") {
        let arguments = format!("[{text}]");
        let record = format!(r#"{{"type":1,"target":"t","arguments":{arguments}}}"#);
        let ours = json::parse(&record);
        // A comma or a bracket can lead out of the list; then the whole record decides.
        if serde_json::from_str::<&RawValue>(&arguments).is_ok() {
            let Ok(Some(HubMessage::Invocation(call))) = ours else { panic!("refused: {text:?}: {ours:?}") };
            prop_assert_eq!(call.arguments, arguments);
        } else if serde_json::from_str::<&RawValue>(&record).is_err() {
            prop_assert!(ours.is_err(), "taken: {:?}", text);
        }
    }

    #[test]
    fn events_are_those_of_the_whole_stream_wherever_it_is_cut(
        lines in vec("(\u{feff})?(data|id|dat|)(: |:|)[a:\u{e9} ]{0,3}(\r\n|\r|\n|\n\n|\r\r)", 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text = lines.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut stream = EventStream::default();
        let mut events = Vec::new();
        for chunk in cuts.windows(2) {
            let chunk = &text.as_bytes()[chunk[0]..chunk[1]];
            stream.feed(chunk, |event| events.push(event.to_owned())).unwrap();
        }
        prop_assert_eq!(events, events_of(&text));
    }

    #[test]
    fn nothing_that_arrives_panics(bytes in vec(any::<u8>(), 0..200), text in any::<String>()) {
        let _ = TextFraming::new(100).feed(&bytes, |record| json::parse(record).map(drop));
        let _ = HandshakeBuffer::default().feed(&bytes);
        let _ = EventStream::new(100).feed(&bytes, |_| ());
        let _ = HandshakeRequest::parse(&text);
        let _ = HandshakeResponse::parse(&text);
        let _ = NegotiateResponse::parse(&bytes);
        let _ = ClientToken::parse(&text);
        let _ = HubUrl::parse(&text);
        let _ = json::parse(&text);
    }

    #[test]
    fn timestamps_go_both_ways(
        seconds in -62_135_510_400_i64..253_402_214_400,
        nanoseconds in 0_u32..1_000_000_000,
        minutes in -840_i16..=840,
        noise in "[0-9TZ:.+-]{0,30}",
    ) {
        let utc = Timestamp::from_unix(seconds, nanoseconds).unwrap();
        for zone in [Zone::Utc, Zone::Unspecified, Zone::Offset(minutes)] {
            let timestamp = utc.with_zone(zone).unwrap();
            prop_assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
        }
        let _ = noise.parse::<Timestamp>();
    }

    #[test]
    fn tokens_give_back_their_claims(claims in proptest::collection::btree_map("[a-z]{4,8}", any_json(), 0..5), exp in any::<i64>()) {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let mut all: serde_json::Map<String, Value> = claims.into_iter().collect();
        all.insert("exp".to_owned(), exp.into());
        let part = |json: String| Base64UrlUnpadded::encode_string(json.as_bytes());
        let text = format!("{}.{}.x", part("{}".to_owned()), part(Value::from(all.clone()).to_string()));
        let token = ClientToken::parse(&text).unwrap();
        prop_assert_eq!(token.expires_at(), Some(exp));
        for (name, value) in &all {
            prop_assert_eq!(token.claim(name).unwrap(), value.to_string());
        }
    }
}

/// The events of a stream, as the WHATWG standard puts it for a whole text.
fn events_of(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut data) = (Vec::new(), Vec::new());
    // Behind the last line feed there is no line, or one without an end.
    for line in text.split('\n').take(text.matches('\n').count()) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        match (line, name) {
            ("", _) if !data.is_empty() => events.push(std::mem::take(&mut data).join("\n")),
            (_, "data") => data.push(value.strip_prefix(' ').unwrap_or(value).to_owned()),
            _ => {}
        }
    }
    events
}

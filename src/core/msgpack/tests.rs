//! Tests of the MessagePack hub protocol.

use super::*;
use crate::core::msgpack::reader::Reader;

fn written(message: &HubMessage<'_, &[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, message);
    out
}

fn call<'a>(id: Option<&'a str>, arguments: &'a [u8]) -> Invocation<'a, &'a [u8]> {
    Invocation {
        headers: Vec::new(),
        invocation_id: id.map(Cow::Borrowed),
        target: "Target".into(),
        arguments,
        stream_ids: Vec::new(),
    }
}

fn completion<'a>(outcome: Outcome<'a, &'a [u8]>) -> HubMessage<'a, &'a [u8]> {
    HubMessage::Completion { headers: vec![], invocation_id: "1".into(), outcome }
}

/// The sizes of the official tests, with the length.
#[test]
fn sizes_are_the_official_ones() {
    for (message, size) in [
        (HubMessage::Invocation(call(None, b"\x91\x01")), 15),
        (HubMessage::Invocation(call(Some("1"), b"\x91\x01")), 16),
        (HubMessage::Close { error: None, allow_reconnect: false }, 5),
        (HubMessage::StreamItem { headers: vec![], invocation_id: "1".into(), item: b"\x01" }, 7),
        (completion(Outcome::Void), 7),
        (HubMessage::CancelInvocation { headers: vec![], invocation_id: "1".into() }, 6),
        (HubMessage::Ping, 3),
    ] {
        assert_eq!(written(&message).len(), size, "{message:?}");
    }
}

#[test]
fn the_length_has_room_whatever_it_is() {
    for length in (0..400).chain(16_300..16_400).chain([2_097_000, 2_097_152]) {
        let item = vec![0xc0; length];
        let message: HubMessage<'_, &[u8]> =
            HubMessage::StreamItem { headers: vec![], invocation_id: "1".into(), item: &item };
        let mut out = vec![0xff];
        write(&mut out, &message);
        let mut expected = vec![0xff];
        expected.extend(length_prefix(length + 5));
        expected.extend_from_slice(b"\x94\x02\x80\xa11");
        assert_eq!(out.get(..expected.len()), Some(&expected[..]), "{length}");
        assert_eq!(out.len(), expected.len() + length);
    }
}

#[test]
fn integers_take_as_few_bytes_as_they_can() {
    for (number, bytes) in [
        (0, &b"\x00"[..]),
        (127, b"\x7f"),
        (128, b"\xcc\x80"),
        (255, b"\xcc\xff"),
        (256, b"\xcd\x01\x00"),
        (65_536, b"\xce\x00\x01\x00\x00"),
        (1 << 32, b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
        (i64::MAX, b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (-1, b"\xff"),
        (-32, b"\xe0"),
        (-33, b"\xd0\xdf"),
        (-129, b"\xd1\xff\x7f"),
        (-32_769, b"\xd2\xff\xff\x7f\xff"),
        (i64::MIN, b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
    ] {
        let mut out = Vec::new();
        write_integer(&mut out, number);
        assert_eq!(out, bytes, "{number}");
        assert_eq!(Reader::new(&out).integer(), Ok(number));
    }
    for (bytes, number) in [
        (&b"\xcf\x00\x00\x00\x00\x00\x00\x00\x05"[..], Some(5)),
        (b"\xd0\x05", Some(5)),
        (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
        (b"\xcf\x80\x00\x00\x00\x00\x00\x00\x00", None),
        (b"\xca\x3f\x80\x00\x00", Some(1)),
        (b"\xca\x3f\x80\x00\x01", None),
        (b"\xcb\xc0\x00\x00\x00\x00\x00\x00\x00", Some(-2)),
        (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", None),
        (b"\xcb\x44\x00\x00\x00\x00\x00\x00\x00", None),
        (b"\xa15", None),
        (b"\xcd\x01", None),
    ] {
        assert_eq!(Reader::new(bytes).integer().ok(), number, "{bytes:?}");
    }
}

#[test]
fn texts_and_arrays_of_any_width() {
    for length in [0, 31, 32, 255, 256, 65_535, 65_536] {
        let text = "x".repeat(length);
        let mut out = Vec::new();
        write_text(&mut out, &text);
        assert_eq!(Reader::new(&out).text(), Ok(Some(&*text)));
        let mut out = Vec::new();
        write_array(&mut out, length);
        assert_eq!(Reader::new(&out).array(), Ok(length as u64));
    }
    for text in [&b"\xd9\x01a"[..], b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a"] {
        assert_eq!(Reader::new(text).text(), Ok(Some("a")));
    }
    for array in [&b"\xdc\x00\x02"[..], b"\xdd\x00\x00\x00\x02", b"\x92"] {
        assert_eq!(Reader::new(array).array(), Ok(2));
    }
    for map in [&b"\xde\x00\x02"[..], b"\xdf\x00\x00\x00\x02", b"\x82"] {
        assert_eq!(Reader::new(map).map(), Ok(2));
    }
}

#[test]
fn short_and_long_forms_are_taken() {
    let Ok(Some(HubMessage::Invocation(five))) = parse(b"\x95\x01\x80\xc0\xa1a\x90") else { panic!() };
    assert_eq!((five.invocation_id, five.stream_ids.len()), (None, 0));
    let Ok(Some(HubMessage::Invocation(seven))) = parse(b"\x97\x01\xc0\xa0\xa1a\xdc\x00\x01\x05\xc0\xa1x")
    else {
        panic!()
    };
    assert_eq!((seven.invocation_id, seven.arguments), (None, &b"\xdc\x00\x01\x05"[..]));
    assert_eq!(parse(b"\x92\x07\xc0"), Ok(Some(HubMessage::Close { error: None, allow_reconnect: false })));
    assert_eq!(parse(b"\x94\x07\xa0\xc3\x01"), {
        Ok(Some(HubMessage::Close { error: Some("".into()), allow_reconnect: true }))
    });
    assert_eq!(parse(b"\x95\x03\x80\xa11\x01\xa2no"), Ok(Some(completion(Outcome::Error("no".into())))));
    assert_eq!(parse(b"\x95\x03\x80\xa11\x01\xc0"), Ok(Some(completion(Outcome::Void))));
    assert_eq!(parse(b"\x92\x64\x80"), Ok(None));
}

#[test]
fn each_malformed_message_is_refused() {
    for message in [
        &b""[..],
        b"\x90",
        b"\x06",
        b"\x81\x06\x06",
        b"\x91\xa16",
        b"\x91\xc1",
        b"\x91\x06\x00",
        b"\x92\x06",
        b"\x92\x64",
        b"\x91\x64\x00",
        b"\xdd\xff\xff\xff\xff\x06",
        // Invocations.
        b"\x92\x01\x80",
        b"\x94\x01\x80\xc2\xa1a",
        b"\x95\x01\x80\xc0\xc0\x90",
        b"\x95\x01\x80\xc0\xa0\x90",
        b"\x95\x01\x80\xc0\xa2a\xff\x90",
        b"\x94\x01\x80\xc0\xa1a",
        b"\x95\x01\x80\xc0\xa1a\xc2",
        b"\x95\x01\x80\xc0\xa1a\x91",
        b"\x96\x01\x80\xc0\xa1a\x90\xa1x",
        b"\x96\x01\x80\xc0\xa1a\x90\x91\xc0",
        b"\x96\x04\x80\xc0\xa1a\x90\x90",
        // Headers.
        b"\x96\x01\x90\xc0\xa1a\x90\x90",
        b"\x96\x01\x81\xa0\xa1v\xc0\xa1a\x90\x90",
        b"\x96\x01\x81\xa1k\x01\xc0\xa1a\x90\x90",
        // The others.
        b"\x93\x02\x80\xa11",
        b"\x94\x02\x80\xa0\x01",
        b"\x94\x03\x80\xa11\x01",
        b"\x94\x03\x80\xa11\x03",
        b"\x94\x03\x80\xa11\x04",
        b"\x95\x03\x80\xa11\x01\x05",
        b"\x93\x05\x80\xc0",
        b"\x91\x07",
        b"\x93\x07\xc0\x00",
        b"\x91\x08",
        b"\x92\x08\xc0",
        b"\x92\x09\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
    ] {
        assert!(parse(message).is_err(), "{message:02x?}");
    }
}

#[test]
fn floods_are_refused_without_memory() {
    let mut ids = b"\x96\x01\x80\xc0\xa1a\x90\xdd\x00\x01\x00\x00".to_vec();
    ids.extend(std::iter::repeat_n(0xa0, 0x1_0000));
    assert_eq!(parse(&ids), Err(ProtocolError::Message("too many headers or stream ids")));
    // Nesting costs a skipper nothing.
    let mut deep = b"\x94\x02\x80\xa11".to_vec();
    deep.extend(std::iter::repeat_n(0x91, 1_000_000));
    deep.push(0xc0);
    assert!(matches!(parse(&deep), Ok(Some(HubMessage::StreamItem { item, .. })) if item.len() == 1_000_001));
}

#[cfg(feature = "msgpack")]
#[test]
fn depth_is_seen() {
    use super::reader::{MAX_DEPTH, is_shallow};

    let nested = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
    assert!(is_shallow(&nested(MAX_DEPTH)));
    assert!(!is_shallow(&nested(MAX_DEPTH + 1)));
    // Neighbours do not add up.
    let neighbours = [vec![0xdc, 0x03, 0xe8], [0x81, 0xa1, b'k', 0x90].repeat(1000)].concat();
    assert!(is_shallow(&neighbours));
    for cut in [&b""[..], b"\x91", b"\x92\x90", b"\xa2a"] {
        assert!(!is_shallow(cut));
    }
}

#[test]
fn of_headers_with_the_same_name_the_last_one_counts() {
    let pairs = |names: &[&str]| {
        let mut out = b"\x93\x05".to_vec();
        write_map(&mut out, names.len());
        for (n, name) in names.iter().enumerate() {
            write_text(&mut out, name);
            write_text(&mut out, &n.to_string());
        }
        out.extend_from_slice(b"\xa11");
        out
    };
    let message = pairs(&["a", "b", "a", "c"]);
    let wanted = [("b", "1"), ("a", "2"), ("c", "3")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(
        parse(&message),
        Ok(Some(HubMessage::CancelInvocation { headers: wanted.into(), invocation_id: "1".into() }))
    );
}

/// Peers write nil where others leave an element out.
#[test]
fn what_is_nil_is_absent() {
    for (message, same) in [
        // An invocation without arguments, and with nil everywhere.
        (&b"\x95\x01\x80\xc0\xa1A\xc0"[..], &b"\x96\x01\x80\xc0\xa1A\x90\x90"[..]),
        (b"\x96\x01\xc0\xc0\xa1A\xc0\xc0", b"\x96\x01\x80\xc0\xa1A\x90\x90"),
        // A header without a value, and an empty one.
        (b"\x95\x01\x82\xa1a\xc0\xa1b\xa0\xc0\xa1A\x90", b"\x95\x01\x81\xa1b\xa0\xc0\xa1A\x90"),
        // Close.
        (b"\x93\x07\xc0\xc0", b"\x92\x07\xc0"),
        // Numbers that are written as floating point numbers: Ping, Ack.
        (b"\x91\xca\x40\xc0\x00\x00", b"\x91\x06"),
        (b"\x92\x08\xcb\x40\x08\x00\x00\x00\x00\x00\x00", b"\x92\x08\x03"),
    ] {
        let read = parse(message);
        assert!(matches!(read, Ok(Some(_))), "{message:x?}: {read:?}");
        assert_eq!(read, parse(same), "{message:x?}");
    }
    for message in [
        &b"\x93\x01\x80\xc0"[..],
        b"\x94\x01\x80\xc0\xc0",
        b"\x92\x08\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x92\x08\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x92\x08\xc0",
    ] {
        assert!(parse(message).is_err(), "{message:x?}");
    }
}

/// The short cut and the long way read alike, whatever is wrong with a message.
#[test]
fn usual_messages_are_read_as_any_others() {
    let mut usual = 0;
    for message in [
        &b"\x96\x01\x80\xc0\xa3Say\x93\xa1x\x81\xa1k\xc0\xcd\x01\x02\x90"[..],
        b"\x96\x01\x80\xa2s1\xa3Say\x90\x90",
        b"\x96\x01\x80\xc0\xa3S\xc3\xa4\xdc\x00\x01\x01\x90",
        b"\x96\x01\x81\xa1h\xa1v\xc0\xa3Say\x90\x90",
        b"\x96\x01\x80\xc0\xa3Say\x90\x91\xa11",
        b"\x95\x03\x80\xa217\x03\x92\xc0\xcb\0\0\0\0\0\0\0\0",
        b"\x95\x03\x80\xa217\x03\xc0",
        b"\x95\x03\x80\xa217\x01\xa2no",
    ] {
        let mut variants = vec![message.to_vec()];
        for at in 0..message.len() {
            let (head, tail) = message.split_at(at);
            variants.extend([head.to_vec(), [head, &tail[1..]].concat()]);
            let more = [0, 1, 3, 0x80, 0x90, 0x91, 0x95, 0x96, 0xa0, 0xa1, 0xc0, 0xc3, 0xd9, 0xdc, 0xff];
            variants.extend(more.map(|byte| [head, &[byte], tail].concat()));
            variants.extend(more.map(|byte| [head, &[byte], &tail[1..]].concat()));
        }
        for variant in variants {
            let Some(message) = parse_usual(&variant) else { continue };
            assert_eq!(parse_any(&variant), Ok(Some(message)), "{variant:x?}");
            usual += 1;
        }
    }
    assert!(usual > 100, "{usual}");
}

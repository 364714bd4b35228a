//! Tests of bytes and timestamps in both protocols.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Binary, Timestamp, TimestampError, Zone};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn iso_texts_go_both_ways() {
    for (text, seconds, nanoseconds, zone) in [
        ("1970-01-01T00:00:00Z", 0, 0, Zone::Utc),
        ("2017-04-11T00:00:00Z", 1_491_868_800, 0, Zone::Utc),
        ("2024-02-29T23:59:59.1234567", 1_709_251_199, 123_456_700, Zone::Unspecified),
        ("2024-02-29T23:59:59.000000001Z", 1_709_251_199, 1, Zone::Utc),
        ("1969-12-31T23:59:59.5Z", -1, 500_000_000, Zone::Utc),
        ("2024-05-01T12:00:00+02:00", 1_714_557_600, 0, Zone::Offset(120)),
        ("2024-05-01T12:00:00-09:30", 1_714_599_000, 0, Zone::Offset(-570)),
        ("2024-05-01T12:00:00+00:00", 1_714_564_800, 0, Zone::Offset(0)),
        ("0001-01-01T00:00:00Z", -62_135_596_800, 0, Zone::Utc),
        ("0001-01-01T00:00:00+14:00", -62_135_596_800 - 14 * 3600, 0, Zone::Offset(840)),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, 999_999_999, Zone::Utc),
    ] {
        let timestamp = time(text);
        assert_eq!(timestamp.unix_seconds(), seconds, "{text}");
        assert_eq!((timestamp.nanoseconds(), timestamp.zone()), (nanoseconds, zone), "{text}");
        assert_eq!(timestamp.to_string(), text);
    }
    for (text, full) in [
        ("2024-05-01", "2024-05-01T00:00:00"),
        ("2024-05-01T12:30", "2024-05-01T12:30:00"),
        ("2024-05-01T12:30Z", "2024-05-01T12:30:00Z"),
        ("2024-05-01T12:30:00+02", "2024-05-01T12:30:00+02:00"),
        ("2024-05-01T12:30:00.50Z", "2024-05-01T12:30:00.5Z"),
        ("2024-05-01T12:30:00.1234567899999Z", "2024-05-01T12:30:00.123456789Z"),
    ] {
        assert_eq!(time(text).to_string(), full);
    }
}

#[test]
fn what_is_no_timestamp() {
    for text in [
        "",
        "now",
        "2024",
        "2024-5-1",
        "2023-02-29",
        "2024-13-01",
        "2024-00-01",
        "10000-01-01T00:00:00Z",
        "2024-05-01T",
        "2024-05-01 12:30",
        "2024-05-01T24:00:00Z",
        "2024-05-01T12:60:00Z",
        "2024-05-01T12:30:60Z",
        "2024-05-01T12:30:00.Z",
        "2024-05-01T12:30:00z",
        "2024-05-01T12:30:00Z ",
        "2024-05-01T12:30:00+2:00",
        "2024-05-01T12:30:00\u{663}",
    ] {
        assert_eq!(text.parse::<Timestamp>(), Err(TimestampError::Format), "{text}");
    }
    assert_eq!("0000-01-01".parse::<Timestamp>(), Err(TimestampError::Range));
    assert_eq!("2024-05-01T12:30:00+14:01".parse::<Timestamp>(), Err(TimestampError::Offset));
    assert_eq!(Timestamp::from_unix(253_402_300_800, 0), Err(TimestampError::Range));
    assert_eq!(Timestamp::from_unix(i64::MIN, 0), Err(TimestampError::Range));
    assert_eq!(Timestamp::from_unix(0, 1_000_000_000), Err(TimestampError::Range));
    assert_eq!(time("9999-12-31T23:00:00Z").with_zone(Zone::Offset(60)), Err(TimestampError::Range));
    assert_eq!(time("2024-05-01").with_zone(Zone::Offset(i16::MIN)), Err(TimestampError::Offset));
}

#[test]
fn system_times_go_both_ways() {
    for (system, text) in [
        (UNIX_EPOCH, "1970-01-01T00:00:00Z"),
        (UNIX_EPOCH + Duration::new(1_000_000_000, 7), "2001-09-09T01:46:40.000000007Z"),
        (UNIX_EPOCH - Duration::from_millis(1), "1969-12-31T23:59:59.999Z"),
        (UNIX_EPOCH - Duration::from_secs(1), "1969-12-31T23:59:59Z"),
    ] {
        let timestamp = Timestamp::try_from(system);
        assert_eq!(timestamp.map(|timestamp| timestamp.to_string()).as_deref(), Ok(text));
        assert_eq!(timestamp.and_then(SystemTime::try_from), Ok(system));
    }
    let far = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    assert_eq!(Timestamp::try_from(far), Err(TimestampError::Range));
}

#[test]
fn json_is_text() {
    let zones = ["2024-05-01T12:00:00Z", "2024-05-01T12:00:00", "2024-05-01T12:00:00+02:00"];
    let read: Vec<Timestamp> = serde_json::from_value(zones.into()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::json!(zones));
    // A DateTimeOffset that a hub got in MessagePack.
    let pair = serde_json::from_str::<Timestamp>(r#"["2024-05-01T12:00:00Z",120]"#).unwrap();
    assert_eq!(pair, time("2024-05-01T12:00:00+02:00"));
    for bad in
        ["1", "null", r#""x""#, "[]", r#"["2024-05-01T12:00:00Z"]"#, r#"[["2024-05-01T12:00:00Z",1],1]"#]
    {
        assert!(serde_json::from_str::<Timestamp>(bad).is_err(), "{bad}");
    }

    let bytes: Binary = serde_json::from_str(r#""\u002B/8=""#).unwrap();
    assert_eq!(bytes.as_ref(), [0xfb, 0xff]);
    assert_eq!(serde_json::to_string(&bytes).unwrap(), r#""+/8=""#);
    assert_eq!(serde_json::from_str::<Binary>("[1,255]").unwrap(), Binary(vec![1, 255]));
    for bad in [r#""+/8""#, r#""?""#, "[256]", "1", "null"] {
        assert!(serde_json::from_str::<Binary>(bad).is_err(), "{bad}");
    }
}

#[cfg(feature = "msgpack")]
#[test]
fn messagepack_is_an_extension() {
    let read = |bytes: &[u8]| rmp_serde::from_slice::<Timestamp>(bytes);
    for (text, bytes) in [
        ("1970-01-01T00:00:00Z", &b"\xd6\xff\0\0\0\0"[..]),
        ("2017-04-11T00:00:00Z", b"\xd6\xff\x58\xec\x1c\x80"),
        ("2106-02-07T06:28:15Z", b"\xd6\xff\xff\xff\xff\xff"),
        ("2106-02-07T06:28:16Z", b"\xd7\xff\0\0\0\x01\0\0\0\0"),
        ("1970-01-01T00:00:00.000000001Z", b"\xd7\xff\0\0\0\x04\0\0\0\0"),
        ("2514-05-30T01:53:03.999999999Z", b"\xd7\xff\xee\x6b\x27\xff\xff\xff\xff\xff"),
        ("2514-05-30T01:53:04Z", b"\xc7\x0c\xff\0\0\0\0\0\0\0\x04\0\0\0\0"),
        ("1969-12-31T23:59:59.5Z", b"\xc7\x0c\xff\x1d\xcd\x65\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        // A DateTimeOffset: the time there, and how far it is ahead of UTC.
        ("2017-04-11T00:00:00+02:00", b"\x92\xd6\xff\x58\xec\x1c\x80\x78"),
        ("2017-04-11T00:00:00-09:30", b"\x92\xd6\xff\x58\xec\x1c\x80\xd1\xfd\xc6"),
    ] {
        assert_eq!(rmp_serde::to_vec(&time(text)).unwrap(), bytes, "{text}");
        assert_eq!(read(bytes).unwrap(), time(text), "{text}");
    }
    assert_eq!(rmp_serde::to_vec(&time("2017-04-11")).unwrap(), b"\xd6\xff\x58\xec\x1c\x80");
    // A longer form than necessary, and what a JSON client gave a hub.
    assert_eq!(read(b"\xc7\x0c\xff\0\0\0\0\0\0\0\0\x58\xec\x1c\x80").unwrap(), time("2017-04-11T00:00:00Z"));
    assert_eq!(read(b"\xaa2017-04-11").unwrap(), time("2017-04-11"));
    for bad in [
        &b"\xc0"[..],
        b"\x01",
        b"\xd6\x01\x58\xec\x1c\x80",
        b"\xd5\xff\0\0",
        b"\xd7\xff\xff\xff\xff\xff\0\0\0\0",
        b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x91\xd6\xff\0\0\0\0",
        b"\x92\xd6\xff\0\0\0\0\xcd\x03\xe8",
    ] {
        assert!(read(bad).is_err(), "{bad:02x?}");
    }
    // Where it is not asked for, it is skipped.
    let ignored: Result<serde::de::IgnoredAny, _> = rmp_serde::from_slice(b"\xd6\xff\x58\xec\x1c\x80");
    assert!(ignored.is_ok());

    let bytes = Binary(vec![1, 2, 3]);
    assert_eq!(rmp_serde::to_vec(&bytes).unwrap(), b"\xc4\x03\x01\x02\x03");
    for form in [&b"\xc4\x03\x01\x02\x03"[..], b"\xc5\x00\x03\x01\x02\x03", b"\x93\x01\x02\x03", b"\xa4AQID"]
    {
        assert_eq!(rmp_serde::from_slice::<Binary>(form).unwrap(), bytes, "{form:02x?}");
    }
}

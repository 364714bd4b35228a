//! MessagePack values as the vectors write them in JSON, by a library that the crate itself does not use.

use rmpv::Value;

/// The value that the vectors' JSON stands for.
pub(crate) fn real(plain: &Value) -> Value {
    match plain {
        Value::Array(items) => Value::Array(items.iter().map(real).collect()),
        Value::Map(pairs) => match &pairs[..] {
            [(name, plain)] => match (name.as_str(), plain.as_str()) {
                (Some("$bin"), Some(hex)) => Value::Binary(bytes(hex)),
                (Some("$timestamp"), Some(iso)) => timestamp(iso),
                (Some("$float32"), _) => Value::F32(float(plain) as f32),
                (Some("$float64"), _) => Value::F64(float(plain)),
                _ => Value::Map(vec![(name.clone(), real(plain))]),
            },
            _ => Value::Map(pairs.iter().map(|(name, value)| (name.clone(), real(value))).collect()),
        },
        other => other.clone(),
    }
}

/// Numbers that JSON lacks are texts.
fn float(plain: &Value) -> f64 {
    plain.as_f64().or_else(|| plain.as_str()?.parse().ok()).expect("a number")
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex"))
        .collect()
}

fn timestamp(iso: &str) -> Value {
    let time: hubwire::Timestamp = iso.parse().expect("a time");
    extension(time.unix_seconds(), time.nanoseconds())
}

/// The smallest form of a timestamp.
fn extension(seconds: i64, nanoseconds: u32) -> Value {
    let bytes = match (u32::try_from(seconds), seconds >> 34) {
        (Ok(short), _) if nanoseconds == 0 => short.to_be_bytes().to_vec(),
        (_, 0) => (u64::from(nanoseconds) << 34 | seconds as u64).to_be_bytes().to_vec(),
        _ => [&nanoseconds.to_be_bytes()[..], &seconds.to_be_bytes()].concat(),
    };
    Value::Ext(-1, bytes)
}

/// A value that equals another exactly if they mean the same: maps in order, timestamps in their smallest form.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Map(pairs) => {
            let mut pairs: Vec<_> =
                pairs.iter().map(|(name, value)| (canonical(name), canonical(value))).collect();
            pairs.sort_by_key(|(name, _)| name.to_string());
            Value::Map(pairs)
        }
        Value::Ext(-1, bytes) => match bytes.len() {
            4 => extension(u32::from_be_bytes(bytes[..].try_into().unwrap()).into(), 0),
            8 => {
                let both = u64::from_be_bytes(bytes[..].try_into().unwrap());
                extension((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
            }
            12 => extension(
                i64::from_be_bytes(bytes[4..].try_into().unwrap()),
                u32::from_be_bytes(bytes[..4].try_into().unwrap()),
            ),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// The text by which values are compared.
pub(crate) fn shown(value: &Value) -> String {
    format!("{:?}", canonical(value))
}

/// The one value that the bytes are.
pub(crate) fn decoded(mut bytes: &[u8]) -> Value {
    let value = rmpv::decode::read_value(&mut bytes).expect("a payload is MessagePack");
    assert!(bytes.is_empty(), "something follows a payload");
    value
}

pub(crate) fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).expect("memory takes it");
    out
}

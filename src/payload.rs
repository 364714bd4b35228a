//! Reads payloads as the caller's types.

use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Deserializer};

use crate::core::codec::Payload;
#[cfg(feature = "msgpack")]
use crate::core::msgpack::reader::{MAX_DEPTH, is_shallow};
use crate::property_names::{PropertyNames, Reader, Report, Style, missing_field};

/// Why a payload cannot be read as the type that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(String);

impl PayloadError {
    fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// Reads a payload as the type that is asked for.
pub(crate) trait Decode {
    fn decode<T: DeserializeOwned>(self, names: PropertyNames) -> Result<T, PayloadError>;
}

impl Decode for Payload<'_> {
    fn decode<T: DeserializeOwned>(self, names: PropertyNames) -> Result<T, PayloadError> {
        let style = names.style(self.protocol());
        let read = match style {
            None => read(self, Plainly(PhantomData)),
            Some(_) => read(self, Named { style, report: None, value: PhantomData }),
        };
        // What has failed is read again for a better error.
        read.map_err(|error| match missing_field(&error.0) {
            Some(_) => explained::<T>(self, style, error),
            None => error,
        })
    }
}

/// The error, with the keys of the object that lacks a field.
#[cold]
fn explained<T: DeserializeOwned>(
    payload: Payload<'_>,
    style: Option<Style>,
    error: PayloadError,
) -> PayloadError {
    let report = Report::default();
    let named = Named { style, report: Some(&report), value: PhantomData::<T> };
    match read(payload, named).map(drop).map_err(|PayloadError(text)| report.explain(&text)) {
        Err(Some(keys)) => PayloadError(format!("{error}; {keys}")),
        _ => error,
    }
}

/// Reads a value off a deserializer of either protocol.
pub(crate) trait Read {
    type Value;

    fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error>;
}

struct Plainly<T>(PhantomData<T>);

impl<T: DeserializeOwned> Read for Plainly<T> {
    type Value = T;

    fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// With converted names, or to see which ones came.
struct Named<'r, T> {
    style: Option<Style>,
    report: Option<&'r Report>,
    value: PhantomData<T>,
}

impl<T: DeserializeOwned> Read for Named<'_, T> {
    type Value = T;

    fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(Reader::new(deserializer, self.style, self.report))
    }
}

pub(crate) fn read<R: Read>(payload: Payload<'_>, how: R) -> Result<R::Value, PayloadError> {
    match payload {
        Payload::Json(json) => {
            let mut deserializer = serde_json::Deserializer::from_str(json);
            let value = how.read(&mut deserializer).map_err(PayloadError::new)?;
            deserializer.end().map_err(PayloadError::new)?;
            Ok(value)
        }
        #[cfg(feature = "msgpack")]
        Payload::MessagePack(bytes) => {
            // rmp-serde counts how deep arrays and maps nest, but not enums. Within few bytes none can nest too deeply.
            if bytes.len() > 2 * MAX_DEPTH && !is_shallow(bytes) {
                return Err(PayloadError::new("it is nested too deeply"));
            }
            let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
            deserializer.set_max_depth(MAX_DEPTH);
            how.read(&mut deserializer).map_err(PayloadError::new)
        }
    }
}

#[cfg(all(test, feature = "msgpack"))]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;
    use crate::core::HubProtocol;

    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PayloadError> {
        Payload::MessagePack(bytes).decode(PropertyNames::AsDeclared)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Unit,
        Value(u8),
        Deeper(Box<Self>),
    }

    #[test]
    fn values_of_every_kind() {
        assert_eq!(read(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), Ok(u64::MAX));
        assert_eq!(read(b"\xd3\x80\0\0\0\0\0\0\0"), Ok(i64::MIN));
        assert_eq!(read(b"\xca\x3f\xc0\0\0"), Ok(1.5_f64));
        assert_eq!(read(b"\x05"), Ok(5.0_f64));
        assert_eq!(read(b"\xc0"), Ok(()));
        assert_eq!(read(b"\xc0"), Ok(None::<u8>));
        assert_eq!(read(b"\x05"), Ok(Some(5_u8)));
        assert_eq!(read(b"\x93\xa4Unit\x81\xa5Value\x01\x81\xa6Deeper\xa4Unit"), {
            Ok((Kind::Unit, Kind::Value(1), Kind::Deeper(Box::new(Kind::Unit))))
        });
        let map = BTreeMap::from([("PascalKey".to_owned(), 1), ("camelKey".to_owned(), 2)]);
        assert_eq!(read(b"\x82\xa9PascalKey\x01\xa8camelKey\x02"), Ok(map));
        assert!(read::<IgnoredAny>(b"\x92\xd4\x05\x00\xc4\x01\xff").is_ok());
        assert!(read::<u8>(b"\xcd\x01\x00").is_err());
        assert!(read::<String>(b"\x01").is_err());
        assert_eq!(Payload::null(HubProtocol::MessagePack).decode(PropertyNames::AsDeclared), Ok(()));
    }

    #[test]
    fn depth_is_bounded() {
        for level in [&b"\x91"[..], b"\x81\xa1k", b"\x81\xa6Deeper"] {
            let nested = |levels: usize| [level.repeat(levels), b"\xa4Unit".to_vec()].concat();
            assert!(read::<IgnoredAny>(&nested(MAX_DEPTH - 1)).is_ok());
            assert!(read::<IgnoredAny>(&nested(1_000_000)).is_err());
        }
        let enums = |levels: usize| [b"\x81\xa6Deeper".repeat(levels), b"\xa4Unit".to_vec()].concat();
        assert!(read::<Kind>(&enums(MAX_DEPTH)).is_ok());
        assert!(read::<Kind>(&enums(1_000_000)).is_err());
    }
}

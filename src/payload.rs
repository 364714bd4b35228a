//! Reads payloads as the caller's types.

use serde::de::DeserializeOwned;

use crate::core::codec::Payload;
#[cfg(feature = "msgpack")]
use crate::core::msgpack::reader::{MAX_DEPTH, is_shallow};

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
    fn decode<T: DeserializeOwned>(self) -> Result<T, PayloadError>;
}

impl Decode for Payload<'_> {
    fn decode<T: DeserializeOwned>(self) -> Result<T, PayloadError> {
        match self {
            Self::Json(json) => serde_json::from_str(json).map_err(PayloadError::new),
            #[cfg(feature = "msgpack")]
            Self::MessagePack(bytes) => from_msgpack(bytes),
        }
    }
}

#[cfg(feature = "msgpack")]
fn from_msgpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PayloadError> {
    // rmp-serde counts how deep arrays and maps nest, but not enums. Within few bytes none can nest too deeply.
    if bytes.len() > 2 * MAX_DEPTH && !is_shallow(bytes) {
        return Err(PayloadError::new("it is nested too deeply"));
    }
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut deserializer).map_err(PayloadError::new)
}

#[cfg(all(test, feature = "msgpack"))]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;
    use crate::core::HubProtocol;

    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PayloadError> {
        Payload::MessagePack(bytes).decode()
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
        assert_eq!(Payload::null(HubProtocol::MessagePack).decode(), Ok(()));
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

//! Bytes in either protocol.

use std::fmt;
use std::ops::Deref;

use base64ct::{Base64, Encoding};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// How much memory a list may ask for by its announced length alone.
const MAX_RESERVED: usize = 4096;

/// Bytes: a `byte[]` of .NET, a `Uint8Array` of JavaScript's MessagePack.
///
/// In MessagePack they are written as bytes, in JSON as base64 text, as System.Text.Json does. Both are read in either
/// protocol, since a hub passes on what it got from a client of the other one; so are lists of numbers.
///
/// ```no_run
/// use hubwire::Binary;
///
/// # async fn run(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
/// let image: Binary = hub.invoke("Thumbnail", (Binary::from(vec![1, 2, 3]),)).await?;
/// println!("{} bytes", image.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Binary(pub Vec<u8>);

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Binary {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Binary> for Vec<u8> {
    fn from(binary: Binary) -> Self {
        binary.0
    }
}

impl Deref for Binary {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Binary {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&Base64::encode_string(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Binary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes, or base64 text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Binary, E> {
                let malformed = |_| E::invalid_value(Unexpected::Other("a text that is not base64"), &self);
                Base64::decode_vec(text).map(Binary).map_err(malformed)
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Binary, E> {
                Ok(bytes.into())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Binary, E> {
                Ok(Binary(bytes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Binary, A::Error> {
                let mut bytes = Vec::with_capacity(list.size_hint().unwrap_or(0).min(MAX_RESERVED));
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(Binary(bytes))
            }
        }

        deserializer.deserialize_any(Bytes)
    }
}

//! Values as the hub protocols write them.

use serde::Serialize;

use crate::core::HubProtocol;

/// Why a value cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SerializeError(String);

impl SerializeError {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// Writes one value to the end of `out`.
pub(crate) fn serialize<T: Serialize + ?Sized>(
    protocol: HubProtocol,
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), SerializeError> {
    match protocol {
        HubProtocol::Json => serde_json::to_writer(out, value).map_err(SerializeError::new),
        #[cfg(feature = "msgpack")]
        HubProtocol::MessagePack => {
            // Structs as maps by field name, as .NET and JavaScript read them.
            let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
            value.serialize(&mut serializer).map_err(SerializeError::new)
        }
    }
}

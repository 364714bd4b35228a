//! Values as the hub protocols write them.

use serde::{Serialize, Serializer};

use crate::core::HubProtocol;
use crate::property_names::{PropertyNames, Writer};

/// Why a value cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SerializeError(String);

impl SerializeError {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// How a connection writes and reads values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) protocol: HubProtocol,
    pub(crate) names: PropertyNames,
}

impl From<HubProtocol> for Encoding {
    fn from(protocol: HubProtocol) -> Self {
        Self { protocol, names: PropertyNames::AsDeclared }
    }
}

/// Writes one value to the end of `out`.
pub(crate) fn serialize<T: Serialize + ?Sized>(
    encoding: impl Into<Encoding>,
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), SerializeError> {
    fn write<T: Serialize + ?Sized, S: Serializer>(
        Encoding { protocol, names }: Encoding,
        value: &T,
        serializer: S,
    ) -> Result<(), SerializeError> {
        let written = match names.style(protocol) {
            None => value.serialize(serializer),
            Some(style) => value.serialize(Writer::new(serializer, style)),
        };
        written.map(drop).map_err(SerializeError::new)
    }

    let encoding = encoding.into();
    match encoding.protocol {
        HubProtocol::Json => write(encoding, value, &mut serde_json::Serializer::new(out)),
        #[cfg(feature = "msgpack")]
        // Structs as maps by field name, as .NET and JavaScript read them.
        HubProtocol::MessagePack => {
            write(encoding, value, &mut rmp_serde::Serializer::new(out).with_struct_map())
        }
    }
}

//! The JSON hub protocol.
pub(crate) mod reader;

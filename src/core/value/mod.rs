//! Values that JSON and MessagePack write differently, so that one type serves both protocols.

mod binary;
#[cfg(test)]
mod tests;
mod timestamp;

pub use self::binary::Binary;
pub use self::timestamp::{Timestamp, TimestampError, Zone};

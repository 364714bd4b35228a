//! What the payload of an [`Ack`](super::ServiceMessage::Ack) holds: one bare MessagePack value.

use super::element::{Claims, Elements, Text, optional_text, text};
use crate::core::ProtocolError;
use crate::core::msgpack::reader::Reader;
use crate::core::msgpack::{write_array, write_map, write_text};

/// A connection in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember<'a> {
    /// Its id.
    pub connection_id: Text<'a>,
    /// Whose it is.
    pub user_id: Option<Text<'a>>,
}

/// One page of the connections in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMembers<'a> {
    /// The connections of this page.
    pub members: Vec<GroupMember<'a>>,
    /// Asks for the next page; none: this is the last one.
    pub continuation_token: Option<Text<'a>>,
}

impl<'a> GroupMembers<'a> {
    /// Reads a payload. As in the SDK, the lengths of the two arrays are not looked at.
    ///
    /// # Errors
    /// [`ProtocolError::MessagePack`] and [`ProtocolError::Message`].
    pub fn read(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut elements = Elements { reader: Reader::new(payload), count: 0 };
        elements.reader.array()?;
        let mut members = Vec::new();
        for _ in 0..elements.reader.array()? {
            elements.reader.array()?;
            let connection_id = text::read(&mut elements)?;
            let user_id = optional_text::read(&mut elements)?;
            members.push(GroupMember { connection_id, user_id });
        }
        Ok(Self { members, continuation_token: optional_text::read(&mut elements)? })
    }

    /// Writes a payload behind what is in `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_array(out, 2);
        write_array(out, self.members.len());
        for member in &self.members {
            write_array(out, 2);
            write_text(out, &member.connection_id);
            optional_text::write(out, &member.user_id);
        }
        optional_text::write(out, &self.continuation_token);
    }
}

/// Reads the claims of a connection. What is nil among them is empty.
///
/// # Errors
/// [`ProtocolError::MessagePack`].
pub fn read_claims(payload: &[u8]) -> Result<Claims<'_>, ProtocolError> {
    let mut elements = Elements { reader: Reader::new(payload), count: 0 };
    let mut claims = Vec::new();
    if elements.reader.peek() == Some(0xc0) {
        return Ok(claims);
    }
    for _ in 0..elements.reader.map()? {
        let kind = optional_text::read(&mut elements)?.unwrap_or_default();
        claims.push((kind, optional_text::read(&mut elements)?.unwrap_or_default()));
    }
    Ok(claims)
}

/// Writes the claims of a connection behind what is in `out`; nil if there are none.
pub fn write_claims(out: &mut Vec<u8>, claims: &Claims<'_>) {
    if claims.is_empty() {
        return out.push(0xc0);
    }
    write_map(out, claims.len());
    for (kind, value) in claims {
        write_text(out, kind);
        write_text(out, value);
    }
}

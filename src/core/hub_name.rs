//! The names of hubs in Azure SignalR Service.

use std::fmt;

/// The longest name of a hub, in characters.
pub const LIMIT: usize = 128;

/// Why a text cannot be the name of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubNameError {
    /// The text is empty.
    Empty,
    /// The text is longer than [`LIMIT`].
    TooLong,
    /// The text has a character that a name cannot have there.
    Character,
}

impl HubNameError {
    /// The reason in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 128 characters",
            Self::Character => "it must start with a letter and consist of letters, digits and underscores",
        }
    }
}

impl fmt::Display for HubNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of the hub is not valid: {}", self.reason())
    }
}

impl std::error::Error for HubNameError {}

/// Checks the name of a hub, with or without an application's prefix: a letter, then letters, digits, underscores or
/// any of `` ` , . [ ] ``, which .NET writes for the names of generic types. Case does not matter; the service uses
/// the name in lower case.
///
/// # Errors
/// See [`HubNameError`].
pub fn check(name: &str) -> Result<(), HubNameError> {
    match name.as_bytes() {
        [] => Err(HubNameError::Empty),
        bytes if bytes.len() > LIMIT => Err(HubNameError::TooLong),
        [first, rest @ ..]
            if first.is_ascii_alphabetic()
                && rest.iter().all(|b| b.is_ascii_alphanumeric() || b"_`,.[]".contains(b)) =>
        {
            Ok(())
        }
        _ => Err(HubNameError::Character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hubs() {
        for name in ["chat", "Chat", "a", "app_chat", "hub`1[x,y.z]", &"a".repeat(128)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, error) in [
            ("", HubNameError::Empty),
            (&*"a".repeat(129), HubNameError::TooLong),
            ("1chat", HubNameError::Character),
            ("_chat", HubNameError::Character),
            ("a b", HubNameError::Character),
            ("a/b", HubNameError::Character),
            ("a\"b", HubNameError::Character),
            ("a-b", HubNameError::Character),
            ("ch\u{e4}t", HubNameError::Character),
        ] {
            assert_eq!(check(name), Err(error), "{name}");
        }
    }
}

//! The access key of a SignalR resource.

use crate::service::secret::Secret;

/// An access key of the SignalR resource. Its text is wiped from memory when it is dropped and hidden in `Debug`.
#[derive(Debug, Clone)]
pub struct AccessKey(Secret);

impl AccessKey {
    /// The key as the Azure portal shows it. White space around it, such as the line break at the end of a file, is left
    /// out, as in connection strings.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        let key = Secret::new(key);
        let trimmed = key.expose().trim();
        if trimmed.len() == key.expose().len() { Self(key) } else { Self(Secret::new(trimmed)) }
    }

    /// The key's text. Keep it out of logs.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.0.expose()
    }
}

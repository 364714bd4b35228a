//! The access key of a SignalR resource.

use crate::service::secret::Secret;

/// An access key of the SignalR resource. Its text is wiped from memory when it is dropped and hidden in `Debug`.
#[derive(Debug, Clone)]
pub struct AccessKey(Secret);

impl AccessKey {
    /// The key as the Azure portal shows it.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(Secret::new(key))
    }

    /// The key's text. Keep it out of logs.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.0.expose()
    }
}

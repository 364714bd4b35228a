//! The error behind an error, and an error together with everything behind it.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The error behind another one: of the program's own code, of a socket, of TLS. Its clones are cheap.
///
/// [`source`](Error::source) of the error that has it gives what is in here, so it can be downcast.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Takes an error, or the text of one.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl Cause {
    /// Takes an error of a known type, without the code that moves one of any size.
    pub(crate) fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Box<dyn Error + Send + Sync>> for Cause {
    fn from(error: Box<dyn Error + Send + Sync>) -> Self {
        Self::new(error)
    }
}

impl Deref for Cause {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Two causes are equal when they say the same: an error of another crate can rarely be compared.
impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        let text = |cause: &Self| ErrorChain::new(&*cause.0).to_string();
        Arc::ptr_eq(&self.0, &other.0) || text(self) == text(other)
    }
}

impl Eq for Cause {}

/// Shows an error with everything behind it, on one line: for logs and messages. The `Display` of an error says what
/// failed, and leaves why to [`source`](Error::source).
///
/// ```
/// use hubwire::{ErrorChain, HubConnection};
///
/// let error = HubConnection::builder("example.com/chat").build().unwrap_err();
/// assert_eq!(error.to_string(), "the hub URL is invalid");
/// assert_eq!(
///     ErrorChain::new(&error).to_string(),
///     "the hub URL is invalid: the URL must start with http:// or https://"
/// );
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ErrorChain<'a>(&'a (dyn Error + 'static));

impl<'a> ErrorChain<'a> {
    /// An error that is to be shown.
    #[must_use]
    pub fn new(error: &'a (dyn Error + 'static)) -> Self {
        Self(error)
    }
}

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Errors of other crates may print their own cause, and again as their source.
            if !contains(&last, &text) {
                f.write_str(": ")?;
                f.write_str(&text)?;
                last = text;
            }
            source = cause.source();
        }
        Ok(())
    }
}

/// The search of the standard library takes two kilobytes of a browser's build.
fn contains(text: &str, part: &str) -> bool {
    part.is_empty() || text.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Cause);

    #[test]
    fn a_cause_is_what_source_gives() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "gone");
        let outer = Outer(Cause::new(io));
        let source = outer.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
        assert_eq!(ErrorChain::new(&outer).to_string(), "outer: gone");
        assert_eq!(Cause::new("gone"), outer.0);
        assert_ne!(Cause::new("here"), outer.0);
    }

    #[test]
    fn what_another_crate_prints_twice_is_shown_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("IO error: {0}")]
        struct Twice(#[source] std::io::Error);
        let outer = Outer(Cause::new(Twice(std::io::Error::other("broken pipe"))));
        assert_eq!(ErrorChain::new(&outer).to_string(), "outer: IO error: broken pipe");
    }
}

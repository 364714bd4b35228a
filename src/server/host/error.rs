//! What goes wrong in a method, and what of it the caller is told.

use std::{any::Any, error::Error, fmt};

use super::arguments::UploadError;
use crate::core::ErrorChain;

/// What a method of a hub gives.
pub type HubResult<T = ()> = Result<T, HubError>;

/// Why a method of a hub failed.
///
/// The caller is told the text of [`new`](Self::new), what is wrong with a stream that it uploads, and the error that a client
/// answers an [`invoke`](super::Client::invoke) with. Of any other error it learns only that there was one, since the text may
/// name files, queries or addresses; the text is logged instead. With [`detailed_errors`](super::HubServerBuilder::detailed_errors) callers are told everything.
///
/// Every type that implements [`Error`] converts into it, so `?` works in a method; for others there is
/// [`hidden`](Self::hidden):
///
/// ```
/// use hubwire::server::HubError;
///
/// fn price(text: &str) -> Result<u32, HubError> {
///     let price = text.parse()?; // the caller is not told what is wrong
///     if price == 0 {
///         return Err(HubError::new("a price is not zero")); // this it is told
///     }
///     Ok(price)
/// }
/// # assert!(price("0").is_err());
/// ```
#[derive(Debug)]
pub struct HubError(Kind);

#[derive(Debug)]
enum Kind {
    Told(String),
    /// The whole answer, in ASP.NET Core's words.
    Answer(String),
    Hidden(Box<dyn Error + Send + Sync>),
}

impl HubError {
    /// An error of any kind of which the caller is told only that there was one, such as a `Box<dyn Error>` or an
    /// `anyhow::Error`, which `?` does not convert: `.map_err(HubError::hidden)?`.
    pub fn hidden(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Kind::Hidden(error.into()))
    }

    /// An error whose text the caller is told, behind ASP.NET Core's words: `An unexpected error occurred invoking 'Buy' on the
    /// server. HubException: …`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Kind::Told(text.into()))
    }

    /// An error whose text is all that the caller is told.
    pub(super) fn answer(text: String) -> Self {
        Self(Kind::Answer(text))
    }

    /// What the caller of a method is told: ASP.NET Core's words.
    pub(super) fn told(&self, what: &str, detailed: bool) -> String {
        match &self.0 {
            Kind::Told(text) => format!("{what} HubException: {text}"),
            Kind::Answer(text) => text.clone(),
            Kind::Hidden(error) if detailed => format!("{what} {}", ErrorChain::new(&**error)),
            Kind::Hidden(_) => what.to_owned(),
        }
    }
}

/// The whole error, for logs.
impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Told(text) | Kind::Answer(text) => f.write_str(text),
            Kind::Hidden(error) => write!(f, "{}", ErrorChain::new(&**error)),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HubError {
    fn from(error: E) -> Self {
        let any = &error as &dyn Any;
        match (any.downcast_ref(), any.downcast_ref()) {
            // It is the caller's own doing. The second text is ASP.NET Core's.
            (Some(UploadError::Failed(text)), _) => Self::new(text),
            (Some(UploadError::Item(_)), _) => Self::new("Failed to bind Stream message."),
            // Where a client answers with an error, ASP.NET Core throws a HubException with its text, and tells the caller.
            (_, Some(ClientResultError::Client(text))) => Self::new(text),
            _ => Self(Kind::Hidden(Box::new(error))),
        }
    }
}

/// Why a client gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientResultError {
    /// There is no connection with this id.
    #[error("there is no connection with this id")]
    NotConnected,
    /// The connection ended before the client answered.
    #[error("the connection ended before the client answered")]
    Disconnected,
    /// The client has no handler that answers, or it failed. The text is the client's.
    #[error("the client answered with an error: {0}")]
    Client(String),
    /// The client's result is not of the type that was asked for.
    #[error("the client's result cannot be read: {0}")]
    Result(#[from] crate::PayloadError),
    /// The arguments cannot be sent.
    #[error("the arguments cannot be sent: {0}")]
    Arguments(#[from] crate::SerializeError),
    /// A filter has [dropped](super::HubServerBuilder::filter_outgoing) the call.
    #[error("a filter of the hub has dropped the call")]
    Dropped,
    /// The client is connected elsewhere, and what leads there is not working.
    #[error("the client cannot be reached from this server: {0}")]
    Unreachable(String),
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The arguments cannot be sent.
    #[error("the arguments cannot be sent: {0}")]
    Arguments(#[from] crate::SerializeError),
    /// What leads to clients of other servers is not working; clients of this server may have got the message. It can be
    /// tried again.
    #[error("the message did not leave this server: {0}")]
    Unreachable(String),
}

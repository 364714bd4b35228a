//! Authentication refresh (.NET 11): a connection gets new credentials without being opened again.
//!
//! The server tells in negotiate how long the credentials are good for. Before their end the client POSTs a new
//! token to the hub's `/refresh`, and is told the new lifetime.
//!
//! Source: the official .NET 11 client, and [aspnetcore issue 67226](https://github.com/dotnet/aspnetcore/issues/67226).

use std::time::Duration;

use crate::core::http::{may_pass, value_fault};
use crate::core::json::reader::{Reader, as_integer, as_text};
use crate::core::negotiate::refresh_delay;
use crate::core::text::clipped;
use crate::core::token::AccessToken;
use crate::core::{Cause, Moment, ProtocolError, TransportError};

/// The header that names the connection to refresh.
pub const CONNECTION_TOKEN_HEADER: &str = "X-SignalR-Connection-Token";

/// How long before the end of the credentials they are refreshed, unless said otherwise.
pub const DEFAULT_LEAD: Duration = Duration::from_secs(5 * 60);

/// After a refresh that failed the next one follows so much later, and then at twice the distance each time.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Why the authentication could not be refreshed. The connection goes on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// There is no connection to refresh, or it was opened without negotiate.
    #[error("there is no negotiated connection; start it, or wait until it is up")]
    NotConnected,
    /// There is no access token provider that could return a new token.
    #[error("there is no access token provider; set one with `with_access_token`")]
    NoProvider,
    /// The access token provider failed.
    #[error("the access token provider failed")]
    AccessToken(#[source] Cause),
    /// The request could not be made.
    #[error("the refresh request failed")]
    Request(#[source] TransportError),
    /// The server refused.
    #[error("the server refused to refresh the authentication (status {status}){}{}", if .error.is_some() { ": " } else { "" }, .error.as_deref().unwrap_or_default())]
    Refused {
        /// The HTTP status: 401 for a bad token, 403 for another user's, 404 where the server offers no refresh or
        /// does not know the connection.
        status: u16,
        /// The server's reason, if it gave one.
        error: Option<String>,
    },
    /// The answer is a web page: that of a login or a proxy.
    #[error("the answer is a web page, not one to a refresh; is a login or a proxy in between?")]
    WebPage,
    /// The answer is not a JSON object, or has a token that a header cannot carry.
    #[error("the answer to the refresh is not valid")]
    Invalid(#[source] ProtocolError),
}

impl RefreshError {
    /// The HTTP status that the server refused with, if that is what happened.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Request(error) => error.status,
            _ => None,
        }
    }

    /// Whether the same refresh may succeed later without a change of code or configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request(_) => self.status().is_none_or(may_pass),
            Self::Refused { status, .. } => may_pass(*status),
            _ => false,
        }
    }
}

/// What the server answers to a refresh that it accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefreshAnswer {
    /// How long the new credentials are good for.
    pub token_lifetime: Option<Duration>,
    /// The token to use from now on, instead of the one that was sent.
    pub access_token: Option<AccessToken>,
}

impl RefreshAnswer {
    /// Reads an answer. Unknown properties are ignored.
    ///
    /// # Errors
    /// [`RefreshError::Refused`] for any status other than success, [`RefreshError::WebPage`], [`RefreshError::Invalid`].
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, RefreshError> {
        let (mut answer, mut error) = (Self::default(), None);
        let text = std::str::from_utf8(body)
            .map_err(|e| ProtocolError::Json { offset: e.valid_up_to(), reason: "the text is not UTF-8" });
        let read = text.and_then(|text| {
            let mut reader = Reader::new(text);
            reader.object(|name, value| {
                match name {
                    "tokenLifetimeSeconds" => {
                        let seconds = as_integer(value).and_then(|seconds| u64::try_from(seconds).ok());
                        answer.token_lifetime = seconds.map(Duration::from_secs);
                    }
                    "accessToken" => {
                        let token = as_text(value)?.filter(|token| !token.is_empty());
                        answer.access_token = token.map(AccessToken::from);
                    }
                    "error" => error = as_text(value)?.map(|text| clipped(&text)),
                    _ => {}
                }
                Ok(())
            })?;
            reader.end()
        });
        let fault = answer.access_token.as_ref().and_then(|token| value_fault(token.secret()));
        match (status, read) {
            (200..=299, _) if body.trim_ascii_start().starts_with(b"<") => Err(RefreshError::WebPage),
            (200..=299, Ok(())) if fault.is_some() => Err(RefreshError::Invalid(ProtocolError::Message(
                "`accessToken` has a character that a header cannot carry",
            ))),
            (200..=299, Ok(())) => Ok(answer),
            (200..=299, Err(error)) => Err(RefreshError::Invalid(error)),
            (status, _) => Err(RefreshError::Refused { status, error }),
        }
    }
}

/// When to refresh. Order of calls: [`arm`](Self::arm) when a connection is up; at
/// [`poll_timeout`](Self::poll_timeout), [`handle_timeout`](Self::handle_timeout), and a refresh if it says so;
/// then [`arm`](Self::arm) with the new lifetime or [`handle_failure`](Self::handle_failure);
/// [`disarm`](Self::disarm) when the connection is down.
#[derive(Debug, Clone)]
pub struct RefreshTimer {
    lead: Duration,
    due: Option<Moment>,
    expires: Moment,
    retry: Duration,
}

impl RefreshTimer {
    /// Refreshes `lead` before the end of the credentials, or after half of their life if that is later.
    #[must_use]
    pub fn new(lead: Duration) -> Self {
        Self { lead, due: None, expires: Moment::ZERO, retry: FIRST_RETRY }
    }

    /// The credentials are good for so long from now. Nothing is due where that is not known.
    pub fn arm(&mut self, now: Moment, lifetime: Option<Duration>) {
        let seconds = lifetime.and_then(|lifetime| i64::try_from(lifetime.as_secs()).ok());
        self.due = refresh_delay(seconds, self.lead).map(|delay| now + delay);
        self.expires = now + lifetime.unwrap_or_default();
        self.retry = FIRST_RETRY;
    }

    /// The connection is gone.
    pub fn disarm(&mut self) {
        self.due = None;
        self.expires = Moment::ZERO;
    }

    /// A refresh failed. It is tried again, ever less often, until the credentials have expired: the official
    /// client does not try again. One that was not due yet changes nothing.
    pub fn handle_failure(&mut self, now: Moment) {
        if self.due.is_some_and(|due| due > now) {
            return;
        }
        let next = now + self.retry;
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        self.due = (next < self.expires).then_some(next);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.due
    }

    /// Whether to refresh now.
    pub fn handle_timeout(&mut self, now: Moment) -> bool {
        self.due.take_if(|due| now >= *due).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::moment::at;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn answers() {
        let ok =
            RefreshAnswer::parse(200, br#"{"connectionId":"c","tokenLifetimeSeconds":60,"accessToken":"t"}"#);
        let wanted = RefreshAnswer { token_lifetime: Some(60 * SECOND), access_token: Some("t".into()) };
        assert_eq!(ok, Ok(wanted));
        assert_eq!(RefreshAnswer::parse(200, b"{}"), Ok(RefreshAnswer::default()));
        assert_eq!(RefreshAnswer::parse(200, br#"{"accessToken":""}"#), Ok(RefreshAnswer::default()));
        assert!(matches!(RefreshAnswer::parse(200, b"[]"), Err(RefreshError::Invalid(_))));
        assert!(matches!(RefreshAnswer::parse(200, b""), Err(RefreshError::Invalid(_))));
        assert_eq!(RefreshAnswer::parse(200, b" <!DOCTYPE html>"), Err(RefreshError::WebPage));
        let broken = RefreshAnswer::parse(200, br#"{"accessToken":"a\nb"}"#);
        assert!(matches!(broken, Err(RefreshError::Invalid(_))), "{broken:?}");
        let refused = |status, error: Option<&str>| {
            Err(RefreshError::Refused { status, error: error.map(str::to_owned) })
        };
        assert_eq!(RefreshAnswer::parse(403, br#"{"error":"no"}"#), refused(403, Some("no")));
        assert_eq!(RefreshAnswer::parse(404, b"<html>"), refused(404, None));
    }

    #[test]
    fn refreshes_before_the_end_and_again_after_a_failure() {
        let mut timer = RefreshTimer::new(DEFAULT_LEAD);
        timer.arm(at(1), Some(3600 * SECOND));
        assert_eq!(timer.poll_timeout(), Some(at(3301)));
        assert!(!timer.handle_timeout(at(3300)));
        assert!(timer.handle_timeout(at(3301)));
        assert_eq!(timer.poll_timeout(), None);
        timer.handle_failure(at(3301));
        assert_eq!(timer.poll_timeout(), Some(at(3306)));
        assert!(timer.handle_timeout(at(3306)));
        timer.handle_failure(at(3306));
        assert_eq!(timer.poll_timeout(), Some(at(3316)));
        timer.handle_failure(at(3307));
        assert_eq!(timer.poll_timeout(), Some(at(3316)));
        assert!(timer.handle_timeout(at(3595)));
        timer.handle_failure(at(3599));
        assert_eq!(timer.poll_timeout(), None);
        timer.arm(at(1), Some(10 * SECOND));
        assert_eq!(timer.poll_timeout(), Some(at(6)));
        for unknown in [None, Some(Duration::ZERO)] {
            timer.arm(at(1), unknown);
            assert_eq!(timer.poll_timeout(), None);
        }
        // One that was begun by hand was still under way when the next was due: it counts as that one.
        timer.arm(Moment::ZERO, Some(100 * SECOND));
        timer.handle_failure(at(49));
        assert_eq!(timer.poll_timeout(), Some(at(50)));
        timer.handle_failure(at(60));
        assert_eq!(timer.poll_timeout(), Some(at(65)));
        timer.arm(at(1), Some(10 * SECOND));
        timer.disarm();
        assert_eq!(timer.poll_timeout(), None);
    }
}

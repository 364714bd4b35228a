//! When a request is made again.

use std::time::Duration;

use crate::service::{error::ServiceError, random};

/// How often and when a REST request is made again after it has failed.
///
/// It is made again only where that can do no harm:
///
/// | what happened | sends, invocations, stream items, closing of many, commands | everything else |
/// | --- | --- | --- |
/// | no connection could be made | again | again |
/// | 429, 503: the service did not carry it out | again | again |
/// | 408, other statuses from 500 on, a timeout, the connection broke off | no | again |
/// | any other status | no | no |
///
/// So a message is sent twice only if something in between, such as a gateway, says 503 although the service has taken
/// it. The pause is what the service asks for with `Retry-After`, else
/// [`delay`](Self::delay), doubled each time, up to [`max_delay`](Self::max_delay), with some randomness. If the service
/// asks for more than `max_delay`, the error is returned at once; it has the time in
/// [`Refusal::retry_after`](crate::service::error::Refusal::retry_after).
///
/// ```
/// use std::time::Duration;
/// use hubwire::service::{RetryOptions, ServiceClient};
///
/// let patient = RetryOptions::default().max_retries(5).delay(Duration::from_secs(2));
/// let builder = ServiceClient::builder().retry(patient);
/// let impatient = ServiceClient::builder().retry(RetryOptions::none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct RetryOptions {
    max_retries: u32,
    delay: Duration,
    max_delay: Duration,
    fixed: bool,
}

impl Default for RetryOptions {
    /// Three retries, after 0.8, 1.6 and 3.2 seconds.
    fn default() -> Self {
        Self {
            max_retries: 3,
            delay: Duration::from_millis(800),
            max_delay: Duration::from_secs(60),
            fixed: false,
        }
    }
}

impl RetryOptions {
    /// Makes no request again.
    pub fn none() -> Self {
        Self::default().max_retries(0)
    }

    /// How often a request is made again. Default: 3.
    pub fn max_retries(self, max_retries: u32) -> Self {
        Self { max_retries, ..self }
    }

    /// The first pause. Default: 0.8 seconds.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The longest pause. Default: 60 seconds.
    pub fn max_delay(self, max_delay: Duration) -> Self {
        Self { max_delay, ..self }
    }

    /// Whether every pause is as long as the first one. Default: no, it doubles.
    pub fn fixed(self, fixed: bool) -> Self {
        Self { fixed, ..self }
    }

    /// The pause after an attempt, counted from 0, if there is to be another one.
    pub(in crate::service) fn pause(
        self,
        attempt: u32,
        error: &ServiceError,
        idempotent: bool,
    ) -> Option<Duration> {
        if attempt >= self.max_retries || !is_safe(error, idempotent) {
            return None;
        }
        if let Some(asked) = error.refusal().and_then(|refusal| refusal.retry_after()) {
            return (asked <= self.max_delay).then_some(asked);
        }
        let doubled = self.delay.saturating_mul(if self.fixed { 1 } else { 2_u32.saturating_pow(attempt) });
        Some(
            doubled.min(self.max_delay).mul_f64(0.9)
                + random::up_to(doubled.min(self.max_delay).mul_f64(0.1)),
        )
    }
}

fn is_safe(error: &ServiceError, idempotent: bool) -> bool {
    match error {
        ServiceError::Throttled(_) => true,
        ServiceError::Failed(refusal) => match refusal.status() {
            503 => true,
            // The service does not know the request, and will not learn it.
            501 => false,
            status => idempotent && (status >= 500 || status == 408),
        },
        ServiceError::Connection { source, .. } => {
            idempotent || source.downcast_ref().is_some_and(reqwest::Error::is_connect)
        }
        ServiceError::Timeout { .. } => idempotent,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::error::{Operation, Refusal};

    fn refused(status: u16, retry_after: Option<u64>) -> ServiceError {
        let retry_after = retry_after.map(Duration::from_secs);
        let operation = Operation::Send;
        Refusal { operation, status, error_code: None, message: None, retry_after, foreign: false }.into()
    }

    #[test]
    fn only_what_is_safe_is_repeated() {
        let repeated = |error: &ServiceError| {
            [false, true].map(|idempotent| RetryOptions::default().pause(0, error, idempotent).is_some())
        };
        for (status, expected) in [
            (400, [false, false]),
            (401, [false, false]),
            (403, [false, false]),
            (404, [false, false]),
            (408, [false, true]),
            (409, [false, false]),
            (429, [true, true]),
            (500, [false, true]),
            (501, [false, false]),
            (502, [false, true]),
            (503, [true, true]),
            (504, [false, true]),
        ] {
            assert_eq!(repeated(&refused(status, None)), expected, "{status}");
        }
        let after = Duration::from_secs(1);
        assert_eq!(repeated(&ServiceError::Timeout { operation: Operation::Send, after }), [false, true]);
        let broken = ServiceError::Connection {
            operation: Operation::Send,
            source: crate::core::Cause::new("the connection broke off"),
        };
        assert_eq!(repeated(&broken), [false, true]);
    }

    #[test]
    fn pauses_are_what_the_service_asks_for_or_grow() {
        let options = RetryOptions::default().max_delay(Duration::from_secs(3));
        let pause = |attempt, retry_after| options.pause(attempt, &refused(429, retry_after), false);
        assert_eq!(pause(0, Some(0)), Some(Duration::ZERO));
        assert_eq!(pause(2, Some(3)), Some(Duration::from_secs(3)));
        assert_eq!(pause(0, Some(4)), None, "longer than the caller wants to wait");
        assert_eq!(pause(3, None), None, "the last attempt");
        for (attempt, millis) in [(0, 720..=800), (1, 1440..=1600), (2, 2700..=3000)] {
            let pause = pause(attempt, None).map(|pause| pause.as_millis());
            assert!(pause.is_some_and(|pause| millis.contains(&pause)), "{attempt}: {pause:?}");
        }
        let second = options.fixed(true).pause(1, &refused(429, None), false).map(|pause| pause.as_millis());
        assert!(second.is_some_and(|pause| (720..=800).contains(&pause)), "{second:?}");
        assert_eq!(RetryOptions::none().pause(0, &refused(429, None), true), None);
    }
}

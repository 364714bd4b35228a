//! One request to the service and its answer: time limits, refusals, and what is not the service's.

use std::{error::Error, time::Duration};

use azure_core::time::{OffsetDateTime, parse_rfc7231};
use reqwest::{RequestBuilder, Response, header};
use serde::Deserialize;

use crate::{
    core::{Cause, http::is_web_page},
    service::{
        error::{Operation, Refusal, ServiceError},
        http::body::read_body,
    },
};

/// The longest answer that is read where a short one is expected.
pub(super) const MAX_ANSWER: usize = 256 * 1024;
const MAX_MESSAGE: usize = 300;

/// Sends a request with a bearer token. Any status outside 2xx is an error; redirects are not followed.
pub(in crate::service) async fn send(
    request: RequestBuilder,
    operation: Operation,
    token: &str,
    timeout: Duration,
) -> Result<Response, ServiceError> {
    dispatch(request.bearer_auth(token), operation, Some(token), timeout).await
}

/// Like [`send`], but without a token of its own: `token` is only kept out of the error.
pub(in crate::service) async fn dispatch(
    request: RequestBuilder,
    operation: Operation,
    token: Option<&str>,
    timeout: Duration,
) -> Result<Response, ServiceError> {
    let request = request.timeout(timeout);
    let response = request.send().await.map_err(|error| transport_error(operation, timeout, error.into()))?;
    tracing::debug!(%operation, status = response.status().as_u16(), "Azure SignalR Service answered");
    if response.status().is_success() {
        // A question for the health or for existence is answered without a body, so that its type is all there is to see.
        return match is_page(&response) {
            true => Err(ServiceError::InvalidResponse { operation, reason: "it is a page for browsers" }),
            false => Ok(response),
        };
    }
    Err(refusal(response, operation, token).await.into())
}

/// Reads an answer, within the time limit that its request was sent with.
pub(in crate::service) async fn read(
    response: Response,
    operation: Operation,
    timeout: Duration,
) -> Result<Vec<u8>, ServiceError> {
    read_body(response, MAX_ANSWER).await.map_err(|error| transport_error(operation, timeout, error))
}

pub(super) fn transport_error(
    operation: Operation,
    after: Duration,
    error: Box<dyn Error + Send + Sync>,
) -> ServiceError {
    match error.downcast::<reqwest::Error>() {
        Ok(error) if error.is_timeout() => ServiceError::Timeout { operation, after },
        Ok(error) => ServiceError::Connection { operation, source: Cause::new(error.without_url()) },
        Err(error) => ServiceError::Connection { operation, source: Cause::new(error) },
    }
}

/// Whether it is HTML, which the service never answers with: that of a portal, a gateway or another web server.
pub(in crate::service) fn is_page(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    is_web_page(content_type)
}

async fn refusal(response: Response, operation: Operation, token: Option<&str>) -> Refusal {
    #[derive(Deserialize)]
    struct Answer {
        message: String,
    }
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let error_code = text("x-ms-error-code").filter(|code| code.len() <= 100).map(str::to_owned);
    let retry_after = text("retry-after").and_then(parse_retry_after);
    let status = response.status().as_u16();
    // Where the service refuses what was asked for, it gives an error code, but for these; it never redirects.
    let of_service = error_code.is_some() || matches!(status, 400 | 401 | 403 | 413 | 429 | 500..);
    let foreign = is_page(&response) || !of_service;
    let answer = read_body(response, MAX_ANSWER).await.unwrap_or_default();
    let message = serde_json::from_slice::<Answer>(&answer).ok().map(|answer| answer.message);
    // Something in between may echo the request.
    let message =
        message.filter(|message| !message.is_empty() && !token.is_some_and(|token| message.contains(token)));
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let message = message.map(|message| message.chars().take(MAX_MESSAGE).map(printable).collect());
    Refusal { operation, status, error_code, message, retry_after, foreign }
}

/// Seconds, or a date.
fn parse_retry_after(text: &str) -> Option<Duration> {
    match crate::core::http::retry_after(text) {
        Some(seconds) => Some(seconds),
        None => {
            let wait = parse_rfc7231(text.trim()).ok()? - OffsetDateTime::now_utc();
            // A date in the past means now.
            Some(wait.try_into().unwrap_or_default())
        }
    }
}

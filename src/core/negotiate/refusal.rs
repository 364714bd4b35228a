//! What an answer that refuses to negotiate says of its reason.

use super::{NegotiateAnswer, NegotiateError};
use crate::core::http;
use crate::core::json::reader::{Reader, as_string};
use crate::core::text::{LIMIT, clipped};
use crate::core::token::AccessToken;

impl NegotiateAnswer<'_> {
    /// The error for an answer whose status is not 200, to a request with this token.
    pub(super) fn refusal(&self, token: Option<&AccessToken>) -> NegotiateError {
        let &Self { status, retry_after, location, .. } = self;
        if http::redirect(status, None).is_some() {
            let status = Some(status).filter(|&status| status != 0);
            return NegotiateError::HttpRedirect { status, location: location.map(http::without_query) };
        }
        let reason = if self.is_web_page() { None } else { reason(self.body) };
        // What refuses a token may quote it.
        let quotes = |reason: &String| {
            let secret = token.map(|token| token.secret().as_bytes()).unwrap_or_default();
            !secret.is_empty() && reason.as_bytes().windows(secret.len()).any(|part| part == secret)
        };
        let reason = reason.filter(|reason| !quotes(reason)).map(|reason| clipped(&reason));
        NegotiateError::Status { status, retry_after, reason }
    }

    /// Whether it says that it is a web page, or looks like one: no JSON begins like that.
    pub(super) fn is_web_page(&self) -> bool {
        http::is_web_page(self.content_type) || self.body.trim_ascii_start().starts_with(b"<")
    }
}

/// The reason in a body, on one line: what a JSON object has as SignalR's own `error` (in Azure an object with a
/// `message`), as the `detail` or the `title` of problem details (RFC 9457) or as the `message` of gateways, or a text.
fn reason(body: &[u8]) -> Option<String> {
    let body = body.trim_ascii();
    let text = std::str::from_utf8(body).ok()?;
    let mut reason = None;
    if body.starts_with(b"{") {
        let mut best = 0;
        Reader::new(text)
            .object(|name, value| {
                let rank = match name {
                    "error" => 4,
                    "detail" => 3,
                    "title" => 2,
                    "message" => 1,
                    _ => 0,
                };
                if rank > best {
                    let mut found = as_string(value)?;
                    if found.is_none() && value.starts_with('{') {
                        Reader::new(value).object(|name, value| {
                            if name == "message" {
                                found = as_string(value)?;
                            }
                            Ok(())
                        })?;
                    }
                    if let Some(found) = found.filter(|found| !found.trim_ascii().is_empty()) {
                        (reason, best) = (Some(found), rank);
                    }
                }
                Ok(())
            })
            .ok()?;
    } else {
        reason = Some(as_string(text).ok().flatten().unwrap_or(text.into()));
    }
    // Twice as much as is kept, so that no token is shown that is cut off.
    let reason = reason?;
    let line = reason.trim_ascii().chars().take(2 * LIMIT).map(|c| if c.is_control() { ' ' } else { c });
    Some(line.collect::<String>()).filter(|line| !line.is_empty())
}

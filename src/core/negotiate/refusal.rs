//! What an answer that refuses to negotiate says of its reason.

use super::{NegotiateAnswer, NegotiateError};
use crate::core::ProtocolError;
use crate::core::http;
use crate::core::json::reader::{Reader, as_string};
use crate::core::text::{LIMIT, clip};
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
        let reason = reason.filter(|reason| !quotes(reason)).map(|reason| clip(reason).into_owned());
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
        members(text, &mut |name, value| {
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
                    members(value, &mut |name, value| {
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

/// One for all, since there is code for each kind of closure otherwise.
fn members<'a>(
    text: &'a str,
    member: &mut dyn FnMut(&str, &'a str) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    Reader::new(text).object(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, content_type: Option<&str>, body: &str) -> NegotiateError {
        let answer =
            NegotiateAnswer { status, content_type, body: body.as_bytes(), ..NegotiateAnswer::default() };
        answer.refusal(Some(&"secret-token".into()))
    }

    #[test]
    fn reasons() {
        for (kind, body, wanted) in [
            (None, "", None),
            (None, " \r\n", None),
            (Some("text/plain"), "The hub is full.\r\nTry later.\r\n", Some("The hub is full.  Try later.")),
            (Some("application/json"), "\"quoted\"", Some("quoted")),
            (Some("application/json"), "{\"error\":\"no seat\"}", Some("no seat")),
            (None, "{\"error\":{\"code\":\"x\",\"message\":\"in Azure\"}}", Some("in Azure")),
            (
                Some("application/problem+json; charset=utf-8"),
                "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"The tenant is blocked.\"}",
                Some("The tenant is blocked."),
            ),
            (None, "{\"title\":\"Forbidden\",\"detail\":null}", Some("Forbidden")),
            (None, "{\"message\":\"of a gateway\",\"error\":\"\"}", Some("of a gateway")),
            (None, "{\"error\":1}", None),
            (None, "{\"error\":\"cut", None),
            (None, "[1]", Some("[1]")),
            (Some("text/html; charset=utf-8"), "Sign in", None),
            (None, "\n<!DOCTYPE html><p>Sign in", None),
            (None, "token secret-token is expired", None),
        ] {
            let NegotiateError::Status { status: 403, reason, .. } = refusal(403, kind, body) else {
                panic!()
            };
            assert_eq!(reason.as_deref(), wanted, "{body}");
        }
        assert_eq!(
            refusal(503, None, "{\"error\":\"no seat\"}").to_string(),
            "the server answered with status 503: the server failed; try again later or see its log; the server says: no seat"
        );
    }

    #[test]
    fn reasons_are_bounded() {
        let NegotiateError::Status { reason: Some(reason), .. } = refusal(500, None, &"x".repeat(1 << 20))
        else {
            panic!()
        };
        assert_eq!(reason.len(), LIMIT);
    }

    #[test]
    fn redirects() {
        let redirect = |status, location| {
            NegotiateAnswer { status, location, ..NegotiateAnswer::default() }.refusal(None)
        };
        for status in [301, 302, 303, 307, 308] {
            let error = redirect(status, Some("https://u:p@login.example/a?return=secret"));
            assert_eq!(error.status(), Some(status));
            assert_eq!(
                error.to_string(),
                "negotiate was answered with an HTTP redirect to https://login.example/a, which is not followed; use the final URL of the hub, and check that no login answers in its place"
            );
        }
        // What a browser shows of it.
        let hidden = redirect(0, None);
        assert_eq!(hidden, NegotiateError::HttpRedirect { status: None, location: None });
        assert!(hidden.to_string().starts_with("negotiate was answered with an HTTP redirect, which is not"));
        assert!(matches!(redirect(304, None), NegotiateError::Status { status: 304, .. }));
    }
}

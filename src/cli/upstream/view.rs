//! How requests and answers are shown: two lines each for people, or JSON, one event a line. Each has `time`, `type` and
//! the number of the `request`:
//!
//! | type | further members |
//! | --- | --- |
//! | `request` | `hub`, `category`, `event`, `connectionId`, `userId`, `claims`, `query`, `signature` and `token` (valid, invalid, missing, unchecked, none) |
//! | … of a message | `arguments`, `awaited`, `protocol` |
//! | … of a client that is gone | `reason` |
//! | `other` (no request of a service) | `method`, `path`, `error` |
//! | `answer` | `status`, `milliseconds`; `result`, `error` or `body` |

use std::{fmt, time::Duration};

use http::request::Parts;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    cli::{
        output::{BAD, FAINT, GOOD, NAME, Output, STRONG, WARNING},
        upstream::{
            answer::{Answered, Seen},
            check::{Check, Verdict},
        },
        value::{AnyValue, printable, rfc3339, shortened},
    },
    service::upstream::request::{Head, disconnect_reason},
};

/// The longest answer of an app that is shown.
const SHOWN_BODY: usize = 2_000;

#[derive(Debug)]
pub(super) struct View(Output);

impl View {
    pub(super) fn new(output: &Output) -> Self {
        Self(*output)
    }

    /// Shows a request. `None` when it is not one of a service.
    pub(super) fn request(&self, number: u64, parts: &Parts, body: &[u8], verdict: &Verdict) -> Option<Seen> {
        let head = match Head::read(parts) {
            Ok(head) => head,
            Err(refusal) => {
                self.broken(number, parts, refusal.text());
                return None;
            }
        };
        let (client, category, event, protocol) =
            (head.client.clone(), head.category.clone(), head.event.clone(), head.protocol);
        let claims: Map<_, _> =
            client.claims().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let query = query(client.query());
        let mut request = json!({
            "request": number,
            "hub": client.hub(),
            "category": category,
            "event": event,
            "connectionId": client.connection_id(),
            "userId": client.user_id(),
            "claims": claims,
            "query": query,
            "signature": verdict.signature.name(),
            "token": verdict.token.name(),
        });
        let mut line =
            format!("{NAME}{}{NAME:#} {STRONG}{}{STRONG:#}", printable(client.hub()), printable(&event));
        let mut seen = Seen { event, invocation_id: None, protocol };
        let mut put = |name: &str, value: Value| {
            if let Some(request) = request.as_object_mut() {
                request.insert(name.to_owned(), value);
            }
        };
        match category.as_str() {
            "messages" => {
                match head.message(body).map_err(|refusal| refusal.text().to_owned()).and_then(|message| {
                    let arguments =
                        message.arguments::<Vec<AnyValue>>().map_err(|error| error.to_string())?;
                    Ok((message.invocation_id().map(str::to_owned), arguments))
                }) {
                    Ok((id, arguments)) => {
                        for AnyValue(argument) in &arguments {
                            line = format!("{line} {}", printable(&argument.to_string()));
                        }
                        if id.is_some() {
                            line = format!("{line} {FAINT}awaited{FAINT:#}");
                        }
                        put("awaited", id.is_some().into());
                        put("arguments", arguments.into_iter().map(|AnyValue(value)| value).collect());
                        put("protocol", protocol.name().into());
                        seen.invocation_id = id;
                    }
                    Err(error) => {
                        line = format!("{line} {BAD}{}{BAD:#}", printable(&error));
                        put("error", error.into());
                    }
                }
            }
            _ if seen.event == "disconnected" => match disconnect_reason(body) {
                Ok(reason) => {
                    if let Some(reason) = &reason {
                        line = format!("{line} {WARNING}{}{WARNING:#}", printable(reason));
                    }
                    put("reason", reason.into());
                }
                Err(refusal) => {
                    line = format!("{line} {BAD}{}{BAD:#}", refusal.text());
                    put("error", refusal.text().into());
                }
            },
            _ => {}
        }
        self.put("request", request, number, line);
        let mut who = Vec::new();
        who.push(match client.user_id() {
            Some(user) => format!("user {}", printable(user)),
            None => "anonymous".to_owned(),
        });
        who.push(format!("connection {}", printable(client.connection_id())));
        for (name, value) in client.claims().filter(|(name, _)| !is_of_protocol(name)) {
            who.push(format!("{}={}", printable(name), printable(value)));
        }
        if !query.is_empty() {
            who.push(format!("?{}", printable(&query)));
        }
        let mut marks = String::new();
        for (name, check) in [("signature", verdict.signature), ("token", verdict.token)] {
            let style = match check {
                Check::None => continue,
                Check::Valid => GOOD,
                Check::Unchecked => FAINT,
                Check::Invalid | Check::Missing => BAD,
            };
            marks = format!("{marks}  {style}{name} {}{style:#}", check.name());
        }
        if !self.0.is_json() {
            self.0.line(format_args!("{:17}{FAINT}{}{FAINT:#}{marks}", "", who.join("  ")));
        }
        Some(seen)
    }

    /// Shows a request that no service sends.
    pub(super) fn broken(&self, number: u64, parts: &Parts, why: &str) {
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let request = json!({ "request": number, "method": method, "path": path, "error": why });
        let line = format!("{WARNING}{} {}{WARNING:#} {why}", printable(method), printable(path));
        self.put("other", request, number, line);
    }

    pub(super) fn answer(&self, number: u64, answer: &Answered, took: Duration) {
        let milliseconds = (took.as_secs_f64() * 1e5).round() / 1e2;
        let status = answer.status.as_u16();
        let style = if answer.status.is_success() { GOOD } else { BAD };
        let mut line = format!("{style}{status}{style:#} {FAINT}{milliseconds} ms{FAINT:#}");
        let mut value = json!({ "request": number, "status": status, "milliseconds": milliseconds });
        let mut put = |name: &str, content: Value| {
            if let Some(value) = value.as_object_mut() {
                value.insert(name.to_owned(), content);
            }
        };
        match &answer.result {
            Some(Ok(result)) => {
                line = format!("{line} {}", printable(&result.to_string()));
                put("result", result.clone());
            }
            Some(Err(error)) => {
                line = format!("{line} {BAD}{}{BAD:#}", printable(error));
                put("error", error.clone().into());
            }
            None if !answer.body.is_empty() => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = shortened(text.trim_end_matches('\u{1e}'), SHOWN_BODY);
                line = format!("{line} {}", printable(&text));
                put("body", text.into());
            }
            None => {}
        }
        if let Some(error) = &answer.error {
            line = format!("{line} {BAD}the app does not answer{BAD:#}: {}", printable(error));
            put("error", error.clone().into());
        }
        self.put("answer", value, number, line);
    }

    fn put(&self, kind: &str, mut value: Value, number: u64, line: impl fmt::Display) {
        let now = OffsetDateTime::now_utc();
        if self.0.is_json() {
            let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
            let mut event = json!({ "time": rfc3339(now), "type": kind });
            if let (Some(event), Some(value)) = (event.as_object_mut(), value.as_object_mut()) {
                event.append(value);
            }
            return self.0.json(&event);
        }
        let (hour, minute, second) = now.to_hms();
        let time = format!("{hour:02}:{minute:02}:{second:02}.{:03}", now.millisecond());
        let arrow = if kind == "answer" { "◀" } else { "▶" };
        self.0.line(format_args!("{FAINT}{time} #{number}{FAINT:#} {arrow} {line}"));
    }
}

/// A client's query without what the service itself puts there: some of that are secrets of the connection.
fn query(text: &str) -> String {
    let parameters = text.trim_start_matches('?').split('&').filter(|parameter| {
        let name =
            form_urlencoded::parse(parameter.as_bytes()).next().map(|(name, _)| name.to_ascii_lowercase());
        !matches!(name.as_deref(), None | Some("" | "access_token" | "hub" | "id"))
    });
    parameters.collect::<Vec<_>>().join("&")
}

/// Claims that every token has.
fn is_of_protocol(name: &str) -> bool {
    matches!(name, "aud" | "exp" | "iat" | "iss" | "nbf") || name.starts_with("asrs.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_shown_without_secrets() {
        assert_eq!(
            query("?hub=chat&id=c2VjcmV0&a=1&ACCESS_TOKEN=c2VjcmV0&access%5Ftoken=c2VjcmV0&b"),
            "a=1&b"
        );
        assert_eq!((query(""), query("?"), query("?id=c2VjcmV0")), Default::default());
    }
}

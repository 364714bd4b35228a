//! What happens to requests that rules are about.

use std::sync::atomic::Ordering;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use tokio::time;

use super::{
    Fault, Faults,
    rule::{FaultKind, Met},
};
use crate::{
    core::token::ClientToken,
    local::token::bearer,
    server::{endpoint::accepts_events, query::Query, room::Room},
};

/// What `/_hubwire/` is in the path of whatever controls the service, which has no faults.
pub(super) const CONTROL: &str = "/_hubwire/";

impl Faults {
    /// Does with a request what the rules say, and gives the answer if that is one.
    pub(in crate::local) async fn disturb(&self, room: &Room, fault: Fault) -> Option<Response> {
        let Fault { delay, status, expires, silence, .. } = fault;
        let mut changed = self.0.changed.subscribe();
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        if silence {
            let mut stopped = Box::pin(room.stopped());
            tokio::select! {
                _ = changed.changed() => {}
                () = &mut stopped => {}
            }
        }
        if expires {
            let text = "The token was refused: the token has expired.";
            let challenge = "Bearer error=\"invalid_token\", error_description=\"the token has expired\"";
            return Some((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)], text).into_response());
        }
        let (status, retry_after) = status?;
        let status = StatusCode::from_u16(status).ok()?;
        let mut response = (status, "A fault that the local service was told to have.").into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Some(response)
    }

    /// What the rules say of a request.
    pub(in crate::local) fn met_by(&self, room: &Room, request: &Request) -> Fault {
        if !self.0.is_any.load(Ordering::Acquire) || request.uri().path().starts_with(CONTROL) {
            return Fault::default();
        }
        let (path, headers) = (request.uri().path(), request.headers());
        let query = Query::parse(request.uri().query());
        let kind = kind_of(room, request.method(), path, headers, &query);
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (hub, user) = if kind == FaultKind::Rest {
            (segment_behind(path, "hubs").map(decoded), segment_behind(path, "users").map(decoded))
        } else {
            // Whether the token is a good one is for others to say.
            let token = bearer(headers).or_else(|| query.first("access_token"));
            let token = token.and_then(|token| ClientToken::parse(token).ok());
            let user = token.and_then(|token| token.user_id().map(|user| user.into_owned()));
            (query.first("hub").map(str::to_owned), user)
        };
        let met = Met { kind, path, hub: hub.as_deref(), user: user.as_deref(), connection: None };
        self.meet(met, |_| true)
    }
}

fn kind_of(room: &Room, method: &Method, path: &str, headers: &HeaderMap, query: &Query) -> FaultKind {
    match path.trim_end_matches('/') {
        "/client/negotiate" => FaultKind::Negotiate,
        "/client" if *method == Method::GET => {
            let is_new = query.first("id").is_none_or(|id| room.negotiated.is_waiting(id));
            if headers.contains_key(UPGRADE) || accepts_events(headers) || is_new {
                FaultKind::Connect
            } else {
                FaultKind::Poll
            }
        }
        "/client" => FaultKind::Send,
        "/server" => FaultKind::Server,
        path if path.to_ascii_lowercase().starts_with("/api/") => FaultKind::Rest,
        _ => FaultKind::Token,
    }
}

/// What stands in a path behind this segment.
fn segment_behind<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let mut segments = path.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next()
}

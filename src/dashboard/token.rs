//! A client token, read for people: what it says, and why it would be refused. It is not kept.

use serde_json::Value;

use super::{
    contract::{Claim, TokenRead},
    source::Source,
};
use crate::{
    core::token::{ClientToken, TokenError, TokenParts},
    platform::unix_now,
};

/// Azure SignalR Service refuses longer client tokens.
const AZURE_LIMIT: usize = 4096;

/// How many claims are shown.
const MAX_CLAIMS: usize = 200;

/// The longest value that is shown whole, in characters.
const MAX_VALUE: usize = 1_000;

/// Reads a token. An error says why it cannot be read.
pub(super) fn read(text: &str, source: &dyn Source) -> Result<TokenRead, TokenError> {
    let text = text.trim_ascii();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim_ascii();
    let token = ClientToken::parse(text)?;
    let now = i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX);
    let (signature, refusals) = source.judge(text, &token);
    let mut problems = problems(text, &token, now);
    for refusal in refusals {
        if !problems.contains(&refusal) {
            problems.push(refusal);
        }
    }
    let claim = |name: &str| Claim {
        name: name.to_owned(),
        value: shown(token.claim(name).unwrap_or_default()),
        meaning: meaning(name),
    };
    Ok(TokenRead {
        header: header(text),
        claims: token.claim_names().take(MAX_CLAIMS).map(claim).collect(),
        audience: token.audience().map(|audience| audience.into_owned()),
        hub: token.hub(),
        user: token.user_id().map(|user| user.into_owned()),
        issued_at: token.issued_at().map(milliseconds),
        expires_at: token.expires_at().map(milliseconds),
        bytes: text.len(),
        signature,
        problems,
    })
}

fn milliseconds(seconds: i64) -> i64 {
    seconds.saturating_mul(1000)
}

fn header(text: &str) -> Value {
    let bytes = TokenParts::split(text).ok().and_then(|parts| TokenParts::decode(parts.header));
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// A claim's value: a text as it is, anything else as JSON.
fn shown(json: &str) -> String {
    let value = match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        _ => json.to_owned(),
    };
    match value.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value,
    }
}

/// What is wrong with it, wherever it is used.
fn problems(text: &str, token: &ClientToken, now: i64) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > AZURE_LIMIT {
        problems.push(format!(
            "It has {} bytes; Azure SignalR Service refuses client tokens of more than {AZURE_LIMIT}. Give it fewer \
             claims.",
            text.len()
        ));
    }
    match token.algorithm().as_deref() {
        None => problems.push("Its header does not say how it is signed (alg).".to_owned()),
        Some("none") => problems.push("It is not signed (alg is none).".to_owned()),
        Some(_) => {}
    }
    match token.expires_at() {
        None => problems.push("It has no expiry (exp).".to_owned()),
        Some(at) if at <= now => {
            problems.push(format!("It expired {} ago.", duration(now.saturating_sub(at))))
        }
        Some(_) => {}
    }
    if let Some(at) = token.not_before().filter(|at| *at > now) {
        problems.push(format!("It is not valid yet, but in {} (nbf).", duration(at.saturating_sub(now))));
    }
    if token.audience().is_none() {
        problems.push("It has no audience (aud), the address that it is for.".to_owned());
    }
    problems
}

/// A time in words, in the unit that fits.
fn duration(seconds: i64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// What a claim means to a hub or to Azure SignalR Service.
fn meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "aud" => "the address that the token is for",
        "exp" => "when it expires, in seconds since 1970",
        "iat" => "when it was issued, in seconds since 1970",
        "nbf" => "from when on it is valid, in seconds since 1970",
        "iss" => "who issued it",
        "jti" => "the id of the token",
        "nameid" | "sub" => "the user, unless a claim before it names one",
        "role" | "roles" => "roles of the user",
        "tid" => "the Entra tenant",
        "appid" | "azp" => "the Entra application",
        "oid" => "the object id of the user or application in Entra",
        "asrs.s.uid" => "the user",
        "asrs.s.aeo" => "when the authentication ends, in seconds since 1970",
        "asrs.s.coae" => "whether the connection closes when the authentication ends",
        "asrs.s.cht" => "seconds that the client has for its handshake",
        "asrs.s.ttl" => "seconds that a poll waits",
        "asrs.s.htt" => "the transports that the client may use, as a bit mask",
        "asrs.s.sn" => "the app server that the client wants",
        "asrs.s.ssticky" => "whether it has to be that app server",
        "asrs.s.aut" => "the type of authentication",
        "asrs.s.nt" => "the claim that is the user's name",
        "asrs.s.rt" => "the claim that is the user's roles",
        _ if name.starts_with("asrs.u.") => "a claim of the user whose name the service has itself",
        _ if name.starts_with("asrs.s.") => "a setting of Azure SignalR Service",
        _ => return None,
    })
}

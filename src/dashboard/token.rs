//! A client token, read for people: what it says, and why it would be refused. It is not kept.

use serde_json::Value;

use super::{
    contract::{Claim, TokenRead},
    source::Source,
};
use crate::{
    core::token::{
        ClientToken, TokenError, TokenExpectation, TokenParts, TokenProblem, claim_meaning, without_scheme,
    },
    platform::unix_now,
};

/// How many claims are shown.
const MAX_CLAIMS: usize = 200;

/// The longest value that is shown whole, in characters.
const MAX_VALUE: usize = 1_000;

/// Reads a token. An error says why it cannot be read.
pub(super) fn read(text: &str, source: &dyn Source) -> Result<TokenRead, TokenError> {
    let text = without_scheme(text);
    let token = ClientToken::parse(text)?;
    let now = i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX);
    let (signature, refusals) = source.judge(text, &token);
    let mut problems = problems(&token, now);
    for refusal in refusals {
        if !problems.contains(&refusal) {
            problems.push(refusal);
        }
    }
    let claim = |name: &str| Claim {
        name: name.to_owned(),
        value: shown(token.claim(name).unwrap_or_default()),
        meaning: claim_meaning(name),
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

/// What is wrong with it, wherever it is used. What Azure SignalR Service alone would refuse is the source's to say.
fn problems(token: &ClientToken, now: i64) -> Vec<String> {
    let of_any = |problem: &TokenProblem| match problem {
        TokenProblem::Algorithm { algorithm } => algorithm.as_deref().is_none_or(|name| name == "none"),
        TokenProblem::TooLong { .. }
        | TokenProblem::NoExpiry
        | TokenProblem::Expired { .. }
        | TokenProblem::NotYetValid { .. }
        | TokenProblem::NoAudience => true,
        _ => false,
    };
    let problems = token.problems(&TokenExpectation { now, ..TokenExpectation::default() });
    problems.iter().filter(|problem| of_any(problem)).map(sentence).collect()
}

/// A problem as the page shows it: with a capital, and a full stop.
fn sentence(problem: &TokenProblem) -> String {
    let text = problem.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

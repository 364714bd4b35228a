//! A token is what its JSON says. Data with a line break is the JSON of header and claims; other data is a token as
//! it comes.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use hubwire::core::token::{ClientToken, TokenError};

use crate::reference::{MAX_DEPTH, Members, depth, integer, items, text};

pub(crate) fn run(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let Some((header, claims)) = input.split_once('\n') else {
        if let Ok(token) = ClientToken::parse(input) {
            look(&token);
        }
        return;
    };
    let encode = |json: &str| Base64UrlUnpadded::encode_string(json.as_bytes());
    let token = ClientToken::parse(&format!("Bearer {}.{}.sig", encode(header), encode(claims)));
    let (header_members, claim_members) = (Members::parse(header), Members::parse(claims));
    let (Some(header_members), Some(members)) = (header_members, claim_members) else {
        return assert!(
            matches!(token, Err(TokenError::Json { .. } | TokenError::TooLong { .. })),
            "{token:?}"
        );
    };
    let dates =
        ["exp", "iat", "nbf"].map(|name| members.get(name).map_or(Some(None), |json| date(json).map(Some)));
    let token = match token {
        Ok(token) => token,
        Err(TokenError::Claim(_)) => return assert!(dates.contains(&None)),
        Err(TokenError::TooLong { .. }) => return,
        Err(error) => return assert!(depth(header).max(depth(claims)) > MAX_DEPTH, "refused: {error}"),
    };
    assert_eq!(
        dates.map(|date| date.expect("a date")),
        [token.expires_at(), token.issued_at(), token.not_before()]
    );
    assert!(token.claim_names().eq(members.0.iter().map(|(name, _)| name.as_str())));
    for (name, _) in &members.0 {
        assert_eq!(token.claim(name), members.get(name));
    }
    assert_eq!(token.algorithm().as_deref(), header_members.get("alg").and_then(text).as_deref());
    assert_eq!(token.key_id().as_deref(), header_members.get("kid").and_then(text).as_deref());
    assert_eq!(token.audiences(), texts(&members, "aud"));
    let user =
        ["asrs.s.uid", "nameid", "sub"].iter().find_map(|name| texts(&members, name).into_iter().next());
    assert_eq!(token.user_id().as_deref(), user.as_deref());
    look(&token);
}

fn look(token: &ClientToken) {
    assert_eq!(token.audience(), token.audiences().into_iter().next());
    let _ = (token.hub(), token.roles(), format!("{token:?}"));
    for now in [0, 1_767_225_600, i64::MIN, i64::MAX] {
        let left = token.expires_in(now);
        assert_eq!(left.is_some(), token.expires_at().is_some());
        assert_eq!(token.is_expired(now, Duration::ZERO), left == Some(Duration::ZERO));
        assert_eq!(token.is_expired(now, Duration::MAX), left.is_some());
    }
}

/// A number of seconds whose fraction does not count.
fn date(json: &str) -> Option<i64> {
    if json.contains(['e', 'E', '"']) {
        return None;
    }
    integer(json.split('.').next()?)
}

/// One text or several; a text that can't be one ends the list.
fn texts(members: &Members<'_>, name: &str) -> Vec<String> {
    let Some(json) = members.get(name) else { return Vec::new() };
    let values = items(json).unwrap_or_else(|| vec![json]);
    values.into_iter().filter(|json| json.starts_with('"')).map_while(text).collect()
}

//! The names of claims in tokens of Azure SignalR Service: which ones are its own, and what hubs see of the others.
//!
//! Source: [`ClaimsUtility` of the official SDK](https://github.com/Azure/azure-signalr/blob/dev/src/Microsoft.Azure.SignalR.Common/Utilities/ClaimsUtility.cs).

/// The user's id, in a token that an app server has made.
pub(crate) const USER: &str = "asrs.s.uid";
/// Whether the connection closes when its authentication ends.
pub(crate) const CLOSES_ON_EXPIRY: &str = "asrs.s.coae";
/// When the authentication ends, in seconds since 1970.
pub(crate) const EXPIRY: &str = "asrs.s.aeo";
/// The end of the year 9999, `DateTimeOffset.MaxValue` in .NET, the last that it can express: how its SDKs write that
/// nothing is said of the end.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// Before the names of claims that only the service reads.
const OF_SERVICE: &str = "asrs.s.";
/// Before the names of a user's claims that a token has for itself.
const OF_USER: &str = "asrs.u.";
/// What a token says of itself, which is no claim of the user.
const OF_TOKEN: [&str; 11] =
    ["aud", "exp", "iat", "nbf", "iss", "actort", "acr", "azp", "c_hash", "jti", "nonce"];

/// Whether a claim is the service's own, whatever its case: no application may set it.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.get(..OF_SERVICE.len()).is_some_and(|start| start.eq_ignore_ascii_case(OF_SERVICE))
}

/// Whether a claim is about the token that it stands in, and not about the user.
pub(crate) fn is_of_token(name: &str) -> bool {
    OF_TOKEN.contains(&name)
}

/// The name under which a token carries a claim of the user whose own name it has for itself.
pub(crate) fn renamed(name: &str) -> String {
    [OF_USER, name].concat()
}

/// The user's name for a claim of a token; `None` for what only the service reads.
pub(crate) fn name_of_user(name: &str) -> Option<&str> {
    match name.strip_prefix(OF_USER) {
        Some(name) => Some(name),
        None => (!name.starts_with(OF_SERVICE)).then_some(name),
    }
}

/// The name under which a hub sees a claim; `None` for what it does not see.
pub(crate) fn name_in_hub(name: &str) -> Option<&str> {
    if is_of_token(name) { None } else { name_of_user(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_see_what_is_of_the_user() {
        for (name, of_user, in_hub) in [
            ("role", Some("role"), Some("role")),
            ("aud", Some("aud"), None),
            ("jti", Some("jti"), None),
            ("asrs.u.aud", Some("aud"), Some("aud")),
            ("asrs.s.uid", None, None),
        ] {
            assert_eq!((name_of_user(name), name_in_hub(name)), (of_user, in_hub), "{name}");
        }
        assert_eq!(name_in_hub(&renamed("nonce")), Some("nonce"));
        assert!(is_reserved("Asrs.S.x") && !is_reserved("asrs.u.x") && !is_reserved("ä"));
    }
}

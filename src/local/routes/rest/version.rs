//! Versions of the REST API, and what each of them has.

use crate::{local::api_error::ApiError, server::query::Query};

/// All versions behind the first, which has paths of its own. They are in the order of time, as texts.
const VERSIONS: [&str; 5] = ["2022-06-01", "2022-11-01", "2023-07-01", "2024-12-01", "2026-07-01"];

/// Operations that came later than 2022-06-01: their route, and the first version that has them.
///
/// Source: the definitions of the versions [2022-06-01, 2023-07-01 and 2024-12-01](https://github.com/Azure/azure-signalr/tree/dev/docs/swagger);
/// the names of the operations say the other versions.
const LATER: [(&str, &str); 9] = [
    ("/api/hubs/{hub}/:generateToken", "2022-11-01"),
    ("/api/auth/accessKey", "2023-07-01"),
    ("/api/hubs/{hub}/:execute", "2023-07-01"),
    ("/api/hubs/{hub}/connections/{connection}/:invoke", "2024-12-01"),
    ("/api/hubs/{hub}/connections/{connection}/streams/{stream}/:send", "2024-12-01"),
    ("/api/hubs/{hub}/connections/{connection}/streams/{stream}/:complete", "2024-12-01"),
    ("/api/hubs/{hub}/groups/{group}/connections", "2024-12-01"),
    ("/api/hubs/{hub}/connections/:refreshAuth", "2026-07-01"),
    ("/api/hubs/{hub}/connections/claims", "2026-07-01"),
];

/// Whether the version that a request names has the operation with this route. The codes are those of ASP.NET's API
/// versioning, by which the service is built.
pub(super) fn check(query: &Query, route: &str) -> Result<(), ApiError> {
    let refused = |code, message| ApiError::bad_request("api-version", message).with_code(code);
    let mut named = query.all("api-version").map(str::trim).filter(|version| !version.is_empty());
    let all = VERSIONS.join(", ");
    let Some(version) = named.next() else {
        let message = format!("An API version is required, but was not specified. The versions are {all}.");
        return Err(refused("ApiVersionUnspecified", message));
    };
    if named.any(|other| other != version) {
        let message = "The query parameter api-version is there more than once, with different versions.";
        return Err(refused("AmbiguousApiVersion", message.to_owned()));
    }
    if !VERSIONS.contains(&version) {
        let version: String = version.chars().take(40).collect();
        let message = format!("The API version {version} is not supported. The versions are {all}.");
        return Err(refused("UnsupportedApiVersion", message));
    }
    match LATER.iter().find(|(later, _)| *later == route) {
        Some((_, since)) if version < *since => {
            let message = format!(
                "The API version {version} does not have this operation; {since} is the first with it."
            );
            Err(refused("UnsupportedApiVersion", message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_operations_are_in_the_order_of_versions() {
        assert!(VERSIONS.is_sorted());
        assert!(LATER.is_sorted_by_key(|(_, since)| since));
        assert!(LATER.iter().all(|(_, since)| VERSIONS.contains(since)));
    }
}

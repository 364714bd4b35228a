//! Claims of clients as app servers get them.

use serde_json::Value;

use crate::{
    core::service_protocol::{Claims as WireClaims, write_claims},
    server::claims::Claims,
};

/// Claims one by one, each as a text.
pub(super) fn listed(claims: &Claims) -> Vec<(String, String)> {
    let each = claims.iter().flat_map(|(kind, value)| {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        values
            .iter()
            .map(move |value| (kind.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    each.collect()
}

pub(super) fn on_the_wire(claims: &[(String, String)]) -> WireClaims<'_> {
    claims.iter().map(|(kind, value)| (kind.as_str().into(), value.as_str().into())).collect()
}

/// Claims by their types. Those that come more than once are an array.
pub(super) fn by_type(list: &WireClaims<'_>) -> Claims {
    let mut claims = Claims::new();
    for (kind, value) in list {
        let value = Value::from(&**value);
        match claims.get_mut(&**kind) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(claims.insert(kind.as_ref().to_owned(), value)),
        }
    }
    claims
}

/// What an acknowledgement has that answers with claims.
pub(super) fn payload(claims: &Claims) -> Vec<u8> {
    let mut payload = Vec::new();
    write_claims(&mut payload, &on_the_wire(&listed(claims)));
    payload
}

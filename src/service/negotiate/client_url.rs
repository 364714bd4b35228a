//! `{client endpoint}/client/?hub={hub}`, and for an app server the client's own path and query behind it.

use crate::{
    core::url::encode_data,
    service::{http::url::decode, negotiate::options::NegotiateOptions, random},
};

/// The URL that a client of `hub` connects to; `base` ends in a slash, `hub` is the name within the service.
pub(in crate::service) fn client_url(base: &str, hub: &str, options: &NegotiateOptions) -> String {
    let mut url = format!("{base}client/?hub={}", encode_data(hub));
    let mut request_id = options.request_id.clone();
    if let Some((path, query)) = &options.original_request {
        let path = path.trim_end_matches('/').strip_suffix("/negotiate").unwrap_or_default();
        if !path.is_empty() {
            url.push_str("&asrs.op=");
            url.push_str(&encode_data(path));
        }
        for pair in query.trim_start_matches('?').split('&').filter(|pair| may_be_forwarded(pair)) {
            url.push('&');
            push_query_text(&mut url, pair);
        }
        request_id.get_or_insert_with(|| format!("{:016x}", random::number()));
    }
    let (culture, ui_culture) = options.culture.clone().unzip();
    for (name, value) in
        [("asrs_request_id", request_id), ("asrs_lang", culture), ("asrs_ui_lang", ui_culture)]
    {
        if let Some(value) = value {
            url.push_str(&format!("&{name}={}", encode_data(&value)));
        }
    }
    url
}

/// The query comes from the client, so it must not set what the service reads.
fn may_be_forwarded(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
    let name = decode(&name).to_ascii_lowercase();
    let reserved = matches!(name.trim(), "hub" | "id" | "access_token");
    !pair.is_empty() && !reserved && !name.trim().starts_with("asrs.") && !name.trim().starts_with("asrs_")
}

/// Appends a parameter as it is, but for characters that cannot stand in a query.
fn push_query_text(url: &mut String, pair: &str) {
    for c in pair.chars() {
        match c {
            '!' | '$'..='&' | '\''..=';' | '=' | '?'..='~' => url.push(c),
            _ => url.push_str(&encode_data(c.encode_utf8(&mut [0; 4]))),
        }
    }
}

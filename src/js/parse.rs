//! Negotiate answers and client tokens as lists, whose places `parse.js` gives their names.

use std::borrow::Cow;

use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{js_error, negotiate_error, token_error};
use super::list::List;
use crate::core::negotiate::NegotiateResponse;
use crate::core::token::{AccessToken, ClientToken};

fn add_text(list: &List, text: Option<Cow<'_, str>>) {
    list.optional(text.as_deref());
}

fn add_texts(list: &List, texts: &[impl AsRef<str>]) {
    let added = List::new();
    texts.iter().for_each(|text| added.text(text.as_ref()));
    list.list(&added);
}

/// JavaScript's numbers hold dates without loss.
#[allow(clippy::cast_precision_loss)]
fn add_number(list: &List, number: Option<i64>) {
    match number {
        Some(number) => list.number(number as f64),
        None => list.optional(None),
    }
}

/// The body of a negotiate answer as a list. Throws when it is not a negotiate answer, and when the server refuses.
#[wasm_bindgen(js_name = parseNegotiateResponse, skip_typescript)]
pub fn parse_negotiate_response(text: &str) -> Result<List, List> {
    let response = NegotiateResponse::parse(text.as_bytes()).map_err(|error| negotiate_error(&error))?;
    if let Some(error) = &response.error {
        return Err(js_error("Negotiate", error));
    }
    let list = List::new();
    list.optional(response.url.as_deref());
    list.optional(response.access_token.as_ref().map(AccessToken::secret));
    list.optional(response.connection_id.as_deref());
    list.optional(response.connection_token.as_ref().map(AccessToken::secret));
    add_number(&list, Some(response.negotiate_version));
    add_number(&list, response.token_lifetime_seconds);
    let transports = List::new();
    for offer in &response.available_transports {
        transports.text(&offer.transport);
        add_texts(&transports, &offer.transfer_formats);
    }
    list.list(&transports);
    Ok(list)
}

/// A client token as a list. Nothing in it is verified. Throws when the text is not a client token.
#[wasm_bindgen(js_name = parseClientToken, skip_typescript)]
pub fn parse_client_token(text: &str) -> Result<List, List> {
    let token = ClientToken::parse(text).map_err(|error| token_error(&error))?;
    let list = List::new();
    add_text(&list, token.algorithm());
    add_text(&list, token.key_id());
    add_texts(&list, &token.audiences());
    add_text(&list, token.hub().map(Cow::Owned));
    add_text(&list, token.user_id());
    add_texts(&list, &token.roles());
    for date in [token.expires_at(), token.issued_at(), token.not_before()] {
        add_number(&list, date);
    }
    let claims = List::new();
    for name in token.claim_names() {
        claims.text(name);
        claims.optional(token.claim(name));
    }
    list.list(&claims);
    Ok(list)
}

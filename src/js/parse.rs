//! Negotiate answers and client tokens as objects.

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{js_error, negotiate_text, token_text};
use crate::core::negotiate::{NegotiateError, NegotiateResponse};
use crate::core::token::{AccessToken, ClientToken};

/// Builds a plain object; what is not there is left out.
struct Builder(Object);

impl Builder {
    fn set(&self, name: &str, value: impl Into<JsValue>) {
        // Setting a property of a fresh object does not fail.
        drop(Reflect::set(&self.0, &JsValue::from_str(name), &value.into()));
    }

    fn set_some(&self, name: &str, value: Option<impl Into<JsValue>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }
}

fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Array {
    texts.into_iter().map(|text| JsValue::from_str(text.as_ref())).collect()
}

/// JavaScript's numbers hold dates without loss.
#[allow(clippy::cast_precision_loss)]
fn number(value: i64) -> f64 {
    value as f64
}

/// The body of a negotiate answer as an object. Throws when it is not a negotiate answer, and when the server refuses.
#[wasm_bindgen(js_name = parseNegotiateResponse, skip_typescript)]
pub fn parse_negotiate_response(text: &str) -> Result<Object, JsValue> {
    let fail = |error| js_error("Negotiate", &negotiate_text(&error), None);
    let response = NegotiateResponse::parse(text.as_bytes()).map_err(fail)?;
    if let Some(error) = response.error {
        return Err(fail(NegotiateError::Refused(error)).into());
    }
    let token = |token: &AccessToken| token.secret().to_owned();
    let object = Builder(Object::new());
    object.set_some("url", response.url);
    object.set_some("accessToken", response.access_token.as_ref().map(token));
    object.set_some("connectionId", response.connection_id);
    object.set_some("connectionToken", response.connection_token.as_ref().map(token));
    object.set("negotiateVersion", number(response.negotiate_version));
    object.set_some("tokenLifetimeSeconds", response.token_lifetime_seconds.map(number));
    let transports = response.available_transports.into_iter().map(|offer| {
        let transport = Builder(Object::new());
        transport.set("transport", offer.transport);
        transport.set("transferFormats", texts(offer.transfer_formats));
        JsValue::from(transport.0)
    });
    object.set("availableTransports", transports.collect::<Array>());
    Ok(object.0)
}

/// A client token as an object. Nothing in it is verified. Throws when the text is not a client token.
#[wasm_bindgen(js_name = parseClientToken, skip_typescript)]
pub fn parse_client_token(text: &str) -> Result<Object, JsValue> {
    let token = ClientToken::parse(text).map_err(|e| js_error("Token", &token_text(&e), None))?;
    let object = Builder(Object::new());
    let some = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
    object.set_some("algorithm", some(token.algorithm()));
    object.set_some("keyId", some(token.key_id()));
    object.set("audience", texts(token.audiences()));
    object.set_some("hub", token.hub());
    object.set_some("userId", some(token.user_id()));
    object.set("roles", texts(token.roles()));
    object.set_some("expiresAt", token.expires_at().map(number));
    object.set_some("issuedAt", token.issued_at().map(number));
    object.set_some("notBefore", token.not_before().map(number));
    let claims = Builder(Object::new());
    for name in token.claim_names() {
        claims.set_some(name, token.claim(name).and_then(|json| JSON::parse(json).ok()));
    }
    object.set("claims", claims.0);
    Ok(object.0)
}

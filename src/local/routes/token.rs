//! The token endpoint of the Entra authority.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use crate::{
    local::{entra::authority::OAuthError, guard::Origin, service::Service},
    server::{observe::Reason, query::Query},
    service::unix_now,
};

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router.route("/{tenant}/oauth2/v2.0/token", post(token))
}

async fn token(
    State(service): State<Arc<Service>>,
    Extension(Origin(origin)): Extension<Origin>,
    Path(tenant): Path<String>,
    form: Bytes,
) -> Response {
    // The body need not be UTF-8; what cannot be read is a missing parameter.
    let form = Query::parse(std::str::from_utf8(&form).ok());
    let entra = &service.access.entra;
    let lifetime = entra.token_lifetime.as_secs();
    match entra.issue(&tenant, &form, &origin, unix_now()) {
        Ok(token) => (
            [(CACHE_CONTROL, "no-store, no-cache")],
            Json(json!({
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            })),
        )
            .into_response(),
        Err(error) => error.into_response(),
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let (code, error) = self.code();
        let status =
            if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        tracing::debug!(%status, code, "the local Entra authority refused a token");
        let body = json!({
            "error": error,
            "error_description": format!("AADSTS{code}: {self}"),
            "error_codes": [code],
        });
        (status, Extension(Reason(self.to_string().into())), Json(body)).into_response()
    }
}

//! The endpoints of managed identities: the metadata service of virtual machines, and that of App Service.
//!
//! Sources: [virtual machines](https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token),
//! [App Service](https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference).

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::{
    local::{entra::identity::find, service::Service},
    server::{observe::Reason, query::Query},
    service::unix_now,
};

pub(in crate::local) const APP_SERVICE_PATH: &str = "/msi/token";

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router.route("/metadata/identity/oauth2/token", get(metadata)).route(APP_SERVICE_PATH, get(app_service))
}

async fn metadata(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    // What keeps requests out that something else was tricked into.
    if headers.get("metadata").is_none_or(|value| !value.as_bytes().eq_ignore_ascii_case(b"true")) {
        return refusal(StatusCode::BAD_REQUEST, "bad_request_102", "Required metadata header not specified");
    }
    answer(&service, query.as_deref())
}

async fn app_service(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let header = headers.get("x-identity-header").map_or(&b""[..], |value| value.as_bytes());
    if !bool::from(header.ct_eq(service.identity_header.expose().as_bytes())) {
        return refusal(StatusCode::UNAUTHORIZED, "unauthorized", "X-IDENTITY-HEADER is missing or wrong");
    }
    answer(&service, query.as_deref())
}

fn answer(service: &Service, query: Option<&str>) -> Response {
    let query = Query::parse(query);
    let bad_request = |error, description: &str| refusal(StatusCode::BAD_REQUEST, error, description);
    if query.first("api-version").is_none_or(str::is_empty) {
        return bad_request("invalid_request", "Parameter api-version is missing");
    }
    let Some(resource) = query.first("resource").filter(|resource| !resource.is_empty()) else {
        return bad_request("invalid_resource", "Parameter resource is missing");
    };
    let entra = &service.access.entra;
    let Some(identity) = find(&entra.identities, &query) else {
        return bad_request("invalid_request", "Identity not found");
    };
    let now = unix_now();
    let Some(token) = entra.issue_to_identity(identity, resource, now) else {
        return bad_request("invalid_resource", "AADSTS500011: The resource principal was not found.");
    };
    let lifetime = entra.token_lifetime.as_secs();
    // All of them are texts, as in Azure.
    Json(json!({
        "access_token": token,
        "client_id": identity.application.client_id,
        "expires_in": lifetime.to_string(),
        "expires_on": now.saturating_add(lifetime).to_string(),
        "ext_expires_in": lifetime.to_string(),
        "not_before": now.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
    .into_response()
}

fn refusal(status: StatusCode, error: &'static str, description: &str) -> Response {
    tracing::debug!(%status, error, "the local managed identity endpoint refused a token");
    let reason = Extension(Reason(description.to_owned().into()));
    (status, reason, Json(json!({ "error": error, "error_description": description }))).into_response()
}

//! Managed identities, as the metadata service of virtual machines and App Service give their tokens.
//!
//! Sources: [virtual machines](https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token),
//! [App Service](https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::{EntraApplication, Role, Service, query::Query};
use crate::service::unix_now;

pub(super) const APP_SERVICE_PATH: &str = "/msi/token";

/// A managed identity of the machine that the local service stands for.
///
/// ```
/// use hubwire::{
///     local::{LocalManagedIdentity, LocalService, Role},
///     service::{ServiceEndpoint, credentials::ManagedIdentity},
/// };
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = LocalManagedIdentity::system_assigned("tenant-id", "client-id").with_role(Role::ServiceOwner);
/// let local = LocalService::builder().managed_identity(identity).start().await?;
///
/// let credential = ManagedIdentity::system_assigned().metadata_service(local.metadata_service());
/// let endpoint = ServiceEndpoint::new(local.endpoint(), credential)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "an identity has to be given to the builder of the service"]
pub struct LocalManagedIdentity {
    pub(super) application: EntraApplication,
    is_system_assigned: bool,
    pub(super) object_id: String,
    resource_id: Option<String>,
}

impl LocalManagedIdentity {
    /// The identity that the machine itself has. Its object id is its client id until it is set.
    pub fn system_assigned(tenant_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        let application = EntraApplication::without_secret(tenant_id, client_id);
        let object_id = application.client_id.clone();
        Self { application, is_system_assigned: true, object_id, resource_id: None }
    }

    /// An identity of its own that is assigned to the machine. Its object id is its client id until it is set.
    pub fn user_assigned(tenant_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self { is_system_assigned: false, ..Self::system_assigned(tenant_id, client_id) }
    }

    /// Sets the object (principal) id.
    pub fn with_object_id(self, id: impl Into<String>) -> Self {
        Self { object_id: id.into(), ..self }
    }

    /// Sets the resource id: `/subscriptions/…/userAssignedIdentities/…`.
    pub fn with_resource_id(self, id: impl Into<String>) -> Self {
        Self { resource_id: Some(id.into()), ..self }
    }

    /// Assigns a role at the service. It can be called for several.
    pub fn with_role(self, role: Role) -> Self {
        Self { application: self.application.with_role(role), ..self }
    }
}

/// The identity that a request asks for: the one it names, else the machine's own, else the only one.
fn find<'a>(identities: &'a [LocalManagedIdentity], query: &Query) -> Option<&'a LocalManagedIdentity> {
    let named = |names: [&str; 2]| names.into_iter().find_map(|name| query.first(name));
    let same = |id: &str, other: &str| id.eq_ignore_ascii_case(other);
    if let Some(id) = query.first("client_id") {
        return identities.iter().find(|identity| same(&identity.application.client_id, id));
    }
    if let Some(id) = named(["object_id", "principal_id"]) {
        return identities.iter().find(|identity| same(&identity.object_id, id));
    }
    if let Some(id) = named(["msi_res_id", "mi_res_id"]) {
        return identities.iter().find(|i| i.resource_id.as_deref().is_some_and(|known| same(known, id)));
    }
    let own = identities.iter().find(|identity| identity.is_system_assigned);
    own.or(match identities {
        [only] => Some(only),
        _ => None,
    })
}

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
    let Some(identity) = find(&service.entra.identities, &query) else {
        return bad_request("invalid_request", "Identity not found");
    };
    let now = unix_now();
    let Some(token) = service.entra.issue_to_identity(identity, resource, &service.origin, now) else {
        return bad_request("invalid_resource", "AADSTS500011: The resource principal was not found.");
    };
    let lifetime = service.entra.token_lifetime.as_secs();
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
    (status, Json(json!({ "error": error, "error_description": description }))).into_response()
}

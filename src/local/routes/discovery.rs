//! What the Entra authority says of itself, so that the recipient of a token can verify it: the discovery documents, and the key
//! set that they name.
//!
//! Sources: [OpenID Connect Discovery 1.0](https://openid.net/specs/openid-connect-discovery-1_0.html),
//! [Entra's documents](https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc).

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use crate::local::{
    entra::authority::{OAuthError, issuer_of_v1, issuer_of_v2},
    guard::Origin,
    service::Service,
};

pub(super) fn add_routes(router: Router<Arc<Service>>) -> Router<Arc<Service>> {
    router
        .route("/{tenant}/.well-known/openid-configuration", get(version_1))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(version_2))
        .route("/{tenant}/discovery/keys", get(keys))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
}

/// Of the tokens that say `"ver": "1.0"`: those for the service, and for upstreams.
async fn version_1(
    State(service): State<Arc<Service>>,
    Extension(Origin(origin)): Extension<Origin>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, OAuthError> {
    let tenant = known(&service, tenant)?;
    let authority = format!("{origin}/{tenant}");
    Ok(document(&issuer_of_v1(&tenant), &authority, &format!("{authority}/discovery/keys")))
}

/// Of the tokens that managed identities get to pass on as assertions.
async fn version_2(
    State(service): State<Arc<Service>>,
    Extension(Origin(origin)): Extension<Origin>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, OAuthError> {
    let tenant = known(&service, tenant)?;
    let authority = format!("{origin}/{tenant}");
    // It has one name, whatever the authority was asked by.
    let issuer = issuer_of_v2(&service.access.origin, &tenant);
    Ok(document(&issuer, &authority, &format!("{authority}/discovery/v2.0/keys")))
}

fn document(issuer: &str, authority: &str, keys: &str) -> Json<Value> {
    Json(json!({
        "issuer": issuer,
        "jwks_uri": keys,
        "token_endpoint": format!("{authority}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn keys(
    State(service): State<Arc<Service>>,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, OAuthError> {
    // The keys are those of every tenant; Entra has them under this name as well.
    if tenant != "common" {
        known(&service, tenant)?;
    }
    Ok(Json(service.access.entra.keys()))
}

fn known(service: &Service, tenant: String) -> Result<String, OAuthError> {
    let known = service.access.entra.tenant(&tenant).map(str::to_owned);
    known.ok_or(OAuthError::UnknownTenant(tenant))
}

//! Managed identities of the machine.

use crate::{
    local::{entra::application::EntraApplication, roles::Role},
    server::query::Query,
};

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
/// let identity = LocalManagedIdentity::system_assigned("tenant-id", "client-id").role(Role::ServiceOwner);
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
    pub(crate) application: EntraApplication,
    is_system_assigned: bool,
    pub(crate) object_id: String,
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
    pub fn object_id(self, id: impl Into<String>) -> Self {
        Self { object_id: id.into(), ..self }
    }

    /// Sets the resource id: `/subscriptions/…/userAssignedIdentities/…`.
    pub fn resource_id(self, id: impl Into<String>) -> Self {
        Self { resource_id: Some(id.into()), ..self }
    }

    /// Assigns a role at the service. It can be called for several.
    pub fn role(self, role: Role) -> Self {
        Self { application: self.application.role(role), ..self }
    }
}

/// The identity that a request asks for: the one it names, else the machine's own, else the only one.
pub(crate) fn find<'a>(
    identities: &'a [LocalManagedIdentity],
    query: &Query,
) -> Option<&'a LocalManagedIdentity> {
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

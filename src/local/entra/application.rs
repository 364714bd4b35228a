//! Applications that the authority knows: their credentials and their roles.

use crate::{
    local::{
        entra::assertion::{PublicCertificate, TrustedIssuer},
        roles::Role,
    },
    service::secret::Secret,
};

/// An application that the local Entra authority knows, with its credentials and its roles at the service.
///
/// ```
/// use hubwire::local::{EntraApplication, Role};
///
/// # let certificate_pem = String::new();
/// let with_secret = EntraApplication::new("tenant-id", "client-id", "secret").role(Role::ServiceOwner);
/// let with_certificate = EntraApplication::without_secret("tenant-id", "client-id").certificate(certificate_pem);
/// let trusting =
///     EntraApplication::without_secret("tenant-id", "client-id").trusted_managed_identity("identity-client-id");
/// ```
#[derive(Debug, Clone)]
#[must_use = "an application has to be given to the builder of the service"]
pub struct EntraApplication {
    pub(crate) tenant_id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) certificates: Vec<PublicCertificate>,
    pub(crate) issuers: Vec<TrustedIssuer>,
    /// One of the certificates is not valid; the builder of the service says so.
    pub(crate) has_invalid_certificate: bool,
    trusted_identities: Vec<String>,
    pub(crate) roles: Vec<Role>,
}

impl EntraApplication {
    /// An application without roles: it gets tokens, and the service refuses them with 403. The ids may be any
    /// text; Azure's are GUIDs.
    pub fn new(
        tenant_id: impl Into<String>,
        client_id: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Self {
        Self { client_secret: Some(Secret::new(client_secret)), ..Self::without_secret(tenant_id, client_id) }
    }

    /// An application without roles that has no client secret.
    pub fn without_secret(tenant_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            client_id: client_id.into(),
            client_secret: None,
            certificates: Vec::new(),
            issuers: Vec::new(),
            has_invalid_certificate: false,
            trusted_identities: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// Registers a certificate, as a PEM text: the application may prove itself with assertions that its key signs.
    /// It can be called for several.
    pub fn certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        match PublicCertificate::from_pem(pem.as_ref()) {
            Some(certificate) => self.certificates.push(certificate),
            None => self.has_invalid_certificate = true,
        }
        self
    }

    /// Trusts an identity outside of Entra: the application may prove itself with tokens of this issuer and subject,
    /// which the key of the certificate signs. It can be called for several.
    ///
    /// Entra itself gets the keys from the issuer; here they are given, so that everything works offline.
    pub fn federated_credential(
        mut self,
        issuer: impl Into<String>,
        subject: impl Into<String>,
        certificate_pem: impl AsRef<[u8]>,
    ) -> Self {
        match PublicCertificate::from_pem(certificate_pem.as_ref()) {
            Some(certificate) => {
                self.issuers.push(TrustedIssuer {
                    issuer: issuer.into(),
                    subject: subject.into(),
                    certificate,
                });
            }
            None => self.has_invalid_certificate = true,
        }
        self
    }

    /// Trusts a [managed identity](crate::local::LocalManagedIdentity) of the same local service, of any tenant, by its
    /// client id: the application may prove itself with tokens that it gets for `api://AzureADTokenExchange`, or for
    /// that audience's counterpart in another cloud.
    pub fn trusted_managed_identity(mut self, client_id: impl Into<String>) -> Self {
        self.trusted_identities.push(client_id.into());
        self
    }

    /// Assigns a role. It can be called for several.
    pub fn role(mut self, role: Role) -> Self {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
        self
    }

    /// Whether it trusts the managed identity of this client id.
    pub(crate) fn trusts(&self, id: &str) -> bool {
        self.trusted_identities.iter().any(|trusted| trusted.eq_ignore_ascii_case(id))
    }

    pub(crate) fn is(&self, tenant_id: &str, client_id: &str) -> bool {
        self.tenant_id.eq_ignore_ascii_case(tenant_id) && self.client_id.eq_ignore_ascii_case(client_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_client_secret() {
        let application = EntraApplication::new("t", "c", "hush").role(Role::ServiceOwner);
        let shown = format!("{application:?}");
        assert!(shown.contains("ServiceOwner") && !shown.contains("hush"), "{shown}");
    }
}

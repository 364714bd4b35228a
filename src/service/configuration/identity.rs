//! Which credential the settings beside a `serviceUri` ask for.
//!
//! Source: [Create token credentials from configuration](https://learn.microsoft.com/dotnet/azure/sdk/authentication/create-token-credentials-from-configuration).
//! Other than there, a `credential` that is not known is an error, not the default chain.

use crate::service::{
    configuration::{error::ConfigurationError, settings::Configuration},
    credentials::{
        cloud::Cloud,
        entra::{client_secret::ClientSecret, variables::is_on},
        kind::AuthKind,
        settings::{CertificateLocation, CredentialSettings, ManagedIdentityId},
    },
};

/// The credential of a section.
pub(super) fn credential(
    configuration: &Configuration,
    section: &str,
) -> Result<CredentialSettings, ConfigurationError> {
    let section = Section { configuration, path: section };
    let key = section.key("credential");
    match configuration.filled(&key).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        None => section.implied(),
        Some("managedidentity") => Ok(CredentialSettings::ManagedIdentity(
            section
                .identity(&["clientId", "managedIdentityClientId"])?
                .unwrap_or(ManagedIdentityId::SystemAssigned),
        )),
        Some("workloadidentity") => {
            let by = "credential=workloadidentity";
            Ok(CredentialSettings::WorkloadIdentity {
                tenant_id: section.needed_or("tenantId", "AZURE_TENANT_ID", by)?,
                client_id: section.needed_or("clientId", "AZURE_CLIENT_ID", by)?,
                token_file: section.needed_or("tokenFilePath", "AZURE_FEDERATED_TOKEN_FILE", by)?.into(),
            })
        }
        Some("managedidentityasfederatedidentity") => section.federated(),
        Some("azurepipelines") => {
            let by = "credential=azurepipelines";
            section.needed("systemAccessToken", by)?;
            Ok(CredentialSettings::AzurePipelines {
                tenant_id: section.needed("tenantId", by)?,
                client_id: section.needed("clientId", by)?,
                service_connection_id: section.needed("serviceConnectionId", by)?,
            })
        }
        Some(_) => Err(ConfigurationError::Invalid {
            key,
            expected: "managedidentity, workloadidentity, managedidentityasfederatedidentity or azurepipelines; a \
                       client secret needs none",
        }),
    }
}

struct Section<'a> {
    configuration: &'a Configuration,
    path: &'a str,
}

impl<'a> Section<'a> {
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}:{name}", self.path) }
    }

    fn filled(&self, name: &str) -> Option<&'a str> {
        self.configuration.filled(&self.key(name))
    }

    fn needed(&self, name: &str, needed_by: &'static str) -> Result<String, ConfigurationError> {
        let value = self.filled(name).map(str::to_owned);
        value.ok_or_else(|| ConfigurationError::Missing { key: self.key(name), needed_by })
    }

    fn needed_or(
        &self,
        name: &str,
        variable: &str,
        needed_by: &'static str,
    ) -> Result<String, ConfigurationError> {
        match self.configuration.filled(variable) {
            Some(value) if self.filled(name).is_none() => Ok(value.to_owned()),
            _ => self.needed(name, needed_by),
        }
    }

    /// The one managed identity that is named, if any.
    fn identity(&self, client_ids: &[&str]) -> Result<Option<ManagedIdentityId>, ConfigurationError> {
        let mut named = Vec::new();
        for &name in client_ids.iter().chain(&["managedIdentityResourceId", "managedIdentityObjectId"]) {
            let Some(id) = self.filled(name).map(str::to_owned) else { continue };
            let id = match name {
                "managedIdentityResourceId" => ManagedIdentityId::ResourceId(id),
                "managedIdentityObjectId" => ManagedIdentityId::ObjectId(id),
                _ => ManagedIdentityId::ClientId(id),
            };
            named.push((name, id));
        }
        if named.len() > 1 {
            let keys = named.iter().map(|(name, _)| self.key(name)).collect();
            return Err(ConfigurationError::Conflict { keys });
        }
        Ok(named.pop().map(|(_, id)| id))
    }

    fn federated(&self) -> Result<CredentialSettings, ConfigurationError> {
        let by = "credential=managedidentityasfederatedidentity";
        let (tenant_id, client_id) = (self.needed("tenantId", by)?, self.needed("clientId", by)?);
        let cloud = match self.needed("azureCloud", by)?.trim().to_ascii_lowercase().as_str() {
            "public" => Cloud::Public,
            "usgov" => Cloud::UsGovernment,
            "china" => Cloud::China,
            _ => {
                let expected = "public, usgov or china";
                return Err(ConfigurationError::Invalid { key: self.key("azureCloud"), expected });
            }
        };
        let identity = self.identity(&["managedIdentityClientId"])?.ok_or_else(|| {
            ConfigurationError::Missing { key: self.key("managedIdentityClientId"), needed_by: by }
        })?;
        Ok(CredentialSettings::FederatedIdentity { tenant_id, client_id, identity, cloud })
    }

    /// The credential when none is named: a secret wins over a certificate, and an incomplete set does not count.
    fn implied(&self) -> Result<CredentialSettings, ConfigurationError> {
        if let (Some(tenant_id), Some(client_id)) = (self.filled("tenantId"), self.filled("clientId")) {
            if let Some(secret) = self.filled("clientSecret") {
                return Ok(client_secret(tenant_id, client_id, secret));
            }
            if let Some(thumbprint) = self.filled("clientCertificate") {
                return Ok(CredentialSettings::StoredCertificate {
                    tenant_id: tenant_id.to_owned(),
                    client_id: client_id.to_owned(),
                    thumbprint: thumbprint.trim().to_owned(),
                });
            }
        }
        default_chain(self.configuration, self.path)
    }
}

fn client_secret(tenant_id: &str, client_id: &str, secret: &str) -> CredentialSettings {
    CredentialSettings::ClientSecret(ClientSecret::new(tenant_id, client_id, secret))
}

/// What the default credential of the Azure SDKs tries, in its order, as far as there is something to try.
pub(super) fn default_chain(
    configuration: &Configuration,
    section: &str,
) -> Result<CredentialSettings, ConfigurationError> {
    let variable = "AZURE_TOKEN_CREDENTIALS";
    let narrowed = configuration.filled(variable).map(|text| text.trim().to_ascii_lowercase());
    let wanted: &[&str] = match narrowed.as_deref() {
        None => &["environment", "workloadidentity", "managedidentity", "azurecli", "azuredevelopercli"],
        Some("prod") => &["environment", "workloadidentity", "managedidentity"],
        Some("dev") => &["azurecli", "azuredevelopercli"],
        Some("environmentcredential") => &["environment"],
        Some("workloadidentitycredential") => &["workloadidentity"],
        Some("managedidentitycredential") => &["managedidentity"],
        Some("azureclicredential") => &["azurecli"],
        Some("azuredeveloperclicredential") => &["azuredevelopercli"],
        Some(_) => {
            return Err(ConfigurationError::Invalid {
                key: variable.to_owned(),
                expected: "dev, prod, EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential, \
                           AzureCliCredential or AzureDeveloperCliCredential",
            });
        }
    };
    let section = Section { configuration, path: section };
    let identity = section.machine_identity()?;
    let mut members = Vec::new();
    for name in wanted {
        members.extend(match *name {
            "environment" => environment(configuration),
            "workloadidentity" => section.workload_identity(),
            "managedidentity" => Some(CredentialSettings::ManagedIdentity(identity.clone())),
            "azurecli" => Some(CredentialSettings::AzureCli),
            _ => Some(CredentialSettings::AzureDeveloperCli),
        });
    }
    if members.is_empty() {
        // Only a variable that names one credential leaves nothing over.
        let proof = match wanted {
            ["workloadidentity"] => "AZURE_FEDERATED_TOKEN_FILE",
            _ => "AZURE_CLIENT_SECRET",
        };
        let mut needed = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"].into_iter();
        let key = needed.find(|name| configuration.filled(name).is_none()).unwrap_or(proof).to_owned();
        return Err(ConfigurationError::Missing { key, needed_by: "AZURE_TOKEN_CREDENTIALS" });
    }
    Ok(CredentialSettings::Chain(members))
}

impl Section<'_> {
    fn machine_identity(&self) -> Result<ManagedIdentityId, ConfigurationError> {
        if self.path.is_empty() {
            let client_id = self.configuration.filled("AZURE_CLIENT_ID").map(str::to_owned);
            return Ok(client_id.map_or(ManagedIdentityId::SystemAssigned, ManagedIdentityId::ClientId));
        }
        if self.filled("managedIdentityObjectId").is_some() {
            let expected = "left out, since it is for credential=managedidentity";
            return Err(ConfigurationError::Invalid { key: self.key("managedIdentityObjectId"), expected });
        }
        let client_id =
            [self.key("managedIdentityClientId"), self.key("clientId"), "AZURE_CLIENT_ID".to_owned()]
                .into_iter()
                .find_map(|key| Some((self.configuration.filled(&key)?, key)));
        match (client_id, self.filled("managedIdentityResourceId")) {
            (Some((_, key)), Some(_)) => {
                Err(ConfigurationError::Conflict { keys: vec![key, self.key("managedIdentityResourceId")] })
            }
            (Some((id, _)), None) => Ok(ManagedIdentityId::ClientId(id.to_owned())),
            (None, Some(id)) => Ok(ManagedIdentityId::ResourceId(id.to_owned())),
            (None, None) => Ok(ManagedIdentityId::SystemAssigned),
        }
    }

    /// As the webhook of Azure Kubernetes Service sets it up.
    fn workload_identity(&self) -> Option<CredentialSettings> {
        let variable = |name: &str| self.configuration.filled(name).map(str::to_owned);
        let tenant_id = match self.path {
            "" => None,
            _ => self.filled("tenantId").map(str::to_owned),
        };
        Some(CredentialSettings::WorkloadIdentity {
            tenant_id: tenant_id.or_else(|| variable("AZURE_TENANT_ID"))?,
            client_id: variable("AZURE_CLIENT_ID")?,
            token_file: variable("AZURE_FEDERATED_TOKEN_FILE")?.into(),
        })
    }
}

/// The application of the predefined variables.
fn environment(configuration: &Configuration) -> Option<CredentialSettings> {
    let tenant_id = configuration.filled("AZURE_TENANT_ID")?;
    let client_id = configuration.filled("AZURE_CLIENT_ID")?;
    if let Some(secret) = configuration.filled("AZURE_CLIENT_SECRET") {
        return Some(client_secret(tenant_id, client_id, secret));
    }
    let path = configuration.filled("AZURE_CLIENT_CERTIFICATE_PATH")?;
    let password = configuration.filled("AZURE_CLIENT_CERTIFICATE_PASSWORD").unwrap_or_default();
    let chain = configuration.filled("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN").unwrap_or_default();
    Some(CredentialSettings::ClientCertificate {
        tenant_id: tenant_id.to_owned(),
        client_id: client_id.to_owned(),
        certificate: CertificateLocation::new(path).with_password(password).send_chain(is_on(chain)),
    })
}

/// The keys that a credential is made of.
pub(super) fn of_use(credential: &CredentialSettings) -> &'static [&'static str] {
    match credential.kind() {
        AuthKind::ClientSecret => &["tenantId", "clientId", "clientSecret"],
        AuthKind::ClientCertificate => &[
            "tenantId",
            "clientId",
            "clientCertificate",
            "clientCertificateStoreName",
            "clientCertificateStoreLocation",
        ],
        AuthKind::ManagedIdentity => {
            &["clientId", "managedIdentityClientId", "managedIdentityResourceId", "managedIdentityObjectId"]
        }
        AuthKind::WorkloadIdentity => &["tenantId", "clientId", "tokenFilePath"],
        AuthKind::FederatedIdentity => &[
            "tenantId",
            "clientId",
            "azureCloud",
            "managedIdentityClientId",
            "managedIdentityResourceId",
            "managedIdentityObjectId",
        ],
        AuthKind::AzurePipelines => &["tenantId", "clientId", "serviceConnectionId", "systemAccessToken"],
        // The default credential tries the machine's identities and what is set up for a workload.
        _ => &["tenantId", "clientId", "managedIdentityClientId", "managedIdentityResourceId"],
    }
}

//! The clouds that Azure runs in.

use std::{fmt, str::FromStr};

/// A cloud of Azure: where its Microsoft Entra ID is, and what a federated token there must be meant for.
///
/// Its names are those of the Azure CLI; `public`, `usgovernment` and `china` are understood too, in any case.
///
/// ```
/// use hubwire::service::credentials::Cloud;
///
/// let cloud: Cloud = "AzureUSGovernment".parse()?;
/// assert_eq!(cloud.authority(), "https://login.microsoftonline.us");
/// assert_eq!(cloud.exchange_audience(), "api://AzureADTokenExchangeUSGov");
/// # Ok::<(), hubwire::service::credentials::UnknownCloud>(())
/// ```
///
/// Source: [National clouds](https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud) and
/// [Configure an application to trust a managed identity](https://learn.microsoft.com/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cloud {
    /// The public cloud, `AzureCloud`.
    #[default]
    Public,
    /// Azure for US Government, `AzureUSGovernment`.
    UsGovernment,
    /// Azure operated by 21Vianet, `AzureChinaCloud`.
    China,
}

impl Cloud {
    /// The address of the authority.
    #[must_use]
    pub fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// The audience of a token that an application exchanges for its own.
    #[must_use]
    pub fn exchange_audience(self) -> &'static str {
        match self {
            Self::Public => "api://AzureADTokenExchange",
            Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Self::China => "api://AzureADTokenExchangeChina",
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "AzureCloud",
            Self::UsGovernment => "AzureUSGovernment",
            Self::China => "AzureChinaCloud",
        })
    }
}

/// A text is not the name of a cloud. The names are `AzureCloud`, `AzureUSGovernment` and `AzureChinaCloud`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such cloud; the names are AzureCloud, AzureUSGovernment and AzureChinaCloud")]
pub struct UnknownCloud;

impl FromStr for Cloud {
    type Err = UnknownCloud;

    fn from_str(name: &str) -> Result<Self, UnknownCloud> {
        match name.trim().to_ascii_lowercase().as_str() {
            "azurecloud" | "public" => Ok(Self::Public),
            "azureusgovernment" | "usgovernment" => Ok(Self::UsGovernment),
            "azurechinacloud" | "china" => Ok(Self::China),
            _ => Err(UnknownCloud),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_found_by_their_names() {
        for cloud in [Cloud::Public, Cloud::UsGovernment, Cloud::China] {
            assert_eq!(cloud.to_string().to_uppercase().parse(), Ok(cloud));
        }
        assert_eq!("usGovernment".parse(), Ok(Cloud::UsGovernment));
        assert_eq!("AzureGermanCloud".parse::<Cloud>(), Err(UnknownCloud));
    }
}

//! The environment variables that credentials are described by.

use crate::service::credentials::error::CredentialError;

/// The authority that `AZURE_AUTHORITY_HOST` names: a host, or an address. Azure's own values end in a slash.
pub(in crate::service) fn authority(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
}

/// Whether the value of a switch, such as `AZURE_CLIENT_SEND_CERTIFICATE_CHAIN`, turns it on.
pub(in crate::service) fn is_on(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

/// The variables, wherever they come from.
pub(super) struct Variables<'a>(pub(super) &'a (dyn Fn(&str) -> Option<String> + Sync));

impl Variables<'_> {
    pub(super) fn filled(&self, name: &str) -> Option<String> {
        // A line break that came along is not a part of an id or a secret.
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &'static str) -> Result<String, CredentialError> {
        self.filled(name).ok_or_else(|| CredentialError::NotConfigured {
            reason: format!("the variable {name} is not set"),
        })
    }

    pub(super) fn authority(&self) -> Option<String> {
        self.filled("AZURE_AUTHORITY_HOST").map(|host| authority(&host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_read_in_azures_form() {
        let authority = |value: &str| Variables(&|_| Some(value.to_owned())).authority();
        assert_eq!(
            authority("https://login.microsoftonline.us/").as_deref(),
            Some("https://login.microsoftonline.us")
        );
        assert_eq!(authority("login.chinacloudapi.cn").as_deref(), Some("https://login.chinacloudapi.cn"));
        assert_eq!(authority(" "), None);
    }

    #[test]
    fn white_space_around_a_value_is_left_out() {
        let variables = Variables(&|_| Some(" an id\r\n".to_owned()));
        assert_eq!(variables.filled("AZURE_CLIENT_ID").as_deref(), Some("an id"));
    }
}

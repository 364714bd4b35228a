//! Whether a request is the service's.

use http::request::Parts;

use crate::{
    cli::failure::Failure,
    service::{
        credentials::AccessKey,
        secret::Secret,
        upstream::{EntraTokenValidator, UpstreamKeys},
    },
};

/// What is known about who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Valid,
    Invalid,
    Missing,
    /// There is one, and nothing to check it with.
    Unchecked,
    /// There is none, and none is expected.
    None,
}

impl Check {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Missing => "missing",
            Self::Unchecked => "unchecked",
            Self::None => "none",
        }
    }

    fn is_refused(self) -> bool {
        matches!(self, Self::Invalid | Self::Missing)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    pub(super) signature: Check,
    pub(super) token: Check,
}

impl Verdict {
    pub(super) fn is_refused(self) -> bool {
        self.signature.is_refused() || self.token.is_refused()
    }
}

/// The keys and identities that a request may come from.
#[derive(Debug)]
pub(super) struct Checks {
    keys: Option<UpstreamKeys>,
    token: Option<EntraTokenValidator>,
}

impl Checks {
    /// Keys, or connection strings with keys.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, Failure> {
        let keys = secrets.iter().map(|secret| AccessKey::new(key_of(secret.expose())));
        let keys = match secrets {
            [] => None,
            _ => Some(UpstreamKeys::new(keys)?),
        };
        Ok(Self { keys, token: None })
    }

    pub(super) fn expect_token(
        &mut self,
        tenant: String,
        audience: String,
        identities: Vec<String>,
        authority: Option<String>,
    ) -> Result<(), Failure> {
        let builder = EntraTokenValidator::builder(tenant, audience);
        let builder = identities.into_iter().fold(builder, |builder, id| builder.allow_identity(id));
        let builder = match authority {
            Some(authority) => builder.authority(authority),
            None => builder,
        };
        // Whatever is wrong with it was in the arguments.
        let built = builder.build().map_err(|error| Failure::from(error).of_usage());
        self.token = Some(built?);
        Ok(())
    }

    pub(super) async fn check(&self, parts: &Parts) -> Verdict {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let signature = text("x-asrs-signature").filter(|signature| !signature.is_empty());
        let signature = match (&self.keys, signature) {
            (None, None) => Check::None,
            (None, Some(_)) => Check::Unchecked,
            (Some(_), None) => Check::Missing,
            (Some(keys), Some(signature)) => {
                let id = text("x-asrs-connection-id").unwrap_or_default();
                if keys.accept(id, signature) { Check::Valid } else { Check::Invalid }
            }
        };
        let has_token =
            ["authorization", "authentication"].iter().any(|name| parts.headers.contains_key(*name));
        let token = match (&self.token, has_token) {
            (None, false) => Check::None,
            (None, true) => Check::Unchecked,
            (Some(_), false) => Check::Missing,
            (Some(validator), true) => match validator.check_headers(&parts.headers).await {
                Ok(()) => Check::Valid,
                Err(_) => Check::Invalid,
            },
        };
        Verdict { signature, token }
    }
}

/// The key in a connection string, or the text itself.
fn key_of(text: &str) -> &str {
    let part = text.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("AccessKey").then_some(value)
    });
    part.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_alone_or_in_a_connection_string() {
        assert_eq!(key_of("a2V5=="), "a2V5==");
        assert_eq!(key_of("Endpoint=http://localhost;AccessKey=a2V5==;Version=1.0;"), "a2V5==");
    }
}

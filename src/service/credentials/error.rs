//! Why a credential cannot be used, and why it gave no token.

use std::{error::Error, fmt, sync::Arc, time::Duration};

pub(in crate::service) use crate::core::Cause;
use crate::{
    core::ErrorChain,
    service::credentials::{certificate_error::CertificateError, kind::AuthKind},
};

/// Why a credential gave no Entra token.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Entra knows the application but does not accept its secret. Make a new one if it has expired, and use its
    /// *value*: the portal also shows an id.
    #[error(
        "Microsoft Entra ID refused the client secret of application {client_id} ({}): the secret is wrong or has \
         expired; use the value of the secret, not its id",
        Codes(.error, .code)
    )]
    InvalidClientSecret {
        /// The application.
        client_id: String,
        /// The OAuth error, such as `invalid_client`.
        error: Option<String>,
        /// Entra's code, such as `AADSTS7000215`.
        code: Option<String>,
    },
    /// Entra does not accept the token that the application proves itself with: that of its certificate, or that of
    /// another identity. The text names the reasons that the code stands for.
    #[error(
        "Microsoft Entra ID refused the client assertion of application {client_id} ({}): {}",
        Codes(.error, .code),
        assertion_hint(.code.as_deref())
    )]
    InvalidClientAssertion {
        /// The application.
        client_id: String,
        /// The OAuth error, such as `invalid_client`.
        error: Option<String>,
        /// Entra's code, such as `AADSTS700027`.
        code: Option<String>,
    },
    /// Entra refused the request for another reason; its codes are documented at
    /// [AADSTS error codes](https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
    #[error(
        "Microsoft Entra ID refused a token to application {client_id} with status {status} ({}); check the tenant \
         id, the client id and the scope",
        Codes(.error, .code)
    )]
    Refused {
        /// The application.
        client_id: String,
        /// The HTTP status.
        status: u16,
        /// The OAuth error, such as `unauthorized_client`.
        error: Option<String>,
        /// Entra's code, such as `AADSTS700016`.
        code: Option<String>,
    },
    /// Entra, or the endpoint of the managed identity, answered with a fault of its own, and did so again when asked again.
    /// Try later.
    #[error("Microsoft Entra ID or the managed identity is not available (status {status}); try again later")]
    Unavailable {
        /// The HTTP status.
        status: u16,
    },
    /// The authority cannot be reached. Check its address, the network and the proxy settings.
    #[error("no connection to the Entra authority; check its address and the network")]
    Connection(#[source] Cause),
    /// There was no token in time: check the network, try again, or give it more time with
    /// [`credential_timeout`](crate::service::ServiceClientBuilder::credential_timeout).
    #[error(
        "the credential gave no token within {after:?}; check the network and the proxy settings, and try again"
    )]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The answer holds no token that could be used: it is empty, or has expired already. Check the address of the
    /// authority, and the clock of this machine.
    #[error(
        "the credential gave no usable token; check that the authority's address is one of Microsoft Entra ID, and the \
         clock of this machine"
    )]
    UnusableToken,
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate's key did not sign: the operating system has no random numbers to give.
    #[error("the certificate's key did not sign; the operating system gives no random numbers")]
    Signing,
    /// There is no token of the other identity that the application proves itself with: its file cannot be read, or
    /// the function that gives it failed.
    #[error(
        "the token that the application proves itself with could not be obtained; check its file or its source"
    )]
    Assertion(#[source] Cause),
    /// The environment does not describe this credential; the text names what is missing.
    #[error("the credential is not configured: {reason}")]
    NotConfigured {
        /// What is missing.
        reason: String,
    },
    /// The managed identity's endpoint does not answer, or something else answers in its place, such as a proxy: the
    /// program does not run in Azure, or its host has no managed identity. Turn it on, or use another credential.
    #[error(
        "there is no managed identity here; turn it on for this machine or app, or outside of Azure use another \
         credential"
    )]
    NoManagedIdentity(#[source] Cause),
    /// The host has no such managed identity. Assign it, and check its id; of several, one has to be named.
    #[error(
        "the managed identity's endpoint answered with status {status}{}; {}",
        Said(.message),
        identity_hint(.message)
    )]
    ManagedIdentityRefused {
        /// The HTTP status.
        status: u16,
        /// The endpoint's own words, cut to a few hundred characters.
        message: Option<String>,
    },
    /// `az` gave no token. Install the Azure CLI and run `az login`; the source says what `az` has printed.
    #[error("the Azure CLI gave no token; install it and run az login")]
    AzureCli(#[source] Cause),
    /// `azd` gave no token. Install the Azure Developer CLI and run `azd auth login`; the source says what it has printed.
    #[error("the Azure Developer CLI gave no token; install it and run azd auth login")]
    AzureDeveloperCli(#[source] Cause),
    /// None of the credentials of a chain is there. The text says for each why; each is a source of the one before, too.
    #[error("none of the credentials is available: {}", Tried(.0))]
    NoneAvailable(#[source] TriedCredential),
    /// The application's own credential failed, or could not be set up.
    #[error("the credential gave no token")]
    Other(#[source] Cause),
    /// The request for a token ended without a result: it panicked or its runtime was shut down. Make it again.
    #[error("the request for a token was cancelled; make it again while the runtime runs")]
    Cancelled,
}

impl CredentialError {
    /// The HTTP status that the token was refused with, if that is what happened.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. }
            | Self::Unavailable { status }
            | Self::ManagedIdentityRefused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same request may succeed later with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Connection(_)
                | Self::Timeout { .. }
                | Self::NoManagedIdentity(_)
                | Self::Cancelled
        )
    }

    /// Whether the credential is not there, rather than refused: what lets a chain go on to the next one.
    pub(in crate::service) fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::NotConfigured { .. }
                | Self::NoManagedIdentity(_)
                | Self::ManagedIdentityRefused { .. }
                | Self::AzureCli(_)
                | Self::AzureDeveloperCli(_)
                | Self::NoneAvailable(_)
                | Self::Other(_)
        )
    }
}

/// Why a credential cannot be used as it is described. Nothing was sent yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCredential {
    /// A part of the credential is empty or has characters that it cannot have. Check the part that the text names.
    #[error("the {what} of the credential is not valid; check that it is there and complete")]
    Part {
        /// The part.
        what: &'static str,
    },
    /// The authority is not the origin of an https URL, such as `https://login.microsoftonline.com`.
    #[error("the authority must be an address such as https://login.microsoftonline.com, without a path")]
    Authority,
    /// Tokens would travel in clear text. Use https; plain http is possible on this machine only.
    #[error("the authority must use https; plain http is possible on this machine only")]
    InsecureAuthority,
    /// The URL is not absolute, not http or https, or has a user, a query or a fragment.
    #[error("the {what} is not an absolute http or https URL")]
    Url {
        /// What the URL is for.
        what: &'static str,
    },
    /// Settings cannot carry everything that this kind of credential needs. Create the credential in code and pass it to
    /// [`ServiceEndpoint::new`](crate::service::ServiceEndpoint::new); the text names one that fits.
    #[error("{kind} cannot be created from settings alone; {}", UseInstead(*.kind))]
    Unsupported {
        /// What the settings ask for.
        kind: AuthKind,
    },
}

struct UseInstead(AuthKind);

impl fmt::Display for UseInstead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            AuthKind::ClientCertificate => {
                "the certificate store of Windows is not read, so export the certificate to a file and pass a \
                 ClientCertificate to ServiceEndpoint::new"
            }
            AuthKind::AzurePipelines => {
                "pass an AzurePipelinesCredential of azure_identity to ServiceEndpoint::new"
            }
            _ => "pass a credential to ServiceEndpoint::new",
        })
    }
}

/// What the usual codes mean. Source:
/// [AADSTS error codes](https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
fn assertion_hint(code: Option<&str>) -> &'static str {
    match code {
        Some("AADSTS700027") => "register this certificate with the application",
        Some("AADSTS1000502") => "the certificate has expired; renew and register it",
        Some("AADSTS700024") => "it is not valid now; check the clock of this machine",
        Some("AADSTS70021" | "AADSTS700211" | "AADSTS700212" | "AADSTS700213") => {
            "give the application a federated credential with the issuer, the subject and the audience of the token"
        }
        _ => "check that the certificate or the federated credential is registered with the application",
    }
}

/// One of the credentials of a chain, and why it gave no token. Its source is the one that was tried next.
#[derive(Debug, Clone)]
pub struct TriedCredential(Arc<Member>);

#[derive(Debug)]
struct Member {
    name: &'static str,
    error: CredentialError,
    next: Option<TriedCredential>,
}

impl TriedCredential {
    /// The credentials in the order in which they were tried; `None` if there are none.
    pub(in crate::service) fn of(tried: Vec<(&'static str, CredentialError)>) -> Option<Self> {
        let link = |next, (name, error)| Some(Self(Arc::new(Member { name, error, next })));
        tried.into_iter().rev().fold(None, link)
    }

    /// What kind of credential it is, such as `managed identity`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Why it gave no token.
    #[must_use]
    pub fn error(&self) -> &CredentialError {
        &self.0.error
    }

    /// This one, and those that were tried after it.
    pub fn iter(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |tried| tried.0.next.as_ref())
    }
}

impl fmt::Display for TriedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.name, ErrorChain::new(&self.0.error))
    }
}

impl Error for TriedCredential {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.next.as_ref().map(|next| next as _)
    }
}

struct Tried<'a>(&'a TriedCredential);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tried) in self.0.iter().enumerate() {
            let semicolon = if index == 0 { "" } else { "; " };
            write!(f, "{semicolon}{tried}")?;
        }
        Ok(())
    }
}

/// What an endpoint has said, in quotes.
struct Said<'a>(&'a Option<String>);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(message) => write!(f, " and \"{message}\""),
            None => Ok(()),
        }
    }
}

/// The metadata service says "Multiple user assigned identities exist, please specify the clientId / resourceId of the
/// identity in the token request".
fn identity_hint(message: &Option<String>) -> &'static str {
    match message {
        Some(message) if message.to_ascii_lowercase().contains("multiple user assigned identities") => {
            "several identities are assigned, so set the client id of the one to use \
             (ManagedIdentity::with_client_id, ClientId in a connection string, AZURE_CLIENT_ID)"
        }
        _ => "assign the identity to this machine or app and check its id, which is the client id by default",
    }
}

struct Codes<'a>(&'a Option<String>, &'a Option<String>);

impl fmt::Display for Codes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = [self.0, self.1].map(Option::as_deref);
        match codes {
            [Some(error), Some(code)] => write!(f, "{error}, {code}"),
            [Some(one), None] | [None, Some(one)] => f.write_str(one),
            [None, None] => f.write_str("no error code"),
        }
    }
}

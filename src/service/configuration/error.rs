//! Why settings cannot be used.

use std::fmt;

use crate::service::{
    connection_string::ConnectionStringError, endpoints::endpoint::EndpointError, error::BuildError,
};

/// Why no client can be made of a [`Configuration`](crate::service::configuration::Configuration). No variant carries a value: any of them may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// No setting says where the service is. Set one of the keys.
    #[error("no connection to Azure SignalR Service is configured; set {}{}", Either(.keys), Misspelt(.misspelt))]
    NoConnection {
        /// The keys that were looked for.
        keys: Vec<String>,
        /// Keys that are there and nearly right, each with the one that was most likely meant.
        misspelt: Vec<(String, String)>,
    },
    /// A setting is a reference to Key Vault or App Configuration, `@Microsoft.KeyVault(…)`, in place of which App Service should
    /// have put the value. Check the reference's status in the portal, and that the app's managed identity may read secrets;
    /// outside of App Service put the value there yourself.
    #[error(
        "the setting {key} is a reference, such as @Microsoft.KeyVault(…), that was not resolved; check its status in the \
         portal and the access of the app's identity, or put the value itself there"
    )]
    UnresolvedReference {
        /// Its key.
        key: String,
    },
    /// A setting has no value. Set it or remove it.
    #[error("the setting {key} is empty; set it or remove it")]
    Empty {
        /// Its key.
        key: String,
    },
    /// A setting is missing.
    #[error("the setting {key} is missing; {needed_by} needs it")]
    Missing {
        /// Its key.
        key: String,
        /// What needs it.
        needed_by: &'static str,
    },
    /// A setting has a value that it cannot have.
    #[error("the setting {key} is not valid; it must be {expected}")]
    Invalid {
        /// Its key.
        key: String,
        /// What it can be.
        expected: &'static str,
    },
    /// Settings contradict each other. Keep one of them.
    #[error("only one of the settings {} may be set", Either(.keys))]
    Conflict {
        /// Their keys.
        keys: Vec<String>,
    },
    /// A connection string is wrong.
    #[error("the setting {key} is not a valid connection string")]
    ConnectionString {
        /// Its key.
        key: String,
        /// What is wrong.
        #[source]
        source: ConnectionStringError,
    },
    /// An endpoint cannot be used as it is described.
    #[error("the endpoint of the setting {key} cannot be used")]
    Endpoint {
        /// The key of its connection string or `serviceUri`.
        key: String,
        /// What is wrong.
        #[source]
        source: EndpointError,
    },
    /// A file of settings cannot be read.
    #[error("the file {path} cannot be read")]
    Unreadable {
        /// Its path.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Settings are not a JSON object.
    #[error("the settings are not a JSON object, with or without comments: line {line}, column {column}")]
    InvalidJson {
        /// Where the fault is, from 1; 0 when the whole text is something else.
        line: usize,
        /// The column of that line.
        column: usize,
    },
    /// `local.settings.json` is encrypted for the tools of Azure Functions. Decrypt it with `func settings decrypt`, in the
    /// folder that it is in and on the machine that it was encrypted on.
    #[error(
        "the settings are encrypted by the tools of Azure Functions; decrypt them with: func settings decrypt"
    )]
    Encrypted,
    /// The client cannot be built from these settings.
    #[error(transparent)]
    Build(#[from] BuildError),
}

struct Misspelt<'a>(&'a [(String, String)]);

impl fmt::Display for Misspelt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, meant)| write!(f, "; {key} is set: was {meant} meant?"))
    }
}

struct Either<'a>(&'a [String]);

impl fmt::Display for Either<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" or "))
    }
}

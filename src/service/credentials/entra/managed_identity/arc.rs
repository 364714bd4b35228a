//! The proof that Azure Arc's agent asks for: the content of a file that only the users it trusts may read.
//!
//! The agent answers the first request with 401 and names the file. Something that answers in its place could name any
//! other file, so only files of the agent's own folder are read.
//!
//! Source: [Azure Arc](https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication).

use std::path::{Component, Path, PathBuf};

use crate::service::{
    credentials::{
        entra::variables::Variables,
        error::{Cause, CredentialError},
        file::read_file,
    },
    secret::Secret,
};

const LINUX_KEYS: &str = "/var/opt/azcmagent/tokens";
/// Below `ProgramData`.
const WINDOWS_KEYS: &str = "AzureConnectedMachineAgent/Tokens";
const LONGEST_KEY: usize = 4096;

/// Where the agent puts its files.
pub(super) fn keys_folder(variables: &Variables<'_>) -> PathBuf {
    if std::env::consts::OS != "windows" {
        return LINUX_KEYS.into();
    }
    let data = variables.filled("ProgramData").unwrap_or_else(|| r"C:\ProgramData".to_owned());
    Path::new(&data).join(WINDOWS_KEYS)
}

/// Reads the file that a challenge (`WWW-Authenticate: Basic realm=/var/opt/azcmagent/tokens/….key`) names. It blocks.
pub(super) fn key(challenge: Option<&str>, folder: &Path) -> Result<Secret, CredentialError> {
    #[derive(Debug, thiserror::Error)]
    #[error("the key of Azure Arc's agent cannot be read; add this program's user to the group himds")]
    struct Unreadable(#[source] std::io::Error);

    let no_identity = |cause| CredentialError::NoManagedIdentity(cause);
    let realm = challenge.and_then(|challenge| {
        let (scheme, rest) = challenge.trim().split_once(' ')?;
        let (name, realm) = rest.trim().split_once('=')?;
        let basic = scheme.eq_ignore_ascii_case("basic") && name.trim().eq_ignore_ascii_case("realm");
        basic.then(|| realm.trim().trim_matches('"'))
    });
    let path = Path::new(realm.unwrap_or_default());
    let plain = path.components().all(|part| !matches!(part, Component::ParentDir | Component::CurDir));
    let is_key = path.extension().is_some_and(|extension| extension == "key");
    if !plain || !is_key || path.parent() != Some(folder) {
        let text = "the answer of Azure Arc's agent does not name a key in the agent's own folder";
        return Err(no_identity(Cause::from(text)));
    }
    let bytes = read_file(path, LONGEST_KEY).map_err(|error| no_identity(Cause::new(Unreadable(error))))?;
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(no_identity(Cause::from("the key of Azure Arc's agent is not a text")));
    }
    Ok(Secret::new(text))
}

//! Secrets on their way into the program: never as an argument, which every user of the machine can see.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{cli::failure::Failure, service::secret::Secret};

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) enum SecretSource {
    /// `env:NAME`
    Environment(String),
    /// `file:PATH`
    File(String),
    /// `-`
    StandardInput,
}

impl FromStr for SecretSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.to_owned())),
            _ if text == "-" => Ok(Self::StandardInput),
            // The text may be the secret itself: it is not repeated.
            _ => Err("a secret is given as `env:NAME`, `file:PATH` or `-` for standard input, not by itself"),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::StandardInput => f.write_str("-"),
        }
    }
}

impl TryFrom<String> for SecretSource {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretSource> for String {
    fn from(source: SecretSource) -> Self {
        source.to_string()
    }
}

impl SecretSource {
    /// Reads the secret, without the white space around it.
    pub(super) fn read(&self) -> Result<Secret, Failure> {
        let text = match self {
            Self::Environment(name) => std::env::var(name).map_err(|error| {
                Failure::new(format!("the environment variable {name} cannot be read")).because(error).advise(
                    "set it, or say where else the secret stands: `file:PATH`, or `-` for standard input",
                )
            })?,
            Self::File(path) => read_text(path).map_err(|error| {
                Failure::new(format!("{path} cannot be read"))
                    .because(error)
                    .advise("say where else the secret stands: `env:NAME`, or `-` for standard input")
            })?,
            Self::StandardInput => bounded(io::stdin().lock())
                .map_err(|error| Failure::new("standard input cannot be read").because(error))?,
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(Failure::new(format!("{self} is empty, and should hold a secret")));
        }
        Ok(Secret::new(text))
    }
}

/// The longest text that is read from a file or from standard input, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The text of a file, which may be a device that never ends.
pub(super) fn read_text(path: &str) -> io::Result<String> {
    bounded(File::open(path)?)
}

/// All of a text, within bounds.
pub(super) fn bounded(read: impl Read) -> io::Result<String> {
    let mut text = String::new();
    if read.take(LONGEST + 1).read_to_string(&mut text)? as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 16 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_an_argument() {
        assert_eq!("env:KEY".parse(), Ok(SecretSource::Environment("KEY".into())));
        assert_eq!("file:/run/key".parse(), Ok(SecretSource::File("/run/key".into())));
        assert_eq!("-".parse(), Ok(SecretSource::StandardInput));
        for text in ["c2VjcmV0", "", "env:", "file:", "Endpoint=https://x;AccessKey=c2VjcmV0"] {
            let error = text.parse::<SecretSource>().expect_err(text);
            assert!(!error.contains("c2VjcmV0"));
        }
    }
}

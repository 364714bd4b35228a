//! Headers, query parameters and claims: a name with a value, which may stand somewhere else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::cli::{failure::Failure, secret::SecretSource};

/// Words in names whose values are most likely secrets.
const SECRETIVE: [&str; 13] = [
    "apikey",
    "authorization",
    "code",
    "cookie",
    "credential",
    "key",
    "passwd",
    "password",
    "pwd",
    "secret",
    "sig",
    "signature",
    "token",
];

/// Whether what has this name is most likely a secret: `x-functions-key`, `access_token`, `clientSecret`.
pub(super) fn is_secretive(name: &str) -> bool {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (was_lower && character.is_uppercase()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase();
    }
    words.iter().any(|word| SECRETIVE.contains(&word.as_str()))
}

/// A name and its value, written `NAME: VALUE` or `NAME=VALUE`. A value `env:NAME` or `file:PATH` stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(in crate::cli) struct NamedValue<const SEPARATOR: char> {
    name: String,
    value: Value,
}

/// A header: `NAME: VALUE`.
pub(in crate::cli) type HeaderValue = NamedValue<':'>;
/// A query parameter or a claim: `NAME=VALUE`.
pub(in crate::cli) type Pair = NamedValue<'='>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Elsewhere(SecretSource),
}

impl<const SEPARATOR: char> NamedValue<SEPARATOR> {
    /// Name and value, which is read from where it stands.
    pub(in crate::cli) fn read(&self) -> Result<(String, String), Failure> {
        let value = match &self.value {
            Value::Text(text) => text.clone(),
            Value::Elsewhere(source) => source.read()?.expose().to_owned(),
        };
        Ok((self.name.clone(), value))
    }
}

impl<const SEPARATOR: char> FromStr for NamedValue<SEPARATOR> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let gap = if SEPARATOR == ':' { " " } else { "" };
        let form = format!("`NAME{SEPARATOR}{gap}VALUE`");
        let (name, value) = text.split_once(SEPARATOR).ok_or_else(|| format!("it has the form {form}"))?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return Err(format!("it has the form {form}, with a name"));
        }
        let value = match value.parse() {
            Ok(SecretSource::StandardInput) | Err(_) if is_secretive(name) => {
                return Err(format!(
                    "`{name}` looks like a secret, so its value has to stand in the environment or a file: \
                     `{name}{SEPARATOR}{gap}env:VARIABLE` or `{name}{SEPARATOR}{gap}file:PATH`"
                ));
            }
            Ok(SecretSource::StandardInput) | Err(_) => Value::Text(value.to_owned()),
            Ok(source) => Value::Elsewhere(source),
        };
        Ok(Self { name: name.to_owned(), value })
    }
}

impl<const SEPARATOR: char> fmt::Display for NamedValue<SEPARATOR> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if SEPARATOR == ':' { " " } else { "" };
        write!(f, "{}{SEPARATOR}{gap}", self.name)?;
        match &self.value {
            Value::Text(text) => f.write_str(text),
            Value::Elsewhere(source) => source.fmt(f),
        }
    }
}

impl<const SEPARATOR: char> TryFrom<String> for NamedValue<SEPARATOR> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl<const SEPARATOR: char> From<NamedValue<SEPARATOR>> for String {
    fn from(value: NamedValue<SEPARATOR>) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_here_or_elsewhere() {
        for (text, shown) in [
            ("X-Tenant:contoso", "X-Tenant: contoso"),
            ("X-Link: https://a/b", "X-Link: https://a/b"),
            ("x-functions-key: env:KEY", "x-functions-key: env:KEY"),
            ("Authorization: file:/run/a", "Authorization: file:/run/a"),
        ] {
            assert_eq!(text.parse::<HeaderValue>().expect(text).to_string(), shown);
        }
        assert_eq!("role=a=b".parse::<Pair>().expect("a pair").read().expect("a text").1, "a=b");
    }

    #[test]
    fn what_looks_like_a_secret_is_not_taken_as_it_is() {
        for text in ["Authorization: Bearer c2VjcmV0", "Cookie: c2VjcmV0", "X-Api-Key: c2VjcmV0"] {
            let error = text.parse::<HeaderValue>().expect_err(text);
            assert!(error.contains("env:") && !error.contains("c2VjcmV0"), "{error}");
        }
        for text in ["code=c2VjcmV0", "access_token=c2VjcmV0", "sig=-"] {
            assert!(!text.parse::<Pair>().expect_err(text).contains("c2VjcmV0"));
        }
        for name in ["accessToken", "X-API-Key", "Ocp-Apim-Subscription-Key", "AUTHORIZATION"] {
            assert!(is_secretive(name), "{name}");
        }
        for name in ["author", "postcode", "keyboard", "X-Tenant", "role"] {
            assert!(!is_secretive(name), "{name}");
        }
        assert!("nothing".parse::<Pair>().is_err());
        assert!("=x".parse::<Pair>().is_err());
    }
}

//! To whom a message goes, and what it says.

use std::{fmt, io, str::FromStr};

use serde_json::Value;

use crate::cli::{
    failure::Failure,
    secret::{bounded, read_text},
    value::typed,
};

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recipient {
    All,
    User(String),
    Group(String),
    Connection(String),
}

impl FromStr for Recipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            Some(("user", id)) if !id.is_empty() => Ok(Self::User(id.to_owned())),
            Some(("group", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            Some(("connection", id)) if !id.is_empty() => Ok(Self::Connection(id.to_owned())),
            _ => Err("it is one of: all, user:ID, group:NAME, connection:ID"),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Connection(id) => write!(f, "connection:{id}"),
        }
    }
}

/// The arguments of a call: each is a JSON value or a text, `@PATH` for what is in a file, or `-` for standard input.
pub(super) fn values(words: &[String]) -> Result<Vec<Value>, Failure> {
    let mut read_input = false;
    let read = |word: &String| match word.strip_prefix('@') {
        Some(path) => {
            let text = read_text(path).map_err(|error| {
                Failure::new(format!("{path} cannot be read"))
                    .because(error)
                    .advise("a text that begins with @ is written as JSON: '\"@text\"'")
            })?;
            typed(text.trim()).map_err(Failure::new)
        }
        None if word == "-" && read_input => Err(Failure::usage("standard input can be one argument only")
            .advise("a text `-` is written as JSON: '\"-\"'")),
        None if word == "-" => {
            read_input = true;
            let text = bounded(io::stdin().lock())
                .map_err(|error| Failure::new("standard input cannot be read").because(error))?;
            typed(text.trim()).map_err(Failure::new)
        }
        None => typed(word).map_err(Failure::usage),
    };
    let mut read = read;
    words.iter().map(&mut read).collect()
}

/// A line of arguments: a JSON array has all of them, anything else is the only one.
pub(super) fn line(text: &str) -> Result<Vec<Value>, String> {
    Ok(match typed(text.trim())? {
        Value::Array(values) => values,
        value => vec![value],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recipients() {
        for (text, recipient) in [
            ("all", Recipient::All),
            ("user:a:b", Recipient::User("a:b".to_owned())),
            ("group:g", Recipient::Group("g".to_owned())),
            ("connection:c", Recipient::Connection("c".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(recipient.clone()));
            assert_eq!(recipient.to_string(), text);
        }
        for text in ["", "everybody", "user:", "hub:x", "All"] {
            assert!(text.parse::<Recipient>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_json_or_texts() {
        let words = ["1", "true", "null", "hello", "\"1\"", "{\"a\":[1]}", "[1, 2]"];
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        let expected = json!([1, true, null, "hello", "1", {"a": [1]}, [1, 2]]);
        assert_eq!(Value::Array(values(&words).expect("they are values")), expected);
        assert_eq!(line(" [1, \"a\"]\n").map(Value::from), Ok(json!([1, "a"])));
        assert_eq!(line("hello there").map(Value::from), Ok(json!(["hello there"])));
        for broken in ["{broken", "[1,", "\"a"] {
            let refused = values(&[broken.to_owned()]).expect_err(broken).to_string();
            assert!(refused.contains("is not JSON"), "{refused}");
        }
        let missing = values(&["@/no/such/file".to_owned()]).expect_err("there is no file").to_string();
        assert!(missing.contains("/no/such/file"), "{missing}");
    }
}

//! Filters of `:execute`: the part of OData that applies to connections.
//!
//! ```text
//! any      = all *( "or" all )
//! all      = one *( "and" one )
//! one      = "not" one / "(" any ")" / text "in" "groups" / property ("eq" / "ne") (text / "null")
//! property = "userId" / "connectionId"
//! text     = "'" *( any character but "'" / "''" ) "'"
//! ```
//!
//! Source: [OData filter syntax](https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter), of which
//! functions and comparisons of order are not here.

use std::collections::HashSet;

/// How deep `not` and parentheses may nest.
const MAX_DEPTH: usize = 32;

#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    Everything,
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    InGroup(String),
    User(Option<String>),
    Connection(Option<String>),
}

impl Filter {
    /// Reads a filter; an empty one matches every connection. The error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, depth: 0 };
        if tokens.is_empty() {
            return Ok(Self::Everything);
        }
        let filter = parser.any()?;
        if parser.tokens.is_empty() { Ok(filter) } else { Err("the filter goes on after its end") }
    }

    pub(super) fn matches(&self, id: &str, user: Option<&str>, groups: &HashSet<String>) -> bool {
        match self {
            Self::Everything => true,
            Self::Any(parts) => parts.iter().any(|part| part.matches(id, user, groups)),
            Self::All(parts) => parts.iter().all(|part| part.matches(id, user, groups)),
            Self::Not(part) => !part.matches(id, user, groups),
            Self::InGroup(group) => groups.contains(group),
            Self::User(wanted) => wanted.as_deref() == user,
            Self::Connection(wanted) => wanted.as_deref() == Some(id),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            ' ' => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '\'' => {
                let mut text = String::new();
                loop {
                    match rest.next() {
                        Some('\'') if rest.next_if_eq(&'\'').is_some() => text.push('\''),
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => return Err("a text of the filter has no end"),
                    }
                }
                Token::Text(text)
            }
            c if c.is_ascii_alphabetic() => {
                let mut word = c.to_string();
                while let Some(c) = rest.next_if(char::is_ascii_alphanumeric) {
                    word.push(c);
                }
                Token::Word(word)
            }
            _ => return Err("the filter has a character that the local service does not know"),
        });
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token],
    depth: usize,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Result<&'t Token, &'static str> {
        let (token, rest) = self.tokens.split_first().ok_or("the filter has no end")?;
        self.tokens = rest;
        Ok(token)
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.first(), Some(Token::Word(word)) if word == wanted);
        if found {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        found
    }

    fn any(&mut self) -> Result<Filter, &'static str> {
        let mut parts = vec![self.all()?];
        while self.word("or") {
            parts.push(self.all()?);
        }
        Ok(Filter::Any(parts))
    }

    fn all(&mut self) -> Result<Filter, &'static str> {
        let mut parts = vec![self.one()?];
        while self.word("and") {
            parts.push(self.one()?);
        }
        Ok(Filter::All(parts))
    }

    fn one(&mut self) -> Result<Filter, &'static str> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the filter is nested too deeply");
        }
        let filter = match self.next()? {
            Token::Word(word) if word == "not" => Filter::Not(Box::new(self.one()?)),
            Token::Word(word) => self.comparison(word)?,
            Token::Text(group) if self.word("in") && self.word("groups") => Filter::InGroup(group.clone()),
            Token::Open => {
                let inner = self.any()?;
                if *self.next()? != Token::Close {
                    return Err("a parenthesis of the filter is not closed");
                }
                inner
            }
            Token::Text(_) | Token::Close => {
                return Err("the filter has something where a condition should be");
            }
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn comparison(&mut self, property: &str) -> Result<Filter, &'static str> {
        let Token::Word(operator) = self.next()? else { return Err("the filter has no operator") };
        let value = match self.next()? {
            Token::Text(text) => Some(text.clone()),
            Token::Word(word) if word == "null" => None,
            _ => return Err("the filter has no text to compare with"),
        };
        let filter = match property {
            "userId" => Filter::User(value),
            "connectionId" => Filter::Connection(value),
            _ => return Err("the filter has a property other than userId, connectionId and groups"),
        };
        match &**operator {
            "eq" => Ok(filter),
            "ne" => Ok(Filter::Not(Box::new(filter))),
            _ => Err("the filter has an operator that the local service does not know"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match() {
        let groups = HashSet::from(["g".to_owned(), "it's".to_owned()]);
        for (filter, expected) in [
            ("", true),
            ("userId eq 'u'", true),
            ("userId eq 'U'", false),
            ("userId ne 'u'", false),
            ("userId eq null", false),
            ("connectionId eq 'c'", true),
            ("'g' in groups", true),
            ("'it''s' in groups", true),
            ("not 'g' in groups", false),
            ("userId eq 'x' or 'g' in groups and connectionId eq 'c'", true),
            ("(userId eq 'x' or 'g' in groups) and connectionId eq 'x'", false),
            ("not (userId eq 'x')", true),
        ] {
            let matches = Filter::parse(filter).map(|filter| filter.matches("c", Some("u"), &groups));
            assert_eq!(matches, Ok(expected), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}userId eq 'u'{}", "(".repeat(100_000), ")".repeat(100_000));
        for filter in [
            "userId",
            "userId eq",
            "userId eq u",
            "userId eq 'u",
            "age eq 'u'",
            "userId gt 'u'",
            "'g'",
            "'g' in",
            "(userId eq 'u'",
            "userId eq 'u')",
            "not",
            "1 eq 1",
            &deep,
        ] {
            assert!(Filter::parse(filter).is_err(), "{filter}");
        }
    }
}

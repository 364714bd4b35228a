//! Filters of `:execute`: conditions that connections meet or not, in a part of OData.
//!
//! The grammar is that of Azure Web PubSub, which the specification of `:execute` points to. Words are in any case. `not`
//! binds more tightly than comparisons do, so that what follows it is often in parentheses: `not ('g' in groups)`.
//!
//! ```text
//! any      = all *( "or" all )
//! all      = relation *( "and" relation )
//! relation = unary [ ( "eq" / "ne" / "gt" / "ge" / "lt" / "le" ) unary / "in" ( groups / "(" unary *( "," unary ) ")" ) ]
//! unary    = "not" unary / "(" any ")" / text / integer / "true" / "false" / "null"
//!          / "userId" / "connectionId" / function "(" any *( "," any ) ")"
//! groups   = "groups" / "(" groups ")"
//! text     = "'" *( any character but "'" / "''" ) "'"
//! ```
//!
//! Source: [OData filter syntax](https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter).

mod evaluation;

use std::collections::HashSet;

use evaluation::Expression;

/// How deep a filter may nest.
const MAX_DEPTH: usize = 32;

/// How many words, texts and signs a filter may have. Azure warns of filters with more than 100 conditions.
const MAX_TOKENS: usize = 1000;

#[derive(Debug)]
pub(super) enum Filter {
    Everything,
    Where(Expression),
}

impl Filter {
    /// Reads a filter; an empty one matches every connection. The error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Self::Everything);
        }
        let mut parser = Parser { tokens: &tokens, depth: 0 };
        let condition = parser.any()?.condition()?;
        if parser.tokens.is_empty() { Ok(Self::Where(condition)) } else { Err("it goes on after its end") }
    }

    pub(super) fn matches(&self, id: &str, user: Option<&str>, groups: &HashSet<String>) -> bool {
        match self {
            Self::Everything => true,
            Self::Where(condition) => condition.is_met(id, user, groups),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Truth,
    Number,
    Text,
    Null,
}

/// A part of a filter, and what it is.
struct Typed {
    expression: Expression,
    kind: Kind,
}

impl Typed {
    fn new(expression: Expression, kind: Kind) -> Self {
        Self { expression, kind }
    }

    fn condition(self) -> Result<Expression, &'static str> {
        match self.kind {
            Kind::Truth => Ok(self.expression),
            _ => Err(
                "it has something that is not true or false where a condition should be; put what `not` is \
                      said of in parentheses",
            ),
        }
    }

    fn text(self) -> Result<Expression, &'static str> {
        match self.kind {
            Kind::Text | Kind::Null => Ok(self.expression),
            _ => Err("a function has something else where a text should be"),
        }
    }

    fn number(self) -> Result<Expression, &'static str> {
        match self.kind {
            Kind::Number => Ok(self.expression),
            _ => Err("a function has something else where a whole number should be"),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    /// In lower case.
    Word(String),
    Text(String),
    Number(i64),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '\'' => {
                let mut text = String::new();
                loop {
                    match rest.next() {
                        Some('\'') if rest.next_if_eq(&'\'').is_some() => text.push('\''),
                        Some('\'') => break,
                        Some(c) => text.push(c),
                        None => return Err("a text of it has no end"),
                    }
                }
                Token::Text(text)
            }
            c if c.is_ascii_alphabetic() => {
                let mut word = c.to_ascii_lowercase().to_string();
                while let Some(c) = rest.next_if(char::is_ascii_alphanumeric) {
                    word.push(c.to_ascii_lowercase());
                }
                Token::Word(word)
            }
            c if c.is_ascii_digit() || matches!(c, '+' | '-') => {
                let mut digits = c.to_string();
                while let Some(c) = rest.next_if(char::is_ascii_digit) {
                    digits.push(c);
                }
                Token::Number(digits.parse().map_err(|_| "a number of it is not a whole number of 64 bits")?)
            }
            _ => return Err("it has a character that does not belong there"),
        });
        if tokens.len() > MAX_TOKENS {
            return Err("it is too long");
        }
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token],
    depth: usize,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Result<&'t Token, &'static str> {
        let (token, rest) = self.tokens.split_first().ok_or("it ends too early")?;
        self.tokens = rest;
        Ok(token)
    }

    /// Takes the token if it comes next.
    fn found(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.first() == Some(wanted);
        if found {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        found
    }

    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.first(), Some(Token::Word(word)) if word == wanted);
        if found {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        found
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), &'static str> {
        if self.found(wanted) { Ok(()) } else { Err("a parenthesis of it is not closed") }
    }

    fn any(&mut self) -> Result<Typed, &'static str> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        let any = self.joined("or", Self::all, Expression::Any);
        self.depth -= 1;
        any
    }

    fn all(&mut self) -> Result<Typed, &'static str> {
        self.joined("and", Self::relation, Expression::All)
    }

    /// One part, or several conditions with a word between them.
    fn joined(
        &mut self,
        word: &str,
        part: impl Fn(&mut Self) -> Result<Typed, &'static str>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Result<Typed, &'static str> {
        let first = part(self)?;
        if !self.word(word) {
            return Ok(first);
        }
        let mut parts = vec![first.condition()?, part(self)?.condition()?];
        while self.word(word) {
            parts.push(part(self)?.condition()?);
        }
        Ok(Typed::new(join(parts), Kind::Truth))
    }

    fn relation(&mut self) -> Result<Typed, &'static str> {
        let left = self.unary()?;
        if self.word("in") {
            return self.membership(left);
        }
        let Some(Token::Word(word)) = self.tokens.first() else { return Ok(left) };
        let Some(compare) = evaluation::comparison(word) else { return Ok(left) };
        self.next()?;
        let right = self.unary()?;
        let is_order = !matches!(&**word, "eq" | "ne");
        match (left.kind, right.kind) {
            (Kind::Truth, Kind::Truth) if is_order => {
                return Err("it asks for the order of what is true or false");
            }
            (left, right) if left == right => {}
            (Kind::Null, _) | (_, Kind::Null) => {}
            _ => return Err("it compares a text, a number or a condition with something else"),
        }
        let both = Box::new((left.expression, right.expression));
        Ok(Typed::new(Expression::Compare(compare, both), Kind::Truth))
    }

    fn membership(&mut self, left: Typed) -> Result<Typed, &'static str> {
        let before = self.tokens;
        if self.groups() {
            return Ok(Typed::new(Expression::InGroup(Box::new(left.text()?)), Kind::Truth));
        }
        self.tokens = before;
        if !self.found(&Token::Open) {
            return Err("`in` needs groups or a list in parentheses");
        }
        let mut list = Vec::new();
        loop {
            let item = self.unary()?;
            if item.kind != left.kind && item.kind != Kind::Null && left.kind != Kind::Null {
                return Err("a list of it has something of another kind in it");
            }
            list.push(item.expression);
            if !self.found(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::Close)?;
        Ok(Typed::new(Expression::OneOf(Box::new(left.expression), list), Kind::Truth))
    }

    /// Whether the collection of groups comes next, in parentheses or not. It is taken then.
    fn groups(&mut self) -> bool {
        let mut open = 0;
        while self.found(&Token::Open) {
            open += 1;
        }
        self.word("groups") && (0..open).all(|_| self.found(&Token::Close))
    }

    fn unary(&mut self) -> Result<Typed, &'static str> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        let typed = match self.next()? {
            Token::Text(text) => Typed::new(Expression::Text(text.clone()), Kind::Text),
            Token::Number(number) => Typed::new(Expression::Number(*number), Kind::Number),
            Token::Open => {
                let inner = self.any()?;
                self.expect(&Token::Close)?;
                inner
            }
            Token::Word(word) => self.named(word)?,
            Token::Close | Token::Comma => return Err("it has a sign where something else should be"),
        };
        self.depth -= 1;
        Ok(typed)
    }

    fn named(&mut self, word: &str) -> Result<Typed, &'static str> {
        Ok(match word {
            "not" => Typed::new(Expression::Not(Box::new(self.unary()?.condition()?)), Kind::Truth),
            "true" => Typed::new(Expression::Truth(true), Kind::Truth),
            "false" => Typed::new(Expression::Truth(false), Kind::Truth),
            "null" => Typed::new(Expression::Null, Kind::Null),
            "userid" => Typed::new(Expression::User, Kind::Text),
            "connectionid" => Typed::new(Expression::Connection, Kind::Text),
            "groups" => return Err("groups can only stand behind `in` and in length(groups)"),
            _ if self.found(&Token::Open) => self.function(word)?,
            _ => return Err("it has a name other than userId, connectionId and groups"),
        })
    }

    fn function(&mut self, name: &str) -> Result<Typed, &'static str> {
        let before = self.tokens;
        if name == "length" && self.groups() && self.found(&Token::Close) {
            return Ok(Typed::new(Expression::CountGroups, Kind::Number));
        }
        self.tokens = before;
        let mut arguments = vec![self.any()?];
        while self.found(&Token::Comma) {
            arguments.push(self.any()?);
        }
        self.expect(&Token::Close)?;
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().ok_or("a function has too few arguments");
        let function = match name {
            "contains" => Expression::Contains(Box::new((next()?.text()?, next()?.text()?))),
            "startswith" => Expression::StartsWith(Box::new((next()?.text()?, next()?.text()?))),
            "endswith" => Expression::EndsWith(Box::new((next()?.text()?, next()?.text()?))),
            "indexof" => Expression::IndexOf(Box::new((next()?.text()?, next()?.text()?))),
            "concat" => Expression::Concat(Box::new((next()?.text()?, next()?.text()?))),
            "length" => Expression::Length(Box::new(next()?.text()?)),
            "tolower" => Expression::Lower(Box::new(next()?.text()?)),
            "toupper" => Expression::Upper(Box::new(next()?.text()?)),
            "trim" => Expression::Trim(Box::new(next()?.text()?)),
            "substring" => {
                let (text, start) = (next()?.text()?, next()?.number()?);
                let count = next().ok().map(Typed::number).transpose()?;
                Expression::Substring(Box::new((text, start, count)))
            }
            _ => return Err("it has a function that there is not"),
        };
        if next().is_ok() {
            return Err("a function has too many arguments");
        }
        let kind = match name {
            "contains" | "startswith" | "endswith" => Kind::Truth,
            "indexof" | "length" => Kind::Number,
            _ => Kind::Text,
        };
        Ok(Typed::new(function, kind))
    }
}

#[cfg(test)]
mod tests;

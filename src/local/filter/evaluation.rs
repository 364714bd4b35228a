//! What a filter says of one connection.
//!
//! Where a connection has no user, its user id is null. A function of null is null, or false if it is a condition. Null is
//! equal to null only, and neither greater nor less than anything. Lengths and positions count UTF-16 code units, as .NET
//! does.

use std::{borrow::Cow, cmp::Ordering, collections::HashSet};

/// A condition, or what conditions are made of. The parser has checked that the kinds fit.
#[derive(Debug)]
pub(in crate::local) enum Expression {
    Any(Vec<Self>),
    All(Vec<Self>),
    Not(Box<Self>),
    Compare(Comparison, Box<(Self, Self)>),
    InGroup(Box<Self>),
    OneOf(Box<Self>, Vec<Self>),
    Contains(Box<(Self, Self)>),
    StartsWith(Box<(Self, Self)>),
    EndsWith(Box<(Self, Self)>),
    IndexOf(Box<(Self, Self)>),
    Concat(Box<(Self, Self)>),
    Length(Box<Self>),
    CountGroups,
    Lower(Box<Self>),
    Upper(Box<Self>),
    Trim(Box<Self>),
    Substring(Box<(Self, Self, Option<Self>)>),
    User,
    Connection,
    Text(String),
    Number(i64),
    Truth(bool),
    Null,
}

pub(in crate::local) type Comparison = fn(&Value<'_>, &Value<'_>) -> bool;

/// What a word asks of two values.
pub(super) fn comparison(word: &str) -> Option<Comparison> {
    Some(match word {
        "eq" => |left, right| left == right,
        "ne" => |left, right| left != right,
        "gt" => |left, right| left.order(right).is_some_and(Ordering::is_gt),
        "ge" => |left, right| left.order(right).is_some_and(Ordering::is_ge),
        "lt" => |left, right| left.order(right).is_some_and(Ordering::is_lt),
        "le" => |left, right| left.order(right).is_some_and(Ordering::is_le),
        _ => return None,
    })
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local) enum Value<'v> {
    Truth(bool),
    Number(i64),
    Text(Cow<'v, str>),
    Null,
}

impl Value<'_> {
    /// There is none of null.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            _ => Some(self.cmp(other)),
        }
    }
}

/// A connection as filters see it.
struct Seen<'c> {
    id: &'c str,
    user: Option<&'c str>,
    groups: &'c HashSet<String>,
}

impl Expression {
    pub(super) fn is_met(&self, id: &str, user: Option<&str>, groups: &HashSet<String>) -> bool {
        Seen { id, user, groups }.is(self)
    }
}

impl<'c> Seen<'c> {
    fn is(&self, condition: &Expression) -> bool {
        match condition {
            Expression::Any(parts) => parts.iter().any(|part| self.is(part)),
            Expression::All(parts) => parts.iter().all(|part| self.is(part)),
            Expression::Not(part) => !self.is(part),
            Expression::Compare(holds, both) => holds(&self.value(&both.0), &self.value(&both.1)),
            Expression::InGroup(group) => self.text(group).is_some_and(|group| self.groups.contains(&*group)),
            Expression::OneOf(value, list) => {
                let value = self.value(value);
                list.iter().any(|item| self.value(item) == value)
            }
            Expression::Contains(both) => self.both(both).is_some_and(|(text, part)| text.contains(&*part)),
            Expression::StartsWith(both) => {
                self.both(both).is_some_and(|(text, part)| text.starts_with(&*part))
            }
            Expression::EndsWith(both) => self.both(both).is_some_and(|(text, part)| text.ends_with(&*part)),
            Expression::Truth(truth) => *truth,
            _ => false,
        }
    }

    fn value<'e>(&'e self, expression: &'e Expression) -> Value<'e> {
        let number = |number: Option<usize>| {
            number.map_or(Value::Null, |number| Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
        };
        match expression {
            Expression::Number(number) => Value::Number(*number),
            Expression::Length(text) => number(self.text(text).map(|text| units(&text))),
            Expression::CountGroups => number(Some(self.groups.len())),
            Expression::IndexOf(both) => match self.both(both) {
                None => Value::Null,
                Some((text, part)) => match text.split_once(&*part) {
                    Some((before, _)) => number(Some(units(before))),
                    None => Value::Number(-1),
                },
            },
            Expression::User
            | Expression::Connection
            | Expression::Text(_)
            | Expression::Concat(_)
            | Expression::Lower(_)
            | Expression::Upper(_)
            | Expression::Trim(_)
            | Expression::Substring(_) => self.text(expression).map_or(Value::Null, Value::Text),
            Expression::Null => Value::Null,
            condition => Value::Truth(self.is(condition)),
        }
    }

    fn text<'e>(&'e self, expression: &'e Expression) -> Option<Cow<'e, str>> {
        Some(match expression {
            Expression::User => self.user?.into(),
            Expression::Connection => self.id.into(),
            Expression::Text(text) => text.into(),
            Expression::Concat(both) => {
                let (first, second) = self.both(both)?;
                first + second
            }
            Expression::Lower(text) => self.text(text)?.to_lowercase().into(),
            Expression::Upper(text) => self.text(text)?.to_uppercase().into(),
            Expression::Trim(text) => self.text(text)?.trim().to_owned().into(),
            Expression::Substring(parts) => {
                let (text, start, count) = &**parts;
                let number = |expression| match self.value(expression) {
                    Value::Number(number) => Some(usize::try_from(number).unwrap_or(0)),
                    _ => None,
                };
                let start = number(start)?;
                let count = match count {
                    Some(count) => number(count)?,
                    None => usize::MAX,
                };
                let part: Vec<u16> = self.text(text)?.encode_utf16().skip(start).take(count).collect();
                String::from_utf16_lossy(&part).into()
            }
            _ => return None,
        })
    }

    fn both<'e>(&'e self, both: &'e (Expression, Expression)) -> Option<(Cow<'e, str>, Cow<'e, str>)> {
        self.text(&both.0).zip(self.text(&both.1))
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

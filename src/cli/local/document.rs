//! A settings file as it is read: members are asked for by name, faults say line and column, and what nobody has asked for
//! is not a setting.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    time::Duration,
};

use jsonc_parser::{
    CollectOptions,
    ast::{Object, ObjectProp, Value},
    common::Ranged as _,
    parse_to_ast,
};

use crate::{
    cli::{duration, failure::Failure},
    service::configuration::{json, names::near},
};

/// The text of a settings file.
#[derive(Debug)]
pub(super) struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let text = json::read(path)
            .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))?;
        let text = text.trim_start_matches('\u{feff}').to_owned();
        Ok(Self { path: path.to_owned(), text })
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self { path: "hubwire.json".into(), text: text.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a text is anywhere in it.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// Reads the whole of it.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Members<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // The kind of an error quotes nothing of the file, which may have secrets in it.
        let parsed =
            parse_to_ast(&self.text, &CollectOptions::default(), &json::OPTIONS).map_err(|error| {
                let kind = error.kind().to_string().to_lowercase();
                self.at(error.range().start, format!("this is not JSON, with or without comments: {kind}"))
            })?;
        match &parsed.value {
            Some(value) => Item { document: self, place: String::new(), value }.members(read),
            None => Err(self.at(0, "there is no JSON in it; `{}` has no settings".to_owned())),
        }
    }

    fn at(&self, offset: usize, what: String) -> Failure {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        Failure::new(format!("{}:{line}:{column}: {what}", self.path.display()))
            .advise("`hubwire local init` writes an example with every setting")
    }
}

/// The members of an object.
#[derive(Debug)]
pub(super) struct Members<'a> {
    document: &'a Document,
    place: String,
    object: &'a Object<'a>,
    known: RefCell<Vec<&'static str>>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    document: &'a Document,
    place: String,
    value: &'a Value<'a>,
}

impl<'a> Members<'a> {
    /// A member by its name, in any case, as .NET has it. `null` is as good as nothing.
    pub(super) fn get(&self, name: &'static str) -> Option<Item<'a>> {
        self.known.borrow_mut().push(name);
        let named = |property: &&ObjectProp<'_>| property.name.as_str().eq_ignore_ascii_case(name);
        let property = self.object.properties.iter().find(named)?;
        let place = if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) };
        let item = Item { document: self.document, place, value: &property.value };
        (!matches!(property.value, Value::NullKeyword(_))).then_some(item)
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Failure> {
        self.get(name).map(|item| item.text()).transpose()
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        self.get(name).map(|item| item.flag()).transpose()
    }

    pub(super) fn integer(&self, name: &'static str, most: u64) -> Result<Option<u64>, Failure> {
        self.get(name).map(|item| item.integer(most)).transpose()
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<Duration>, Failure> {
        self.get(name).map(|item| item.time()).transpose()
    }

    /// The items of an array; a value by itself is an array of one.
    pub(super) fn items(&self, name: &'static str) -> Vec<Item<'a>> {
        self.get(name).map_or_else(Vec::new, |item| item.items())
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<String>, Failure> {
        self.items(name).iter().map(Item::text).collect()
    }

    /// The fault of a member whose name is nearly this one.
    pub(super) fn slip(&self, name: &'static str) -> Option<Failure> {
        let slip =
            self.object.properties.iter().find(|property| near(property.name.as_str(), [name]).is_some());
        slip.map(|property| self.unknown(property, &format!("is \"{name}\" meant?")))
    }

    fn unknown(&self, property: &ObjectProp<'_>, hint: &str) -> Failure {
        let place = if self.place.is_empty() { String::new() } else { format!(" of {}", self.place) };
        let what = format!("\"{}\" is not a setting{place}; {hint}", property.name.as_str());
        self.document.at(property.start(), what)
    }

    /// Refuses members that nobody has asked for, and names that are there twice.
    fn finish(self) -> Result<(), Failure> {
        let known = self.known.borrow();
        for (index, property) in self.object.properties.iter().enumerate() {
            let name = property.name.as_str();
            let same = |other: &str| other.eq_ignore_ascii_case(name);
            if !known.iter().any(|known| same(known)) {
                let meant = near(name, known.iter().copied());
                let hint = meant.map_or_else(
                    || format!("the settings here are {}", known.join(", ")),
                    |meant| format!("is \"{meant}\" meant?"),
                );
                return Err(self.unknown(property, &hint));
            }
            if self.object.properties[..index].iter().any(|before| same(before.name.as_str())) {
                return Err(self.document.at(property.start(), format!("\"{name}\" is there twice")));
            }
        }
        Ok(())
    }
}

impl<'a> Item<'a> {
    /// A fault of this value.
    pub(super) fn fault(&self, what: impl std::fmt::Display) -> Failure {
        self.document.at(self.value.start(), format!("{}: {what}", self.place))
    }

    fn expected(&self, what: &str) -> Failure {
        self.fault(format_args!("{what} is expected"))
    }

    pub(super) fn text(&self) -> Result<String, Failure> {
        match self.value {
            Value::StringLit(text) if !text.value.trim().is_empty() => Ok(text.value.to_string()),
            Value::StringLit(_) => Err(self.fault("it is empty")),
            _ => Err(self.expected("a text")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, Failure> {
        match self.value {
            Value::BooleanLit(flag) => Ok(flag.value),
            _ => Err(self.expected("true or false")),
        }
    }

    pub(super) fn integer(&self, most: u64) -> Result<u64, Failure> {
        let number = match self.value {
            Value::NumberLit(number) => number.value.parse().ok().filter(|&number| number <= most),
            _ => None,
        };
        number.ok_or_else(|| self.expected(&format!("a whole number from 0 to {most}")))
    }

    /// A number of seconds, or a text with a unit.
    pub(super) fn time(&self) -> Result<Duration, Failure> {
        let text = match self.value {
            Value::NumberLit(number) => number.value,
            Value::StringLit(text) => &text.value,
            _ => return Err(self.expected("a time, such as \"90s\"")),
        };
        duration::parse(text).map_err(|form| self.fault(form))
    }

    pub(super) fn items(&self) -> Vec<Self> {
        let Value::Array(array) = self.value else { return vec![self.clone()] };
        let item = |(index, value)| Self {
            document: self.document,
            place: format!("{}[{index}]", self.place),
            value,
        };
        array.elements.iter().enumerate().map(item).collect()
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// Reads an object: what is not asked for by the function is a fault.
    pub(super) fn members<T>(
        &self,
        read: impl FnOnce(&Members<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Value::Object(object) = self.value else {
            return Err(self.document.at(self.value.start(), "an object, { … }, is expected".to_owned()));
        };
        let members =
            Members { document: self.document, place: self.place.clone(), object, known: RefCell::default() };
        let read = read(&members)?;
        members.finish()?;
        Ok(read)
    }

    /// A path in the file, which counts from the file's folder.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        let text = self.text()?;
        Ok(self.document.path.parent().unwrap_or(Path::new("")).join(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> Result<Option<u64>, String> {
        Document::of(text).read(|members| members.integer("port", 65_535)).map_err(|e| e.to_string())
    }

    #[test]
    fn faults_say_where_they_are() {
        assert_eq!(port("// nothing\n{ \"port\": 1, }"), Ok(Some(1)));
        assert_eq!(port("{}"), Ok(None));
        for (text, start) in [
            ("{\n  \"prot\": 1 }", "hubwire.json:2:3: \"prot\" is not a setting; is \"port\" meant?"),
            (
                "{ \"nonsense\": 1 }",
                "hubwire.json:1:3: \"nonsense\" is not a setting; the settings here are port",
            ),
            ("{ \"port\": 1, \"PORT\": 2 }", "hubwire.json:1:14: \"PORT\" is there twice"),
            ("{ \"port\": 65536 }", "hubwire.json:1:11: port: a whole number from 0 to 65535 is expected"),
            ("{ \"port\": \"8888\" }", "hubwire.json:1:11: port: a whole number"),
            ("{ \"port\" 1 }", "hubwire.json:1:"),
            ("[]", "hubwire.json:1:1: an object, { … }, is expected"),
            ("", "hubwire.json:1:1: there is no JSON in it"),
        ] {
            let fault = port(text).expect_err(text);
            assert!(fault.starts_with(start), "{text}: {fault}");
        }
    }
}

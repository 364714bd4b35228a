//! The types that a hub's methods mention, by name, and those that these mention.

use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use ts_rs::{Config, TS, TypeVisitor};

use super::TypeScriptError;
use crate::{Binary, Timestamp, Upload};

/// The types with a declaration of their own.
pub(super) struct Types<'a> {
    config: &'a Config,
    message_pack: bool,
    seen: HashSet<TypeId>,
    /// By their names.
    declarations: BTreeMap<String, Declaration>,
    /// The first name that two types have.
    duplicate: Option<String>,
}

/// A type's declaration without `export`.
#[derive(PartialEq, Eq)]
pub(super) struct Declaration {
    /// A whole comment, or nothing.
    pub(super) docs: String,
    /// `type Name = …;`.
    pub(super) text: String,
}

impl<'a> Types<'a> {
    pub(super) fn new(config: &'a Config, message_pack: bool) -> Self {
        let (seen, declarations) = (HashSet::new(), BTreeMap::new());
        Self { config, message_pack, seen, declarations, duplicate: None }
    }

    /// What a type is called where it is used. It will be declared, with all that it is made of.
    pub(super) fn name<T: TS + 'static>(&mut self) -> String {
        self.visit::<T>();
        T::name(self.config)
    }

    pub(super) fn declarations(self) -> Result<BTreeMap<String, Declaration>, TypeScriptError> {
        match self.duplicate {
            Some(name) => Err(TypeScriptError::DuplicateType { name }),
            None => Ok(self.declarations),
        }
    }

    fn declare<T: TS + 'static + ?Sized>(&mut self) {
        let type_id = TypeId::of::<T>();
        let name = T::ident(self.config);
        let in_message_pack = |other| self.message_pack && type_id == other;
        let (docs, text) = if in_message_pack(TypeId::of::<Binary>()) {
            ("/** Bytes. */\n".to_owned(), format!("type {name} = Uint8Array;"))
        } else if in_message_pack(TypeId::of::<Timestamp>()) {
            ("/** A point in time. */\n".to_owned(), format!("type {name} = Date;"))
        } else {
            (T::docs().unwrap_or_default(), T::decl(self.config))
        };
        // A generic type is met once for each of its arguments, and always has the same declaration.
        let declaration = Declaration { docs, text };
        match self.declarations.get(&name) {
            Some(other) if *other != declaration => {
                self.duplicate.get_or_insert(name);
            }
            _ => drop(self.declarations.insert(name, declaration)),
        }
    }
}

impl TypeVisitor for Types<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        // The others have their whole text where they are used.
        if T::output_path().is_some() {
            self.declare::<T>();
        }
        T::visit_generics(self);
        T::visit_dependencies(self);
    }
}

impl fmt::Debug for Types<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Types").field("names", &self.declarations.keys()).finish_non_exhaustive()
    }
}

/// Types of this crate, which are a text in JSON and have a name of their own, so that they can be something else in
/// MessagePack.
macro_rules! texts {
    ($($Type:ty, $name:literal, $docs:literal;)*) => {
        $(
            impl TS for $Type {
                type WithoutGenerics = Self;
                type OptionInnerType = Self;

                fn docs() -> Option<String> {
                    Some($docs.to_owned())
                }

                fn decl(_: &Config) -> String {
                    concat!("type ", $name, " = string;").to_owned()
                }

                fn decl_concrete(config: &Config) -> String {
                    Self::decl(config)
                }

                fn name(_: &Config) -> String {
                    $name.to_owned()
                }

                fn inline(_: &Config) -> String {
                    "string".to_owned()
                }

                fn output_path() -> Option<PathBuf> {
                    Some(concat!($name, ".ts").into())
                }
            }
        )*
    };
}

texts! {
    Binary, "Binary", "/** Bytes in base64. */\n";
    Timestamp, "Timestamp", "/** A point in time in ISO 8601. */\n";
}

impl<T: TS> TS for Upload<T> {
    type WithoutGenerics = Self;
    type OptionInnerType = Self;

    fn name(config: &Config) -> String {
        format!("AsyncIterable<{}>", T::name(config))
    }

    fn inline(config: &Config) -> String {
        format!("AsyncIterable<{}>", T::inline(config))
    }

    fn visit_dependencies(visitor: &mut impl TypeVisitor)
    where
        Self: 'static,
    {
        T::visit_dependencies(visitor);
    }

    fn visit_generics(visitor: &mut impl TypeVisitor)
    where
        Self: 'static,
    {
        visitor.visit::<T>();
        T::visit_generics(visitor);
    }
}

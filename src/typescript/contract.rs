//! What a hub tells of itself: two interfaces, their methods and the types in them.

use std::any::TypeId;

use ts_rs::{Config, TS};

use super::types::Types;

/// A hub that can be written in TypeScript: [`hub!`](crate::hub) with an attribute `#[typescript]` makes one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not describe itself in TypeScript",
    label = "not a hub with `#[typescript]`",
    note = "`hubwire::hub! {{ #[typescript] trait {Self} {{ … }} }}` makes one that does"
)]
pub trait Contract: 'static {
    /// Tells everything there is to know about it.
    #[doc(hidden)]
    fn describe(description: &mut Description<'_>);
}

/// Takes what a hub tells of itself.
#[doc(hidden)]
#[derive(Debug)]
pub struct Description<'a> {
    pub(super) types: Types<'a>,
    /// The hub's, then that of its clients if there is one.
    pub(super) interfaces: Vec<Interface>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: &'static str,
    pub(super) docs: Vec<String>,
    pub(super) methods: Vec<Method>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: &'static str,
    pub(super) docs: Vec<String>,
    /// Names as Rust has them, and types as TypeScript has them.
    pub(super) arguments: Vec<(&'static str, String)>,
    pub(super) result: String,
}

impl<'a> Description<'a> {
    pub(super) fn new(config: &'a Config, message_pack: bool) -> Self {
        Self { types: Types::new(config, message_pack), interfaces: Vec::new() }
    }

    /// Begins with a trait.
    pub fn interface(&mut self, name: &'static str, docs: &[&str]) {
        self.interfaces.push(Interface { name, docs: lines(docs), methods: Vec::new() });
    }

    /// Tells of a method of the trait that was begun last.
    pub fn method(&mut self, name: &'static str, docs: &[&str]) -> DescribedMethod<'_, 'a> {
        let method = Method { name, docs: lines(docs), arguments: Vec::new(), result: "void".to_owned() };
        DescribedMethod { types: &mut self.types, interface: self.interfaces.last_mut(), method }
    }
}

/// Takes the types of a method. It is known when this is dropped.
#[doc(hidden)]
#[derive(Debug)]
pub struct DescribedMethod<'d, 'a> {
    types: &'d mut Types<'a>,
    interface: Option<&'d mut Interface>,
    method: Method,
}

impl DescribedMethod<'_, '_> {
    /// One more argument.
    pub fn argument<T: TS + 'static>(mut self, name: &'static str) -> Self {
        let argument = self.types.name::<T>();
        self.method.arguments.push((name, argument));
        self
    }

    /// The result.
    pub fn result<T: TS + 'static>(mut self) -> Self {
        // `null` to ts-rs, which is what it is within other types. As the result of a method it means that there is no result.
        if TypeId::of::<T>() != TypeId::of::<()>() {
            self.method.result = self.types.name::<T>();
        }
        self
    }

    /// The items of a stream in place of a result.
    pub fn items<T: TS + 'static>(mut self) -> Self {
        self.method.result = format!("AsyncIterable<{}>", self.types.name::<T>());
        self
    }
}

impl Drop for DescribedMethod<'_, '_> {
    fn drop(&mut self) {
        let empty = Method { name: "", docs: Vec::new(), arguments: Vec::new(), result: String::new() };
        if let Some(interface) = &mut self.interface {
            interface.methods.push(std::mem::replace(&mut self.method, empty));
        }
    }
}

/// The lines of documentation, as `///` and `#[doc = "…"]` give them.
fn lines(docs: &[&str]) -> Vec<String> {
    let lines = docs.iter().flat_map(|text| text.split('\n'));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
    lines.collect()
}

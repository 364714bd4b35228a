//! Reads the fields of structs by names in any case, and notes which keys an object has whose field is missing.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Style, find_field, is_alike};

/// How many keys of an object an error tells, and how many characters of each.
const MOST_KEYS: usize = 12;
const LONGEST_KEY: usize = 40;

/// The keys of the object in which reading failed.
#[derive(Default)]
pub(crate) struct Report {
    /// Whether reading has failed: what fails next only passes the error on.
    failed: Cell<bool>,
    /// Those of the object that failed.
    keys: RefCell<Option<Keys>>,
    /// Those of the object that was read last, as far as it is a part of the value that is being read. An internally
    /// tagged enum is read into memory first, and fails after that.
    last: RefCell<Option<Keys>>,
}

#[derive(Default)]
struct Keys {
    first: Vec<String>,
    more: usize,
}

impl Report {
    /// What an error says about the keys that came, if a field is missing.
    pub(crate) fn explain(self, error: &str) -> Option<String> {
        let field = missing_field(error)?;
        let keys = self.keys.into_inner().or(self.last.into_inner())?;
        let mut text = match keys.first.len() {
            0 => "the object has no keys".to_owned(),
            _ => format!("the object has the keys {}", list(keys.first.iter())),
        };
        if keys.more > 0 {
            text += &format!(" and {} more", keys.more);
        }
        if let Some(alike) = keys.first.iter().find(|key| is_alike(key, field)) {
            text += &format!(
                "; `{alike}` is the same name, written differently: see `HubConnectionBuilder::with_property_names`"
            );
        }
        Some(text)
    }

    /// Reading a value begins.
    fn begin(&self) {
        if !self.failed.get() {
            self.last.take();
        }
    }

    /// Reading a value has failed.
    fn fail(&self, keys: Option<Keys>) {
        if !self.failed.replace(true) {
            *self.keys.borrow_mut() = keys.or_else(|| self.last.take());
        }
    }
}

fn list<'k>(keys: impl Iterator<Item = &'k String>) -> String {
    keys.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// The field that an error of serde is about.
pub(crate) fn missing_field(error: &str) -> Option<&str> {
    let (_, rest) = error.split_once("missing field `")?;
    Some(rest.split_once('`')?.0)
}

impl Keys {
    fn add(&mut self, key: &str) {
        if self.first.len() == MOST_KEYS {
            self.more += 1;
            return;
        }
        let end = key.char_indices().nth(LONGEST_KEY).map_or(key.len(), |(at, _)| at);
        let clipped = key.get(..end).unwrap_or(key);
        let mut text: String = clipped.escape_debug().collect();
        if clipped.len() < key.len() {
            text.push('…');
        }
        self.first.push(text);
    }
}

/// A deserializer, or a part of one, of a protocol.
pub(crate) struct Reader<'c, D> {
    inner: D,
    context: Context<'c>,
}

#[derive(Clone, Copy)]
struct Context<'c> {
    style: Option<Style>,
    report: Option<&'c Report>,
    place: Place<'c>,
}

/// What is being read.
#[derive(Clone, Copy)]
enum Place<'c> {
    Value,
    /// A struct with these fields.
    Struct(&'static [&'static str]),
    /// A key of a struct with these fields, or of a map.
    Key(Option<&'static [&'static str]>, &'c RefCell<Keys>),
}

impl<'c, D> Reader<'c, D> {
    pub(crate) fn new(inner: D, style: Option<Style>, report: Option<&'c Report>) -> Self {
        Self { inner, context: Context { style, report, place: Place::Value } }
    }

    fn seen<V>(&self, visitor: V) -> Seen<'c, V> {
        Seen { inner: visitor, context: self.context }
    }
}

impl Context<'_> {
    fn value(self) -> Self {
        Self { place: Place::Value, ..self }
    }

    /// The name of a field in place of the key that came.
    fn field(&self, key: &str) -> Option<&'static str> {
        let Place::Key(fields, keys) = self.place else { return None };
        if self.report.is_some() {
            keys.borrow_mut().add(key);
        }
        find_field(self.style?, fields?, key)
    }
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
                let visitor = self.seen(visitor);
                self.inner.$method($($argument,)* visitor)
            }
        )*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Reader<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize);
        deserialize_map();
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let context = Context { place: Place::Struct(fields), ..self.context };
        self.inner.deserialize_struct(name, fields, Seen { inner: visitor, context })
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A visitor, a seed, or access to what contains values: what it passes on is read by a [`Reader`] again.
struct Seen<'c, T> {
    inner: T,
    context: Context<'c>,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Seen<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        if let Some(report) = self.context.report {
            report.begin();
        }
        let result = self.inner.deserialize(Reader { inner: deserializer, context: self.context });
        if let (Some(report), Err(_)) = (self.context.report, &result) {
            report.fail(None);
        }
        result
    }
}

macro_rules! visit {
    ($($method:ident $type:ty;)*) => {
        $(
            fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
                self.inner.$method(value)
            }
        )*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Seen<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool bool;
        visit_i8 i8;
        visit_i16 i16;
        visit_i32 i32;
        visit_i64 i64;
        visit_i128 i128;
        visit_u8 u8;
        visit_u16 u16;
        visit_u32 u32;
        visit_u64 u64;
        visit_u128 u128;
        visit_f32 f32;
        visit_f64 f64;
        visit_char char;
        visit_bytes &[u8];
        visit_borrowed_bytes &'de [u8];
        visit_byte_buf Vec<u8>;
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        self.inner.visit_str(self.context.field(text).unwrap_or(text))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.inner.visit_borrowed_str(self.context.field(text).unwrap_or(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        match self.context.field(&text) {
            Some(field) => self.inner.visit_borrowed_str(field),
            None => self.inner.visit_string(text),
        }
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Reader { inner: deserializer, context: self.context })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Reader { inner: deserializer, context: self.context })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Seen { inner: list, context: self.context.value() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let keys = RefCell::default();
        let result = self.inner.visit_map(Map { inner: map, context: self.context, keys: &keys });
        if let Some(report) = self.context.report {
            match &result {
                Ok(_) => *report.last.borrow_mut() = Some(keys.into_inner()),
                Err(_) => report.fail(Some(keys.into_inner())),
            }
        }
        result
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Seen { inner: variant, context: self.context.value() })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Seen<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.inner.next_element_seed(Seen { inner: seed, context: self.context })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'c, A: EnumAccess<'de>> EnumAccess<'de> for Seen<'c, A> {
    type Error = A::Error;
    type Variant = Seen<'c, A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Seen { inner: variant, context: self.context }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Seen<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(Seen { inner: seed, context: self.context })
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(length, Seen { inner: visitor, context: self.context })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let context = Context { place: Place::Struct(fields), ..self.context };
        self.inner.struct_variant(fields, Seen { inner: visitor, context })
    }
}

/// The entries of an object.
struct Map<'c, A> {
    inner: A,
    context: Context<'c>,
    keys: &'c RefCell<Keys>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Map<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let fields = match self.context.place {
            Place::Struct(fields) => Some(fields),
            _ => None,
        };
        let context = Context { place: Place::Key(fields, self.keys), ..self.context };
        self.inner.next_key_seed(Seen { inner: seed, context })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Seen { inner: seed, context: self.context.value() })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

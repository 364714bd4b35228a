//! How the names of Rust's fields are written and read: one struct for servers that name properties otherwise, and
//! otherwise in each protocol.
//!
//! `deserializer` and `serializer` stand between serde and a protocol's own. Nothing of it runs unless names are
//! converted, or a value has failed to be read.

#[cfg(feature = "client")]
mod deserializer;
mod serializer;

use std::collections::BTreeMap;
use std::sync::RwLock;

use crate::core::HubProtocol;
use crate::lock;

#[cfg(feature = "client")]
pub(crate) use self::deserializer::{Reader, Report, missing_field};
pub(crate) use self::serializer::Writer;

/// How the names of fields stand in messages.
///
/// .NET writes the property `TakenAt` as `takenAt` in JSON, and as `TakenAt` in MessagePack. With
/// [`DotNet`](Self::DotNet) one struct serves both, in both directions:
///
/// ```no_run
/// use hubwire::{HubConnection, PropertyNames};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Photo {
///     taken_at: String,
///     width: u32,
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = HubConnection::builder("https://example.com/photos")
///     .with_property_names(PropertyNames::DotNet)
///     .on("Published", |photo: Photo| println!("{} pixels", photo.width))
///     .connect()
///     .await?;
/// let latest: Photo = hub.invoke("Latest", ()).await?;
/// hub.send("Publish", (latest,)).await?;
/// # Ok(())
/// # }
/// ```
///
/// It is an option of a client's connection. A service that receives such messages from its upstream, or publishes, names
/// the fields by serde (`rename_all`, `alias`).
///
/// **Written**, the names of the fields of structs and of enums' variants are converted: `taken_at`, `takenAt` and
/// `TakenAt` are `takenAt` in camelCase and `TakenAt` in PascalCase, and `URL` is `url` in camelCase, as in .NET. A name
/// that does not begin with a letter stays as it is. For any other name, `#[serde(rename = "…")]` the field to .NET's
/// own.
///
/// **Read**, a name that is not found as it came belongs to the field that differs from it only in case and
/// underscores.
///
/// It holds at every depth, for arguments, results, items of streams and of uploads, handlers and their answers. The
/// keys of maps and the names of variants are data, and stay. serde hides the fields of some types:
///
/// | | written | read |
/// | --- | --- | --- |
/// | structs, externally tagged enums | converted | in any case |
/// | adjacently tagged enums (`tag`, `content`) | converted, both too | tag and content in any case, and a struct in a variant too, if the tag comes first; fields of a variant itself as declared |
/// | internally tagged enums (`tag`) | converted, the tag too | as declared |
/// | untagged enums | converted | as declared |
/// | structs with `#[serde(flatten)]` | as declared, but for what their fields contain | as declared |
///
/// For those that are read as declared, declare the names as they come (`rename_all`, `rename_all_fields`, `alias`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PropertyNames {
    /// As serde gives them, with its attributes (`rename_all` and so on), in both directions.
    #[default]
    AsDeclared,
    /// As ASP.NET Core has them unless it is told otherwise: camelCase in JSON, PascalCase in MessagePack.
    DotNet,
    /// camelCase in either protocol.
    CamelCase,
    /// PascalCase in either protocol, as for ASP.NET Core with `PropertyNamingPolicy = null`.
    PascalCase,
}

impl PropertyNames {
    /// `None` where nothing is converted.
    pub(crate) fn style(self, protocol: HubProtocol) -> Option<Style> {
        match (self, protocol) {
            (Self::AsDeclared, _) => None,
            (Self::CamelCase, _) | (Self::DotNet, HubProtocol::Json) => Some(Style::Camel),
            (Self::PascalCase, _) => Some(Style::Pascal),
            #[cfg(feature = "msgpack")]
            (Self::DotNet, HubProtocol::MessagePack) => Some(Style::Pascal),
        }
    }
}

/// What names are converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Camel,
    Pascal,
}

impl Style {
    /// The name of a field on the wire. serde takes names of the program alone, so each is made once and kept: there
    /// are no more of them than the program has fields.
    pub(crate) fn name(self, field: &'static str) -> &'static str {
        type Names = RwLock<BTreeMap<&'static str, &'static str>>;
        static CAMEL: Names = RwLock::new(BTreeMap::new());
        static PASCAL: Names = RwLock::new(BTreeMap::new());

        let names = match self {
            Self::Camel => &CAMEL,
            Self::Pascal => &PASCAL,
        };
        let known = lock::read(names).get(field).copied();
        known.unwrap_or_else(|| {
            *lock::write(names).entry(field).or_insert_with(|| {
                let converted = self.convert(field);
                if converted == field { field } else { converted.leak() }
            })
        })
    }

    fn convert(self, field: &str) -> String {
        if !field.starts_with(char::is_alphabetic) {
            return field.to_owned();
        }
        // Words begin after underscores; those at the end belong to the name.
        let stem = field.trim_end_matches('_');
        let mut words = stem.split('_');
        let mut name = match (self, words.next()) {
            (Self::Camel, Some(first)) => camel(first),
            (Self::Pascal, Some(first)) => capitalized(first),
            (_, None) => String::new(),
        };
        words.for_each(|word| name.push_str(&capitalized(word)));
        name.push_str(field.get(stem.len()..).unwrap_or_default());
        name
    }
}

/// As .NET's `JsonNamingPolicy.CamelCase`: capitals at the beginning become small, but for the last one before a small
/// letter, which begins the next word.
fn camel(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let capitals = letters.iter().take_while(|letter| letter.is_uppercase()).count();
    let small = match letters.get(capitals) {
        // `IPAddress` is `ipAddress`.
        Some(_) if capitals > 1 => capitals - 1,
        _ => capitals,
    };
    let lowered =
        letters.iter().enumerate().map(|(n, letter)| if n < small { lower(*letter) } else { *letter });
    lowered.collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(upper);
    first.into_iter().chain(letters).collect()
}

/// .NET converts letter by letter: those that would become several stay.
fn upper(letter: char) -> char {
    let mut converted = letter.to_uppercase();
    if converted.len() == 1 { converted.next().unwrap_or(letter) } else { letter }
}

fn lower(letter: char) -> char {
    let mut converted = letter.to_lowercase();
    if converted.len() == 1 { converted.next().unwrap_or(letter) } else { letter }
}

/// Whether two names differ at most in case and underscores.
#[cfg(feature = "client")]
fn is_alike(one: &str, other: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = char> {
        name.chars().filter(|letter| *letter != '_').map(lower)
    }
    letters(one).eq(letters(other))
}

/// The field that a name which came belongs to, if it is not called exactly so.
#[cfg(feature = "client")]
fn find_field(style: Style, fields: &'static [&'static str], name: &str) -> Option<&'static str> {
    if fields.contains(&name) {
        return None;
    }
    let mut alike = fields.iter().copied().filter(|field| is_alike(field, name));
    let first = alike.next()?;
    // Of several, such as `a_b` and `ab`, the one that is written like this.
    let exact = std::iter::once(first).chain(alike).find(|field| style.name(field) == name);
    Some(exact.unwrap_or(first))
}

#[cfg(all(test, feature = "client"))]
mod tests;

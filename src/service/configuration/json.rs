//! Settings files: JSON as .NET and the tools of Azure Functions read it.
//!
//! Source: [local.settings.json](https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file)
//! and [JSON configuration provider](https://learn.microsoft.com/dotnet/core/extensions/configuration-providers#json-configuration-provider).

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, ObjectProp, Value},
    parse_to_ast,
};

use crate::service::configuration::{
    error::ConfigurationError,
    keys::{SDK_CONNECTION, is_below},
};

/// The longest file that is read, in bytes. Settings have some kilobytes.
const MAX_FILE: u64 = 1024 * 1024;

/// JSON with comments and trailing commas, and nothing else that the parser could take.
pub(crate) const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The text of a file. Its byte order mark says which encoding it is in, as in .NET.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than a megabyte"));
    }
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks();
        let text = String::from_utf16(&units.iter().map(|&pair| unit(pair)).collect::<Vec<_>>()).ok();
        text.filter(|_| odd.is_empty())
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    };
    text.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8 or UTF-16"))
}

/// The settings in a text, as keys and values in their order.
pub(super) fn settings(text: &str) -> Result<Vec<(String, String)>, ConfigurationError> {
    let text = text.trim_start_matches('\u{feff}');
    // The error of a parser may quote the text, so only its place is kept.
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS).map_err(|error| {
        ConfigurationError::InvalidJson { line: error.line_display(), column: error.column_display() }
    })?;
    let Some(Value::Object(object)) = parsed.value else {
        return Err(ConfigurationError::InvalidJson { line: 0, column: 0 });
    };
    let is_encrypted = match member(&object, "IsEncrypted") {
        Some(Value::BooleanLit(flag)) => flag.value,
        Some(Value::StringLit(text)) => text.value.eq_ignore_ascii_case("true"),
        _ => false,
    };
    if is_encrypted {
        return Err(ConfigurationError::Encrypted);
    }
    let mut found = Vec::new();
    let Some(values) = member(&object, "Values") else {
        object.properties.iter().for_each(|property| add("", property, &mut found));
        return Ok(found);
    };
    if let Value::Object(values) = values {
        values.properties.iter().for_each(|property| add("", property, &mut found));
    }
    if let Some(strings) = member(&object, "ConnectionStrings") {
        flatten("ConnectionStrings".to_owned(), strings, &mut found);
    }
    Ok(found)
}

/// A member by its name in any case; of several the last one.
fn member<'a>(object: &'a Object<'a>, name: &str) -> Option<&'a Value<'a>> {
    let named = |property: &&ObjectProp<'_>| property.name.as_str().eq_ignore_ascii_case(name);
    object.properties.iter().rfind(named).map(|property| &property.value)
}

/// Whether the value of a key is a connection string, and thus may be one in
/// `{"ConnectionString": "…", "ProviderName": "…"}`. `Azure:SignalR` is a section, with a key of that very name in it.
fn is_connection_string(key: &str) -> bool {
    let key = key.replace("__", ":");
    let named = is_below(&key, "ConnectionStrings") && key.contains(':');
    let section = key.eq_ignore_ascii_case("ConnectionStrings:Azure:SignalR");
    named && !section || key.eq_ignore_ascii_case(SDK_CONNECTION)
}

fn below(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}:{name}") }
}

fn add(section: &str, property: &ObjectProp<'_>, found: &mut Vec<(String, String)>) {
    flatten(below(section, property.name.as_str()), &property.value, found);
}

fn flatten(key: String, value: &Value<'_>, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            let text = match member(object, "ConnectionString") {
                Some(Value::StringLit(text)) if is_connection_string(&key) => Some(text.value.to_string()),
                _ => None,
            };
            let own = |name: &str| {
                ["ConnectionString", "ProviderName"].iter().any(|own| own.eq_ignore_ascii_case(name))
            };
            let others = object.properties.iter().filter(|p| text.is_none() || !own(p.name.as_str()));
            others.for_each(|property| add(&key, property, found));
            found.extend(text.map(|text| (key, text)));
        }
        Value::Array(items) => {
            for (index, item) in items.elements.iter().enumerate() {
                flatten(below(&key, &index.to_string()), item, found);
            }
        }
        Value::StringLit(text) => found.push((key, text.value.to_string())),
        // As it is written: an id or a key that consists of digits may have more of them than a number can.
        Value::NumberLit(number) => found.push((key, number.value.to_owned())),
        Value::BooleanLit(flag) => found.push((key, flag.value.to_string())),
        Value::NullKeyword(_) => {}
    }
}

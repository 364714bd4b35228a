//! The text of a declaration file.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use super::TypeScriptError;
use super::contract::{Description, Interface, Method};
use super::types::Declaration;

/// Types that what is written here, and by ts-rs, means when it says these names. The rest of the names of TypeScript's own
/// types may be hidden by others.
const RESERVED: [&str; 18] = [
    "Array",
    "AsyncIterable",
    "Date",
    "HubConnection",
    "Record",
    "Uint8Array",
    "any",
    "bigint",
    "boolean",
    "never",
    "null",
    "number",
    "object",
    "string",
    "symbol",
    "undefined",
    "unknown",
    "void",
];

/// Words that TypeScript takes for a type's method, in a module, but not for its parameters.
const NOT_PARAMETERS: [&str; 48] = [
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

pub(super) fn write(hubs: Vec<Description<'_>>) -> Result<String, TypeScriptError> {
    let mut contracts = Vec::new();
    let mut interfaces = Vec::<Interface>::new();
    let mut connections = Vec::new();
    let mut types = BTreeMap::<String, Declaration>::new();
    for Description { types: more, interfaces: described } in hubs {
        let names: Vec<&str> = described.iter().map(|interface| interface.name).collect();
        if let [hub, clients @ ..] = &names[..] {
            contracts.push(format!("`{hub}`"));
            connections.push((*hub, clients.first().copied().unwrap_or("{}")));
        }
        for interface in described {
            // Two hubs may call their clients alike.
            if !interfaces.contains(&interface) {
                interfaces.push(interface);
            }
        }
        for (name, declaration) in more.declarations()? {
            match types.get(&name) {
                Some(other) if *other != declaration => return Err(TypeScriptError::DuplicateType { name }),
                _ => drop(types.insert(name, declaration)),
            }
        }
    }
    check_names(&types, &interfaces, &connections)?;

    let mut out = format!(
        "// Written by hubwire from the hub contract {}. Do not edit: change the contract in Rust, and write it again.\n\
         import type {{ HubConnection }} from \"hubwire\";\n",
        contracts.join(" and ")
    );
    for Declaration { docs, text } in types.values() {
        out.push('\n');
        push_indented(&mut out, "", &with_short_comment(docs.trim_matches('\n')));
        push_declaration(&mut out, text.trim());
    }
    for interface in &interfaces {
        out.push('\n');
        push_interface(&mut out, interface);
    }
    for (hub, client) in connections {
        let _ = write!(
            out,
            "\n/** A connection to `{hub}`. */\nexport type {hub}Connection = HubConnection<{hub}, {client}>;\n"
        );
    }
    Ok(out)
}

/// Each name stands for one thing.
fn check_names(
    types: &BTreeMap<String, Declaration>,
    interfaces: &[Interface],
    connections: &[(&str, &str)],
) -> Result<(), TypeScriptError> {
    let mut names: HashSet<String> = types.keys().cloned().collect();
    let traits = interfaces.iter().map(|interface| interface.name.to_owned());
    for name in traits.chain(connections.iter().map(|(hub, _)| format!("{hub}Connection"))) {
        if !names.insert(name.clone()) {
            return Err(TypeScriptError::DuplicateType { name });
        }
    }
    if let Some(name) = names.into_iter().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(TypeScriptError::ReservedType { name });
    }
    for Interface { name, methods, .. } in interfaces {
        let mut seen = HashSet::new();
        if let Some(twice) = methods.iter().find(|method| !seen.insert(method.name)) {
            let (interface, method) = ((*name).to_owned(), twice.name.to_owned());
            return Err(TypeScriptError::DuplicateMethod { interface, method });
        }
    }
    Ok(())
}

fn push_interface(out: &mut String, Interface { name, docs, methods }: &Interface) {
    push_docs(out, "", docs);
    if methods.is_empty() {
        let _ = writeln!(out, "export interface {name} {{}}");
        return;
    }
    let _ = writeln!(out, "export interface {name} {{");
    for Method { name, docs, arguments, result } in methods {
        push_docs(out, "  ", docs);
        let arguments: Vec<String> =
            arguments.iter().map(|(name, kind)| format!("{}: {kind}", parameter(name))).collect();
        let _ = writeln!(out, "  {}({}): {result};", key(name), arguments.join(", "));
    }
    out.push_str("}\n");
}

fn push_docs(out: &mut String, indent: &str, docs: &[String]) {
    let docs: Vec<String> = docs.iter().map(|line| line.replace("*/", "*\\/")).collect();
    match &docs[..] {
        [] => {}
        [line] => {
            let _ = writeln!(out, "{indent}/** {line} */");
        }
        lines => {
            let lines: Vec<String> = lines.iter().map(|line| format!(" * {line}")).collect();
            let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
            push_indented(out, indent, &format!("/**\n{}\n */", lines.join("\n")));
        }
    }
}

/// A method's name, in quotes where TypeScript wants them.
fn key(name: &str) -> String {
    let plain = |at: usize, c: char| {
        c == '_' || c == '$' || if at == 0 { c.is_alphabetic() } else { c.is_alphanumeric() }
    };
    // `new` without quotes would be a constructor.
    if !["", "new"].contains(&name) && name.chars().enumerate().all(|(at, c)| plain(at, c)) {
        name.to_owned()
    } else {
        serde_json::Value::from(name).to_string()
    }
}

/// `last_days` is `lastDays`, `r#type` is `type`, and `default` is `default_`.
fn parameter(name: &str) -> String {
    let name = name.strip_prefix("r#").unwrap_or(name);
    let (unused, words) = name.split_at(name.len() - name.trim_start_matches('_').len());
    let mut parameter = unused.to_owned();
    for (at, word) in words.split('_').filter(|word| !word.is_empty()).enumerate() {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if at > 0 => parameter.extend(first.to_uppercase()),
            Some(first) => parameter.push(first),
            None => {}
        }
        parameter.push_str(letters.as_str());
    }
    if NOT_PARAMETERS.contains(&parameter.as_str()) {
        parameter.push('_');
    }
    parameter
}

/// A declaration of ts-rs, which is in one line. That of an object gets a line for each property.
fn push_declaration(out: &mut String, text: &str) {
    out.push_str("export ");
    let object = text
        .split_once(" = {")
        .filter(|(_, rest)| properties_end(rest) == rest.strip_suffix("};").map(str::len));
    let Some((head, rest)) = object else {
        out.push_str(text);
        out.push('\n');
        return;
    };
    out.push_str(head);
    out.push_str(" = {\n");
    let mut rest = rest.strip_suffix("};").unwrap_or(rest);
    while !rest.trim().is_empty() {
        let end = property_end(rest);
        push_indented(out, "  ", &with_short_comment(rest[..end].trim()));
        // The line end of the property.
        out.pop();
        out.push_str(";\n");
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    out.push_str("};\n");
}

/// A comment of one line in one line, where ts-rs takes three.
fn with_short_comment(text: &str) -> Cow<'_, str> {
    let short = || {
        let (line, rest) = text.strip_prefix("/**\n * ")?.split_once("\n */")?;
        (!line.contains('\n')).then(|| format!("/** {line} */{rest}"))
    };
    short().map_or(Cow::Borrowed(text), Cow::Owned)
}

fn push_indented(out: &mut String, indent: &str, text: &str) {
    for line in text.lines() {
        if !line.is_empty() {
            out.push_str(indent);
        }
        out.push_str(line);
        out.push('\n');
    }
}

/// Where the object ends whose properties a text begins with.
fn properties_end(text: &str) -> Option<usize> {
    scan(text).find_map(|(at, depth, _)| (depth < 0).then_some(at))
}

/// Where the property ends that a text begins with.
fn property_end(text: &str) -> usize {
    scan(text).find_map(|(at, depth, c)| (depth == 0 && c == ',').then_some(at)).unwrap_or(text.len())
}

/// The characters of a text outside of its strings and comments, with the depth of brackets after each.
fn scan(text: &str) -> impl Iterator<Item = (usize, i32, char)> {
    let (mut depth, mut quote, mut before) = (0, None, ' ');
    text.char_indices().filter_map(move |(at, c)| {
        let last = std::mem::replace(&mut before, c);
        match quote {
            // A comment.
            Some('*') => {
                if (last, c) == ('*', '/') {
                    quote = None;
                }
                return None;
            }
            Some(open) => {
                if last == '\\' {
                    // What is escaped escapes nothing.
                    before = ' ';
                } else if c == open {
                    quote = None;
                }
                return None;
            }
            None => {}
        }
        match c {
            '"' | '\'' | '`' => quote = Some(c),
            '*' if last == '/' => {
                quote = Some('*');
                // `/*/` is not a whole comment.
                before = ' ';
            }
            '{' | '[' | '(' | '<' => depth += 1,
            // `=>` closes nothing.
            '>' if last == '=' => {}
            '}' | ']' | ')' | '>' => depth -= 1,
            _ => {}
        }
        Some((at, depth, c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_methods_are_quoted_where_they_have_to_be() {
        for (name, wanted) in [
            ("Add", "Add"),
            ("$a_1", "$a_1"),
            ("Größe", "Größe"),
            ("1st", "\"1st\""),
            ("people.online", "\"people.online\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("new", "\"new\""),
            ("", "\"\""),
        ] {
            assert_eq!(key(name), wanted);
        }
    }

    #[test]
    fn parameters_are_in_camel_case_and_no_keywords() {
        for (name, wanted) in [
            ("last_days", "lastDays"),
            ("r#type", "type"),
            ("r#in", "in_"),
            ("default", "default_"),
            ("_unused_one", "_unusedOne"),
            ("a__b_", "aB"),
            ("alreadyCamel", "alreadyCamel"),
        ] {
            assert_eq!(parameter(name), wanted);
        }
    }

    #[test]
    fn objects_get_a_line_for_each_property() {
        for (text, wanted) in [
            ("type A = string;", "type A = string;\n"),
            ("type A = {  };", "type A = {\n};\n"),
            (
                "type A = { a: string, b: { c: [number, number], }, };",
                "type A = {\n  a: string;\n  b: { c: [number, number], };\n};\n",
            ),
            (
                "type A<T> = { f: (a: number, b: T) => Map<string, T>, g: T };",
                "type A<T> = {\n  f: (a: number, b: T) => Map<string, T>;\n  g: T;\n};\n",
            ),
            (
                "type A = { \"a,\\\"}\": string, /* } , */ b: ',}' };",
                "type A = {\n  \"a,\\\"}\": string;\n  /* } , */ b: ',}';\n};\n",
            ),
            (
                "type A = {\n/**\n * One,\n * two.\n */\na: string, };",
                "type A = {\n  /**\n   * One,\n   * two.\n   */\n  a: string;\n};\n",
            ),
            (
                "type A = {\n/**\n * One, two.\n */\na: string, };",
                "type A = {\n  /** One, two. */\n  a: string;\n};\n",
            ),
            ("type A = { a: string, } & B;", "type A = { a: string, } & B;\n"),
            ("type A = { a: string, } | { b: string, };", "type A = { a: string, } | { b: string, };\n"),
            ("type A = \"one\" | \"two\";", "type A = \"one\" | \"two\";\n"),
            ("type A = { [key in string]: B };", "type A = {\n  [key in string]: B;\n};\n"),
        ] {
            let mut out = String::new();
            push_declaration(&mut out, text);
            assert_eq!(out, format!("export {wanted}"));
        }
    }
}

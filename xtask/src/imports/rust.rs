//! Which file of a Rust crate takes names from which: its tree of modules, and the paths in them.
//!
//! A name that a module hands on belongs to the file that defines it, and the handing on is not a use of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem, slice,
};

use super::{
    Arrows, Files,
    tokens::{Token, tokens, without_tests},
};

/// Names that lead from the crate's root to a module or an item.
type Path = Vec<String>;

/// A module in a file of its own.
struct Module {
    file: String,
    /// What follows, without the `use` items.
    code: Vec<Token>,
    uses: Vec<Use>,
    /// What is defined in it, at any depth.
    defined: BTreeSet<String>,
    children: BTreeSet<String>,
}

/// One name that a `use` item brings in, or all of a module.
struct Use {
    /// As it is written.
    path: Path,
    /// The name that it gets here: `*` for everything, `_` for none.
    name: String,
    hands_on: bool,
}

/// The crate whose root is `lib.rs` in this folder, by the texts of its files.
pub(super) fn arrows(folder: &str, files: &Files) -> Arrows {
    let mut crate_ = Crate { modules: BTreeMap::new() };
    crate_.add(folder, Vec::new(), files);
    let mut arrows = Arrows::new();
    for (path, module) in &crate_.modules {
        for (name, place, target) in crate_.taken(path, module) {
            if !path.starts_with(place) {
                arrows.entry((module.file.clone(), target.file.clone())).or_default().insert(name);
            }
        }
    }
    arrows
}

/// A module, by its path.
type Target<'c> = (&'c Path, &'c Module);

struct Crate {
    modules: BTreeMap<Path, Module>,
}

impl Crate {
    /// Adds a module and those that it declares.
    fn add(&mut self, folder: &str, path: Path, files: &Files) {
        let stem = [&[folder.to_owned()], &path[..]].concat().join("/");
        let places = match path.is_empty() {
            true => vec![format!("{folder}/lib.rs")],
            false => vec![format!("{stem}.rs"), format!("{stem}/mod.rs")],
        };
        let Some((file, text)) = places.iter().find_map(|place| files.get_key_value(place)) else { return };
        let module = Module::read(file, text);
        for child in &module.children {
            self.add(folder, [&path[..], slice::from_ref(child)].concat(), files);
        }
        self.modules.insert(path, module);
    }

    /// The names that a module takes, each with the module that defines it.
    fn taken(&self, path: &Path, module: &Module) -> Vec<(String, &Path, &Module)> {
        let mut taken = Vec::new();
        let mut take = |written: &[String]| {
            let Some(absolute) = self.absolute(path, module, written) else { return };
            let name = written.last().cloned().unwrap_or_default();
            let targets = self.resolve(&absolute, 0);
            // Of the same name on several targets, a module of one of them means that target's.
            let shared =
                |place: &Path| place.iter().zip(path).take_while(|(one, other)| one == other).count();
            let nearest = targets.iter().map(|(place, _)| shared(place)).max().unwrap_or_default();
            let targets = targets.into_iter().filter(|(place, _)| shared(place) == nearest);
            taken.extend(targets.map(|(place, target)| (name.clone(), place, target)));
        };
        let words: BTreeSet<&str> = module.code.iter().map(String::as_str).collect();
        for used in &module.uses {
            match used.name.as_str() {
                "*" => {
                    for word in &words {
                        let inner = [&used.path[..], &[(*word).to_owned()]].concat();
                        let absolute = self.absolute(path, module, &inner);
                        if absolute.is_some_and(|inner| self.has(&inner)) {
                            take(&inner);
                        }
                    }
                }
                name if !used.hands_on || words.contains(name) => take(&used.path),
                _ => {}
            }
        }
        for written in paths(&module.code) {
            take(&written);
        }
        taken
    }

    /// From the root, what is written in a module. `None` if it leads out of the crate.
    fn absolute(&self, path: &Path, module: &Module, written: &[String]) -> Option<Path> {
        let (first, rest) = written.split_first()?;
        let start = match first.as_str() {
            "crate" => Vec::new(),
            "self" => path.clone(),
            "super" => {
                let parent = path.split_last()?.1;
                let ups = rest.iter().take_while(|name| *name == "super").count();
                let start = parent.get(..parent.len().checked_sub(ups)?)?;
                return Some([start, &rest[ups..]].concat());
            }
            name if module.children.contains(name) => [&path[..], &[name.to_owned()]].concat(),
            name => {
                let used = module.uses.iter().find(|used| used.name == name && used.path[0] != name)?;
                self.absolute(path, module, &used.path)?
            }
        };
        Some([&start[..], rest].concat())
    }

    /// The longest part of a path that is a module, and the rest.
    fn module<'a>(&self, path: &'a [String]) -> Option<(Target<'_>, &'a [String])> {
        (0..=path.len()).rev().find_map(|length| {
            let (module, rest) = path.split_at(length);
            Some((self.modules.get_key_value(module)?, rest))
        })
    }

    /// Whether a module defines or hands on the last name of a path.
    fn has(&self, path: &[String]) -> bool {
        let Some((name, path)) = path.split_last() else { return false };
        let Some(((_, module), [])) = self.module(path) else { return false };
        module.defined.contains(name) || module.uses.iter().any(|used| used.name == *name)
    }

    /// The modules that define what a path leads to: several if targets differ. A module itself is not taken, but what is
    /// named in it.
    fn resolve(&self, path: &[String], depth: usize) -> Vec<Target<'_>> {
        let Some((last, parent)) = path.split_last() else { return Vec::new() };
        // A function may have the name of a module beside it.
        let is_handed_on = |((_, module), rest): &(Target<'_>, &[String])| {
            rest.is_empty() && module.uses.iter().any(|used| used.name == *last)
        };
        let found = match self.module(parent).filter(is_handed_on) {
            Some((target, _)) => Some((target, slice::from_ref(last))),
            None => self.module(path),
        };
        let Some(((place, module), rest)) = found else { return Vec::new() };
        let Some((name, inner)) = rest.split_first() else { return Vec::new() };
        // Faces that hand on names of each other have an end as well.
        if depth < 8 && !module.defined.contains(name) {
            let all = |used: &&Use| used.name == "*";
            let named = |used: &&Use| used.name == *name;
            let to = |used: &Use, more: &[String]| {
                Some([&self.absolute(place, module, &used.path)?[..], more].concat())
            };
            let paths = module.uses.iter().filter(named).filter_map(|used| to(used, inner));
            let others = module.uses.iter().filter(all).filter_map(|used| to(used, rest));
            let others = others.filter(|path| self.has(&path[..path.len() - inner.len()]));
            let paths: Vec<Path> = paths.chain(others).collect();
            if !paths.is_empty() {
                return paths.iter().flat_map(|path| self.resolve(path, depth + 1)).collect();
            }
        }
        vec![(place, module)]
    }
}

impl Module {
    fn read(file: &str, text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut module = Self {
            file: file.to_owned(),
            code: Vec::new(),
            uses: Vec::new(),
            defined: BTreeSet::new(),
            children: BTreeSet::new(),
        };
        let tokens = named_from_the_file(tokens);
        let mut at = 0;
        while at < tokens.len() {
            let next = |ahead: usize| tokens.get(at + ahead).map_or("", String::as_str);
            match tokens[at].as_str() {
                "use" if next(1) != "<" => {
                    let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(1);
                    let hands_on = at > 0 && ["pub", ")"].contains(&tokens[at - 1].as_str());
                    let mut tree = &tokens[at + 1..end];
                    module.add_uses(&mut tree, &[], hands_on);
                    at = end;
                }
                "mod" if next(2) == ";" => {
                    module.children.insert(next(1).to_owned());
                    at += 2;
                }
                "struct" | "enum" | "union" | "trait" | "fn" | "type" | "const" | "static" | "mod" => {
                    module.defined.insert(next(1).to_owned());
                }
                "macro_rules" => {
                    module.defined.insert(next(2).to_owned());
                }
                _ => {}
            }
            if let Some(token) = tokens.get(at) {
                module.code.push(token.clone());
            }
            at += 1;
        }
        module
    }

    /// Reads a tree of a `use` item, from behind `prefix::`.
    fn add_uses(&mut self, tree: &mut &[Token], prefix: &[String], hands_on: bool) {
        let mut path = prefix.to_vec();
        while let Some((token, rest)) = tree.split_first() {
            *tree = rest;
            match token.as_str() {
                "::" => {}
                "{" => {
                    while tree.first().is_some_and(|token| token != "}") {
                        self.add_uses(tree, &path, hands_on);
                    }
                    *tree = tree.get(1..).unwrap_or_default();
                    path.clear();
                }
                "," => break,
                "as" => {
                    let name = tree.first().cloned().unwrap_or_default();
                    *tree = tree.get(1..).unwrap_or_default();
                    self.uses.push(Use { path: mem::take(&mut path), name, hands_on });
                }
                "*" => self.uses.push(Use { path: mem::take(&mut path), name: "*".to_owned(), hands_on }),
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
            if tree.first().is_some_and(|token| token == "}") {
                break;
            }
        }
        if let Some(name) = path.last().cloned()
            && path.len() > prefix.len().min(path.len() - 1)
        {
            self.uses.push(Use { path, name, hands_on });
        }
    }
}

/// Writes `super` in the modules that a file has within itself as `self`, which is the file.
fn named_from_the_file(mut tokens: Vec<Token>) -> Vec<Token> {
    let mut depth = 0;
    let mut inline = Vec::new();
    for at in 0..tokens.len() {
        match tokens[at].as_str() {
            "{" if at > 1 && tokens[at - 2] == "mod" => inline.push(depth),
            "super" if !inline.is_empty() && tokens[at - 1] != "::" => tokens[at] = "self".to_owned(),
            "}" if inline.last() == Some(&(depth - 1)) => drop(inline.pop()),
            _ => {}
        }
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens
}

/// The paths of two names and more in the code, but for those that macros write into other crates.
fn paths(code: &[Token]) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let mut path = vec![code[at].clone()];
        while code.get(at + 1).is_some_and(|token| token == "::")
            && code
                .get(at + 2)
                .is_some_and(|token| token.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        {
            path.push(code[at + 2].clone());
            at += 2;
        }
        let begin = at - 2 * (path.len() - 1);
        if path.len() > 1 && (begin == 0 || code[begin - 1] != "$") {
            paths.push(path);
        }
        at += 1;
    }
    paths
}

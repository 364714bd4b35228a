//! Which files import which: no circles, and between the rooms of the crate only downwards.
//!
//! What counts is code: not comments, not tests, not what a macro writes into other crates (`$crate::…`). What a file takes
//! of a module that it is a part of does not count either: the two are one thing, whose face the module's own file is.

mod rust;
mod scripts;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, bail};

use crate::{command::root, format::tracked};

/// From a file to one that it takes names of: the names.
type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

/// Files by their names, with their texts.
type Files = BTreeMap<String, String>;

/// No files import each other in a circle, in the crate and in the npm package.
pub(crate) fn circles() -> Result<()> {
    let mut arrows = rust::arrows("src", &read("src/*.rs")?);
    arrows.extend(scripts::arrows(&read("pkg-template/src/*.js")?));
    let circles: Vec<String> = circles_of(&arrows).iter().map(|circle| shown(circle, &arrows)).collect();
    if !circles.is_empty() {
        bail!("files import each other in circles:\n{}", circles.join("\n"));
    }
    Ok(())
}

/// The crate's rooms use those only that are below them in the drawing of `ARCHITECTURE.md`.
pub(crate) fn rooms() -> Result<()> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let drawing = text.split("```").nth(1).context("ARCHITECTURE.md has no drawing")?;
    let upward = upward(&rust::arrows("src", &read("src/*.rs")?), drawing);
    if !upward.is_empty() {
        bail!("a room uses only those below it in ARCHITECTURE.md:\n{}", upward.join("\n"));
    }
    Ok(())
}

fn read(pattern: &str) -> Result<Files> {
    let files = tracked(&[pattern])?.into_iter();
    files.map(|file| Ok((file.clone(), fs::read_to_string(root().join(&file))?))).collect()
}

/// The sets of files that reach each other.
fn circles_of(arrows: &Arrows) -> Vec<BTreeSet<&str>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in arrows.keys() {
        next.entry(from).or_default().insert(to);
    }
    let reached = |file: &str| {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = next.get(file).into_iter().flatten().copied().collect();
        while let Some(file) = open.pop() {
            if reached.insert(file) {
                open.extend(next.get(file).into_iter().flatten());
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|&file| (file, reached(file))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (&file, others) in &reached {
        if others.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            let comes_back = |other: &&&str| reached.get(**other).is_some_and(|back| back.contains(file));
            circles.push(others.iter().filter(comes_back).copied().collect());
        }
    }
    circles
}

/// A circle with what ties it.
fn shown(circle: &BTreeSet<&str>, arrows: &Arrows) -> String {
    let ties = arrows.iter().filter(|((from, to), _)| circle.contains(&**from) && circle.contains(&**to));
    let ties = ties.map(|((from, to), names)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("\n  {from} -> {to}: {}", names.join(", "))
    });
    format!("{} files{}", circle.len(), ties.collect::<String>())
}

/// What runs up, or along a line of the drawing, or from or to what is not in it.
fn upward(arrows: &Arrows, drawing: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let line =
        |room: &str| drawing.lines().position(|line| line.split(|c| !is_word(c)).any(|word| word == room));
    // The crate's root hands on, and its program starts it.
    let room = |file: &str| {
        let inner = file.strip_prefix("src/")?;
        let room = inner.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "bin"].contains(&room)).then(|| room.to_owned())
    };
    let runs_up = |((from, to), names): (&(String, String), &BTreeSet<String>)| {
        let (above, below) = (room(from)?, room(to)?);
        let is_right = above == below || matches!((line(&above), line(&below)), (Some(a), Some(b)) if a < b);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (!is_right).then(|| format!("{from} -> {to}: {}", names.join(", ")))
    };
    arrows.iter().filter_map(runs_up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files<const N: usize>(files: [(&str, &str); N]) -> Files {
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
    }

    fn crate_<const N: usize>(modules: [(&str, &str); N]) -> Arrows {
        rust::arrows("src", &files(modules))
    }

    #[test]
    fn a_circle_is_found_and_shown() {
        let arrows = crate_([
            ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
            ("src/a.rs", "use crate::b::B; pub struct A;"),
            ("src/b.rs", "use super::c; pub struct B; fn f() -> c::C {}"),
            ("src/c/mod.rs", "pub struct C(crate::a::A);"),
            ("src/d.rs", "use crate::a::A;"),
        ]);
        let circles = circles_of(&arrows);
        let [circle] = &circles[..] else { panic!("{circles:?}") };
        assert_eq!(
            shown(circle, &arrows),
            "3 files\n  src/a.rs -> src/b.rs: B\n  src/b.rs -> src/c/mod.rs: C\n  src/c/mod.rs -> src/a.rs: A"
        );
    }

    #[test]
    fn a_face_hands_on_and_does_not_tie() {
        let arrows = crate_([
            ("src/lib.rs", "mod a; pub use crate::a::{B, inner::*};"),
            ("src/a/mod.rs", "mod b; pub mod inner; pub use b::{B, make as made};"),
            ("src/a/b.rs", "use super::inner::C; pub struct B; pub fn make() {}"),
            ("src/a/inner.rs", "pub struct C; pub enum D { E }"),
        ]);
        let pairs: Vec<_> = arrows.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert_eq!(pairs, [("src/a/b.rs", "src/a/inner.rs")]);
    }

    #[test]
    fn names_are_followed_through_faces() {
        let arrows = crate_([
            ("src/lib.rs", "mod a; mod c; mod p;"),
            ("src/a/mod.rs", "mod b; pub use b::{B, make as made}; pub fn a() { b::make() }"),
            ("src/a/b.rs", "pub struct B; pub fn make() { super::a(); }"),
            ("src/p/mod.rs", "mod one; mod two; #[cfg(one)] pub use one::*; #[cfg(two)] pub use two::*;"),
            ("src/p/one.rs", "pub fn now() {}"),
            ("src/p/two.rs", "pub fn now() {}"),
            ("src/c.rs", "use crate::{a::{B, made}, p}; fn f() { made(); p::now(); } // crate::a::a"),
        ]);
        let pairs: Vec<_> = arrows.keys().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("src/a/mod.rs", "src/a/b.rs"),
                ("src/c.rs", "src/a/b.rs"),
                ("src/c.rs", "src/p/one.rs"),
                ("src/c.rs", "src/p/two.rs"),
            ]
        );
    }

    #[test]
    fn tests_and_macros_for_others_do_not_count() {
        let arrows = crate_([
            ("src/lib.rs", "mod a; mod b; #[cfg(all(test, unix))] mod c;"),
            ("src/a.rs", "#[cfg(test)] use crate::b::B; macro_rules! m { () => { $crate::b::B } }"),
            ("src/b.rs", "pub struct B; mod inner { use super::B; }"),
            ("src/c.rs", "use crate::b::B;"),
        ]);
        assert_eq!(arrows, Arrows::new());
    }

    #[test]
    fn scripts_import_each_other() {
        let arrows = scripts::arrows(&files([
            ("src/a.js", "import {\n  b,\n} from \"./b.js\";\n"),
            (
                "src/b.js",
                "// import \"./d.js\"\nexport const c = async () => (await import(\"./c.js\")).c;\n",
            ),
            ("src/c.js", "/** @import { x } from \"./d.js\" */\nexport * from \"./a.js\";\n"),
            ("src/d.js", "import \"node:fs\";\nimport \"./a.js\";\n"),
        ]));
        let circles = circles_of(&arrows);
        assert_eq!(circles, [BTreeSet::from(["src/a.js", "src/b.js", "src/c.js"])]);
    }

    #[test]
    fn rooms_are_used_downwards() {
        let arrows = crate_([
            ("src/lib.rs", "mod high; mod low; mod beside; mod unknown; pub use high::High;"),
            ("src/high.rs", "use crate::low::Low; pub struct High;"),
            ("src/beside.rs", "use crate::{high::High, low};"),
            ("src/low/mod.rs", "pub struct Low; fn f(_: crate::High) {}"),
            ("src/unknown.rs", "use crate::low::Low;"),
        ]);
        let found = upward(&arrows, "text\n high    beside\n   low (under all)\n");
        assert_eq!(
            found,
            [
                "src/beside.rs -> src/high.rs: High",
                "src/low/mod.rs -> src/high.rs: High",
                "src/unknown.rs -> src/low/mod.rs: Low",
            ]
        );
    }
}

//! Rules about the sources that no compiler checks.

use std::fs;

use anyhow::{Result, bail};

use crate::{command::root, format::tracked};

/// The longest file, in lines.
const MAX_LINES: usize = 600;

/// No file of the crate names a target: `build.rs` has the aliases `native` and `browser` for that.
pub(crate) fn target_conditions() -> Result<()> {
    let found = find(&["src/*.rs"], |text| {
        let lines = text.lines().enumerate().filter(|(_, line)| names_target(line));
        lines.map(|(number, line)| format!("{}: {}", number + 1, line.trim())).collect()
    })?;
    none(&found, "a condition on the target is `cfg(native)` or `cfg(browser)`, which build.rs defines")
}

/// Every Rust file says in its first line what it is.
pub(crate) fn headings() -> Result<()> {
    let found = find(&["*.rs"], |text| match text.starts_with("//! ") {
        true => Vec::new(),
        false => vec![text.lines().next().unwrap_or_default().to_owned()],
    })?;
    none(&found, "a file begins with a line of `//!` that says what it is")
}

/// No file is too long to be read in one go.
pub(crate) fn lengths() -> Result<()> {
    let found = find(&["*.rs", "*.js", "*.mjs"], |text| match text.lines().count() {
        lines if lines > MAX_LINES => vec![format!("{lines} lines")],
        _ => Vec::new(),
    })?;
    none(&found, &format!("a file has at most {MAX_LINES} lines"))
}

/// What a rule finds in the files that match, each with its file.
fn find(patterns: &[&str], rule: impl Fn(&str) -> Vec<String>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in tracked(patterns)? {
        let text = fs::read_to_string(root().join(&file))?;
        found.extend(rule(&text).into_iter().map(|what| format!("{file}: {what}")));
    }
    Ok(found)
}

fn none(found: &[String], rule: &str) -> Result<()> {
    if !found.is_empty() {
        bail!("{rule}:\n{}", found.join("\n"));
    }
    Ok(())
}

fn names_target(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| code.contains(word));
    has(&["cfg(", "cfg_attr(", "cfg!(", "all(", "any(", "not("])
        && has(&[
            "target_family",
            "target_arch",
            "target_os",
            "target_vendor",
            "target_env",
            "unix)",
            "windows)",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_the_target_are_seen() {
        for line in [
            "#[cfg(target_arch = \"wasm32\")]",
            "#[cfg_attr(target_family = \"wasm\", path = \"x.rs\")]",
            "if cfg!(unix) {",
            "all(feature = \"js\", target_os = \"unknown\"),",
            "#[cfg(all(test, windows))]",
        ] {
            assert!(names_target(line), "{line}");
        }
        for line in [
            "#[cfg(feature = \"js\")]",
            "#[cfg(all(native, test))]",
            "// cfg(target_os) stands elsewhere",
            "let target_os = 1;",
        ] {
            assert!(!names_target(line), "{line}");
        }
    }

    #[test]
    fn the_rules_look_at_files() {
        let everything = find(&["xtask/src/main.rs"], |text| vec![text.to_owned()]).unwrap();
        assert!(everything.first().is_some_and(|text| text.starts_with("xtask/src/main.rs: //! ")));
        assert!(none(&everything, "there is no file").is_err());
        assert!(none(&[], "there is no file").is_ok());
    }
}

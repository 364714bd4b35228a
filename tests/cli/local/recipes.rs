//! The tests of the guide for other languages, in a command of `--once`.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    clients::python::python,
    program::{hubwire, run_with},
    support::skipped,
};

/// What the guide has in a language, in a file of a folder of its own.
fn recipe(language: &str, file: &str) -> PathBuf {
    let guide = include_str!("../../../src/local/testing_guide.md");
    let (_, rest) = guide.split_once(&format!("```{language}\n")).expect("the language is there");
    let (recipe, _) = rest.split_once("```").expect("it ends");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-recipe-{language}"));
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(file), recipe).expect("a file");
    folder
}

fn runs(folder: &Path, command: &[&str]) {
    let mut once = hubwire(["local", "--once", "--"].iter().chain(command));
    once.current_dir(folder);
    let output = run_with(once, "");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{output:?}");
}

#[test]
fn in_javascript() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules");
    if !modules.join("vitest").is_dir() {
        return skipped("the guide's test in JavaScript", "vitest is not in node_modules; run npm ci");
    }
    let folder = recipe("js", "recipe.test.mjs");
    // Where its imports are found.
    let linked = symlink(&modules, folder.join("node_modules"));
    assert!(linked.is_ok() || linked.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists));
    runs(&folder, &["node", "node_modules/vitest/vitest.mjs", "run", "--no-color"]);
}

#[tokio::test]
async fn in_python() {
    let python = match python().await {
        Ok(python) => python,
        Err(error) => return skipped("the guide's test in Python", error),
    };
    let folder = recipe("python", "test_recipe.py");
    runs(&folder, &[python.to_str().expect("a path"), "-m", "pytest", "-p", "no:cacheprovider"]);
}

//! The table beside the official emulator: each row names a test that is there.

use std::{fs, path::Path};

/// The tests that are defined below a folder.
fn tests_in(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("#[tokio::test").skip(1).chain(text.split("#[test").skip(1));
            let names =
                names.filter_map(|behind| behind.split_once("fn ")?.1.split_once('(').map(|(name, _)| name));
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_row_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for folder in ["tests/local", "tests/cli", "src/local"] {
        tests_in(&root.join(folder), &mut tests);
    }
    let table = fs::read_to_string(root.join("src/local/emulator.md")).unwrap();
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| ---") && !line.ends_with("| test |"));
    let mut count = 0;
    for row in rows {
        count += 1;
        let cell = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let named: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {row}");
        for name in named {
            let name = name.rsplit("::").next().unwrap();
            assert!(tests.iter().any(|test| test == name), "{name} is not a test: {row}");
        }
    }
    assert!(count > 20, "the rows are read");
}

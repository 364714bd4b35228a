//! What the compiler says of the mistakes that users make. Each file in `compile_fail` has one; its lines `says:` stand
//! somewhere in what the compiler then says. They are texts of this crate, and those of the compiler or of serde that
//! show the way, so that a test does not depend on how a version of the compiler puts everything else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Compiles a file against a build of this crate.
fn compile(file: &Path, library: &Path) -> Output {
    let out = std::env::temp_dir().join(format!("hubwire-compile-errors-{}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    // cargo names the toolchain to what it runs, so that this is the compiler of the test.
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(&out)
        .arg("--extern")
        .arg(format!("hubwire={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", library.parent().expect("it is in a folder").display()))
        .arg(file)
        .output()
        .expect("the compiler runs");
    let _ = fs::remove_dir_all(&out);
    output
}

/// The builds of this crate beside the test's own program, the last one first.
fn libraries() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap();
    let files = fs::read_dir(program.parent().unwrap()).unwrap().map(|file| file.unwrap().path());
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let mut found: Vec<PathBuf> = files
        .filter(|path| {
            name(path).is_some_and(|name| name.starts_with("libhubwire-") && name.ends_with(".rlib"))
        })
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).and_then(|file| file.modified()).unwrap()));
    found
}

#[test]
fn mistakes_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/compile_fail");
    let right = folder.join("right.rs");
    let libraries = libraries();
    // A build without the client, or of another compiler, may be there too.
    let library = libraries.iter().find(|library| compile(&right, library).status.success());
    let Some(library) = library else {
        let output = compile(&right, libraries.first().expect("a build of this crate"));
        panic!("what is right does not compile: {}", String::from_utf8_lossy(&output.stderr));
    };
    let mut mistakes = 0;
    for file in fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        if file == right {
            continue;
        }
        mistakes += 1;
        let source = fs::read_to_string(&file).unwrap();
        let says: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//! says: ")).collect();
        assert!(!says.is_empty(), "{}: nothing has to be said", file.display());
        let output = compile(&file, library);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{} compiles", file.display());
        for line in says {
            assert!(text.contains(line), "{}: `{line}` is not said in\n{text}", file.display());
        }
    }
    assert_eq!(mistakes, 13);
}

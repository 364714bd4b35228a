//! What the compiler says of the mistakes that users make: each file in `compile_fail` has one, and beside it stands
//! what has to be said.
//!
//! The texts are those of one compiler, with every feature, since both tell which other types would do. After a change of
//! either: `TRYBUILD=overwrite cargo test --all-features --test compile_fail`, and read what has become of them.

#![cfg(all(
    not(target_family = "wasm"),
    feature = "actix",
    feature = "leptos",
    feature = "local",
    feature = "yew"
))]

use std::process::Command;

/// The compiler that the texts are of.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("the compiler tells its version");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(COMPILER) {
        println!("SKIPPED: mistakes: the texts are of {COMPILER}x, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

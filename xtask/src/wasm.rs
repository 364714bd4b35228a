//! From the crate to the wasm module of the npm package and its JavaScript glue.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    command::{cargo, command, output, root, run, target_dir},
    tools::WASM,
};

/// What the optimiser may use. All of it is in every browser since 2021; `--all-features` would bring in encodings
/// that no browser reads.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Compiles the crate with the exports of the npm package.
pub(crate) fn compile() -> Result<PathBuf> {
    run(cargo().args(["rustc", "--lib", "--crate-type", "cdylib", "--target", WASM]).args([
        "--profile",
        "wasm-release",
        "--no-default-features",
        "--features",
        "js",
    ]))?;
    Ok(target_dir().join(WASM).join("wasm-release/hubwire.wasm"))
}

/// Writes `bindings.js` and `bindings_bg.wasm`.
pub(crate) fn bind(module: &Path, out: &Path) -> Result<PathBuf> {
    Bindgen::new()
        .input_path(module)
        .web(true)
        .and_then(|bindgen| {
            bindgen.omit_default_module_path(true).typescript(false).out_name("bindings").generate(out)
        })
        .context("wasm-bindgen refused the module")?;
    Ok(out.join("bindings_bg.wasm"))
}

/// Makes the module small. Debug information, names and the list of producers go.
pub(crate) fn optimise(module: &Path, out: &Path) -> Result<()> {
    run(command("node")
        .arg(root().join("node_modules/binaryen/bin/wasm-opt"))
        .arg("-Oz")
        .args(WASM_FEATURES)
        .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
        .arg("-o")
        .arg(out)
        .arg(module))
}

/// The crate with every feature, as a library that holds all its code, not only what is exported.
pub(crate) fn compile_everything() -> Result<Vec<u8>> {
    let mut build = cargo();
    build.args([
        "build",
        "--lib",
        "--target",
        WASM,
        "--all-features",
        "--message-format=json-render-diagnostics",
    ]);
    let messages = output(&mut build)?;
    let library = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "hubwire" && message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|extension| extension == "rlib"))
        .context("cargo named no library")?;
    Ok(fs::read(library)?)
}

//! `cargo xtask sizes`: what hubwire adds to an app in Yew or Leptos.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    command::{cargo, command, output, root, run, target_dir},
    framework::FRAMEWORKS,
    sizes::gzip,
    step::step,
    tools::{WASM, ensure_node_modules, ensure_wasm_target},
    wasm::WASM_FEATURES,
};

/// Builds a small app without hubwire and one with it, in each framework, as a release is built, and prints their sizes.
pub(crate) fn sizes() -> Result<()> {
    step("set up: wasm target, JavaScript tools", || {
        ensure_wasm_target()?;
        ensure_node_modules()
    })?;
    let mut rows = Vec::new();
    for framework in &FRAMEWORKS {
        let package = format!("hubwire-demo-{}", framework.path);
        step(&format!("build the apps in {}", framework.name), || {
            let apps = ["bare", "live"].map(|app| format!("{app}_{}", framework.path));
            run(cargo()
                .args(["build", "--target", WASM, "--profile", "wasm-release", "--package", &package])
                .args(apps.iter().flat_map(|app| ["--example", app])))?;
            let mut sizes = Vec::new();
            for app in &apps {
                sizes.push(weigh(app)?);
            }
            rows.push((framework.name, sizes));
            Ok(())
        })?;
    }
    println!("\n{:<24} {:>9} {:>9}", "wasm and its JavaScript", "bytes", "gzip");
    for (framework, sizes) in rows {
        let [bare, live] = sizes[..] else { continue };
        for (what, (bytes, gzipped)) in
            [("", bare), (" and hubwire", live), (": hubwire alone", (live.0 - bare.0, live.1 - bare.1))]
        {
            println!("{:<24} {bytes:>9} {gzipped:>9}", format!("{framework}{what}"));
        }
    }
    Ok(())
}

/// The size of an app as it would be served, and its size packed with gzip.
fn weigh(app: &str) -> Result<(usize, usize)> {
    let examples = target_dir().join(WASM).join("wasm-release/examples");
    let out = target_dir().join("sizes").join(app);
    fs::create_dir_all(&out)?;
    Bindgen::new()
        .input_path(examples.join(app).with_extension("wasm"))
        .web(true)
        .and_then(|bindgen| bindgen.typescript(false).out_name("app").generate(&out))
        .context("wasm-bindgen refused the module")?;
    let module = out.join("app_small.wasm");
    optimise(&out.join("app_bg.wasm"), &module)?;
    let glue = minify(&out.join("app.js"))?;
    let (mut bytes, mut gzipped) = (0, 0);
    for file in [module, glue] {
        let content = fs::read(file)?;
        bytes += content.len();
        gzipped += gzip(&content)?;
    }
    Ok((bytes, gzipped))
}

fn optimise(module: &Path, out: &Path) -> Result<()> {
    run(command("node")
        .arg(root().join("node_modules/binaryen/bin/wasm-opt"))
        .arg("-Oz")
        .args(WASM_FEATURES)
        .args(["--strip-debug", "--strip-producers", "--strip-target-features", "-o"])
        .arg(out)
        .arg(module))
}

fn minify(glue: &Path) -> Result<PathBuf> {
    let out = glue.with_extension("min.js");
    let minified =
        output(command("node").arg(root().join("node_modules/esbuild/bin/esbuild")).arg(glue).args([
            "--minify",
            "--format=esm",
            "--target=es2022",
            "--log-level=warning",
        ]))?;
    fs::write(&out, minified)?;
    Ok(out)
}

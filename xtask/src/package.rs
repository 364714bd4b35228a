//! `cargo xtask package`: the npm package, from the crate and `pkg-template`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};

use crate::{
    command::{cargo, command, output, root, run, target_dir},
    sizes,
    step::step,
    tools, wasm,
};

/// Builds the package and gives its tarball.
pub(crate) fn package() -> Result<PathBuf> {
    let out = target_dir().join("npm");
    let folder = out.join("hubwire");
    let work = out.join("work");
    step("set up: wasm target, JavaScript tools", || {
        tools::ensure_wasm_target()?;
        tools::ensure_node_modules()
    })?;
    let module = step("compile the wasm module", wasm::compile)?;
    step("generate the JavaScript bindings", || {
        for dir in [&folder, &work] {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
        }
        fs::create_dir_all(folder.join("src/generated"))?;
        wasm::bind(&module, &work)
    })?;
    step("optimise the wasm module", || {
        wasm::optimise(&work, &folder.join("hubwire.wasm"), &folder.join("src/generated/bindings.js"))
    })?;
    let tarball = step("assemble the npm package", || {
        assemble(&folder)?;
        worker(&folder)?;
        common_js(&folder)?;
        script(&folder)?;
        let list =
            output(command("npm").args(["pack", "--json", "--pack-destination"]).arg(&out).arg(&folder))?;
        let list: serde_json::Value = serde_json::from_str(&list).context("npm pack printed no JSON")?;
        // A list of packages up to npm 11, an object by package name later.
        let name = list[0]["filename"].as_str().or_else(|| list["hubwire"]["filename"].as_str());
        let tarball = out.join(name.context("npm pack named no file")?);
        println!("{}", tarball.display());
        Ok(tarball)
    })?;
    step("size of the package", || sizes::check(&folder))?;
    Ok(tarball)
}

fn assemble(folder: &Path) -> Result<()> {
    let template = root().join("pkg-template");
    copy_all(&template.join("src"), &folder.join("src"))?;
    for file in ["index.d.ts", "eager.d.ts", "slim.d.ts", "testing.d.ts", "README.md"] {
        fs::copy(template.join(file), folder.join(file)).with_context(|| format!("pkg-template/{file}"))?;
    }
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"] {
        fs::copy(root().join(file), folder.join(file)).with_context(|| file.to_owned())?;
    }
    let mut compressed = Vec::new();
    let wasm = fs::File::open(folder.join("hubwire.wasm"))?;
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Zlib, wasm, &mut compressed)?;
    let text = format!("export const embedded = \"{}\";\n", Base64::encode_string(&compressed));
    fs::write(folder.join("src/generated/embedded.js"), text)?;

    let mut manifest = fs::read_to_string(template.join("package.json.in"))?;
    let crate_manifest = crate_manifest()?;
    for key in ["name", "version", "description", "license"] {
        let value = crate_manifest[key].as_str().with_context(|| format!("Cargo.toml has no {key}"))?;
        manifest = manifest.replace(&format!("@{key}@"), value);
    }
    let version = format!("export const VERSION = {};\n", crate_manifest["version"]);
    fs::write(folder.join("src/generated/version.js"), version)?;
    Ok(fs::write(folder.join("package.json"), manifest)?)
}

/// Builds the worker's script: as a separate file, and as a text from which the package makes a worker itself.
fn worker(folder: &Path) -> Result<()> {
    let script = folder.join("worker.js");
    run(esbuild()
        .arg(folder.join("src/worker.js"))
        .args(["--bundle", "--minify", "--format=iife", "--target=es2022", "--log-level=warning"])
        .arg(format!("--outfile={}", script.display())))?;
    let text = serde_json::to_string(&fs::read_to_string(&script)?)?;
    Ok(fs::write(folder.join("src/generated/worker.js"), format!("export const script = {text};\n"))?)
}

pub(crate) fn esbuild() -> Command {
    let mut esbuild = command("node");
    esbuild.arg(root().join("node_modules/esbuild/bin/esbuild"));
    esbuild
}

/// Writes the package a second time, for `require`: file by file, so that both entries share what they share as ES
/// modules. Node.js imports this copy as well, through `.mjs` files that only hand on, so that a program which does
/// both has one module and one set of classes.
fn common_js(folder: &Path) -> Result<()> {
    let (src, cjs) = (folder.join("src"), folder.join("cjs"));
    run(esbuild()
        .args([src.join("*.js"), src.join("generated/*.js")])
        .args(["--format=cjs", "--platform=node", "--target=node20", "--log-level=warning"])
        // As `require`: test runners that run CommonJS have no `import()`.
        .arg("--supported:dynamic-import=false")
        .arg(format!("--outbase={}", src.display()))
        .arg(format!("--outdir={}", cjs.display())))?;
    fs::write(cjs.join("package.json"), "{ \"type\": \"commonjs\" }\n")?;
    for entry in ["index", "eager", "slim", "testing"] {
        // By their names: of a package without side effects, webpack loses what `export *` hands on from CommonJS.
        let names = output(
            command("node")
                .args(["--print", "Object.keys(require(process.argv[1])).join(', ')"])
                .arg(cjs.join(entry).with_extension("js")),
        )?;
        let exports = format!("export {{ {} }} from \"./{entry}.js\";\n", names.trim());
        fs::write(cjs.join(entry).with_extension("mjs"), exports)?;
        fs::copy(folder.join(entry).with_extension("d.ts"), cjs.join(entry).with_extension("d.ts"))?;
    }
    Ok(())
}

/// Writes the files for `<script>`, which come with all that they need: the same names and the same wrapper as the
/// official package's.
fn script(folder: &Path) -> Result<()> {
    let dist = folder.join("dist/browser");
    for (name, minify) in [("signalr.js", None), ("signalr.min.js", Some("--minify"))] {
        run(esbuild()
            .arg(folder.join("src/browser.js"))
            .args([
                "--bundle",
                "--format=iife",
                "--global-name=signalR",
                "--target=es2022",
                "--log-level=warning",
            ])
            .args(minify)
            .arg(format!("--banner:js={SCRIPT_BEGIN}"))
            .arg(format!("--footer:js={SCRIPT_END}"))
            .arg(format!("--outfile={}", dist.join(name).display())))?;
    }
    // Where they are required, as a file of the official package may have been.
    Ok(fs::write(dist.join("package.json"), "{ \"type\": \"commonjs\" }\n")?)
}

/// Hands what follows to a module loader, or else makes it global.
const SCRIPT_BEGIN: &str = r#"(function (root, make) {
  if (typeof exports === "object" && typeof module === "object") module.exports = make();
  else if (typeof define === "function" && define.amd) define([], make);
  else root.signalR = make();
})(globalThis, function () {"#;
const SCRIPT_END: &str = "return signalR; });";

fn crate_manifest() -> Result<serde_json::Value> {
    let metadata = output(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    packages.into_iter().find(|package| package["name"] == "hubwire").context("cargo metadata has no hubwire")
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

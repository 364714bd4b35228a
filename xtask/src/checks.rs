//! Rules about what is built that no compiler checks: nothing of the server is in a browser, the core needs next to
//! nothing, and the package has what it needs.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, output, root, run, target_dir},
    format::tracked,
    package::esbuild,
    tools::WASM,
    wasm,
};

/// What only code for the server's side says: access keys, Entra, the service's REST paths. A browser must never
/// get it.
const SECRET_BEARING: [&str; 8] = [
    "accessKey",
    "AccessKey",
    "client_secret",
    "client_assertion",
    "oauth2/v2.0/token",
    "api/v1/auth",
    "azure_identity",
    "/api/hubs/",
];

/// Crates that only such code needs.
const NATIVE_CRATES: [&str; 10] = [
    "azure_core",
    "azure_identity",
    "hmac",
    "p12-keystore",
    "reqwest",
    "ring",
    "rustls",
    "sha2",
    "tokio",
    "x509-parser",
];

/// All that the crate depends on without features.
const CORE_CRATES: [&str; 4] = ["base64ct", "cfg-if", "memchr", "thiserror"];

/// What is in the crate's package besides the sources.
const PACKED: [&str; 7] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "build.rs",
];

/// The npm package's module imports from its glue alone, and has nothing in it that a browser must not get.
pub(crate) fn npm_module(module: &Path) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    no_secrets("the npm package's module", &bytes)?;
    // A name is its length, then its bytes. `env` is what C code leaves open.
    if contains(&bytes, b"\x03env") {
        bail!("the npm package's module imports from \"env\"");
    }
    Ok(())
}

/// With every feature on, a wasm build of the crate has none of the server's code.
pub(crate) fn wasm_code() -> Result<()> {
    let library = wasm::compile_everything()?;
    let mut objects = 0;
    for (name, bytes) in members(&library).context("the library is not an archive")? {
        // The metadata holds the documentation, which may name what the code may not have.
        if name.starts_with("lib.rmeta") {
            continue;
        }
        objects += 1;
        no_secrets("a wasm build with every feature", bytes)?;
    }
    if objects == 0 {
        bail!("the library has no code in it");
    }
    Ok(())
}

/// With every feature on, a wasm build depends on none of the server's crates.
pub(crate) fn wasm_dependencies() -> Result<()> {
    let names = dependencies(&["--target", WASM, "--all-features"])?;
    if !names.iter().any(|name| name == "wasm-bindgen") {
        bail!("these are not the dependencies of a wasm build: {}", names.join(", "));
    }
    match NATIVE_CRATES.iter().find(|native| names.iter().any(|name| name == *native)) {
        Some(name) => bail!("{name} is a dependency of the wasm build"),
        None => Ok(()),
    }
}

/// Without features there is no HTTP client, TLS library or runtime, on either target: the core alone.
pub(crate) fn core_dependencies() -> Result<()> {
    for target in [&[][..], &["--target", WASM]] {
        let names = dependencies(&[&["--no-default-features"], target].concat())?;
        if names != CORE_CRATES {
            bail!("the core depends on {}, and should on {}", names.join(", "), CORE_CRATES.join(", "));
        }
    }
    Ok(())
}

/// The crates that end up in a program, sorted. Macros do not.
fn dependencies(arguments: &[&str]) -> Result<Vec<String>> {
    let mut tree = cargo();
    tree.args(["tree", "--package", "hubwire", "--edges", "normal,no-proc-macro", "--prefix", "none"]);
    let tree = output(tree.args(["--format", "{p}"]).args(arguments))?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<&str> = names.filter(|name| !["", "hubwire"].contains(name)).collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The package of the crate has every source, and what a package needs besides; nothing of the tests and tools.
pub(crate) fn crate_package() -> Result<()> {
    let list = ["package", "--package", "hubwire", "--allow-dirty", "--list"];
    let list = output(cargo().args(list))?;
    let mut packed: BTreeSet<String> = list.lines().map(|line| line.replace('\\', "/")).collect();
    let mut wanted: BTreeSet<String> = tracked(&["src"])?.into_iter().collect();
    wanted.extend(PACKED.map(str::to_owned));
    // Cargo adds them, the last outside of a dirty checkout only.
    for name in ["Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"] {
        packed.remove(name);
    }
    let differing: Vec<&str> = packed.symmetric_difference(&wanted).map(String::as_str).collect();
    if !differing.is_empty() {
        bail!("the package and what should be in it differ by {}", differing.join(", "));
    }
    // It is assembled as for the registry; that it compiles is known from the checks of the features.
    run(cargo().args(["package", "--quiet", "--package", "hubwire", "--allow-dirty", "--no-verify"]))
}

/// What the tests' scripts import is there, by path and by name: most of them begin after half an hour of other steps.
pub(crate) fn script_imports() -> Result<()> {
    let mut scripts = tracked(&["*.mjs"])?;
    // These come to what they import when the test puts them into a project.
    scripts.retain(|script| !script.starts_with("tests/packaging/"));
    run(esbuild()
        .args(scripts)
        .args(["--bundle", "--platform=node", "--format=esm", "--packages=external"])
        // As a test's server names the npm package to a page.
        .args(["--external:/package/*", "--log-level=error"])
        .arg(format!("--outdir={}", target_dir().join("scripts").display())))
}

/// The README's links work wherever it is shown: in the repository, on crates.io, on docs.rs. Pictures come from the
/// repository.
pub(crate) fn readme_links() -> Result<()> {
    let text = fs::read_to_string(root().join("README.md"))?;
    match relative_links(&text).as_slice() {
        [] => Ok(()),
        links => bail!("links of README.md that work in the repository only: {}", links.join(", ")),
    }
}

fn relative_links(text: &str) -> Vec<&str> {
    let links = text.match_indices("](").filter_map(|(at, _)| {
        let is_picture = text.get(..at)?.rsplit_once('[')?.0.ends_with('!');
        let target = text.get(at + 2..)?.split([')', ' ']).next()?;
        let works = target.starts_with("https://") || target.starts_with('#');
        (!is_picture && !works).then_some(target)
    });
    links.collect()
}

fn no_secrets(what: &str, bytes: &[u8]) -> Result<()> {
    match SECRET_BEARING.iter().find(|text| contains(bytes, text.as_bytes())) {
        Some(text) => bail!("{what} contains \"{text}\""),
        None => Ok(()),
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// The members of an `ar` archive: a name of 16 bytes, ten characters with the length at offset 48, then the bytes.
fn members(archive: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut rest = archive.strip_prefix(b"!<arch>\n")?;
    let mut names: &[u8] = &[];
    let mut members = Vec::new();
    while rest.len() >= 60 {
        let (header, body) = rest.split_at(60);
        let length: usize = std::str::from_utf8(header.get(48..58)?).ok()?.trim().parse().ok()?;
        let bytes = body.get(..length)?;
        let name = String::from_utf8_lossy(header.get(..16)?).trim_end().to_owned();
        match name.strip_prefix('/') {
            Some("/") => names = bytes,
            Some(offset) if !offset.is_empty() => {
                let long = names.get(offset.parse().ok()?..)?;
                let end = long.iter().position(|&byte| byte == b'/')?;
                members.push((String::from_utf8_lossy(long.get(..end)?).into_owned(), bytes));
            }
            Some(_) => {}
            None => members.push((name, bytes)),
        }
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        let text = "![A picture](a.png), [one](https://example.com/x) and [two](b.md#c), [three](#there), [four](d).";
        assert_eq!(relative_links(text), ["b.md#c", "d"]);
    }

    #[test]
    fn archives_are_read() {
        let mut archive = b"!<arch>\n".to_vec();
        for (name, bytes) in [("//", "hubwire.long-name.o/\n"), ("/0", "accessKey"), ("lib.rmeta/", "docs")] {
            archive.extend(format!("{name:<16}{:<32}{:<10}`\n", "", bytes.len()).bytes());
            archive.extend(bytes.bytes());
            if bytes.len() % 2 == 1 {
                archive.push(b'\n');
            }
        }
        let found = members(&archive).unwrap_or_default();
        assert_eq!(
            found,
            [("hubwire.long-name.o".to_owned(), &b"accessKey"[..]), ("lib.rmeta/".to_owned(), b"docs")]
        );
        assert!(no_secrets("this", b"an accessKey").is_err());
        assert!(no_secrets("this", b"an accessToken").is_ok());
    }
}

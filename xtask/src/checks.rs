//! Rules about what is built that no compiler checks: nothing of the server is in a browser.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, output},
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
    let tree = output(
        cargo()
            .args([
                "tree",
                "--package",
                "hubwire",
                "--target",
                WASM,
                "--all-features",
                "--edges",
                "normal,no-proc-macro",
            ])
            .args(["--prefix", "none", "--format", "{p}"]),
    )?;
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    if !names.contains(&"wasm-bindgen") {
        bail!("this is not a dependency tree of a wasm build:\n{tree}");
    }
    match NATIVE_CRATES.iter().find(|name| names.contains(name)) {
        Some(name) => bail!("{name} is a dependency of the wasm build"),
        None => Ok(()),
    }
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

//! How large the npm package is, and whether that is within `tests/size-budget.json`.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};

use crate::command::{command, root, run};

/// No release may be larger than this: bytes of the minified application, gzip.
const RELEASE_LIMIT: usize = 45_000;

/// Bundles an application that uses the whole package, prints a table and compares with the budget.
pub(crate) fn check(package: &Path, work: &Path) -> Result<()> {
    let application = work.join("application.js");
    let entry = work.join("application-entry.js");
    // A namespace that escapes keeps every export: this is the size of the package, not of one import.
    fs::write(
        &entry,
        format!(
            "import * as hubwire from {:?};\nglobalThis.hubwire = hubwire;\n",
            package.join("src/index.js")
        ),
    )?;
    run(command("node")
        .arg(root().join("node_modules/esbuild/bin/esbuild"))
        .arg(&entry)
        .args(["--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=warning"])
        // Loaded only when it is used.
        .arg("--external:*/remote.js")
        .arg(format!("--outfile={}", application.display())))?;

    println!("{:<34} {:>9} {:>9}", "", "bytes", "gzip");
    let mut total = 0;
    for (name, file) in [
        ("hubwire.wasm", package.join("hubwire.wasm")),
        ("src/generated/bindings.js", package.join("src/generated/bindings.js")),
        ("worker mode, loaded when used", package.join("src/generated/worker.js")),
        ("application, minified", application),
    ] {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        total = gzip(&bytes)?;
        println!("{name:<34} {:>9} {total:>9}", bytes.len());
    }

    let file = root().join("tests/size-budget.json");
    let budget: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    let limit = budget["application_gzip_bytes"]
        .as_u64()
        .and_then(|limit| usize::try_from(limit).ok())
        .with_context(|| format!("application_gzip_bytes is missing in {}", file.display()))?;
    println!("{:<34} {:>9} {limit:>9}", "budget", "");
    if total > RELEASE_LIMIT {
        println!("NOT READY FOR A RELEASE: the application takes more than {RELEASE_LIMIT} bytes (gzip)");
    }
    if total > limit {
        bail!("the application takes {total} bytes (gzip), more than {limit}");
    }
    Ok(())
}

/// How many bytes are left of these.
pub(crate) fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

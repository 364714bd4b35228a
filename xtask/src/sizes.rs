//! How large the npm package is, and whether that is within `tests/size-budget.json`.

use std::{io::Write as _, path::Path};

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};

use crate::command::{command, root, run};

/// Prints a table of applications that use the package, and compares it with the budget.
pub(crate) fn check(package: &Path) -> Result<()> {
    run(command("node").arg(root().join("tests/sizes.mjs")).arg(package))
}

/// How many bytes are left of these.
pub(crate) fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

//! `hubwire bench`.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;

/// What it says of a scenario, as JSON.
pub(crate) fn bench(url: &str, arguments: &[String]) -> Result<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubwire"));
    // Nothing of the environment that could change what it does: there is no such folder.
    command
        .env("HUBWIRE_CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/target/no-settings"))
        .env_remove("HUBWIRE_CONTEXT");
    let output = command
        .args(["bench", url, "--json"])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stdout)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A number of a report, by its path in it.
pub(crate) fn number(report: &Value, path: &str) -> Result<f64> {
    let value = report.pointer(path).and_then(Value::as_f64);
    value.ok_or_else(|| format!("there is no {path} in {report}").into())
}

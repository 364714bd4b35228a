//! Clients from PyPI. They are installed once, into a folder beside the build.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{process::Command, sync::OnceCell};

use super::{
    app::{App, MODES, Mode},
    content,
};
use crate::support::skipped;

const PACKAGES: [&str; 5] =
    ["pysignalr==1.3.3", "signalrcore==1.0.2", "pytest==9.2.0", "pyjwt==2.15.1", "requests==2.34.2"];

/// The interpreter of an environment with the packages, or why there is none.
pub(crate) async fn python() -> Result<&'static PathBuf, &'static String> {
    static PYTHON: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    PYTHON.get_or_init(install).await.as_ref()
}

async fn install() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", PACKAGES.join("-")));
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let ready = folder.join("ready");
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES)).await?;
        std::fs::write(&ready, "").map_err(|error| error.to_string())?;
    }
    Ok(python)
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().await.map_err(|error| error.to_string())?;
    let errors = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(errors()) }
}

async fn calls(client: &str) {
    let python = match python().await {
        Ok(python) => python,
        Err(error) => return skipped(&format!("{client} at `hubwire local`"), error),
    };
    futures_util::future::join_all(MODES.map(|mode| calls_in(mode, python, client))).await;
}

async fn calls_in(mode: Mode, python: &Path, client: &str) {
    // signalrcore stops where it hears something: at the next ping.
    let app = App::start(mode, &["--keep-alive-interval", "500ms"]).await;
    let mut command = Command::new(python);
    let script = format!("{}/tests/cli/clients/{client}.py", env!("CARGO_MANIFEST_DIR"));
    command.args(["-B", "-W", "error::RuntimeWarning", &script, &app.url]);
    content(&format!("{client} in {mode:?} mode"), command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pysignalr() {
    calls("pysignalr_client").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signalrcore() {
    calls("signalrcore_client").await;
}

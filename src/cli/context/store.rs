//! The file of saved contexts: readable JSON, for its owner's eyes, replaced as a whole.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::cli::{context::options::TargetOptions, failure::Failure};

const FILE: &str = "contexts.json";
const LONGEST_NAME: usize = 64;
/// More than anybody saves; whatever else stands there is not read.
const LONGEST_FILE: u64 = 1024 * 1024;
/// A change takes milliseconds.
const LONGEST_LOCK: Duration = Duration::from_secs(5);

/// What is saved.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Saved {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    pub(super) contexts: BTreeMap<String, TargetOptions>,
}

/// Where contexts are saved.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The folder of the user's settings, by the rules of the platform.
    pub(super) fn of_user() -> Result<Self, Failure> {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The XDG specification has relative paths ignored.
        let absolute = |name: &str| folder(name).filter(|path| path.is_absolute());
        let platforms = || {
            if cfg!(not(posix)) {
                return Some(absolute("APPDATA")?.join("hubwire"));
            }
            let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
            Some(config?.join("hubwire"))
        };
        let found = folder("HUBWIRE_CONFIG").or_else(platforms).ok_or_else(|| {
            Failure::new("this user has no folder for settings")
                .advise("set HUBWIRE_CONFIG to a folder where contexts may be saved")
        })?;
        Ok(Self { folder: found })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What is saved; nothing where there is no file.
    pub(super) fn read(&self) -> Result<Saved, Failure> {
        let path = self.path();
        let failed = |error: std::io::Error| {
            Failure::new(format!("the saved contexts in {} cannot be read", path.display())).because(error)
        };
        match fs::metadata(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Saved::default());
            }
            Err(error) => return Err(failed(error)),
            Ok(found) if found.len() > LONGEST_FILE => {
                return Err(Failure::new(format!(
                    "{} is too long to be what contexts are saved in",
                    path.display()
                )));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("the saved contexts in {} are not valid", path.display()))
                .because(error)
                .advise("correct the file, or move it away and save the contexts again")
        })
    }

    /// Waits until no other program changes what is saved, and keeps it so until this is dropped.
    pub(super) fn lock(&self) -> Result<Lock, Failure> {
        let path = self.folder.join(format!(".{FILE}.lock"));
        let failed = |error: std::io::Error| {
            Failure::new(format!("the contexts in {} cannot be locked", self.folder.display()))
                .because(error)
                .advise("set HUBWIRE_CONFIG to a folder where contexts may be saved")
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Lock(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let held = fs::metadata(&path).and_then(|found| found.modified());
                    // A program that was killed has left it behind.
                    if held.is_ok_and(|since| since.elapsed().is_ok_and(|held| held > LONGEST_LOCK)) {
                        let _ = fs::remove_file(&path);
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Replaces what is saved: a program that reads meanwhile sees the old file or the new one.
    pub(super) fn write(&self, saved: &Saved) -> Result<(), Failure> {
        let path = self.path();
        let failed = |error: std::io::Error| {
            Failure::new(format!("the contexts cannot be saved in {}", path.display()))
                .because(error)
                .advise("set HUBWIRE_CONFIG to a folder where contexts may be saved")
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let mut text = serde_json::to_vec_pretty(saved)?;
        text.push(b'\n');
        let new = self.folder.join(format!(".{FILE}.{}", process::id()));
        let written = write_new(&new, &text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            failed(error)
        })
    }
}

/// A file that is there as long as one program changes what is saved.
#[derive(Debug)]
pub(super) struct Lock(PathBuf);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes a file that only its owner can read.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What a process of the same number has left behind.
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(posix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether a context may have this name.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let is_valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_valid {
        return Ok(());
    }
    Err(Failure::usage(format!("a context cannot be called `{name}`")).advise(format!(
        "take up to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, and a letter or a digit first"
    )))
}

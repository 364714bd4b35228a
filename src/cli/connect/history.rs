//! The lines that were typed, for the next time: without secrets, as far as that can be seen.

use std::{
    collections::VecDeque,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// How many lines are kept.
const KEPT: usize = 1_000;
/// The longest line that is kept.
const MAX_LINE: usize = 4_096;
/// The longest file that is read.
const MAX_FILE: u64 = (KEPT * MAX_LINE) as u64;
/// What a line with a secret most likely contains, in lower case. `eyJ` begins a JSON Web Token.
const SECRETS: [&str; 8] = ["accesskey", "api_key", "apikey", "bearer", "eyj", "password", "secret", "token"];

/// The history, which is written with every line: the program may be ended at any time.
#[derive(Debug)]
pub(super) struct History {
    lines: VecDeque<String>,
    path: Option<PathBuf>,
}

impl History {
    /// What was kept before; nothing where there is no folder for it.
    pub(super) fn load() -> Self {
        let path = path();
        let text = path.as_deref().and_then(|path| {
            let is_small = fs::metadata(path).ok()?.len() <= MAX_FILE;
            is_small.then(|| fs::read_to_string(path).ok()).flatten()
        });
        Self::of(path, text.unwrap_or_default().lines())
    }

    fn of<'a>(path: Option<PathBuf>, lines: impl Iterator<Item = &'a str>) -> Self {
        let mut history = Self { lines: VecDeque::new(), path };
        lines.for_each(|line| {
            history.keep(line);
        });
        history
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Keeps a line, and says whether it did. As in a shell, one that begins with a blank is not kept.
    pub(super) fn add(&mut self, line: &str) -> bool {
        if !self.keep(line) {
            return false;
        }
        if let Some(path) = &self.path
            && let Err(error) = self.write(path)
        {
            tracing::debug!(%error, "the history cannot be written");
            self.path = None;
        }
        true
    }

    fn keep(&mut self, line: &str) -> bool {
        let lower = line.to_lowercase();
        if line.trim().is_empty()
            || line.starts_with(char::is_whitespace)
            || line.len() > MAX_LINE
            || self.lines.back().is_some_and(|last| last == line)
            || SECRETS.iter().any(|secret| lower.contains(secret))
        {
            return false;
        }
        self.lines.push_back(line.to_owned());
        if self.lines.len() > KEPT {
            self.lines.pop_front();
        }
        true
    }

    /// In one step, and for the user's eyes only.
    fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = crate::cli::machine::create_private(&temporary)
            .and_then(|mut file| self.lines.iter().try_for_each(|line| writeln!(file, "{line}")));
        let renamed = written.and_then(|()| fs::rename(&temporary, path));
        if renamed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }
}

/// `HUBWIRE_STATE`, or the folder that the platform has for what programs remember.
fn path() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = folder("HUBWIRE_STATE").or_else(|| {
        let of_platform = folder("XDG_STATE_HOME").or_else(|| folder("LOCALAPPDATA"));
        let of_user = || folder("HOME").map(|home| home.join(".local").join("state"));
        of_platform.or_else(of_user).map(|folder| folder.join("hubwire"))
    });
    state.map(|folder| folder.join("history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_secrets_are_not_kept() {
        let lines = [
            "invoke Add 1 2",
            "invoke Add 1 2",
            "",
            " send Quietly",
            "invoke Login eyJhbGciOi.e30.x",
            "send Login {\"Password\": 1}",
            "quit",
        ];
        let history = History::of(None, lines.into_iter());
        assert_eq!(history.lines().collect::<Vec<_>>(), ["invoke Add 1 2", "quit"]);
    }

    #[test]
    fn it_is_bounded_and_comes_back() {
        let folder = env::temp_dir().join(format!("hubwire-history-{}", std::process::id()));
        let path = folder.join("history");
        let mut history = History::of(Some(path.clone()), ["send A"; 0].into_iter());
        for n in 0..KEPT + 10 {
            assert!(history.keep(&format!("send A {n}")));
        }
        assert!(history.add("quit"));
        let text = fs::read_to_string(&path).expect("it is written");
        assert_eq!(
            History::of(None, text.lines()).lines().collect::<Vec<_>>(),
            history.lines().collect::<Vec<_>>()
        );
        assert_eq!(history.lines.len(), KEPT);
        assert_eq!(fs::read_dir(&folder).expect("the folder is there").count(), 1);
        fs::remove_dir_all(folder).expect("it is removed");
    }
}

//! What the operating system gives this process, and how much of it is used.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

/// Allows as many open files, and so connections, as the system lets this process have: what it begins with, often 1 024,
/// is a leftover of programs that cannot handle more. Returns the limit, if there is one and it is known.
pub(super) fn raise_file_limit() -> Option<u64> {
    #[cfg(posix)]
    {
        use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};

        // macOS has a limit of its own below one that it calls infinite.
        const OF_MACOS: u64 = 10_240;
        let (soft, hard) = getrlimit(RLIMIT_NOFILE).ok()?;
        for wanted in [hard, OF_MACOS.min(hard)] {
            if wanted > soft && setrlimit(RLIMIT_NOFILE, wanted, hard).is_ok() {
                return Some(wanted);
            }
        }
        Some(soft)
    }
    #[cfg(not(posix))]
    None
}

/// Seconds that the processors have spent on this process.
pub(super) fn cpu_seconds() -> Option<f64> {
    #[cfg(posix)]
    {
        use nix::sys::{
            resource::{UsageWho, getrusage},
            time::TimeValLike as _,
        };

        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(microseconds as f64 / 1e6)
    }
    #[cfg(not(posix))]
    None
}

/// The memory that this process has, in bytes, where the system tells it by a file.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

/// A new file that only this user may read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(posix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The terminal of standard input, which gives every key at once and shows none by itself. It is set as it was when this is
/// dropped: a program that ends while it reads a line would leave the terminal without echo.
#[derive(Debug)]
pub(super) struct RawTerminal(());

impl RawTerminal {
    pub(super) fn enter() -> io::Result<Self> {
        let entered = Self(());
        Self::set()?;
        Ok(entered)
    }

    fn set() -> io::Result<()> {
        crossterm::terminal::enable_raw_mode()?;
        #[cfg(posix)]
        {
            use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};

            // Whatever else is written, such as the log, still begins its lines at the left.
            let mut mode = tcgetattr(io::stdin())?;
            mode.output_flags.insert(OutputFlags::OPOST);
            tcsetattr(io::stdin(), SetArg::TCSANOW, &mode)?;
        }
        #[cfg(not(posix))]
        let _ = crossterm::ansi_support::supports_ansi();
        paste_as_one(true);
        Ok(())
    }

    fn unset() -> io::Result<()> {
        paste_as_one(false);
        crossterm::terminal::disable_raw_mode()
    }

    /// Does something with the terminal as it was.
    pub(super) fn leave_for_a_while(act: impl FnOnce()) -> io::Result<()> {
        Self::unset()?;
        act();
        Self::set()
    }

    /// Whether the terminal can move its cursor.
    pub(super) fn is_capable() -> bool {
        let term = std::env::var("TERM").unwrap_or_default();
        cfg!(not(posix)) || !["", "dumb", "cons25", "emacs"].contains(&term.as_str())
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // It fails when the terminal is gone.
        let _ = Self::unset();
    }
}

/// Has the terminal mark what is pasted. One that cannot do it passes over this.
fn paste_as_one(mark: bool) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "\x1b[?2004{}", if mark { 'h' } else { 'l' }).and_then(|()| out.flush());
}

/// Stops this program and all that the terminal runs with it, as Ctrl-Z does, until the user has it continue.
pub(super) fn suspend() {
    #[cfg(posix)]
    {
        use nix::{
            sys::signal::{Signal, kill},
            unistd::Pid,
        };

        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
    }
}

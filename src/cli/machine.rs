//! What the operating system gives this process, and how much of it is used.

use std::{
    fs::{File, OpenOptions},
    io,
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

/// How the terminal of standard input is set. It is set so again when this is dropped: a program that ends while it reads a
/// line would leave the terminal without echo.
#[derive(Debug)]
pub(super) struct TerminalMode {
    #[cfg(posix)]
    mode: nix::sys::termios::Termios,
}

impl TerminalMode {
    #[cfg(posix)]
    pub(super) fn keep() -> Option<Self> {
        let mode = nix::sys::termios::tcgetattr(io::stdin()).ok()?;
        Some(Self { mode })
    }

    #[cfg(not(posix))]
    pub(super) fn keep() -> Option<Self> {
        None
    }
}

#[cfg(posix)]
impl Drop for TerminalMode {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};

        // It fails when the terminal is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.mode);
    }
}

//! What the operating system asks of the program while it runs.

use std::io;

/// How the program is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ctrl+C, which a terminal sends to every process that it has in the foreground.
    Interrupt,
    /// What service managers, containers and CI send.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

#[cfg(posix)]
mod system {
    use tokio::signal::unix;

    use super::{Signal, io};

    #[derive(Debug)]
    pub(in crate::cli) struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
        /// None where the program is to outlive its terminal.
        hang_up: Option<unix::Signal>,
    }

    /// Whether it was started so that it outlives its terminal, as `nohup` does it: with SIGHUP, the first signal, ignored.
    /// To listen to it would undo that.
    fn ignores_hang_up() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & 1 == 1)
    }

    impl Signals {
        /// From now on signals do not end the program by themselves.
        pub(in crate::cli) fn new() -> io::Result<Self> {
            use unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: (!ignores_hang_up()).then(|| signal(SignalKind::hangup())).transpose()?,
            })
        }

        pub(in crate::cli) async fn next(&mut self) -> Signal {
            let hung_up = async {
                match &mut self.hang_up {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = self.interrupt.recv() => Signal::Interrupt,
                Some(()) = self.terminate.recv() => Signal::Terminate,
                Some(()) = hung_up => Signal::HangUp,
            }
        }
    }
}

#[cfg(not(posix))]
mod system {
    use tokio::signal::windows;

    use super::{Signal, io};

    #[derive(Debug)]
    pub(in crate::cli) struct Signals {
        interrupt: windows::CtrlC,
        stop: windows::CtrlBreak,
        close: windows::CtrlClose,
    }

    impl Signals {
        /// From now on signals do not end the program by themselves.
        pub(in crate::cli) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: windows::ctrl_c()?,
                stop: windows::ctrl_break()?,
                close: windows::ctrl_close()?,
            })
        }

        pub(in crate::cli) async fn next(&mut self) -> Signal {
            tokio::select! {
                Some(()) = self.interrupt.recv() => Signal::Interrupt,
                Some(()) = self.stop.recv() => Signal::Terminate,
                Some(()) = self.close.recv() => Signal::HangUp,
            }
        }
    }
}

pub(super) use system::Signals;

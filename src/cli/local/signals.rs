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
    pub(in crate::cli::local) struct Signals {
        interrupt: unix::Signal,
        terminate: unix::Signal,
        hang_up: unix::Signal,
    }

    impl Signals {
        /// From now on signals do not end the program by themselves.
        pub(in crate::cli::local) fn new() -> io::Result<Self> {
            use unix::{SignalKind, signal};
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
            })
        }

        pub(in crate::cli::local) async fn next(&mut self) -> Signal {
            tokio::select! {
                Some(()) = self.interrupt.recv() => Signal::Interrupt,
                Some(()) = self.terminate.recv() => Signal::Terminate,
                Some(()) = self.hang_up.recv() => Signal::HangUp,
            }
        }
    }
}

#[cfg(not(posix))]
mod system {
    use tokio::signal::windows;

    use super::{Signal, io};

    #[derive(Debug)]
    pub(in crate::cli::local) struct Signals {
        interrupt: windows::CtrlC,
        stop: windows::CtrlBreak,
        close: windows::CtrlClose,
    }

    impl Signals {
        /// From now on signals do not end the program by themselves.
        pub(in crate::cli::local) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: windows::ctrl_c()?,
                stop: windows::ctrl_break()?,
                close: windows::ctrl_close()?,
            })
        }

        pub(in crate::cli::local) async fn next(&mut self) -> Signal {
            tokio::select! {
                Some(()) = self.interrupt.recv() => Signal::Interrupt,
                Some(()) = self.stop.recv() => Signal::Terminate,
                Some(()) = self.close.recv() => Signal::HangUp,
            }
        }
    }
}

pub(super) use system::Signals;

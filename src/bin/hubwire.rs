//! The command line program; `hubwire::cli` is what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(native)]
    return hubwire::cli::main();
    #[cfg(browser)]
    panic!("the command line program is a native one");
}

//! `hubwire completions`: what a shell needs to complete the words of a command.

use std::process::ExitCode;

use clap_complete::{Shell, env::Shells};

use crate::cli::{failure::Failure, output::Output};

/// The variable by which the shell asks.
const VARIABLE: &str = "COMPLETE";
const PROGRAM: &str = "hubwire";

/// Print the completions of a shell
///
/// The shell asks the program for what can come next, names of saved contexts included.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where it goes (zsh: a folder of $fpath):
  hubwire completions bash > ~/.local/share/bash-completion/completions/hubwire
  hubwire completions zsh > ~/.zfunc/_hubwire
  hubwire completions fish > ~/.config/fish/completions/hubwire.fish
  hubwire completions powershell >> $PROFILE
  hubwire completions elvish >> ~/.config/elvish/rc.elv")]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let name = &*arguments.shell.to_string();
    let shells = Shells::builtins();
    let shell =
        shells.completer(name).ok_or_else(|| Failure::new("there are no completions for this shell"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    let script = String::from_utf8_lossy(&script).into_owned();
    if output.is_json() {
        output.json(&serde_json::json!({ "shell": name, "script": script }));
    } else {
        output.line(script.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

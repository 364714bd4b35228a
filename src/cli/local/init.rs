//! `hubwire local init`: a settings file to begin with.

use std::{fs::OpenOptions, io::Write as _, path::PathBuf, process::ExitCode};

use serde_json::json;

use crate::cli::{
    failure::Failure,
    output::{NAME, Output},
};

/// Every setting, with what it does. Those that change something are comments.
pub(super) const EXAMPLE: &str = include_str!("example.jsonc");

/// Write a settings file with every setting explained
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file
    #[arg(default_value = "hubwire.json")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let Arguments { file, force } = arguments;
    let shown = file.display();
    let mut options = OpenOptions::new();
    options.write(true);
    if *force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(file).and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::new(format!("{shown} is there already"))
                .advise("give another name, or `--force` to write over it")
        } else {
            Failure::new(format!("{shown} cannot be written")).because(error)
        }
    })?;
    if output.is_json() {
        output.json(&json!({ "file": file }));
    } else {
        output.line(format_args!("{NAME}{shown}{NAME:#} is written; `hubwire local` in its folder reads it"));
    }
    Ok(ExitCode::SUCCESS)
}

//! Where the words of a command go.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal as _, Write},
    process,
};

use anstream::{AutoStream, ColorChoice};
use clap::{
    ValueEnum,
    builder::styling::{AnsiColor, Effects, Style},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The exit code of a program whose reader is gone, such as `| head`: that of one that SIGPIPE has ended, as coreutils, curl,
/// gh and kubectl are.
const NOBODY_READS: i32 = 141;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(super) const NAME: Style = AnsiColor::Cyan.on_default();
pub(super) const FAINT: Style = Style::new().effects(Effects::DIMMED);
pub(super) const STRONG: Style = Style::new().effects(Effects::BOLD);

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Color {
    /// In a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

/// Standard output and standard error, as the user wants them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    choice: ColorChoice,
}

impl Output {
    pub(super) fn new(json: bool, color: Color) -> Self {
        let choice = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self { json, choice }
    }

    /// Whether JSON is wanted.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// A text as the terminal gets it, with colours or without, for what is written in another way.
    pub(super) fn styled(&self, text: impl Display) -> String {
        let choice = match (self.choice, AutoStream::choice(&io::stdout())) {
            (ColorChoice::Auto, ColorChoice::Never) | (ColorChoice::Never, _) => ColorChoice::Never,
            _ => ColorChoice::AlwaysAnsi,
        };
        let mut line = AutoStream::new(Vec::new(), choice);
        let _ = write!(line, "{text}");
        String::from_utf8_lossy(&line.into_inner()).into_owned()
    }

    /// Whether a person looks at standard error, where progress is shown.
    pub(super) fn is_watched(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// A line for people, to standard output. Its styles are left out where nobody sees them.
    pub(super) fn line(&self, text: impl Display) {
        let mut out = AutoStream::new(io::stdout().lock(), self.choice);
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        self.check_written(written);
    }

    /// A value as one line of JSON, to standard output.
    pub(super) fn json(&self, value: &impl Serialize) {
        let mut out = io::stdout().lock();
        let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
        self.check_written(written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()));
    }

    /// Ends the program when what was asked for cannot be written: without a word where nobody reads on, and otherwise with
    /// an error, since whoever asked does not have all of it.
    pub(super) fn check_written(&self, written: io::Result<()>) {
        let Err(error) = written else { return };
        if error.kind() == ErrorKind::BrokenPipe {
            process::exit(NOBODY_READS);
        }
        let advice =
            (error.kind() == ErrorKind::StorageFull).then_some("make room on the disk, or write elsewhere");
        self.error("output", &format!("standard output cannot be written: {error}"), advice, &Map::new());
        process::exit(1);
    }

    /// A remark that was not asked for, to standard error.
    pub(super) fn note(&self, text: impl Display) {
        let _ = writeln!(AutoStream::new(io::stderr().lock(), self.choice), "{text}");
    }

    /// What went wrong, and what to do about it, to standard error: with `--json` as a JSON object, which has the details too.
    pub(super) fn error(
        &self,
        code: &str,
        message: &str,
        advice: Option<&str>,
        details: &Map<String, Value>,
    ) {
        if self.json {
            let mut error = json!({ "code": code, "message": message, "advice": advice });
            for (name, value) in details {
                error[name] = value.clone();
            }
            let _ = writeln!(io::stderr().lock(), "{error}");
            return;
        }
        let advice = advice.map_or(String::new(), |advice| format!("\n{advice}"));
        self.note(format_args!("{BAD}error:{BAD:#} {message}{advice}"));
    }
}

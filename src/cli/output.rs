//! Where the words of a command go.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write},
};

use anstream::{AutoStream, ColorChoice};
use clap::{
    ValueEnum,
    builder::styling::{AnsiColor, Effects, Style},
};
use serde::Serialize;

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
        // A program that stops reading, such as `head`, misses nothing.
        let _ = writeln!(AutoStream::new(io::stdout().lock(), self.choice), "{text}");
    }

    /// A value as one line of JSON, to standard output.
    pub(super) fn json(&self, value: &impl Serialize) {
        let mut out = io::stdout().lock();
        if serde_json::to_writer(&mut out, value).is_ok() {
            let _ = out.write_all(b"\n");
            let _ = out.flush();
        }
    }

    /// A remark that was not asked for, to standard error.
    pub(super) fn note(&self, text: impl Display) {
        let _ = writeln!(AutoStream::new(io::stderr().lock(), self.choice), "{text}");
    }

    /// What went wrong, to standard error.
    pub(super) fn error(&self, text: impl Display) {
        self.note(format_args!("{BAD}error:{BAD:#} {text}"));
    }
}

//! The command line tools that a developer has signed in with.

use std::{io, process::Stdio};

use tokio::process::Command;
use zeroize::Zeroizing;

use crate::service::credentials::{error::Cause, source::cause};

const MAX_WORDS: usize = 600;

/// Runs a tool and gives what it has printed, without colours. The error has the tool's own words. No shell is in
/// between, and the tool ends when the caller waits no longer.
pub(super) async fn run(tool: &str, arguments: &[&str]) -> Result<Zeroizing<String>, Cause> {
    let windows = std::env::consts::OS == "windows";
    // The Azure CLI for Windows is a batch file, which is found by its whole name only.
    let program = if windows && tool == "az" { "az.cmd" } else { tool };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    if !windows {
        // So that an entry of PATH that is relative leads nowhere.
        command.current_dir("/");
    }
    let output = command.output().await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Cause::from(format!("{tool} is not installed, or not in PATH")),
        _ => cause(error),
    })?;
    let printed = Zeroizing::new(output.stdout);
    if output.status.success() {
        return Ok(Zeroizing::new(plain(&String::from_utf8_lossy(&printed))));
    }
    let words = words(&String::from_utf8_lossy(&output.stderr));
    Err(Cause::from(match words.is_empty() {
        true => format!("{tool} ended with {} and said nothing", output.status),
        false => format!("{tool} says \"{words}\""),
    }))
}

/// The JSON object in what a tool has printed: warnings may stand around it.
pub(super) fn object(printed: &str) -> Option<&str> {
    printed.get(printed.find('{')?..=printed.rfind('}')?).filter(|object| !object.is_empty())
}

/// What a tool has said, on one line and of a limited length. It never has a token in it, whatever the tool does.
pub(super) fn words(said: &str) -> String {
    let said = plain(said);
    let is_token = |word: &str| word.contains("eyJ") && word.len() > 60;
    let words = said.split_whitespace().map(|word| if is_token(word) { "…" } else { word });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}

/// The text without the control sequences of a terminal (ECMA-48), such as those for colours.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => match rest.next() {
                // A control sequence ends with a letter or a sign of that range.
                Some('[') => drop(rest.find(|c| matches!(c, '\u{40}'..='\u{7e}'))),
                // A command of the operating system, such as a window's title, ends with BEL or ESC \.
                Some(']') if rest.find(|c| matches!(c, '\u{7}' | '\u{1b}')) == Some('\u{1b}') => {
                    rest.next();
                }
                _ => {}
            },
            '\u{9b}' => drop(rest.find(|c| matches!(c, '\u{40}'..='\u{7e}'))),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_left_out() {
        let coloured = "\u{1b}[1;31mERROR: \u{1b}[0mno\u{1b}]0;title\u{7} login\u{1b}]8;;u\u{1b}\\\u{1b}(\r\n  here \u{1b}[";
        assert_eq!(words(coloured), "ERROR: no login here");
        let json = "\u{1b}[34m{\u{1b}[0m\"a\": {\"b\": 1}}\u{1b}[0m\n";
        assert_eq!(object(&plain(json)), Some("{\"a\": {\"b\": 1}}"));
        assert_eq!((object("none"), object("}{")), (None, None));
        let token = format!("the token eyJ{} is bad", "x".repeat(80));
        assert_eq!(words(&token), "the token … is bad");
        assert_eq!(words(&"x ".repeat(1000)).len(), MAX_WORDS);
    }
}

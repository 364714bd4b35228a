//! `hubwire connect` in a terminal.

use std::{
    io::{BufReader, Read as _, Write as _},
    process::{Command, Stdio},
};

use crate::{hub::hub, program::text};

/// The program in a terminal, which `script` of util-linux has.
struct Terminal {
    child: std::process::Child,
    input: std::process::ChildStdin,
    shown: BufReader<std::process::ChildStdout>,
    screen: String,
}

/// Where the program keeps its history in a test, which is removed when this is dropped.
struct State(std::path::PathBuf);

impl State {
    fn of(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("hubwire-state-of-{test}-{}", std::process::id())))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Terminal {
    /// `None`, and a loud line, where there is no `script`.
    fn start(arguments: &str, state: &std::path::Path) -> Option<Self> {
        Self::start_as("xterm", arguments, state)
    }

    fn start_as(kind: &str, arguments: &str, state: &std::path::Path) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|output| text(&output.stdout).contains("util-linux")) {
            eprintln!("SKIPPED: there is no `script` of util-linux");
            return None;
        }
        let program = format!("{} {arguments}", env!("CARGO_BIN_EXE_hubwire"));
        let mut command = Command::new("timeout");
        command
            .args(["60", "script", "-qefc", &program, "/dev/null"])
            .env("TERM", kind)
            .env("HUBWIRE_STATE", state);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
        let input = child.stdin.take().expect("it is piped");
        let shown = BufReader::new(child.stdout.take().expect("it is piped"));
        Some(Self { child, input, shown, screen: String::new() })
    }

    /// Waits until this is shown.
    fn wait_for(&mut self, part: &str) {
        self.wait_for_all(&[part]);
    }

    /// Waits until all of this is shown, in whatever order.
    fn wait_for_all(&mut self, parts: &[&str]) {
        while !parts.iter().all(|part| self.screen.contains(part)) {
            let mut byte = [0];
            self.shown.read_exact(&mut byte).unwrap_or_else(|_| panic!("{parts:?} in {}", self.screen));
            self.screen.push(char::from(byte[0]));
        }
        self.screen.clear();
    }

    fn press(&mut self, key: &str) {
        self.input.write_all(key.as_bytes()).expect("it reads");
        self.input.flush().expect("it reads");
    }

    /// As a person types: each key is seen before the next one.
    fn type_keys(&mut self, keys: impl IntoIterator<Item = String>) {
        let mut seen = "> ".to_owned();
        for key in keys {
            self.wait_for(&seen);
            self.press(&key);
            seen = match &*key {
                "\t" => "invoke ".to_owned(),
                "\x7f" => "\x1b[J".to_owned(),
                "\x1b[A" => "Add 40 2".to_owned(),
                _ => key,
            };
        }
    }

    /// What else is shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = Vec::new();
        self.shown.read_to_end(&mut rest).expect("it can be read");
        (String::from_utf8_lossy(&rest).into_owned(), self.child.wait().expect("it ends").code())
    }
}

fn keys(text: &str) -> impl Iterator<Item = String> {
    text.chars().map(String::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_lines_are_edited_and_kept() {
    let state = std::env::temp_dir().join(format!("hubwire-state-{}", std::process::id()));
    let Some(mut terminal) = Terminal::start(&format!("connect {}", hub().await), &state) else { return };
    terminal.wait_for("lists the commands");
    // Tab completes a command, the backspace takes a digit away, and the line before, by the arrow, is not the one with a
    // secret.
    terminal.type_keys(keys("inv\tAdd 40 23\x7f\r"));
    terminal.wait_for(" ms");
    terminal.type_keys(keys("send Login {\"password\": 1}\r"));
    terminal.wait_for("sent");
    terminal.type_keys(["\x1b[A", "\r"].map(str::to_owned));
    terminal.wait_for(" ms");
    terminal.type_keys(["\x04".to_owned()]);
    terminal.wait_for("disconnected");
    assert_eq!(terminal.end().1, Some(0));
    let history = std::fs::read_to_string(state.join("history")).expect("there is a history");
    assert_eq!(history, "invoke Add 40 2\n");
    std::fs::remove_dir_all(&state).expect("it is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drops_a_line_before_it_ends() {
    let state = std::env::temp_dir().join(format!("hubwire-state-of-ctrl-c-{}", std::process::id()));
    let Some(mut terminal) = Terminal::start(&format!("connect {}", hub().await), &state) else { return };
    terminal.wait_for("lists the commands");
    terminal.type_keys(keys("invo\x03"));
    // What was typed is gone: otherwise this would be no command.
    terminal.type_keys(keys("invoke Add 1 2\r"));
    terminal.wait_for(" ms");
    terminal.type_keys(["\x03".to_owned()]);
    terminal.wait_for("disconnected");
    assert_eq!(terminal.end().1, Some(0));
    std::fs::remove_dir_all(&state).expect("it is removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_arrive_together_are_handled_together() {
    let state = State::of("keys");
    let Some(mut terminal) = Terminal::start(&format!("connect {}", hub().await), &state.0) else { return };
    terminal.wait_for("lists the commands");
    terminal.wait_for("> ");
    // No further key comes until all of this has its effect: an edited line, two at once, and one that is longer than what
    // is read from a terminal at once.
    terminal.press("invoke Add 40 22\x7f\r");
    terminal.wait_for(" 42 ");
    terminal.press("invoke Add 1 6\rinvoke Add 30 4\r");
    terminal.wait_for_all(&[" 7 ", " 34 "]);
    terminal.press(&format!("invoke Echo \"{}end\"\r", "x".repeat(3_000)));
    terminal.wait_for("end\" ");
    // Marked as pasted: JSON of several lines is one argument, and other lines are commands.
    terminal.press("\x1b[200~invoke Echo {\r\n \"a\": [1,\r\n 2]}\r\ninvoke Add 50 5\r\n\x1b[201~");
    terminal.wait_for_all(&["{\"a\":[1,2]}", " 55 "]);
    // As far as the cursor goes, a wide character is one.
    terminal.press("invoke Echo \"日本語\"\x1b[D\x7f\x7f\x7f7\r");
    terminal.wait_for("\"7\" ");
    terminal.press("\x04");
    let (rest, code) = terminal.end();
    assert!(rest.contains("disconnected"), "{rest}");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_is_always_there() {
    let (state, url) = (State::of("end"), hub().await);
    for end in ["\x04", "\x03", "quit\r", "invoke Add 1 2\rquit\r"].iter().cycle().take(40) {
        let Some(mut terminal) = Terminal::start(&format!("connect {url}"), &state.0) else { return };
        terminal.wait_for("lists the commands");
        terminal.press(end);
        let (rest, code) = terminal.end();
        // After the prompt is gone, at the begin of a row.
        let last = rest.trim_end().rsplit('\n').next().unwrap_or_default();
        assert!(last.contains("disconnected") && !last.ends_with("> "), "{end:?} {rest:?}");
        assert_eq!(code, Some(0), "{rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_fails_and_the_exit_code_is_that_of_the_connection() {
    let (state, url) = (State::of("failures"), hub().await);
    let Some(mut terminal) = Terminal::start(&format!("connect {url}"), &state.0) else { return };
    terminal.wait_for("lists the commands");
    terminal.press("invoke HubError no\rnonsense\r");
    terminal.wait_for("failed");
    terminal.press("upload UploadSum\r");
    terminal.wait_for("item> ");
    // The upload goes on after what is no JSON, and ends with its call, without another key.
    terminal.press("{\r");
    terminal.wait_for("the upload goes on");
    terminal.press("[1]\r");
    terminal.wait_for("its upload with it");
    terminal.wait_for("> ");
    terminal.press("upload UploadSum\r4\r5\r\x04");
    terminal.wait_for(" 9 ");
    terminal.press("\x04");
    let (rest, code) = terminal.end();
    assert!(rest.contains("disconnected"), "{rest}");
    assert_eq!(code, Some(0));

    let Some(mut terminal) = Terminal::start(&format!("connect {url} --no-reconnect"), &state.0) else {
        return;
    };
    terminal.wait_for("lists the commands");
    terminal.press("send Close\r");
    let (rest, code) = terminal.end();
    assert!(rest.contains("disconnected"), "{rest}");
    assert_eq!(code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_cannot_move_its_cursor_gets_plain_lines() {
    let (state, url) = (State::of("dumb"), hub().await);
    let Some(mut terminal) = Terminal::start_as("dumb", &format!("connect {url} --color never"), &state.0)
    else {
        return;
    };
    terminal.wait_for("> ");
    terminal.press("invoke Add 1 2\n");
    terminal.wait_for("Add 3 ");
    terminal.press("quit\n");
    let (rest, code) = terminal.end();
    assert!(rest.contains("disconnected") && !rest.contains('\x1b'), "{rest:?}");
    assert_eq!(code, Some(0));
}

//! Where commands come from: a line editor in a terminal, or the lines of a pipe.

use std::{
    io::{BufRead as _, IsTerminal as _, Read as _, Write as _, stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::cli::{
    connect::{
        command::COMMANDS,
        editor::{Editor, Prompt, Typed},
        history::History,
        screen::Screen,
    },
    failure::Failure,
    machine::RawTerminal,
    output::{FAINT, NAME},
};

/// The longest line of a pipe.
const MAX_LINE: u64 = 16 << 20;

/// A line, and what to drop when the next one is wanted.
#[derive(Debug)]
pub(super) struct Line {
    /// It is what was read, or what is wrong with it.
    pub(super) text: Result<String, String>,
    pub(super) _done: oneshot::Sender<()>,
}

/// The lines of standard input. It ends with that, or when the user interrupts.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) lines: mpsc::Receiver<Line>,
    pub(super) is_interactive: bool,
    asks: Arc<Questions>,
    /// The prompt, and the terminal, which is given back as it was, wherever its reader stands.
    terminal: Option<(Arc<Prompt>, RawTerminal)>,
}

impl Input {
    pub(super) fn open(screen: &Arc<Screen>) -> Result<Self, Failure> {
        let is_interactive = !screen.is_json() && stdin().is_terminal() && stdout().is_terminal();
        let (sender, lines) = mpsc::channel(1);
        let asks = Arc::new(Questions { screen: Arc::clone(screen), uploading: AtomicBool::new(false) });
        let asked = Arc::clone(&asks);
        let terminal = if is_interactive && RawTerminal::is_capable() {
            let failed = |error| Failure::new("the terminal cannot be used").because(error);
            let terminal = RawTerminal::enter().map_err(failed)?;
            let prompt = Arc::new(Prompt::default());
            screen.print_above(Arc::clone(&prompt));
            let edited = Arc::clone(&prompt);
            thread::spawn(move || edit(&edited, &asked, &sender));
            Some((prompt, terminal))
        } else {
            thread::spawn(move || read(is_interactive.then_some(&asked), &sender));
            None
        };
        Ok(Self { lines, is_interactive, asks, terminal })
    }

    /// Whether the lines are the items of an upload.
    pub(super) fn set_uploading(&self, uploading: bool) {
        if self.asks.uploading.swap(uploading, Ordering::Relaxed) != uploading
            && let Some((prompt, _)) = &self.terminal
        {
            prompt.ask(|| self.asks.next());
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some((prompt, _)) = &self.terminal {
            prompt.end();
        }
    }
}

/// What a prompt says.
#[derive(Debug)]
struct Questions {
    screen: Arc<Screen>,
    uploading: AtomicBool,
}

impl Questions {
    fn is_for_item(&self) -> bool {
        self.uploading.load(Ordering::Relaxed)
    }

    /// As it is written, and what is seen of it.
    fn next(&self) -> (String, String) {
        let (text, style) = if self.is_for_item() { ("item> ", FAINT) } else { ("> ", NAME) };
        (self.screen.styled(format_args!("{style}{text}{style:#}")), text.to_owned())
    }
}

/// Gives a line away, and waits until it is worked on. Returns whether there is somebody to take more.
fn give(sender: &mpsc::Sender<Line>, text: Result<String, String>) -> bool {
    let (done, next) = oneshot::channel();
    let given = sender.blocking_send(Line { text, _done: done }).is_ok();
    // It ends with an error, when the line is dropped.
    let _ = next.blocking_recv();
    given
}

/// Reads lines as they come from a pipe, or from a terminal that cannot move its cursor.
fn read(asks: Option<&Questions>, sender: &mpsc::Sender<Line>) {
    let mut input = stdin().lock();
    loop {
        if let Some(asks) = asks {
            let mut out = stdout().lock();
            let _ = write!(out, "{}", asks.next().0).and_then(|()| out.flush());
        }
        let mut bytes = Vec::new();
        let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
        // What is cut or replaced would reach the hub as if somebody had written it.
        let is_cut = bytes.len() as u64 == MAX_LINE && !bytes.ends_with(b"\n");
        let text = if is_cut {
            let _ = input.skip_until(b'\n');
            Err(format!("the line is longer than {} MiB", MAX_LINE >> 20))
        } else {
            String::from_utf8(bytes).map_err(|error| format!("the line is not UTF-8: {}", error.utf8_error()))
        };
        if !matches!(read, Ok(1..)) || !give(sender, text) {
            return;
        }
    }
}

fn edit(prompt: &Prompt, asks: &Questions, sender: &mpsc::Sender<Line>) {
    let (mut editor, mut history) = (Editor::default(), History::load());
    history.lines().for_each(|line| editor.remember(line));
    loop {
        let complete =
            |before: &str| if asks.is_for_item() { (0, Vec::new()) } else { completed(before, &asks.screen) };
        let line = match editor.read(prompt, || asks.next(), &complete) {
            Ok(Typed::Line(line)) => line,
            // As in a shell: a line that was begun is dropped.
            Ok(Typed::Dropped) => continue,
            Ok(Typed::End) if asks.is_for_item() => ".".to_owned(),
            Ok(Typed::End | Typed::Interrupted) | Err(_) => return,
        };
        if !asks.is_for_item() && history.add(&line) {
            editor.remember(&line);
        }
        if !give(sender, Ok(line)) {
            return;
        }
    }
}

/// Completes commands and the methods that were called: where the last word begins, and what it could be.
fn completed(before: &str, screen: &Screen) -> (usize, Vec<String>) {
    let words: Vec<_> = before.split(char::is_whitespace).collect();
    let word = words.last().copied().unwrap_or_default();
    let known = match words.len() {
        1 => COMMANDS.map(str::to_owned).to_vec(),
        2 => screen.methods(),
        _ => Vec::new(),
    };
    let begins = |name: &String| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let fitting = known.into_iter().filter(begins).map(|name| name + " ").collect();
    (before.len() - word.len(), fitting)
}

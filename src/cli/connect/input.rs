//! Where commands come from: a line editor in a terminal, or the lines of a pipe.

use std::{
    borrow::Cow,
    io::{BufRead as _, IsTerminal as _, Read as _, stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustyline::{
    Config, Context, Editor, Helper, completion::Completer, error::ReadlineError, highlight::Highlighter,
    hint::Hinter, history::MemHistory, validate::Validator,
};
use tokio::sync::{mpsc, oneshot};

use crate::cli::{
    connect::{command::COMMANDS, history::History, screen::Screen},
    failure::Failure,
    output::{FAINT, NAME},
};

/// The longest line of a pipe.
const MAX_LINE: u64 = 16 << 20;

/// A line, and what to drop when the next one is wanted.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) _done: oneshot::Sender<()>,
}

/// The lines of standard input. It ends with that, or when the user interrupts.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) lines: mpsc::Receiver<Line>,
    pub(super) is_interactive: bool,
    uploading: Arc<AtomicBool>,
    /// Gives the terminal back as it was, wherever its reader stands.
    _terminal: Option<crate::cli::machine::TerminalMode>,
}

impl Input {
    pub(super) fn open(screen: &Arc<Screen>) -> Result<Self, Failure> {
        let is_interactive = !screen.is_json() && stdin().is_terminal() && stdout().is_terminal();
        let (sender, lines) = mpsc::channel(1);
        let uploading = Arc::new(AtomicBool::new(false));
        let terminal = is_interactive.then(crate::cli::machine::TerminalMode::keep).flatten();
        if is_interactive {
            let editor = editor(screen)?;
            let (screen, uploading) = (Arc::clone(screen), Arc::clone(&uploading));
            thread::spawn(move || edit(editor, &screen, &sender, &uploading));
        } else {
            thread::spawn(move || pipe(&sender));
        }
        Ok(Self { lines, is_interactive, uploading, _terminal: terminal })
    }

    /// Whether the lines are the items of an upload.
    pub(super) fn set_uploading(&self, uploading: bool) {
        self.uploading.store(uploading, Ordering::Relaxed);
    }
}

/// Gives a line away, and waits until it is worked on. Returns whether there is somebody to take more.
fn give(sender: &mpsc::Sender<Line>, text: String) -> bool {
    let (done, next) = oneshot::channel();
    let given = sender.blocking_send(Line { text, _done: done }).is_ok();
    // It ends with an error, when the line is dropped.
    let _ = next.blocking_recv();
    given
}

fn pipe(sender: &mpsc::Sender<Line>) {
    let mut input = stdin().lock();
    loop {
        let mut bytes = Vec::new();
        let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
        if !matches!(read, Ok(1..)) || !give(sender, String::from_utf8_lossy(&bytes).into_owned()) {
            return;
        }
    }
}

type Terminal = Editor<Words, MemHistory>;

fn editor(screen: &Arc<Screen>) -> Result<Terminal, Failure> {
    let failed = |error: ReadlineError| Failure::new("the terminal cannot be used").because(error);
    let config = Config::builder().auto_add_history(false).build();
    let mut editor = Editor::with_history(config, MemHistory::new()).map_err(failed)?;
    let helper = Words { screen: Arc::clone(screen), prompt: String::new(), is_empty: AtomicBool::new(true) };
    editor.set_helper(Some(helper));
    // A terminal that cannot move the cursor has none; then lines are torn.
    if let Ok(printer) = editor.create_external_printer() {
        screen.print_by(printer);
    }
    Ok(editor)
}

fn edit(mut editor: Terminal, screen: &Screen, sender: &mpsc::Sender<Line>, uploading: &AtomicBool) {
    let mut history = History::load();
    for line in history.lines() {
        let _ = editor.add_history_entry(line);
    }
    loop {
        let prompt = if uploading.load(Ordering::Relaxed) { "item> " } else { "> " };
        let style = if uploading.load(Ordering::Relaxed) { FAINT } else { NAME };
        if let Some(helper) = editor.helper_mut() {
            helper.prompt = screen.styled(format_args!("{style}{prompt}{style:#}"));
            helper.is_empty.store(true, Ordering::Relaxed);
        }
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            // As in a shell: a line that was begun is dropped.
            Err(ReadlineError::Interrupted)
                if editor.helper().is_some_and(|helper| !helper.is_empty.load(Ordering::Relaxed)) =>
            {
                continue;
            }
            Err(_) => return,
        };
        if !uploading.load(Ordering::Relaxed) && history.add(&line) {
            let _ = editor.add_history_entry(&line);
        }
        if !give(sender, line) {
            return;
        }
    }
}

/// Completes commands and the methods that were called.
struct Words {
    screen: Arc<Screen>,
    prompt: String,
    /// Whether nothing is typed yet. The editor does not give away a line that is interrupted.
    is_empty: AtomicBool,
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> Result<(usize, Vec<String>), ReadlineError> {
        let before = line.get(..at).unwrap_or_default();
        let words: Vec<_> = before.split(char::is_whitespace).collect();
        let word = words.last().copied().unwrap_or_default();
        let known = match words.len() {
            1 => COMMANDS.map(str::to_owned).to_vec(),
            2 => self.screen.methods(),
            _ => Vec::new(),
        };
        let begins =
            |name: &String| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        Ok((at - word.len(), known.into_iter().filter(begins).map(|name| name + " ").collect()))
    }
}

impl Highlighter for Words {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, _: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Borrowed(&self.prompt)
    }
}

impl Hinter for Words {
    type Hint = String;

    /// It is asked with every change of the line, and here only looks at it.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.is_empty.store(line.is_empty(), Ordering::Relaxed);
        None
    }
}

impl Validator for Words {}
impl Helper for Words {}

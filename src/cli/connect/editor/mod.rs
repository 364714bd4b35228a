//! A line of a terminal, edited by the keys that people know from shells, while other lines are printed above it.
//!
//! It is our own for the sake of both at once: keys are handled as soon as they arrive, however many arrive together, and what
//! is printed is on the screen when the call that prints it returns.

mod line;
mod prompt;

use std::io;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::line::{Line, Part};
pub(super) use self::prompt::Prompt;
use crate::cli::machine::{RawTerminal, suspend};

/// Completes the last word of what stands before the cursor: says where that begins, and what it could be.
pub(super) type Complete<'c> = dyn Fn(&str) -> (usize, Vec<String>) + 'c;

/// What has come of the keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// A line was dropped that had been begun.
    Dropped,
    /// The end of the input, Ctrl-D.
    End,
    /// Ctrl-C, where nothing is typed.
    Interrupted,
}

/// Reads lines by their keys.
#[derive(Debug, Default)]
pub(super) struct Editor {
    history: Vec<String>,
    /// The lines that were pasted and are not handled yet, the last first. Behind that one there was no line end.
    pasted: Vec<String>,
}

/// The line that is read, beyond its text.
#[derive(Debug, Default)]
struct State {
    /// Which line of the history is shown, and what was typed before it was.
    shown: Option<(usize, String)>,
    completion: Option<Completion>,
    search: Option<Search>,
}

/// Candidates for a word, in turn.
#[derive(Debug)]
struct Completion {
    start: usize,
    words: Vec<String>,
    next: usize,
}

/// A search in the history, backwards.
#[derive(Debug, Default)]
struct Search {
    wanted: String,
    found: Option<usize>,
    before: String,
}

impl Editor {
    /// A line that the arrows bring back.
    pub(super) fn remember(&mut self, line: &str) {
        self.history.push(line.to_owned());
    }

    /// Reads a line. `question` is what the prompt says: as it is written, and what is seen of it.
    pub(super) fn read(
        &mut self,
        prompt: &Prompt,
        question: impl Fn() -> (String, String),
        complete: &Complete<'_>,
    ) -> io::Result<Typed> {
        let mut state = State::default();
        prompt.begin(&question);
        loop {
            if let Some(line) = self.paste(prompt) {
                return Ok(Typed::Line(line));
            }
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Release => {}
                Event::Key(key) => {
                    let was_searching = state.search.is_some();
                    let typed = self.key(prompt, &mut state, key, complete)?;
                    match &state.search {
                        _ if typed.is_some() => {}
                        Some(search) => {
                            let shown = format!("(search `{}`) ", search.wanted);
                            prompt.ask(|| (shown.clone(), shown));
                        }
                        None if was_searching => prompt.ask(&question),
                        None => {}
                    }
                    if let Some(typed) = typed {
                        return Ok(typed);
                    }
                }
                Event::Paste(text) => {
                    let text = text.replace("\r\n", "\n").replace('\r', "\n");
                    self.pasted = text.split('\n').rev().map(str::to_owned).collect();
                }
                Event::Resize(..) => prompt.resized(),
                _ => {}
            }
        }
    }

    /// Handles what was pasted, up to a line that is whole: a line end is that of the line, except within JSON that has
    /// several lines.
    fn paste(&mut self, prompt: &Prompt) -> Option<String> {
        while let Some(text) = self.pasted.pop() {
            prompt.insert(&text);
            if self.pasted.is_empty() {
                break;
            }
            if !prompt.look(Line::is_open) {
                return Some(prompt.finish(""));
            }
            prompt.insert("\n");
        }
        None
    }

    fn key(
        &self,
        prompt: &Prompt,
        state: &mut State,
        key: KeyEvent,
        complete: &Complete<'_>,
    ) -> io::Result<Option<Typed>> {
        let KeyEvent { code, modifiers, .. } = key;
        let (control, alt) =
            (modifiers.contains(KeyModifiers::CONTROL), modifiers.contains(KeyModifiers::ALT));
        // A key that a keyboard has by Ctrl and Alt together is a character.
        let (control, alt) = if control && alt { (false, false) } else { (control, alt) };
        if let Some(search) = &mut state.search
            && self.search(prompt, search, code, control)
        {
            return Ok(None);
        }
        if state.search.take().is_some() && matches!(code, KeyCode::Esc) {
            return Ok(None);
        }
        if code != KeyCode::Tab {
            state.completion = None;
        }
        let change = |change: fn(&mut Line)| prompt.change(change);
        match (code, control, alt) {
            (KeyCode::Enter, ..) | (KeyCode::Char('j' | 'm'), true, _) => {
                return Ok(Some(Typed::Line(prompt.finish(""))));
            }
            (KeyCode::Char('c'), true, _) => {
                let is_empty = prompt.look(|line| line.text().is_empty());
                prompt.finish(if is_empty { "" } else { "^C" });
                return Ok(Some(if is_empty { Typed::Interrupted } else { Typed::Dropped }));
            }
            (KeyCode::Char('d'), true, _) if prompt.look(|line| line.text().is_empty()) => {
                prompt.finish("");
                return Ok(Some(Typed::End));
            }
            (KeyCode::Char('z'), true, _) => return pause(prompt).map(|()| None),
            (KeyCode::Char('r'), true, _) => {
                let before = prompt.look(|line| line.text().to_owned());
                state.search = Some(Search { before, ..Search::default() });
            }
            (KeyCode::Char('l'), true, _) => prompt.clear_screen(),
            (KeyCode::Tab, ..) => tab(prompt, &mut state.completion, complete),
            (KeyCode::Up, ..) | (KeyCode::Char('p'), true, _) => self.earlier(prompt, &mut state.shown),
            (KeyCode::Down, ..) | (KeyCode::Char('n'), true, _) => self.later(prompt, &mut state.shown),
            (KeyCode::Char('a'), true, _) | (KeyCode::Home, ..) => change(|line| line.left(Part::Line)),
            (KeyCode::Char('e'), true, _) | (KeyCode::End, ..) => change(|line| line.right(Part::Line)),
            (KeyCode::Left, false, false) | (KeyCode::Char('b'), true, _) => {
                change(|line| line.left(Part::Character));
            }
            (KeyCode::Right, false, false) | (KeyCode::Char('f'), true, _) => {
                change(|line| line.right(Part::Character));
            }
            (KeyCode::Left, ..) | (KeyCode::Char('b' | 'B'), _, true) => change(|line| line.left(Part::Word)),
            (KeyCode::Right, ..) | (KeyCode::Char('f' | 'F'), _, true) => {
                change(|line| line.right(Part::Word));
            }
            (KeyCode::Backspace, false, false) | (KeyCode::Char('h'), true, _) => {
                change(|line| line.delete_left(Part::Character));
            }
            (KeyCode::Backspace, ..) => change(|line| line.delete_left(Part::Word)),
            (KeyCode::Delete, false, false) | (KeyCode::Char('d'), true, _) => {
                change(|line| line.delete_right(Part::Character));
            }
            (KeyCode::Delete, ..) | (KeyCode::Char('d' | 'D'), _, true) => {
                change(|line| line.delete_right(Part::Word));
            }
            (KeyCode::Char('w'), true, _) => change(|line| line.delete_left(Part::Blanks)),
            (KeyCode::Char('u'), true, _) => change(|line| line.delete_left(Part::Line)),
            (KeyCode::Char('k'), true, _) => change(|line| line.delete_right(Part::Line)),
            (KeyCode::Char('y'), true, _) => change(Line::paste_cut),
            (KeyCode::Char('t'), true, _) => change(Line::transpose),
            // What terminals send for Ctrl-_ .
            (KeyCode::Char('_' | '7'), true, _) => change(Line::undo),
            (KeyCode::Char(c), false, false) => prompt.insert(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
        Ok(None)
    }

    fn earlier(&self, prompt: &Prompt, shown: &mut Option<(usize, String)>) {
        let at = shown.as_ref().map_or(self.history.len(), |(at, _)| *at);
        let Some((at, line)) = at.checked_sub(1).and_then(|at| Some((at, self.history.get(at)?))) else {
            return;
        };
        let typed =
            shown.take().map_or_else(|| prompt.look(|line| line.text().to_owned()), |(_, typed)| typed);
        *shown = Some((at, typed));
        prompt.change(|typed| typed.set(line));
    }

    fn later(&self, prompt: &Prompt, shown: &mut Option<(usize, String)>) {
        let Some((at, typed)) = shown.take() else { return };
        if let Some(line) = self.history.get(at + 1) {
            *shown = Some((at + 1, typed));
            prompt.change(|typed| typed.set(line));
        } else {
            prompt.change(|line| line.set(&typed));
        }
    }

    /// Handles a key of a search. Returns whether it was one; otherwise the search is over, and the key goes to what was found.
    fn search(&self, prompt: &Prompt, search: &mut Search, code: KeyCode, control: bool) -> bool {
        let mut from = self.history.len();
        match (code, control) {
            (KeyCode::Char('r'), true) => from = search.found.unwrap_or(from),
            (KeyCode::Char('g'), true) => {
                prompt.change(|line| line.set(&search.before));
                return false;
            }
            (KeyCode::Char(c), false) => search.wanted.push(c),
            (KeyCode::Backspace, _) | (KeyCode::Char('h'), true) => {
                search.wanted.pop();
            }
            _ => return false,
        }
        let earlier = self.history.get(..from).unwrap_or_default();
        let found = earlier.iter().rposition(|line| line.contains(&search.wanted));
        if let Some(line) = found.and_then(|at| self.history.get(at)).filter(|_| !search.wanted.is_empty()) {
            search.found = found;
            prompt.change(|typed| typed.set(line));
        }
        true
    }
}

/// The first candidate, and with every further key the next one.
fn tab(prompt: &Prompt, completion: &mut Option<Completion>, complete: &Complete<'_>) {
    let state = completion.get_or_insert_with(|| {
        let (start, words) = prompt.look(|line| complete(line.before_cursor()));
        Completion { start, words, next: 0 }
    });
    if let Some(word) = state.words.get(state.next) {
        prompt.change(|line| line.replace_from(state.start, word));
        state.next = (state.next + 1) % state.words.len();
    }
}

/// Gives the terminal to the shell until it is given back.
fn pause(prompt: &Prompt) -> io::Result<()> {
    prompt.hide();
    RawTerminal::leave_for_a_while(suspend)?;
    prompt.show_again();
    Ok(())
}

//! The prompt on the screen: drawn by the thread that reads keys, and moved down by all that is printed above it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    sync::Mutex,
};

use crate::{
    cli::connect::editor::line::{Line, Part, Place},
    lock::lock,
};

/// Where the terminal does not tell its size.
const COLUMNS: usize = 80;

/// The prompt with the line behind it. Whoever writes to the terminal holds its lock, and leaves the screen complete.
#[derive(Debug, Default)]
pub(in crate::cli::connect) struct Prompt {
    shown: Mutex<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    line: Line,
    /// The prompt, as it is written and without its colours.
    styled: String,
    plain: String,
    /// Whether it stands on the screen.
    is_drawn: bool,
    /// Whether there will be no more of it.
    is_over: bool,
    /// How many rows the cursor is below the first one of the prompt.
    row: usize,
    /// Where the line ends, in a terminal with so many columns.
    end: Place,
    columns: usize,
}

impl Prompt {
    /// Writes lines above the prompt, or where the cursor is while there is none.
    pub(in crate::cli::connect) fn print_above(&self, text: &str) {
        let mut shown = lock(&self.shown);
        let mut out = String::new();
        if shown.is_drawn {
            shown.erase(&mut out);
            out.push_str(text);
            shown.draw(&mut out);
        } else {
            out.push_str(text);
        }
        put(&out);
    }

    /// Shows the prompt, with nothing behind it. The question is asked for what it says: as it is written, and what is seen of it.
    pub(super) fn begin(&self, question: impl FnOnce() -> (String, String)) {
        let mut shown = lock(&self.shown);
        if !shown.is_over {
            // Under the lock: who changes the question has it asked again after that.
            (shown.styled, shown.plain) = question();
            let mut out = String::new();
            shown.draw(&mut out);
            put(&out);
        }
    }

    /// Says something else before the line that is being typed.
    pub(in crate::cli::connect) fn ask(&self, question: impl FnOnce() -> (String, String)) {
        let mut shown = lock(&self.shown);
        if shown.is_drawn {
            let mut out = String::new();
            shown.erase(&mut out);
            (shown.styled, shown.plain) = question();
            shown.draw(&mut out);
            put(&out);
        }
    }

    /// Changes the line, and shows what has become of it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Line) -> R) -> R {
        let mut shown = lock(&self.shown);
        let result = change(&mut shown.line);
        if shown.is_drawn {
            let mut out = String::new();
            shown.erase(&mut out);
            shown.draw(&mut out);
            put(&out);
        }
        result
    }

    /// Inserts a text. At the end of the line that is all that is written, and without a look at the rest: it may be long.
    pub(super) fn insert(&self, text: &str) {
        let mut shown = lock(&self.shown);
        let appended = shown.line.is_at_end();
        shown.line.insert(text);
        // Anything else may change how what stands there already is shown.
        let is_plain = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        if !shown.is_drawn {
            return;
        }
        if appended && is_plain && shown.end.column + text.len() < shown.columns {
            shown.end.column += text.len();
            put(text);
            return;
        }
        let mut out = String::new();
        shown.erase(&mut out);
        shown.draw(&mut out);
        put(&out);
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Line) -> R) -> R {
        look(&lock(&self.shown).line)
    }

    /// Leaves the line on the screen, with a mark behind it, goes to the next row, and gives the line away.
    pub(super) fn finish(&self, mark: &str) -> String {
        lock(&self.shown).finish(mark)
    }

    /// Takes the prompt away, so that another program can have the screen.
    pub(super) fn hide(&self) {
        let mut shown = lock(&self.shown);
        let begun = shown.finish("");
        shown.line.set(&begun);
    }

    /// Shows it again.
    pub(super) fn show_again(&self) {
        let mut shown = lock(&self.shown);
        if !shown.is_over {
            let mut out = String::new();
            shown.draw(&mut out);
            put(&out);
        }
    }

    /// Clears the screen, and shows the prompt at its top.
    pub(super) fn clear_screen(&self) {
        let mut shown = lock(&self.shown);
        let mut out = "\x1b[H\x1b[2J".to_owned();
        shown.draw(&mut out);
        put(&out);
    }

    /// Takes the prompt away for good. A line that was begun stays on the screen.
    pub(in crate::cli::connect) fn end(&self) {
        let mut shown = lock(&self.shown);
        shown.finish("");
        shown.is_over = true;
    }

    /// Shows the prompt as it is in a terminal of another size, which has broken its rows anew.
    pub(super) fn resized(&self) {
        let mut shown = lock(&self.shown);
        if shown.is_drawn {
            shown.row = shown.line.places(&shown.plain, columns()).0.row;
            let mut out = String::new();
            shown.erase(&mut out);
            shown.draw(&mut out);
            put(&out);
        }
    }
}

impl Shown {
    /// Goes to the begin of the prompt, and clears the screen from there on.
    fn erase(&mut self, out: &mut String) {
        out.push('\r');
        if self.row > 0 {
            let _ = write!(out, "\x1b[{}A", self.row);
        }
        out.push_str("\x1b[J");
    }

    fn finish(&mut self, mark: &str) -> String {
        if self.is_drawn {
            let mut out = String::new();
            // A prompt with nothing behind it says nothing to who reads the screen later.
            if self.line.text().is_empty() && mark.is_empty() {
                self.erase(&mut out);
            } else {
                if !self.line.is_at_end() {
                    self.erase(&mut out);
                    self.line.right(Part::Line);
                    self.draw(&mut out);
                }
                // Behind a full row the cursor is in the next one by now.
                let (_, end) = self.line.places(&self.plain, columns());
                if end.column > 0 || !mark.is_empty() {
                    let _ = writeln!(out, "{mark}");
                }
            }
            put(&out);
            self.is_drawn = false;
        }
        self.line.take()
    }

    fn draw(&mut self, out: &mut String) {
        self.columns = columns();
        let (cursor, end) = self.line.places(&self.plain, self.columns);
        let _ = write!(out, "{}{}", self.styled, self.line.text());
        // A terminal stays at the end of a row that is full until something follows.
        if end.column == 0 && end.row > 0 {
            out.push_str("\r\n");
        }
        if end.row > cursor.row {
            let _ = write!(out, "\x1b[{}A", end.row - cursor.row);
        }
        if cursor != end {
            out.push('\r');
            if cursor.column > 0 {
                let _ = write!(out, "\x1b[{}C", cursor.column);
            }
        }
        (self.is_drawn, self.row, self.end) = (true, cursor.row, end);
    }
}

fn columns() -> usize {
    let size = crossterm::terminal::size();
    size.ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// All at once, so that nothing half-drawn is seen. It fails when the terminal is gone, which ends the input.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

//! The line that is being typed: its text, the cursor in it, and what the keys do to them.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// How many changes can be undone.
const UNDONE: usize = 100;

/// A text with a cursor, which stands before a character as people see them: a letter with its accents is one.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    /// In bytes.
    at: usize,
    /// What was cut last.
    cut: String,
    /// The line before each change, the last one at the end.
    before: Vec<(String, usize)>,
    /// Whether the last change was an insertion: what is typed in one go is undone in one go.
    inserting: bool,
}

/// Where something stands on the screen, from the first row of the prompt.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
}

/// What a move or a deletion goes over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Character,
    /// As Alt and the arrows count them: letters and digits.
    Word,
    /// As Ctrl-W counts them: all that is no blank.
    Blanks,
    Line,
}

impl Line {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn before_cursor(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    fn after_cursor(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Another text, with the cursor at its end.
    pub(super) fn set(&mut self, text: &str) {
        self.remember(false);
        self.text = visible(text);
        self.at = self.text.len();
    }

    /// Gives the text away, and begins anew.
    pub(super) fn take(&mut self) -> String {
        self.at = 0;
        self.before.clear();
        self.inserting = false;
        std::mem::take(&mut self.text)
    }

    pub(super) fn insert(&mut self, text: &str) {
        self.remember(true);
        let text = visible(text);
        self.text.insert_str(self.at, &text);
        self.at += text.len();
    }

    /// Puts a text in the place of what stands between a byte and the cursor.
    pub(super) fn replace_from(&mut self, start: usize, text: &str) {
        self.remember(false);
        self.text.replace_range(start..self.at, text);
        self.at = start + text.len();
    }

    pub(super) fn paste_cut(&mut self) {
        let cut = std::mem::take(&mut self.cut);
        self.insert(&cut);
        self.cut = cut;
        self.inserting = false;
    }

    fn remember(&mut self, inserting: bool) {
        if !(inserting && self.inserting) {
            self.before.push((self.text.clone(), self.at));
            if self.before.len() > UNDONE {
                self.before.remove(0);
            }
        }
        self.inserting = inserting;
    }

    pub(super) fn undo(&mut self) {
        if let Some((text, at)) = self.before.pop() {
            (self.text, self.at) = (text, at);
        }
        self.inserting = false;
    }

    /// Where the cursor goes to the left.
    fn left_of(&self, part: Part) -> usize {
        let before = self.before_cursor();
        let start = |is_of: fn(char) -> bool| {
            let word = before.trim_end_matches(|c| !is_of(c));
            word.trim_end_matches(is_of).len()
        };
        match part {
            Part::Character => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Part::Word => start(char::is_alphanumeric),
            Part::Blanks => start(|c| !c.is_whitespace()),
            Part::Line => 0,
        }
    }

    /// Where the cursor goes to the right.
    fn right_of(&self, part: Part) -> usize {
        let after = self.after_cursor();
        let end = |is_of: fn(char) -> bool| {
            let word = after.trim_start_matches(|c| !is_of(c));
            self.text.len() - word.trim_start_matches(is_of).len()
        };
        match part {
            Part::Character => self.at + after.graphemes(true).next().map_or(0, str::len),
            Part::Word => end(char::is_alphanumeric),
            Part::Blanks => end(|c| !c.is_whitespace()),
            Part::Line => self.text.len(),
        }
    }

    pub(super) fn left(&mut self, part: Part) {
        self.at = self.left_of(part);
        self.inserting = false;
    }

    pub(super) fn right(&mut self, part: Part) {
        self.at = self.right_of(part);
        self.inserting = false;
    }

    pub(super) fn delete_left(&mut self, part: Part) {
        self.delete(self.left_of(part), self.at, part);
    }

    pub(super) fn delete_right(&mut self, part: Part) {
        self.delete(self.at, self.right_of(part), part);
    }

    fn delete(&mut self, start: usize, end: usize, part: Part) {
        if start == end {
            return;
        }
        self.remember(false);
        let gone: String = self.text.drain(start..end).collect();
        self.at = start;
        // As in a shell, single characters cannot be inserted again.
        if !matches!(part, Part::Character) {
            self.cut = gone;
        }
    }

    /// Exchanges the characters at both sides of the cursor, or the last two.
    pub(super) fn transpose(&mut self) {
        if self.is_at_end() {
            self.left(Part::Character);
        }
        let (start, end) = (self.left_of(Part::Character), self.right_of(Part::Character));
        if start == self.at || end == self.at {
            self.at = self.text.len();
            return;
        }
        self.remember(false);
        let exchanged = format!("{}{}", &self.text[self.at..end], &self.text[start..self.at]);
        self.text.replace_range(start..end, &exchanged);
        self.at = end;
    }

    /// Where the cursor and the end of the line are, behind a prompt and in a terminal with so many columns.
    pub(super) fn places(&self, prompt: &str, columns: usize) -> (Place, Place) {
        let cursor = place_after(prompt.graphemes(true).chain(self.before_cursor().graphemes(true)), columns);
        (cursor, place_after(prompt.graphemes(true).chain(self.text.graphemes(true)), columns))
    }

    /// Whether a bracket or a text is open before the cursor, as in the first lines of JSON that has several.
    pub(super) fn is_open(&self) -> bool {
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        for c in self.before_cursor().chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_text => escaped = true,
                '"' if in_text || depth > 0 => in_text = !in_text,
                '{' | '[' if !in_text => depth += 1,
                '}' | ']' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        depth > 0
    }
}

/// A text as it can stand in a line: blanks for tabs and line ends, and nothing for what would move the cursor.
fn visible(text: &str) -> String {
    let blank = |c: char| if matches!(c, '\t' | '\n' | '\r') { ' ' } else { c };
    text.chars().map(blank).filter(|c| !c.is_control()).collect()
}

fn place_after<'t>(graphemes: impl Iterator<Item = &'t str>, columns: usize) -> Place {
    let columns = columns.max(1);
    let (mut row, mut column) = (0, 0);
    for grapheme in graphemes {
        // The terminal shows no half of a wide character at the end of a row.
        let width = grapheme.width();
        if column + width > columns {
            (row, column) = (row + 1, 0);
        }
        column += width;
    }
    // The cursor has gone to the next row by then: the editor sees to it.
    if column >= columns { Place { row: row + 1, column: 0 } } else { Place { row, column } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.insert(text);
        line
    }

    #[test]
    fn keys_move_and_delete_what_people_see_as_one() {
        let mut typed = line("e\u{301}日👩‍👩‍👧");
        typed.left(Part::Character);
        assert_eq!(typed.before_cursor(), "e\u{301}日");
        typed.delete_left(Part::Character);
        typed.delete_left(Part::Character);
        assert_eq!(typed.text(), "👩‍👩‍👧");
        typed.delete_right(Part::Character);
        assert_eq!(typed.text(), "");
        typed.delete_left(Part::Character);
        typed.delete_right(Part::Line);
        typed.transpose();
        assert_eq!((typed.text(), typed.before_cursor()), ("", ""));
    }

    #[test]
    fn words_and_lines_are_cut_and_come_back() {
        let mut typed = line("invoke Add.More 1");
        typed.left(Part::Word);
        typed.left(Part::Word);
        assert_eq!(typed.before_cursor(), "invoke Add.");
        typed.delete_left(Part::Blanks);
        assert_eq!(typed.text(), "invoke More 1");
        typed.right(Part::Line);
        typed.paste_cut();
        assert_eq!(typed.text(), "invoke More 1Add.");
        typed.delete_left(Part::Line);
        assert_eq!(typed.text(), "");
        typed.undo();
        typed.undo();
        assert_eq!((typed.text(), typed.is_at_end()), ("invoke More 1", true));
        typed.left(Part::Character);
        typed.transpose();
        assert_eq!(typed.text(), "invoke More1 ");
        assert_eq!(typed.take(), "invoke More1 ");
        typed.undo();
        assert_eq!(typed.text(), "");
    }

    #[test]
    fn wide_characters_go_to_the_next_row_whole() {
        let end = |text: &str, columns| {
            let (cursor, end) = line(text).places("> ", columns);
            assert_eq!(cursor, end);
            (end.row, end.column)
        };
        assert_eq!(end("", 10), (0, 2));
        assert_eq!(end("1234567", 10), (0, 9));
        assert_eq!(end("12345678", 10), (1, 0));
        assert_eq!(end("1234567日", 10), (1, 2));
        assert_eq!(end("日本語日本語", 5), (3, 2));
        assert_eq!(end("abc", 0).1, 0);
    }

    #[test]
    fn nothing_moves_the_cursor_from_within_the_line() {
        assert_eq!(line("a\tb\r\u{1b}[2Jc\u{7f}").text(), "a b [2Jc");
    }

    #[test]
    fn a_line_is_open_within_json_only() {
        for (text, open) in [
            ("invoke Echo {", true),
            ("invoke Echo {\"a\": \"}\"", true),
            ("invoke Echo [1, {\"a\": 2}", true),
            ("invoke Echo [\"\\\"]\"", true),
            ("invoke Echo {\"a\": [1]}", false),
            ("send Say 5\" ]", false),
            ("", false),
        ] {
            assert_eq!(line(text).is_open(), open, "{text}");
        }
    }
}

//! Rust's words and marks, as far as paths need them: without comments, texts, and what is compiled for tests only.

/// A word, or a mark: `::` or one character.
pub(super) type Token = String;

/// The tokens of a file, without comments and literals.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut rest = text;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => block_comment(rest),
            '"' => literal(rest, '"'),
            '\'' => character(rest),
            'b' | 'c' | 'r' if raw_text(rest).is_some() => raw_text(rest).unwrap_or(rest.len()),
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                tokens.push(rest[..length].to_owned());
                length
            }
            _ if rest.starts_with("::") => {
                tokens.push("::".to_owned());
                2
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a literal with its quotes, which a backslash may hide.
fn literal(text: &str, quote: char) -> usize {
    let mut is_hidden = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_hidden => is_hidden = false,
            '\\' => is_hidden = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A literal of one character, or the mark of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) | (Some(_), Some((_, '\''))) => literal(text, '\''),
        _ => 1,
    }
}

/// The length of `r"…"`, `br#"…"#` and the like.
fn raw_text(text: &str) -> Option<usize> {
    let marked = text.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let opened = marked.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(marked.len() - opened.len()));
    let body = opened.strip_prefix('"')?;
    Some(text.len() - body.len() + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

/// Takes out what only tests are compiled with.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let end = attribute_end(tokens, at);
        match end {
            Some(end) if is_of_tests(&tokens[at..end]) => at = item_end(tokens, end),
            Some(end) => {
                kept.extend_from_slice(&tokens[at..end]);
                at = end;
            }
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Where the attribute that begins here ends.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    (tokens[at] == "#" && tokens.get(at + 1)? == "[").then(|| group_end(tokens, at + 1))
}

fn is_of_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token == word);
    attribute[2] == "cfg" && has("test") && !has("any") && !has("not")
}

/// Where the bracket that opens here is closed.
fn group_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (number, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return number + 1;
        }
    }
    tokens.len()
}

/// Where the item, field or statement ends whose attributes begin here.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].as_str() {
            "#" => at = attribute_end(tokens, at).unwrap_or(at + 1),
            "use" => return at + tokens[at..].iter().position(|token| token == ";").unwrap_or(0) + 1,
            ";" => return at + 1,
            "{" => return group_end(tokens, at),
            "}" => return at,
            "(" | "[" => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_left_out() {
        let text = "a /* b /* c */ d */ ::e // f\n 'g' '\\'' h<'i> \"j \\\" k\" r#\"l \" m\"# b\"n\" r2";
        assert_eq!(tokens(text).join(" "), "a :: e h < i > b r2");
    }

    #[test]
    fn tests_are_left_out() {
        let text = "#[cfg(test)] mod tests { mod x { a::b } } #[cfg(all(native, test))] #[allow(c)] use d::{e}; \
                    #[cfg(any(test, f))] fn g() {} #[cfg(test)] const H: [u8; 2] = i(); j";
        let kept = without_tests(&tokens(text));
        assert_eq!(kept.join(" "), "# [ cfg ( any ( test , f ) ) ] fn g ( ) { } j");
    }
}

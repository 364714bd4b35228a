//! Texts that a peer chose: refusals, close reasons. They end up in errors, events and logs, which keep them for long.

use std::borrow::Cow;

/// The longest peer text that is kept, in bytes. A reason for a person to read needs far less; without a limit
/// a single message of 32 MiB would stay in memory as long as the error that quotes it.
pub const LIMIT: usize = 4 * 1024;

/// Ends a text that was longer.
const ELLIPSIS: char = '…';

/// The text, or as much of its beginning as fits into [`LIMIT`] bytes with an ellipsis behind it.
///
/// ```
/// # #[cfg(feature = "unstable-machines")] {
/// use hubwire::core::text::{LIMIT, clip};
///
/// assert_eq!(clip("the hub is full"), "the hub is full");
/// let clipped = clip("x".repeat(1_000_000));
/// assert!(clipped.len() <= LIMIT && clipped.ends_with('…'));
/// # }
/// ```
#[must_use]
pub fn clip<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if text.len() <= LIMIT {
        return text;
    }
    let room = LIMIT - ELLIPSIS.len_utf8();
    let mut end = 0;
    // A character has four bytes at most, so few positions are looked at.
    for at in room.saturating_sub(3)..=room {
        if text.is_char_boundary(at) {
            end = at;
        }
    }
    // A new one: the allocation of the long text is not kept either.
    let mut clipped = String::with_capacity(end + ELLIPSIS.len_utf8());
    clipped.push_str(text.get(..end).unwrap_or_default());
    clipped.push(ELLIPSIS);
    clipped.into()
}

/// As [`clip`], for what is kept.
#[must_use]
pub fn clipped(text: &str) -> String {
    clip(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_handed_on_as_they_are() {
        let longest = "x".repeat(LIMIT);
        for text in ["", "short", &longest] {
            assert!(matches!(clip(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        // The cut falls on each byte of a character of four.
        for lead in 0..4 {
            let text = "x".repeat(lead) + &"\u{1f600}".repeat(LIMIT);
            let Cow::Owned(clipped) = clip(text.as_str()) else { panic!("not cut") };
            assert!((LIMIT - 3..=LIMIT).contains(&clipped.len()), "{}", clipped.len());
            assert!(clipped.capacity() <= LIMIT);
            let kept = clipped.strip_suffix(ELLIPSIS).expect("it says that it was cut");
            assert!(text.starts_with(kept) && !kept.is_empty());
        }
        assert_eq!(clip("x".repeat(LIMIT + 1)).len(), LIMIT);
    }
}

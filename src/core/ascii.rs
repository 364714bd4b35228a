//! ASCII in texts: searches for one byte, and decimal numbers. Those of the standard library come with code for every
//! pattern, format and error, of which a browser's build takes kilobytes.

/// The text before the first of an ASCII character, and the rest with it.
pub(crate) fn split_at_byte(text: &str, byte: u8) -> (&str, &str) {
    let at = text.bytes().position(|b| b == byte);
    at.and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

/// The texts before and after the first of an ASCII character.
pub(crate) fn split_once(text: &str, byte: u8) -> Option<(&str, &str)> {
    let (before, rest) = split_at_byte(text, byte);
    Some((before, rest.get(1..)?))
}

/// Whether a character is among these few.
#[allow(clippy::manual_contains, reason = "`contains` brings a search for many bytes")]
pub(crate) fn is_one_of(byte: u8, few: &[u8]) -> bool {
    few.iter().any(|one| *one == byte)
}

/// Whether every byte of a text is one of a kind.
pub(crate) fn is_all(text: &str, kind: fn(u8) -> bool) -> bool {
    text.bytes().all(kind)
}

/// The value of digits, at least one and nothing else; [`u64::MAX`] for what is larger than that.
pub(crate) fn decimal(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0_u64, |number, byte| {
        byte.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}

/// Appends a number to a text.
pub(crate) fn push_decimal(out: &mut String, number: u64) {
    if number > 9 {
        push_decimal(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        assert_eq!(split_at_byte("a=b=c", b'='), ("a", "=b=c"));
        assert_eq!(split_once("a=b=c", b'='), Some(("a", "b=c")));
        assert_eq!(split_once("ü=", b'='), Some(("ü", "")));
        assert_eq!(split_once("abc", b'='), None);
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
        ] {
            assert_eq!(decimal(text), number, "{text:?}");
        }
        for number in [0, 9, 10, 255, u64::MAX] {
            let mut text = String::new();
            push_decimal(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }
}

//! The names of methods on the wire, as ASP.NET Core would give them, made when the program is compiled.

/// `send_message` is `SendMessage`, and `r#type` is `Type`.
#[must_use]
pub const fn wire_name<const N: usize>(method: &str) -> [u8; N] {
    let method = method.as_bytes();
    let mut name = [0; N];
    let (mut from, mut to) = (after_raw(method), 0);
    let mut starts_word = true;
    while from < method.len() {
        if method[from] == b'_' {
            starts_word = true;
        } else {
            name[to] = if starts_word { method[from].to_ascii_uppercase() } else { method[from] };
            to += 1;
            starts_word = false;
        }
        from += 1;
    }
    name
}

/// How long [`wire_name`] is.
#[must_use]
pub const fn wire_name_length(method: &str) -> usize {
    let method = method.as_bytes();
    let mut at = after_raw(method);
    let mut length = 0;
    while at < method.len() {
        if method[at] != b'_' {
            length += 1;
        }
        at += 1;
    }
    length
}

const fn after_raw(method: &[u8]) -> usize {
    if matches!(method, [b'r', b'#', ..]) { 2 } else { 0 }
}

/// A name as text.
#[must_use]
pub const fn text(name: &[u8]) -> &str {
    match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(_) => panic!("a method's name without its underscores is text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_asp_net() {
        for (method, wanted) in [
            ("add", "Add"),
            ("send_message", "SendMessage"),
            ("r#type", "Type"),
            ("r2_d2", "R2D2"),
            ("_private__twice_", "PrivateTwice"),
            ("alreadyCamel", "AlreadyCamel"),
            ("größe_ändern", "Größeändern"),
            ("_", ""),
        ] {
            assert_eq!(wire_name_length(method), wanted.len(), "{method}");
            let name: [u8; 16] = wire_name(method);
            assert_eq!(text(&name[..wanted.len()]), wanted);
        }
    }
}

//! IP addresses as hosts of URLs. The parsers and writers of the standard library take eight kilobytes of a browser's
//! build.

use crate::core::ascii::{decimal, split_at_byte};

/// An IPv4 address of four decimal numbers without leading zeros, and nothing else.
pub(super) fn read_ipv4(text: &str) -> Option<u32> {
    let (mut address, mut rest) = (0, text);
    for n in 0..4 {
        let (part, after) = split_at_byte(rest, b'.');
        let number = decimal(part).filter(|number| *number < 256)?;
        if (part.len() > 1 && part.starts_with('0')) || after.is_empty() != (n == 3) {
            return None;
        }
        address = address << 8 | number as u32;
        rest = after.get(1..).unwrap_or_default();
    }
    Some(address)
}

/// An IPv6 address (RFC 4291, 2.2), whose last two segments may be written as an IPv4 address.
pub(super) fn read_ipv6(text: &str) -> Option<[u16; 8]> {
    let (mut address, mut count) = ([0; 8], 0);
    let mut push = |segment| {
        *address.get_mut(count)? = segment;
        count += 1;
        Some(count)
    };
    // Where the zeros go that `::` stands for.
    let mut gap = None;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix("::") {
        (gap, rest) = (Some(0), after);
    }
    while !rest.is_empty() {
        let (part, after) = split_at_byte(rest, b':');
        if after.is_empty()
            && let Some(address) = read_ipv4(part)
        {
            push((address >> 16) as u16)?;
            push(address as u16)?;
            break;
        }
        if !(1..=4).contains(&part.len()) {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let segment = part.bytes().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))?;
        let so_far = push(segment as u16)?;
        rest = match after.strip_prefix("::") {
            Some(_) if gap.is_some() => return None,
            Some(after) => {
                gap = Some(so_far);
                after
            }
            // A colon is followed by something.
            None if after == ":" => return None,
            None => after.get(1..).unwrap_or_default(),
        };
    }
    if gap.is_some() != (count < 8) {
        return None;
    }
    // What stands behind the gap moves to the end.
    (gap.unwrap_or(count)..count).rev().for_each(|at| address.swap(at, at + 8 - count));
    Some(address)
}

/// Appends an IPv6 address as the URL Standard writes it: unlike in RFC 5952, no part of it is ever decimal.
pub(super) fn push_ipv6(text: &mut String, all: [u16; 8]) {
    // The first of the longest runs of zeros is left out.
    let (mut start, mut length, mut run) = (0, 1, 0);
    for (n, segment) in all.iter().enumerate() {
        run = if *segment == 0 { run + 1 } else { 0 };
        if run > length {
            (start, length) = (n + 1 - run, run);
        }
    }
    let gap = if length > 1 { start..start + length } else { 0..0 };
    text.push('[');
    for (n, segment) in all.into_iter().enumerate() {
        if gap.contains(&n) {
            if n == gap.start {
                text.push(':');
            }
            continue;
        }
        if n > 0 {
            text.push(':');
        }
        for shift in [12, 8, 4, 0] {
            if segment >> shift > 0 || shift == 0 {
                text.extend(char::from_digit(u32::from(segment >> shift & 15), 16));
            }
        }
    }
    text.push_str(if gap.end == all.len() { ":]" } else { "]" });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn addresses_are_read_as_the_standard_library_reads_them() {
        for text in [
            "::",
            "::1",
            "1::",
            "1::8",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7",
            "1::2::3",
            ":1",
            "1:",
            ":::",
            "::1:",
            ":",
            "",
            "12345::",
            "g::",
            "::ffff:127.0.0.1",
            "1:2:3:4:5:6:127.0.0.1",
            "1:2:3:4:5:6:7:127.0.0.1",
            "127.0.0.1::",
            "::127.0.0.1:1",
            "::256.0.0.1",
            "::127.0.0",
            "::01.2.3.4",
            "1:2:3:4::5:6:7:8",
            "ABCD:ef01::",
            "::+1",
            "::1%1",
            "1::2:",
            "1:::2",
            "::.1.2.3",
        ] {
            let wanted = text.parse().ok().map(|address: Ipv6Addr| address.segments());
            assert_eq!(read_ipv6(text), wanted, "{text}");
        }
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.4.",
            ".1.2.3",
            "1..2.3",
            "",
            "a.b.c.d",
            "+1.2.3.4",
            "1.2.3.00",
        ] {
            assert_eq!(read_ipv4(text), text.parse().ok().map(|address: Ipv4Addr| address.into()), "{text}");
        }
    }
}

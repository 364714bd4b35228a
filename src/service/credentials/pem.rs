//! PEM texts, as people and tools make them: with a byte order mark, indented, with remarks between the blocks, and
//! with the headers of keys in the traditional form (RFC 1421).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// Base64 whose padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BEGIN: &str = "-----BEGIN ";

/// What stands between a `BEGIN` and its `END`.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    /// Without line ends and other white space.
    base64: Zeroizing<String>,
}

impl Block<'_> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    pub(super) fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        BASE64.decode(self.base64.as_bytes()).ok().map(Zeroizing::new)
    }
}

/// Whether there is a block in it.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains(BEGIN)
}

/// The text of a file: UTF-8 with or without a byte order mark, or the UTF-16 that editors and shells of Windows write.
/// Remarks may be in any encoding.
pub(super) fn text(bytes: &[u8]) -> Zeroizing<String> {
    let utf16 = |units: &[u8], read: fn([u8; 2]) -> u16| {
        let units = units.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(read);
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    Zeroizing::new(match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// The blocks of a text in their order; one that does not end is left out.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.split(['\n', '\r']);
    while let Some(line) = lines.next() {
        let Some((_, rest)) = line.split_once(BEGIN) else { continue };
        let Some((label, _)) = rest.split_once("-----") else { continue };
        let end = format!("-----END {label}-----");
        let mut block = Block { label, headers: Vec::new(), base64: Zeroizing::new(String::new()) };
        for line in lines.by_ref() {
            if line.contains(&end) {
                blocks.push(block);
                break;
            }
            match line.split_once(':') {
                Some((name, value)) => block.headers.push((name.trim(), value.trim())),
                None => block.base64.extend(line.split_whitespace()),
            }
        }
    }
    blocks
}

/// The bytes of a text that is nothing but base64: how Azure Key Vault gives an archive.
pub(super) fn whole_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let joined: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    if joined.is_empty() {
        return None;
    }
    BASE64.decode(joined.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_what_surrounds_them() {
        let plain = "-----BEGIN X-----\nAQID\n-----END X-----\n";
        let remark = format!("Bag Attributes\r\n    friendlyName: a\r\n{plain}");
        let indented = plain.replace("\nA", "\n  \tA").replace("-----B", "   -----B").replace('\n', " \r\n");
        let headers = "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,1\n\nAQID\n-----END X-----";
        let unended = format!("-----BEGIN X-----\nAAAA\n-----BEGIN Y-----\n{plain}");
        for whole in [plain, &remark, &indented, headers, &format!("{plain}-----BEGIN Z-----\n")] {
            let found = blocks(whole);
            assert_eq!(found.len(), 1, "{whole}");
            assert_eq!((found[0].label, found[0].bytes().unwrap().as_slice()), ("X", &[1, 2, 3][..]));
        }
        assert_eq!(blocks(headers)[0].header("proc-type"), Some("4,ENCRYPTED"));
        assert!(blocks(&unended).iter().all(|block| block.bytes().is_none()), "another BEGIN is not base64");
        assert!(is_pem(plain) && !is_pem("AQID") && blocks("").is_empty());
        for bytes in [
            [&[0xef, 0xbb, 0xbf], plain.as_bytes()].concat(),
            [0xfe_u8, 0xff].into_iter().chain(plain.encode_utf16().flat_map(u16::to_be_bytes)).collect(),
            [0xff_u8, 0xfe].into_iter().chain(plain.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
        ] {
            assert_eq!(*text(&bytes), plain);
        }
        assert_eq!(whole_base64(" AQ\r\nI=\n").unwrap().as_slice(), [1, 2]);
        assert!(whole_base64("").is_none() && whole_base64("no, text").is_none());
    }
}

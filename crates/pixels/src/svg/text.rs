//! The characters of an SVG document, whatever they are encoded as.

use std::borrow::Cow;

/// Encodings of one byte a character which are the first 256 of Unicode, or part of them.
const LATIN: [&str; 4] = ["iso-8859-1", "latin1", "us-ascii", "windows-1252"];

/// The document without its byte order mark and XML declaration, so that nobody after this reads it
/// otherwise than it was read here. UTF-16 needs its mark; `None` if it is of another encoding.
pub(crate) fn decode(source: &[u8]) -> Option<Cow<'_, str>> {
    let text = match source {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(str::from_utf8(rest).ok()?),
        _ => match str::from_utf8(source) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) if is_latin(source) => {
                Cow::Owned(source.iter().copied().map(char::from).collect())
            }
            Err(_) => return None,
        },
    };
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_declaration(text)),
        Cow::Owned(text) => Cow::Owned(without_declaration(&text).to_owned()),
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units = units.iter().copied().map(unit);
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.ok().filter(|_| rest.is_empty())
}

fn is_latin(source: &[u8]) -> bool {
    let Some(rest) = source.trim_ascii_start().strip_prefix(b"<?xml") else {
        return false;
    };
    let end = rest.iter().position(|byte| *byte == b'>').unwrap_or(0);
    let declaration = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
    let named = declaration.split(['"', '\'']).collect::<Vec<_>>();
    LATIN.iter().any(|encoding| named.contains(encoding))
}

fn without_declaration(text: &str) -> &str {
    let trimmed = text.trim_ascii_start();
    let named = trimmed.starts_with("<?xml ") || trimmed.starts_with("<?xml\n");
    match trimmed.find("?>") {
        Some(end) if named => &trimmed[end + 2..],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_in_every_encoding() {
        let wide = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(unit).collect()
        };
        let document = "<?xml version='1.0' encoding='utf-16'?><svg>é𝄞</svg>";
        for source in [
            wide(&format!("\u{feff}{document}"), u16::to_le_bytes),
            wide(&format!("\u{feff}{document}"), u16::to_be_bytes),
            document.into(),
            format!("\u{feff}{document}").into(),
        ] {
            assert_eq!(decode(&source).as_deref(), Some("<svg>é𝄞</svg>"));
        }
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><svg>\xe9</svg>";
        assert_eq!(decode(latin).as_deref(), Some("<svg>é</svg>"));
        for broken in [
            &b"<svg>\xe9</svg>"[..],
            b"\xff\xfe<\0s",
            b"\xff\xfe\0\xd8<\0",
        ] {
            assert_eq!(decode(broken), None, "{broken:?}");
        }
    }
}

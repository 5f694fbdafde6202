//! Whether a text is SVG: the first element decides.

/// Declarations, comments and a document type may come first; an element other than `svg`, whatever
/// prefix that has, makes it something else.
pub(super) fn starts_as_svg(source: &[u8]) -> bool {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = source {
        return crate::svg::text::decode(source).is_some_and(|text| starts_as_svg(text.as_bytes()));
    }
    from_outermost(source).is_some()
}

/// The tag of the outermost element and what follows it, if that is `svg`.
fn from_outermost(source: &[u8]) -> Option<&[u8]> {
    let mut rest = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    loop {
        rest = rest.trim_ascii_start();
        rest = if rest.starts_with(b"<!--") {
            after(rest, b"-->")?
        } else if rest.starts_with(b"<?") {
            after(rest, b"?>")?
        } else if rest.len() > 9 && rest[..9].eq_ignore_ascii_case(b"<!doctype") {
            after_document_type(rest)?
        } else {
            break;
        };
    }
    let name = rest.strip_prefix(b"<")?;
    let end = name
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    let local = name[..end].rsplit(|byte| *byte == b':').next();
    (local == Some(b"svg")).then_some(rest)
}

/// The tag of the outermost element, if that is `svg`.
pub(crate) fn outermost(source: &[u8]) -> Option<&[u8]> {
    let rest = from_outermost(source)?;
    Some(crate::svg::tag_at_start(rest))
}

fn after<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let position = text.windows(end.len()).position(|window| window == end)?;
    text.get(position + end.len()..)
}

/// A document type may hold declarations in brackets.
fn after_document_type(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| matches!(byte, b'>' | b'['))?;
    if text[end] == b'>' {
        return text.get(end + 1..);
    }
    after(after(&text[end..], b"]")?, b">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_decides() {
        for text in [
            "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "\u{feff} <?xml version='1.0'?><!-- a > b --><!DOCTYPE svg [<!ENTITY a 'b'>]>\n<svg>",
            "<s:svg xmlns:s='x'>",
        ] {
            assert!(starts_as_svg(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "<",
            "<html><svg/></html>",
            "<!--",
            "<!doctype html><html>",
            "svg",
            "<svg",
        ] {
            assert!(!starts_as_svg(text.as_bytes()), "{text}");
        }
    }
}

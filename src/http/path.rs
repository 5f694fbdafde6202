//! Percent-decoding of path segments.

use percent_encoding::percent_decode_str;

/// Decodes a segment of an API path once. A `%` without two hex digits stays, and `+` is a plus;
/// bytes which are no UTF-8 become U+FFFD, which no stored id holds.
pub(super) fn decode_segment(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Decodes a segment of a delivery path once; `None` if an escape is broken or no UTF-8.
pub(super) fn decode_strictly(segment: &str) -> Option<String> {
    let bytes = segment.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        let is_hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        *byte == b'%' && !(is_hex(1) && is_hex(2))
    });
    if broken {
        return None;
    }
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_paths_refuse_what_the_api_takes_literally() {
        assert_eq!(decode_segment("a%%C3%A9%2"), "a%é%2");
        assert_eq!(decode_strictly("a%25%C3%A9+").as_deref(), Some("a%é+"));
        for broken in ["a%", "a%2", "a%%C3%A9", "%FF"] {
            assert_eq!(decode_strictly(broken), None, "{broken}");
        }
    }
}

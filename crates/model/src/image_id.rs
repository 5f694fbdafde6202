use std::fmt;

use crate::random::{hex, random_bytes};

/// Names one image: a UUID minted here, or the custom path its uploader chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(String);

/// Why a text cannot be a custom id (management-api.md, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageId {
    /// Nothing there.
    #[error("CustomID must not be empty")]
    Empty,
    /// Over the limit of characters.
    #[error("CustomID must not be longer than {0} characters")]
    TooLong(usize),
    /// 36 characters 8-4-4-4-12: reserved for generated ids.
    #[error("CustomID must not be UUID")]
    Uuid,
    /// `/` at an end, `//`, or a segment `.` or `..`.
    #[error("CustomID must not start or end with a slash, nor hold empty, '.' or '..' segments")]
    Path,
    /// NUL, line feed and their like.
    #[error("CustomID must not hold control characters")]
    Control,
    /// The first word of a route below `images/v1/`.
    #[error("CustomID must not be the reserved word '{0}'")]
    Reserved(String),
}

impl ImageId {
    /// The words which routes below `images/v1/` claim.
    pub const RESERVED: [&str; 6] = [
        "keys",
        "stats",
        "variants",
        "config",
        "batch_token",
        "direct_upload",
    ];

    /// A fresh UUID whose last byte says whether the image needs signed URLs: `00` open, `01`
    /// signed (management-api.md, section 0.3).
    pub fn generate(require_signed_urls: bool) -> Self {
        let mut bytes = random_bytes::<16>();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[15] = u8::from(require_signed_urls);
        let digits = hex(&bytes);
        Self(format!(
            "{}-{}-{}-{}-{}",
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..]
        ))
    }

    /// The id an uploader chose; never a UUID.
    pub fn custom(text: &str, chars_max: usize) -> Result<Self, InvalidImageId> {
        if text.is_empty() {
            return Err(InvalidImageId::Empty);
        }
        if text.chars().count() > chars_max {
            return Err(InvalidImageId::TooLong(chars_max));
        }
        if is_uuid(text) {
            return Err(InvalidImageId::Uuid);
        }
        // U+FFFD stands for what was no text in a path, and must not name an image.
        let nameless = |character: char| character.is_control() || character == '\u{fffd}';
        if text.chars().any(nameless) {
            return Err(InvalidImageId::Control);
        }
        if text
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            return Err(InvalidImageId::Path);
        }
        if Self::RESERVED.contains(&text) {
            return Err(InvalidImageId::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id in a path, of an image which may or may not exist.
    pub fn from_path(text: String) -> Self {
        Self(text)
    }

    /// Whether the id was minted here rather than chosen.
    pub fn is_generated(&self) -> bool {
        is_uuid(&self.0)
    }

    /// The same generated id with the other access flag, hence reversible.
    #[must_use]
    pub fn with_access(&self, require_signed_urls: bool) -> Self {
        let flag = if require_signed_urls { "01" } else { "00" };
        Self(format!("{}{flag}", &self.0[..self.0.len() - 2]))
    }

    /// The id as text, not percent-encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_carry_their_access_flag() {
        let open = ImageId::generate(false);
        assert!(
            open.is_generated() && open.as_str().ends_with("00"),
            "{open}"
        );
        assert_eq!(&open.as_str()[14..15], "4");
        let signed = open.with_access(true);
        assert!(signed.as_str().ends_with("01"));
        assert_eq!(signed.with_access(false), open);
    }

    #[test]
    fn custom_ids_follow_the_rules() {
        let custom = |text: &str| ImageId::custom(text, 1024).map(|id| id.0);
        for good in [
            "a",
            "a/b c%é.png",
            "keys/a",
            "x/blob",
            "...",
            "Ключ",
            &"é".repeat(1024),
        ] {
            assert_eq!(custom(good).as_deref(), Ok(good));
        }
        let uuid = "3F0E8C52-7a1d-4b66-9c0f-5d2a81e47b00";
        let table = [
            ("", InvalidImageId::Empty),
            (uuid, InvalidImageId::Uuid),
            ("/a", InvalidImageId::Path),
            ("a/", InvalidImageId::Path),
            ("a//b", InvalidImageId::Path),
            ("..", InvalidImageId::Path),
            ("a/./b", InvalidImageId::Path),
            ("a\u{0}", InvalidImageId::Control),
            ("a\u{fffd}", InvalidImageId::Control),
            ("stats", InvalidImageId::Reserved("stats".into())),
        ];
        for (text, reason) in table {
            assert_eq!(custom(text), Err(reason), "{text}");
        }
        assert_eq!(
            custom(&"a".repeat(1025)),
            Err(InvalidImageId::TooLong(1024))
        );
    }
}

use std::fmt;

use crate::random::{hex, random_bytes, unhex};

/// Names stored bytes: 128 random bits, never derived from an image's id or content, so that equal
/// uploads live two lives and deleting one is never a question of reference counts.
///
/// `Display` prints 32 lower-case hexadecimal characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey([u8; 16]);

impl BlobKey {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(random_bytes())
    }

    /// The bits, as they are stored in records.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A key of stored bits.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads what `Display` prints; `None` if the text is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let bytes = unhex(text).filter(|_| lower)?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_it_prints() {
        let key = BlobKey::generate();
        let text = key.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(BlobKey::parse(&text), Some(key));
        assert!(BlobKey::parse("0123456789abcdef0123456789abcdef").is_some());
        for other in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef0",
            "0123456789ABCDEF0123456789abcdef",
            "0123456789abcdeg0123456789abcdef",
            "+123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(BlobKey::parse(other), None, "{other}");
        }
    }
}

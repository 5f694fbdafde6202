use std::fmt;

use crate::random::random_hex;

/// Names stored bytes: 128 random bits, never derived from an image's id or content, so that equal
/// uploads live two lives and deleting one is never a question of reference counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey(String);

impl BlobKey {
    /// A fresh random key.
    pub fn generate() -> Self {
        Self(random_hex::<16>())
    }

    /// 32 lower-case hexadecimal characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a stored key; `None` if the text is no key.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

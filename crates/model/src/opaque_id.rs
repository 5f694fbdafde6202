use std::fmt;

use crate::random::random_hex;

/// An id which says nothing, of webhooks, policies, sources and jobs of imports: 32 lower-case
/// hexadecimal characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpaqueId(String);

impl OpaqueId {
    /// A fresh random id.
    pub fn generate() -> Self {
        Self(random_hex::<16>())
    }

    /// Reads an id; hyphens, as some write them, do not count. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let id: String = text.chars().filter(|char| *char != '-').collect();
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (id.len() == 32 && id.bytes().all(is_hex)).then_some(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OpaqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

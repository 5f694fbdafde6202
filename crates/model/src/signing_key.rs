use std::fmt;

use crate::random::random_secret;

/// The name of a signing key: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The key which every account starts with.
    pub const DEFAULT: &str = "default";

    /// The name `default`.
    pub fn default_name() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    /// Reads a name; `None` if it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=64).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key which signs delivery URLs. Its value is the text itself, not what it might decode to.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name in the account.
    pub name: KeyName,
    /// Printable ASCII; its UTF-8 bytes are the HMAC key.
    pub value: String,
}

impl SigningKey {
    /// A key of this name with a fresh random value.
    pub fn generate(name: KeyName) -> Self {
        Self {
            name,
            value: random_secret(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.name.as_str())
    }
}

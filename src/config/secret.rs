use std::fmt;

/// A text which no log, error or report may show. `expose` is the only way to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place which needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The key which seals what the catalog stores; 64 hexadecimal characters as a setting.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Reads 64 hexadecimal characters.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = [0; 32];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(key))
    }

    /// The key itself, for the vault.
    pub fn expose(&self) -> [u8; 32] {
        self.0
    }
}

const HIDDEN: &str = "(hidden)";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        let key = SecretKey::parse(&"ab".repeat(32));
        let json = serde_json::to_string(&secret).unwrap();
        let all = format!("{secret} {secret:?} {json} {key:?}");
        assert!(!all.contains("hunter2") && !all.contains("ab"), "{all}");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_key_is_64_hexadecimal_characters() {
        let key = SecretKey::parse(&"0Af1".repeat(16)).unwrap();
        assert_eq!(key.expose()[..2], [0x0a, 0xf1]);
        for bad in ["", "ab", &"zz".repeat(32), &"é".repeat(32)] {
            assert!(SecretKey::parse(bad).is_none(), "{bad}");
        }
    }
}

use std::fmt;

use crate::random::{random_bytes, random_hex};
use crate::{Timestamp, ZoneConfigs};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// An account: the owner of images, variants, signing keys and tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name in API paths.
    pub id: AccountId,
    /// The name in delivery addresses.
    pub hash: AccountHash,
    /// What its owner calls it.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Its settings.
    pub config: AccountConfig,
}

/// The settings of one account (management-api.md, endpoint 18), and of the zones it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// Whether delivery addresses may carry an option list.
    pub flexible_variants: bool,
    /// Seconds a browser may keep a public rendition, 3,600 to 31,536,000.
    pub browser_ttl: u32,
    /// Whether Content Credentials are kept in delivered images.
    pub preserve_content_credentials: bool,
    /// What the API was told of zones.
    pub zones: ZoneConfigs,
}

impl AccountConfig {
    /// The allowed range of `browser_ttl`, in seconds.
    pub const BROWSER_TTL: std::ops::RangeInclusive<u32> = 3_600..=31_536_000;
}

impl Default for AccountConfig {
    fn default() -> Self {
        Self {
            flexible_variants: false,
            browser_ttl: 172_800,
            preserve_content_credentials: false,
            zones: ZoneConfigs::default(),
        }
    }
}

/// 32 lower-case hexadecimal characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(String);

/// 22 base64url characters (16 bytes): the account's public name in delivery addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountHash(String);

/// Why a text names no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// Not an account id.
    #[error("an account id is 32 lower-case hexadecimal characters")]
    Id,
    /// Not an account hash.
    #[error("an account hash is 22 base64url characters")]
    Hash,
}

impl AccountId {
    /// A fresh random id.
    pub fn generate() -> Self {
        Self(random_hex::<16>())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for AccountId {
    type Error = InvalidAccount;

    fn try_from(text: &str) -> Result<Self, InvalidAccount> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(is_hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAccount::Id)
        }
    }
}

impl AccountHash {
    /// A fresh random hash.
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes::<16>()))
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for AccountHash {
    type Error = InvalidAccount;

    fn try_from(text: &str) -> Result<Self, InvalidAccount> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.len() == 22 && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAccount::Hash)
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_valid() {
        let id = AccountId::generate();
        assert_eq!(AccountId::try_from(id.as_str()), Ok(id));
        let hash = AccountHash::generate();
        assert_eq!(AccountHash::try_from(hash.as_str()), Ok(hash));
    }

    #[test]
    fn other_texts_name_no_account() {
        let upper = "0123456789ABCDEF0123456789ABCDEF";
        for text in ["", "abc", upper, "0123456789abcdef0123456789abcdeg"] {
            assert_eq!(AccountId::try_from(text), Err(InvalidAccount::Id), "{text}");
        }
        for text in ["", "Vi7wi5KSItxGFsWRG2Us6", "Vi7wi5KSItxGFsWRG2Us6=="] {
            assert_eq!(AccountHash::try_from(text), Err(InvalidAccount::Hash));
        }
    }
}

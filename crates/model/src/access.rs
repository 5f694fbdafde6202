//! Who may do what: API tokens, their permissions, and the claims of batch tokens.

use std::fmt;

use ring::digest::{SHA256, digest};

use crate::random::{hex, random_hex};
use crate::{AccountHash, AccountId, Timestamp};

/// What a token may do. Writing implies reading (management-api.md, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// "Images Read".
    Read,
    /// "Images Write".
    Write,
}

impl Permission {
    /// The stored and printed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// Reads `read` or `write`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }

    /// Whether a holder of `self` may do what needs `needed`.
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }
}

/// An authenticated caller: an account and what may be done in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The account which the token belongs to.
    pub account: AccountId,
    /// What the token may do.
    pub permission: Permission,
}

/// The public name of a token: 32 lower-case hexadecimal characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(String);

impl TokenId {
    /// A fresh random id.
    pub fn generate() -> Self {
        Self(random_hex::<16>())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Any stored text is a token id; one that was never minted is simply not found.
impl From<String> for TokenId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a token. The token itself is never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a token as a client sends it.
    pub fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", hex(&self.0[..4]))
    }
}

/// A stored API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The public name.
    pub id: TokenId,
    /// SHA-256 of the secret.
    pub hash: TokenHash,
    /// The account it opens.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// What it allows.
    pub permission: Permission,
    /// When it was created.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// Before when it is refused.
    pub not_before: Option<Timestamp>,
}

/// Whether a token opens anything now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It does.
    Active,
    /// Not yet, or no more.
    Expired,
}

impl ApiToken {
    /// Whether the token opens anything at `now`.
    pub fn state(&self, now: Timestamp) -> TokenState {
        let ended = self.expires.is_some_and(|end| end <= now);
        let early = self.not_before.is_some_and(|start| now < start);
        if ended || early {
            TokenState::Expired
        } else {
            TokenState::Active
        }
    }
}

/// What a batch token claims (management-api.md, section 3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchClaims {
    /// `sub`: the hash of the account.
    pub account: AccountHash,
    /// `exp`: unix seconds.
    pub expires: Timestamp,
}

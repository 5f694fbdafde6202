//! Signing keys as every database keeps them: their values are sealed before they go there and opened
//! after they left.

use model::{AccountId, KeyName, SigningKey};

use super::Corrupt;
use crate::{Error, Vault};

/// A key whose value is sealed.
#[derive(Debug)]
pub(super) struct SealedKey {
    pub(super) name: KeyName,
    pub(super) value: Vec<u8>,
}

/// A sealed value opens only as the key of this name in this account.
fn context(account: &AccountId, name: &KeyName) -> String {
    format!("signing key {} of account {account}", name.as_str())
}

pub(super) fn seal(vault: &Vault, account: &AccountId, key: &SigningKey) -> Vec<u8> {
    vault.seal(key.value.as_bytes(), &context(account, &key.name))
}

pub(super) fn unseal(
    vault: &Vault,
    account: &AccountId,
    keys: Vec<SealedKey>,
) -> Result<Vec<SigningKey>, Error> {
    let open = |key: SealedKey| {
        let value = vault.open(&key.value, &context(account, &key.name))?;
        Ok(SigningKey {
            name: key.name,
            value: String::from_utf8(value).map_err(|_| Corrupt("signing key"))?,
        })
    };
    keys.into_iter().map(open).collect()
}

use model::{AccountId, KeyName, SigningKey};

use crate::{Error, Service};

impl Service {
    /// The signing keys of an account, with their values.
    pub async fn signing_keys(&self, account: &AccountId) -> Result<Vec<SigningKey>, Error> {
        Ok(self.catalog.signing_keys(account).await?)
    }

    /// Creates a key, or rotates the one of this name. Returns all keys.
    pub async fn put_signing_key(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Vec<SigningKey>, Error> {
        let name = KeyName::parse(name).ok_or_else(|| {
            Error::Invalid("a key name is 1 to 64 of A-Z a-z 0-9 . _ -".to_owned())
        })?;
        let key = SigningKey::generate(name);
        let keys_max = self.settings.limits.signing_keys_max;
        self.catalog
            .put_signing_key(account, &key, keys_max)
            .await
            .map_err(|error| match error {
                store::Error::Full => Error::LimitReached("signing keys"),
                other => other.into(),
            })
    }

    /// Deletes a key; a new `default` takes the place of the last one. Returns all keys.
    pub async fn delete_signing_key(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Vec<SigningKey>, Error> {
        let missing = || Error::KeyNotFound(name.to_owned());
        let name = KeyName::parse(name).ok_or_else(missing)?;
        let successor = SigningKey::generate(KeyName::default_name());
        self.catalog
            .delete_signing_key(account, &name, &successor)
            .await
            .map_err(|error| match error {
                store::Error::NotFound => missing(),
                other => other.into(),
            })
    }
}

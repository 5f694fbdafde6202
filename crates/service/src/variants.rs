use model::{AccountId, Variant, VariantName, VariantOptions};
use serde_json::{Map, Value};

use crate::{Error, Service};

/// How often a change is tried again which meets another one.
const ATTEMPTS: usize = 10;

impl Service {
    /// The variants of an account: `public` first, then in the order of their creation.
    pub async fn variants(&self, account: &AccountId) -> Result<Vec<Variant>, Error> {
        Ok(self.catalog.variants(account).await?)
    }

    /// The variant of this name.
    pub async fn variant(&self, account: &AccountId, name: &str) -> Result<Variant, Error> {
        let missing = || Error::VariantNotFound(name.to_owned());
        let name = VariantName::parse(name).ok_or_else(missing)?;
        let variant = self.catalog.variant(account, &name).await?;
        variant.ok_or_else(missing)
    }

    /// Creates a variant.
    pub async fn create_variant(
        &self,
        account: &AccountId,
        name: &str,
        options: &Map<String, Value>,
        never_require_signed_urls: bool,
    ) -> Result<Variant, Error> {
        let name = VariantName::parse(name).ok_or_else(|| {
            Error::Invalid("a variant id is 1 to 99 letters and digits".to_owned())
        })?;
        let variant = Variant {
            name,
            options: VariantOptions::from_json(options)?,
            never_require_signed_urls,
        };
        let variants_max = self.settings.limits.variants_max;
        self.catalog
            .insert_variant(account, &variant, variants_max)
            .await
            .map_err(|error| match error {
                store::Error::Taken => Error::VariantTaken(variant.name.clone()),
                store::Error::Full => Error::LimitReached("variants"),
                other => other.into(),
            })?;
        Ok(variant)
    }

    /// Changes the given options of a variant, and whether it never needs a signature.
    pub async fn edit_variant(
        &self,
        account: &AccountId,
        name: &str,
        options: &Map<String, Value>,
        never_require_signed_urls: Option<bool>,
    ) -> Result<Variant, Error> {
        let _edit = self.variant_edits.lock().await;
        for _ in 0..ATTEMPTS {
            let before = self.variant(account, name).await?;
            let after = Variant {
                name: before.name.clone(),
                options: before.options.clone().merged(options)?,
                never_require_signed_urls: never_require_signed_urls
                    .unwrap_or(before.never_require_signed_urls),
            };
            match self.catalog.set_variant(account, &before, &after).await {
                Ok(()) => return Ok(after),
                Err(store::Error::Changed) => {}
                Err(store::Error::NotFound) => {
                    return Err(Error::VariantNotFound(name.to_owned()));
                }
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    /// Deletes a variant. Deleting `public` succeeds and does nothing, as the live service does.
    pub async fn delete_variant(&self, account: &AccountId, name: &str) -> Result<(), Error> {
        if name == VariantName::PUBLIC {
            return Ok(());
        }
        let missing = || Error::VariantNotFound(name.to_owned());
        let name = VariantName::parse(name).ok_or_else(missing)?;
        match self.catalog.delete_variant(account, &name).await {
            Err(store::Error::NotFound) => Err(missing()),
            other => Ok(other?),
        }
    }
}

//! Direct creator uploads: a draft now, its bytes later from an end user without credentials.

use std::time::Duration;

use bytes::Bytes;
use model::{Account, AccountHash, Image, ImageId, Timestamp};
use store::catalog::Filled;

use crate::{Error, NewImage, Service};

/// A draft to be made.
#[derive(Clone, Debug, Default)]
pub struct NewDirectUpload {
    /// What the image is to be.
    pub image: NewImage,
    /// Until when the upload URL works.
    pub expiry: Option<Timestamp>,
}

/// A draft which was made.
#[derive(Clone, Debug)]
pub struct DirectUpload {
    /// The id of the image to come.
    pub id: ImageId,
    /// Where its bytes go, once.
    pub upload_url: String,
}

/// The allowed lifetime of an upload URL, and how much clocks may differ.
const EXPIRY_MIN: Duration = Duration::from_mins(2);
const EXPIRY_MAX: Duration = Duration::from_hours(6);
const CLOCK_SLACK: Duration = Duration::from_secs(5);

impl Service {
    /// Makes a draft with its one-time upload URL.
    pub async fn create_direct_upload(
        &self,
        account: &Account,
        new: NewDirectUpload,
    ) -> Result<DirectUpload, Error> {
        let now = self.catalog.now();
        let expires = match new.expiry {
            None => now.after(self.settings.direct_upload_expiry),
            Some(expiry) => {
                let earliest = now.after(EXPIRY_MIN).before(CLOCK_SLACK);
                let latest = now.after(EXPIRY_MAX).after(CLOCK_SLACK);
                if expiry < earliest || latest < expiry {
                    return Err(Error::Invalid(
                        "expiry is out of accepted bound.".to_owned(),
                    ));
                }
                expiry
            }
        };
        let require_signed_urls = new.image.require_signed_urls;
        let id = self.settle_id(new.image.id.as_deref(), require_signed_urls)?;
        self.check_free(&account.id, &id).await?;
        self.check_quota(&account.id).await?;
        let draft = Image {
            id: id.clone(),
            filename: None,
            metadata: new.image.metadata,
            creator: new.image.creator,
            uploaded: now,
            require_signed_urls,
            source: None,
            draft_expires: Some(expires),
        };
        self.catalog
            .insert_image(&account.id, draft, None)
            .await
            .map_err(|error| match error {
                store::Error::Taken => Error::ImageTaken(id.clone()),
                other => other.into(),
            })?;
        let upload_url = self.settings.addresses.one_time_upload(&account.hash, &id);
        Ok(DirectUpload { id, upload_url })
    }

    /// Looks whether a one-time upload URL would still be honoured, before its body is read.
    pub async fn open_direct_upload(
        &self,
        hash: &AccountHash,
        id: &ImageId,
    ) -> Result<Account, Error> {
        let missing = || Error::ImageNotFound(id.clone());
        let account = self.catalog.account_by_hash(hash).await?;
        let account = account.ok_or_else(missing)?;
        let image = self.catalog.image(&account.id, id).await?;
        let draft = image.ok_or_else(missing)?;
        match draft.draft_expires {
            _ if !draft.is_draft() => Err(Error::UploadUrlUsed),
            Some(expires) if expires <= self.catalog.now() => Err(Error::UploadUrlExpired),
            _ => Ok(account),
        }
    }

    /// Turns a draft into an image, once; a refused file leaves it as it was.
    pub async fn fill_direct_upload(
        &self,
        account: &Account,
        id: &ImageId,
        bytes: Bytes,
        filename: Option<String>,
    ) -> Result<Image, Error> {
        self.check_quota(&account.id).await?;
        let kept = self.keep(bytes, filename.as_deref()).await?;
        let blob = kept.source.blob.clone();
        let filled = Filled {
            source: kept.source,
            filename: kept.filename,
            now: self.catalog.now(),
        };
        let images_max = self.settings.limits.images_max;
        let filled = self.catalog.fill_draft(&account.id, id, filled, images_max);
        match filled.await {
            Ok(image) => Ok(image),
            Err(error) => Err(self.discard(&blob, error, id).await),
        }
    }
}

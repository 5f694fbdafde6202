//! How an object becomes an image, or why it does not.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use model::{
    BlobKey, Image, ImageId, ImportEntry, ImportJob, ImportOutcome, ImportState, ImportedObject,
};
use ring::digest;
use store::catalog::ClaimedImport;

use super::bucket::Listed;
use super::work::{Stop, Turn};
use crate::{Error, FetchError, Service};

/// What came of one object.
pub(super) struct Came {
    pub(super) entry: Option<ImportEntry>,
    pub(super) outcome: ImportOutcome,
    pub(super) object: Option<ImportedObject>,
    /// Whether the store gave its bytes; `None` if they were not asked for, or the fault is the object's.
    pub(super) was_given: Option<bool>,
}

impl Service {
    /// The id of the image which an object becomes.
    pub(super) fn id_of(&self, job: &ImportJob, found: &Listed) -> Result<ImageId, Error> {
        let name = found.key.strip_prefix(job.root.as_str());
        let name = name.unwrap_or(&found.key);
        self.settle_id(Some(&format!("{}{name}", job.prefix)), false)
    }

    pub(super) async fn import_object(
        &self,
        turn: &Turn<'_>,
        found: &Listed,
        id: &Result<ImageId, Error>,
        known: Option<&ImportedObject>,
    ) -> Result<Came, Stop> {
        let claimed = turn.claimed;
        let skipped = |reason: &str| Ok(Came::of(found, ImportOutcome::Skipped, reason));
        let failed = |reason: &str| Ok(Came::of(found, ImportOutcome::Failed, reason));
        if found.key.ends_with('/') || found.bytes == 0 {
            return skipped("it is empty");
        }
        let limits = &self.settings.limits;
        if found.bytes > limits.upload_bytes_max {
            let reason = format!("it has more than {} bytes", limits.upload_bytes_max);
            return skipped(&reason);
        }
        let id = match id {
            Ok(id) => id,
            Err(error) => return failed(&error.to_string()),
        };
        let there = self.catalog.image(&claimed.account, id).await?;
        if there.as_ref().is_some_and(Image::is_draft) {
            return skipped("an upload to this id is awaited");
        }
        let there = there.and_then(|image| image.source.map(|source| (source, image.uploaded)));
        let mut may_be_ours = false;
        if let Some((source, uploaded)) = &there {
            if known.is_some_and(|known| *known == found.as_image(id, &source.blob)) {
                return Ok(Came::unchanged());
            }
            // Of a server which died before it could note what it had done, perhaps.
            let began = claimed.job.started.filter(|_| claimed.is_taken_over);
            may_be_ours =
                began.is_some_and(|began| *uploaded >= began) && source.bytes == found.bytes;
            if !claimed.job.overwrite && !may_be_ours {
                return skipped("there is an image of this id");
            }
        } else if let Some(words) = turn.error() {
            return failed(&words);
        }
        let admission = self.admit(found.bytes).await?;
        let asked = turn.reader.object(&found.key, found.bytes);
        let bytes = match turn.unless_over(asked).await? {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return failed("no address names its key"),
            Err(FetchError::Busy) => return Err(Stop::Trouble(Error::Busy)),
            Err(FetchError::Status(403)) if found.may_be_archived => {
                return skipped("it is archived, or the key may not read it");
            }
            Err(error) => {
                let came = Came::of(found, ImportOutcome::Failed, &error.to_string());
                let is_of_the_store =
                    error.is_passing() || matches!(error, FetchError::Status(401 | 403));
                return Ok(if is_of_the_store {
                    came.given(false)
                } else {
                    came
                });
            }
        };
        if let Some((source, _)) = &there {
            let digest = digest::digest(&digest::SHA256, &bytes);
            if digest.as_ref() == source.sha256.as_slice() {
                // It need not be done again.
                let object = found.as_image(id, &source.blob);
                return Ok(Came::same(found, object, may_be_ours).given(true));
            }
            if !claimed.job.overwrite {
                return skipped("there is an image of this id");
            }
        }
        let replaced = there.map(|(source, _)| source.blob);
        let stored = self.store_object(claimed, id, bytes, &found.key, replaced);
        let stored = stored.await;
        drop(admission);
        let outcome = match stored {
            Ok(blob) => return Ok(Came::imported(found, found.as_image(id, &blob)).given(true)),
            // The job is not ours any more.
            Err(Error::ImageNotFound(_)) => return Err(Stop::Lost),
            Err(Error::Unreadable(
                pixels::Error::NotAnImage
                | pixels::Error::Unsupported(_)
                | pixels::Error::NotAccepted(_),
            )) => skipped("it is no image of a format which is taken"),
            Err(Error::Unreadable(error)) => failed(&format!("it is no good image: {error}")),
            Err(error @ (Error::Invalid(_) | Error::TooManyBytes(_) | Error::Worker(_))) => {
                failed(&error.to_string())
            }
            Err(Error::ImageTaken(_)) => skipped("there is an image of this id"),
            Err(Error::Store(store::Error::Changed)) => {
                skipped("its image was changed at the same time")
            }
            // Those which are there may still be replaced.
            Err(error @ Error::LimitReached(_)) if claimed.job.overwrite => {
                turn.is_full.store(true, Relaxed);
                failed(&error.to_string())
            }
            Err(error @ (Error::LimitReached(_) | Error::Store(store::Error::NoSpace(_)))) => {
                let words = Some(error.to_string());
                return Err(Stop::Ended(ImportState::QuotaExceeded, words));
            }
            Err(error) => return Err(Stop::Trouble(error)),
        };
        outcome.map(|came| came.given(true))
    }

    /// Stores an image while the job is ours, in the place of the one with this blob. Its own blob.
    async fn store_object(
        &self,
        claimed: &ClaimedImport,
        id: &ImageId,
        bytes: Bytes,
        name: &str,
        replaced: Option<BlobKey>,
    ) -> Result<BlobKey, Error> {
        let kept = self.keep(bytes, name.rsplit('/').next()).await?;
        let blob = kept.source.blob.clone();
        let image = Image {
            id: id.clone(),
            filename: kept.filename,
            metadata: None,
            creator: None,
            uploaded: self.catalog.now(),
            require_signed_urls: false,
            source: Some(kept.source),
            draft_expires: None,
        };
        let images_max = self.settings.limits.images_max;
        let not_before = self.catalog.now().after(self.settings.release_grace);
        let stored = self
            .catalog
            .insert_imported_image(claimed, image, replaced, images_max, not_before);
        match stored.await {
            Ok(_) => Ok(blob),
            Err(error) => Err(self.discard(&blob, error, id).await),
        }
    }
}

impl Listed {
    /// As it is known when it has become this image.
    fn as_image(&self, id: &ImageId, blob: &BlobKey) -> ImportedObject {
        ImportedObject {
            image: id.clone(),
            blob: blob.clone(),
            etag: self.etag.clone(),
            bytes: self.bytes,
            modified: self.modified,
        }
    }
}

impl Came {
    fn of(found: &Listed, outcome: ImportOutcome, reason: &str) -> Self {
        Self {
            entry: Some(ImportEntry {
                key: found.key.clone(),
                outcome,
                reason: Some(reason.to_owned()),
            }),
            outcome,
            object: None,
            was_given: None,
        }
    }

    fn imported(found: &Listed, object: ImportedObject) -> Self {
        Self {
            entry: Some(ImportEntry {
                key: found.key.clone(),
                outcome: ImportOutcome::Imported,
                reason: None,
            }),
            outcome: ImportOutcome::Imported,
            object: Some(object),
            was_given: None,
        }
    }

    /// As it was when it was imported: not worth a line.
    fn unchanged() -> Self {
        Self {
            entry: None,
            outcome: ImportOutcome::Skipped,
            object: None,
            was_given: None,
        }
    }

    /// The image has these bytes: by whoever began with the job, or as it happens.
    fn same(found: &Listed, object: ImportedObject, is_ours: bool) -> Self {
        if is_ours {
            Self::imported(found, object)
        } else {
            Self {
                object: Some(object),
                ..Self::unchanged()
            }
        }
    }

    fn given(self, was_given: bool) -> Self {
        Self {
            was_given: Some(was_given),
            ..self
        }
    }
}

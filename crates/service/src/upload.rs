//! Storing a new image: blob first, record second.

use std::pin::pin;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use model::{AccountId, BlobKey, Creator, Filename, Image, ImageId, Metadata, Source};
use pixels::Cancel;
use ring::digest;

use crate::{Error, Service};

/// What a client wants stored, apart from the bytes.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// The custom id, as sent.
    pub id: Option<String>,
    /// The customer's own JSON.
    pub metadata: Option<Metadata>,
    /// The customer's own user.
    pub creator: Option<Creator>,
    /// Whether delivery needs a signed URL.
    pub require_signed_urls: bool,
}

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub enum Upload {
    /// The client sent them.
    File {
        /// The bytes.
        bytes: Bytes,
        /// The name they came under, as sent.
        filename: Option<String>,
    },
    /// They are to be fetched from this address.
    Url(String),
}

/// Bytes which are in the blob store, under a reservation that a record must take.
pub(crate) struct Kept {
    pub(crate) source: Source,
    pub(crate) filename: Option<Filename>,
}

impl Service {
    /// Stores an image. When this returns, the image survives the loss of power.
    pub async fn upload(
        &self,
        account: &AccountId,
        new: NewImage,
        upload: Upload,
    ) -> Result<Image, Error> {
        let id = self.settle_id(new.id.as_deref(), new.require_signed_urls)?;
        self.check_free(account, &id).await?;
        self.check_quota(account).await?;
        let (bytes, filename, _admission) = match upload {
            // Whoever sent it was admitted before.
            Upload::File { bytes, filename } => (bytes, filename, None),
            Upload::Url(url) => {
                let bytes_max = self.settings.limits.upload_bytes_max;
                let admission = self.admit(bytes_max).await?;
                let (bytes, filename) = self.fetcher.fetch(&url).await?;
                (bytes, filename, Some(admission))
            }
        };
        let kept = self.keep(bytes, filename.as_deref()).await?;
        let image = Image {
            id: id.clone(),
            filename: kept.filename,
            metadata: new.metadata,
            creator: new.creator,
            uploaded: self.catalog.now(),
            require_signed_urls: new.require_signed_urls,
            source: Some(kept.source.clone()),
            draft_expires: None,
        };
        let images_max = self.settings.limits.images_max;
        let inserted = self.catalog.insert_image(account, image, images_max).await;
        match inserted {
            Ok(image) => Ok(image),
            Err(error) => Err(self.discard(&kept.source.blob, error, &id).await),
        }
    }

    /// The id an image will have: the custom one, checked, or a fresh one.
    pub(crate) fn settle_id(
        &self,
        custom: Option<&str>,
        require_signed_urls: bool,
    ) -> Result<ImageId, Error> {
        let Some(text) = custom else {
            return Ok(ImageId::generate(require_signed_urls));
        };
        let id = ImageId::custom(text, self.settings.limits.image_id_chars_max)?;
        if require_signed_urls {
            return Err(Error::Invalid(
                "Private custom ID is not supported".to_owned(),
            ));
        }
        Ok(id)
    }

    /// Refuses a taken id before work is spent; the catalog decides races.
    pub(crate) async fn check_free(&self, account: &AccountId, id: &ImageId) -> Result<(), Error> {
        if id.is_generated() {
            return Ok(());
        }
        match self.catalog.image(account, id).await? {
            Some(_) => Err(Error::ImageTaken(id.clone())),
            None => Ok(()),
        }
    }

    /// Refuses a full account before work is spent; the catalog decides races.
    pub(crate) async fn check_quota(&self, account: &AccountId) -> Result<(), Error> {
        let Some(images_max) = self.settings.limits.images_max else {
            return Ok(());
        };
        let any = model::CreatorFilter::Any;
        if self.catalog.image_count(account, &any).await? >= images_max {
            return Err(Error::LimitReached("images"));
        }
        Ok(())
    }

    /// Judges the bytes and puts them into the blob store, durably.
    pub(crate) async fn keep(&self, bytes: Bytes, filename: Option<&str>) -> Result<Kept, Error> {
        let kept = self.judge_and_write(bytes, filename).await;
        let bytes = kept.as_ref().ok().map(|kept| kept.source.bytes);
        self.meters.count_upload(bytes);
        kept
    }

    async fn judge_and_write(&self, bytes: Bytes, filename: Option<&str>) -> Result<Kept, Error> {
        let limits = &self.settings.limits;
        if bytes.len() as u64 > limits.upload_bytes_max {
            return Err(Error::TooManyBytes(limits.upload_bytes_max));
        }
        // Held until the bytes are written, so that uploads at one time cannot overdraw the disk.
        let _space = self.claim_space(bytes.len() as u64).await?;
        let filename =
            filename.and_then(|name| Filename::from_upload(name, limits.filename_chars_max));
        let needed = self.engine.verifying_bytes(&bytes);
        let share = if self.memory.is_light(needed) {
            self.memory.share_light(needed).await?
        } else {
            self.memory.share(needed).await?
        };
        // What is no picture by its header is not written. What turns out to be broken is removed again:
        // the two take about as long, and neither waits for the other.
        let known = self.engine.recognise(&bytes);
        let is_promising = known.and_then(|_| self.engine.inspect(&bytes)).is_ok();
        let size = bytes.len() as u64;
        let job = {
            let (bytes, engine) = (bytes.clone(), self.engine.clone());
            let cancel = Cancel::at(Instant::now() + limits.render_deadline);
            move || {
                let header = engine.verify(&bytes, &cancel);
                // With the job and not with its caller, who may go before it ends.
                drop(share);
                let header = header?;
                Ok((header, digest::digest(&digest::SHA256, &bytes)))
            }
        };
        let mut judging = pin!(async {
            let judged: Result<_, pixels::Error> = self.judge.run(job).await?;
            judged.map_err(Error::Unreadable)
        });
        // Where the queue is full, it fails at once.
        let judged = match judging.as_mut().now_or_never() {
            None if !is_promising => Some(judging.as_mut().await),
            judged => judged,
        };
        let (judged, written) = match judged {
            None => tokio::join!(judging, self.write(bytes)),
            Some(judged) => (Ok(judged?), self.write(bytes).await),
        };
        let (header, hash) = match judged {
            Ok(judged) => judged,
            Err(error) => {
                if let Ok(blob) = &written {
                    self.take_back(blob).await;
                }
                return Err(error);
            }
        };
        let blob = written?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hash.as_ref());
        Ok(Kept {
            source: Source {
                blob,
                bytes: size,
                sha256,
                format: header.format,
                width: header.width,
                height: header.height,
            },
            filename,
        })
    }

    /// Puts bytes into the blob store under a new reservation. Whatever is left of a write which fails is
    /// the sweeper's: its reservation stays.
    async fn write(&self, bytes: Bytes) -> Result<BlobKey, Error> {
        let blob = self.reservations.take(&self.catalog).await?;
        self.blobs.put(&blob, bytes).await?;
        Ok(blob)
    }

    /// Removes bytes which no record will have. What fails here is left to the sweeper.
    async fn take_back(&self, blob: &BlobKey) {
        let keys = std::slice::from_ref(blob);
        let mut deleted = self.blobs.delete(keys).await;
        if deleted.is_ok() {
            deleted = self.catalog.forget_blobs(keys).await;
        }
        if let Err(error) = deleted {
            tracing::warn!(%blob, %error, "an unused blob is left to the sweeper");
        }
    }

    /// Room on the disk for so many bytes, if need be at the expense of renditions.
    async fn claim_space(&self, bytes: u64) -> Result<store::SpaceClaim, Error> {
        match self.disk_space.claim(bytes) {
            Err(store::Error::NoSpace(_)) => {
                self.renditions.give_up(bytes.saturating_mul(4)).await;
                Ok(self.disk_space.claim(bytes)?)
            }
            claimed => Ok(claimed?),
        }
    }

    /// Takes back the bytes of an upload whose record was refused. After an unknown outcome nothing is touched, since the record may be there.
    pub(crate) async fn discard(&self, blob: &BlobKey, cause: store::Error, id: &ImageId) -> Error {
        let refused = matches!(
            cause,
            store::Error::Taken
                | store::Error::Full
                | store::Error::NotFound
                | store::Error::Changed
                | store::Error::DraftUsed
                | store::Error::DraftExpired
                | store::Error::ReservationLapsed
        );
        if refused {
            self.take_back(blob).await;
        }
        match cause {
            store::Error::Taken => Error::ImageTaken(id.clone()),
            store::Error::Full => Error::LimitReached("images"),
            store::Error::NotFound => Error::ImageNotFound(id.clone()),
            store::Error::DraftUsed => Error::UploadUrlUsed,
            store::Error::DraftExpired => Error::UploadUrlExpired,
            other => other.into(),
        }
    }
}

//! Looking after stored images: details, edit, delete, blob, lists, counts.

use bytes::Bytes;
use model::{
    AccountId, CreatorFilter, Filename, Image, ImageId, MetadataFilter, Source, Timestamp,
};
use store::catalog::{ImageEdit, ListQuery, Order, Position};

use crate::{Error, Service, cursor};

/// The uploaded bytes of an image.
#[derive(Clone, Debug)]
pub struct Blob {
    /// All of them.
    pub bytes: Bytes,
    /// What they are.
    pub source: Source,
    /// The name they came under.
    pub filename: Option<Filename>,
    /// When they came.
    pub uploaded: Timestamp,
}

/// A page by number, newest first.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// From 1.
    pub page: u64,
    /// Images on a page.
    pub per_page: u32,
    /// Whose images.
    pub creator: CreatorFilter,
}

/// What `PageRequest` asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// The images of the page.
    pub images: Vec<Image>,
    /// How many there are on all pages.
    pub total: u64,
}

/// A page by continuation token.
#[derive(Clone, Debug)]
pub struct WalkRequest {
    /// The token which the page before gave; `None` is the first page.
    pub continuation_token: Option<String>,
    /// Images on the page.
    pub per_page: u32,
    /// Oldest or newest first.
    pub order: Order,
    /// Whose images.
    pub creator: CreatorFilter,
    /// What their metadata must hold.
    pub filter: MetadataFilter,
}

/// What `WalkRequest` asked for.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The images of the page.
    pub images: Vec<Image>,
    /// The token of the next page; `None` is the end.
    pub continuation_token: Option<String>,
}

/// How many images an account stores and may store.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    /// Stored images; drafts do not count.
    pub current: u64,
    /// The quota.
    pub allowed: u64,
}

/// What `Stats::allowed` says without a quota.
const UNLIMITED: u64 = 100_000_000;

impl Service {
    /// The image or draft of this id.
    pub async fn image(&self, account: &AccountId, id: &ImageId) -> Result<Image, Error> {
        let image = self.catalog.image(account, id).await?;
        image.ok_or_else(|| Error::ImageNotFound(id.clone()))
    }

    /// Changes an image or draft; another access control gives it another id.
    pub async fn edit_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        edit: ImageEdit,
    ) -> Result<Image, Error> {
        if edit.require_signed_urls == Some(true) && !id.is_generated() {
            self.image(account, id).await?;
            return Err(Error::Invalid(
                "Private custom ID is not supported".to_owned(),
            ));
        }
        self.catalog
            .edit_image(account, id, edit)
            .await
            .map_err(|error| match error {
                store::Error::NotFound => Error::ImageNotFound(id.clone()),
                store::Error::Taken => Error::ImageTaken(id.clone()),
                other => other.into(),
            })
    }

    /// Deletes an image or draft: the record now, its renditions now, its bytes soon after.
    pub async fn delete_image(&self, account: &AccountId, id: &ImageId) -> Result<(), Error> {
        let not_before = self.catalog.now().after(self.settings.release_grace);
        let deleted = self.catalog.delete_image(account, id, not_before).await;
        let image = deleted.map_err(|error| match error {
            store::Error::NotFound => Error::ImageNotFound(id.clone()),
            other => other.into(),
        })?;
        if let Some(source) = image.source {
            self.renditions.remove_blob(&source.blob).await;
        }
        Ok(())
    }

    /// The uploaded bytes of an image; a draft has none.
    pub async fn blob(&self, account: &AccountId, id: &ImageId) -> Result<Blob, Error> {
        let image = self.image(account, id).await?;
        let missing = || Error::ImageNotFound(id.clone());
        let source = image.source.ok_or_else(missing)?;
        let Some(bytes) = self.blobs.get(&source.blob).await? else {
            return Err(if self.is_lost(account, id, &source).await? {
                lost(&source)
            } else {
                missing()
            });
        };
        Ok(Blob {
            bytes,
            source,
            filename: image.filename,
            uploaded: image.uploaded,
        })
    }

    /// Whether bytes which were not found should be there: the record still names them. Otherwise
    /// the image was deleted after its record was read.
    pub(crate) async fn is_lost(
        &self,
        account: &AccountId,
        id: &ImageId,
        source: &Source,
    ) -> Result<bool, Error> {
        let image = self.catalog.image(account, id).await?;
        let named = image.and_then(|image| image.source);
        Ok(named.is_some_and(|named| named.blob == source.blob))
    }

    /// A page by number, newest first.
    pub async fn page(&self, account: &AccountId, request: &PageRequest) -> Result<Page, Error> {
        self.check_page_size(request.per_page)?;
        let skipped = request.page.checked_sub(1);
        let skipped =
            skipped.ok_or_else(|| Error::Invalid("page must be at least 1".to_owned()))?;
        let offset_max = self.settings.limits.list_offset_max;
        let offset = skipped
            .checked_mul(u64::from(request.per_page))
            .filter(|offset| *offset <= offset_max)
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "page lies beyond {offset_max} images; list v2 has no such limit"
                ))
            })?;
        let total = self.catalog.image_count(account, &request.creator).await?;
        let images = if offset < total {
            let (creator, limit) = (&request.creator, request.per_page);
            self.catalog
                .images_at(account, creator, offset, limit)
                .await?
        } else {
            Vec::new()
        };
        Ok(Page { images, total })
    }

    /// A page by continuation token.
    pub async fn walk(&self, account: &AccountId, request: WalkRequest) -> Result<Walk, Error> {
        self.check_page_size(request.per_page)?;
        let mut query = ListQuery {
            order: request.order,
            after: None,
            // One more tells whether another page follows.
            limit: request.per_page + 1,
            creator: request.creator,
            filter: request.filter,
        };
        let key = &self.secrets.cursor;
        if let Some(token) = &request.continuation_token {
            let position = cursor::decode(key, account, &query, token);
            query.after = Some(position.ok_or_else(|| {
                Error::Invalid("continuation_token is not one of this list".to_owned())
            })?);
        }
        let mut images = self.catalog.images_after(account, &query).await?;
        let more = images.len() > request.per_page as usize;
        images.truncate(request.per_page as usize);
        let last = images.last().filter(|_| more);
        let continuation_token = last.map(|image| {
            let position = Position {
                uploaded: image.uploaded,
                id: image.id.clone(),
            };
            cursor::encode(key, account, &query, &position)
        });
        Ok(Walk {
            images,
            continuation_token,
        })
    }

    /// How many images an account stores and may store.
    pub async fn stats(&self, account: &AccountId) -> Result<Stats, Error> {
        let any = CreatorFilter::Any;
        Ok(Stats {
            current: self.catalog.image_count(account, &any).await?,
            allowed: self.settings.limits.images_max.unwrap_or(UNLIMITED),
        })
    }

    fn check_page_size(&self, per_page: u32) -> Result<(), Error> {
        let page_max = self.settings.limits.list_page_max;
        if (1..=page_max).contains(&per_page) {
            Ok(())
        } else {
            Err(Error::Invalid(format!(
                "per_page must be from 1 to {page_max}"
            )))
        }
    }
}

/// A record without its bytes: never silent.
pub(crate) fn lost(source: &Source) -> Error {
    tracing::error!(blob = %source.blob, "the bytes of an image are missing from the blob store");
    let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "the bytes are missing");
    Error::Store(store::Error::Blobs(Box::new(cause)))
}

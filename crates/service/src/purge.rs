//! Emptying caches by hand: of what was made of an account's images, of some of them, in one variant,
//! or of the source of remote images. Nobody needs it after a change of an image or a variant, which
//! changes the keys of all that is made of it.
//!
//! A purge is announced to the other nodes before it is done here. They ask several times in a second.

use std::collections::HashSet;

use model::{
    Account, AccountId, BlobKey, CreatorFilter, Image, ImageId, SourceUrl, Transform, VariantName,
};
use pixels::Accepts;
use serde_json::{Value, json};
use store::catalog::{ListQuery, Order, Position};
use store::{Emptied, RenditionKey};

use crate::{ClientHints, Error, Service};

/// What is to be purged of an account.
#[derive(Clone, Debug)]
pub struct Purge {
    /// These images; all of the account without it.
    pub images: Option<Vec<ImageId>>,
    /// In this variant; in every shape without it.
    pub variant: Option<VariantName>,
}

/// What other nodes announced, as far as it is understood.
enum Announced {
    Images(AccountId, Purge),
    Sources(Vec<SourceUrl>),
}

/// What was purged on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Images of which something could have been there.
    pub images: u64,
    /// Sources of remote images which were forgotten, whether they were known or not.
    pub sources: u64,
    /// Renditions, and copies of sources with what was known of them, which were removed.
    pub entries: u64,
    /// Bytes which they took on disk, or in memory if they were only there.
    pub bytes: u64,
}

/// Images which are looked up at one time.
const PAGE: u32 = 1_000;

/// Announcements which are read at one time.
const ANNOUNCEMENTS: u32 = 100;

impl Service {
    /// Purges what is kept of an account's images, on other nodes as soon as they ask. If one of those
    /// which are named does not exist, nothing is purged.
    pub async fn purge(&self, account: &Account, purge: &Purge) -> Result<Purged, Error> {
        for id in purge.images.iter().flatten() {
            let image = self.catalog.image(&account.id, id).await?;
            let image = image.filter(|image| image.source.is_some());
            image.ok_or_else(|| Error::ImageNotFound(id.clone()))?;
        }
        let announced = Announced::Images(account.id.clone(), purge.clone());
        self.purge_here(&account.id, purge, Some(announced)).await
    }

    /// Leaves out images which are not there.
    async fn purge_here(
        &self,
        account: &AccountId,
        purge: &Purge,
        to_announce: Option<Announced>,
    ) -> Result<Purged, Error> {
        let variant = match &purge.variant {
            None => None,
            Some(name) => {
                let found = self.catalog.variant(account, name).await?;
                let found =
                    found.ok_or_else(|| Error::VariantNotFound(name.as_str().to_owned()))?;
                Some(found.options.to_transform())
            }
        };
        let keys = variant.and_then(|transform| self.digests(&transform));
        if let Some(announced) = to_announce {
            // Before the others, who would have it again from there.
            if self.renditions.are_shared() {
                let mut pages = Pages::of(purge);
                while let Some(images) = pages.next(self, account).await? {
                    self.purge_shared(&images, keys.as_ref()).await?;
                }
            }
            self.catalog.announce_purge(&announced.to_text()).await?;
        }
        let mut purged = Purged::default();
        let mut pages = Pages::of(purge);
        while let Some(images) = pages.next(self, account).await? {
            self.purge_images(&images, keys.as_ref(), &mut purged).await;
        }
        Ok(purged)
    }

    /// Purges sources of remote images and all that was made of them, on other nodes as soon as they ask.
    pub async fn purge_sources(&self, urls: &[SourceUrl]) -> Result<Purged, Error> {
        let announced = Announced::Sources(urls.to_vec());
        self.catalog.announce_purge(&announced.to_text()).await?;
        Ok(self.purge_sources_here(urls).await)
    }

    /// Purges what other nodes announced after the purge of this number, and returns the number of
    /// the last one.
    pub async fn follow_purges(&self, mut last: i64) -> Result<i64, Error> {
        loop {
            let announced = self.catalog.announced_purges(last, ANNOUNCEMENTS).await?;
            let count = announced.len();
            for (number, text) in announced {
                match Announced::read(&text) {
                    Some(Announced::Sources(urls)) => drop(self.purge_sources_here(&urls).await),
                    Some(Announced::Images(account, purge)) => {
                        match self.purge_here(&account, &purge, None).await {
                            // Of a variant which is gone, nothing can be asked for.
                            Ok(_) | Err(Error::VariantNotFound(_)) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    None => tracing::warn!(
                        text,
                        "a node of another version purges, which is not understood"
                    ),
                }
                last = number;
            }
            if count < ANNOUNCEMENTS as usize {
                return Ok(last);
            }
        }
    }

    async fn purge_sources_here(&self, urls: &[SourceUrl]) -> Purged {
        let mut purged = Purged::default();
        for url in urls {
            let emptied = self.purge_source(url).await;
            purged.sources += 1;
            purged.add(emptied);
        }
        purged
    }

    async fn purge_images(
        &self,
        images: &[Image],
        digests: Option<&HashSet<[u8; 32]>>,
        purged: &mut Purged,
    ) {
        let blobs = blobs_of(images);
        for blob in &blobs {
            let emptied = match digests {
                None => self.renditions.empty_blob(blob).await,
                Some(digests) => self.renditions.remove(keys_of(blob, digests)).await,
            };
            purged.images += 1;
            purged.add(emptied);
        }
        // What could not be made is tried again.
        let blobs: HashSet<_> = blobs.into_iter().collect();
        self.refusals.retain(|key, _| !blobs.contains(&key.blob));
    }

    async fn purge_shared(
        &self,
        images: &[Image],
        digests: Option<&HashSet<[u8; 32]>>,
    ) -> Result<(), Error> {
        for blob in blobs_of(images) {
            match digests {
                None => self.renditions.empty_shared(blob).await?,
                Some(digests) => {
                    let keys = keys_of(blob, digests);
                    self.renditions.remove_shared(&keys).await?;
                }
            }
        }
        Ok(())
    }

    /// Under which digests a transform is kept; `None` if hints of clients have a say, so that there
    /// may be any.
    fn digests(&self, transform: &Transform) -> Option<HashSet<[u8; 32]>> {
        let uses_dpr = self.settings.remote.auto_width_uses_dpr;
        let hints = ClientHints::default();
        let (transform, used) = hints.settle(transform.clone(), uses_dpr);
        if used != crate::HintsUsed::default() {
            return None;
        }
        let accepts = [(false, false), (false, true), (true, false), (true, true)];
        let digests = accepts.map(|(avif, webp)| {
            let accepts = Accepts { avif, webp };
            self.digest_of("", &transform, accepts)
        });
        Some(digests.into_iter().collect())
    }
}

fn blobs_of(images: &[Image]) -> Vec<&BlobKey> {
    let sources = images.iter().filter_map(|image| image.source.as_ref());
    sources.map(|source| &source.blob).collect()
}

fn keys_of(blob: &BlobKey, digests: &HashSet<[u8; 32]>) -> Vec<RenditionKey> {
    let key = |digest: &[u8; 32]| RenditionKey {
        blob: blob.clone(),
        transform: *digest,
    };
    digests.iter().map(key).collect()
}

/// The images of a purge, some at a time; those which are not there are left out.
enum Pages<'a> {
    Named(&'a [ImageId]),
    All(ListQuery),
    Over,
}

impl<'a> Pages<'a> {
    fn of(purge: &'a Purge) -> Self {
        match &purge.images {
            Some(ids) => Self::Named(ids),
            None => Self::All(ListQuery {
                order: Order::Ascending,
                after: None,
                limit: PAGE,
                creator: CreatorFilter::Any,
                filter: model::MetadataFilter::default(),
            }),
        }
    }

    async fn next(
        &mut self,
        service: &Service,
        account: &AccountId,
    ) -> Result<Option<Vec<Image>>, Error> {
        match self {
            Self::Over => Ok(None),
            Self::Named(ids) => {
                let mut images = Vec::with_capacity(ids.len());
                for id in *ids {
                    images.extend(service.catalog.image(account, id).await?);
                }
                *self = Self::Over;
                Ok(Some(images))
            }
            Self::All(query) => {
                let images = service.catalog.images_after(account, query).await?;
                match images.last().filter(|_| images.len() == PAGE as usize) {
                    None => *self = Self::Over,
                    Some(last) => {
                        query.after = Some(Position {
                            uploaded: last.uploaded,
                            id: last.id.clone(),
                        });
                    }
                }
                Ok(Some(images))
            }
        }
    }
}

impl Announced {
    fn to_text(&self) -> String {
        let value = match self {
            Self::Images(account, purge) => {
                let images = purge.images.as_ref();
                let images = images.map(|ids| ids.iter().map(ImageId::as_str).collect::<Vec<_>>());
                let variant = purge.variant.as_ref().map(VariantName::as_str);
                json!({ "account": account.as_str(), "images": images, "variant": variant })
            }
            Self::Sources(urls) => {
                let urls: Vec<_> = urls.iter().map(ToString::to_string).collect();
                json!({ "sources": urls })
            }
        };
        value.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        if let Some(urls) = value.get("sources") {
            let urls = urls.as_array()?.iter();
            let urls = urls.map(|url| SourceUrl::parse(url.as_str()?).ok());
            return Some(Self::Sources(urls.collect::<Option<_>>()?));
        }
        let images = match value.get("images")? {
            Value::Null => None,
            ids => {
                let ids = ids.as_array()?.iter();
                let ids = ids.map(|id| Some(ImageId::from_path(id.as_str()?.to_owned())));
                Some(ids.collect::<Option<_>>()?)
            }
        };
        let variant = match value.get("variant")? {
            Value::Null => None,
            name => Some(VariantName::parse(name.as_str()?)?),
        };
        let account = AccountId::try_from(value.get("account")?.as_str()?).ok()?;
        Some(Self::Images(account, Purge { images, variant }))
    }
}

impl Purged {
    fn add(&mut self, emptied: Emptied) {
        self.entries += emptied.entries;
        self.bytes += emptied.bytes;
    }
}

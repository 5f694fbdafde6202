//! Everything a server keeps, as a whole: records and the bytes which they speak of. It is checked,
//! copied into another store, kept as a backup and brought back.

mod archive;
mod backup;
mod check;
mod copy;
mod draft;
mod filling;
mod record_text;
mod restore;

use std::sync::Arc;

use futures_util::StreamExt as _;
use model::{AccountId, Image, ImageId, Source};
use ring::digest;
use store::catalog::{Record, Records};
use store::{Blobs, Portable};

pub use archive::{ArchiveSink, ArchiveSource};
pub use backup::{BackedUp, BackupOptions};
pub use check::{Check, Checked, Finding, Repair};
pub use copy::Copied;
pub use filling::Filling;
pub use restore::{Backup, Manifest, Restored};

/// A catalog and the blobs of its images. Cheap to clone.
#[derive(Clone)]
pub struct Holdings {
    /// The records.
    pub catalog: Arc<dyn Portable>,
    /// The bytes.
    pub blobs: Blobs,
}

/// Why something could not be done with a whole store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would destroy or mix up something; the sentence says what.
    #[error("{0}")]
    Refused(String),
    /// What is kept is not whole; the sentence says where.
    #[error("{0}")]
    Damaged(String),
    /// A backup cannot be read or written.
    #[error("{0}")]
    Io(&'static str, #[source] std::io::Error),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Is told how far the work has come, so that a person can be.
pub trait Watch: Send + Sync {
    /// Something begins which has so many steps.
    fn begin(&self, what: &'static str, steps: u64);

    /// So many of them are done.
    fn advance(&self, steps: u64);
}

/// Blobs which are read or written at the same time.
const BLOBS_AT_ONCE: usize = 8;

impl Holdings {
    /// Whether nothing is kept here, neither records nor bytes.
    async fn is_empty(&self) -> Result<bool, Error> {
        if !self.catalog.is_empty().await? {
            return Ok(false);
        }
        Ok(self.blobs.list().next().await.transpose()?.is_none())
    }

    /// How many images there are, without drafts, as far as the catalog counts them.
    async fn image_count(&self) -> Result<u64, Error> {
        let mut images = 0;
        for account in self.catalog.accounts().await? {
            let any = model::CreatorFilter::Any;
            images += self.catalog.image_count(&account.id, &any).await?;
        }
        Ok(images)
    }

    /// The image as it is now, if it still is what it was.
    async fn still_there(
        &self,
        account: &AccountId,
        id: &ImageId,
        source: &Source,
    ) -> Result<bool, Error> {
        let now = self.catalog.image(account, id).await?;
        Ok(now.and_then(|image| image.source).as_ref() == Some(source))
    }
}

/// Whether these are the bytes which were uploaded.
fn are_those(bytes: &[u8], source: &Source) -> bool {
    let found = digest::digest(&digest::SHA256, bytes);
    bytes.len() as u64 == source.bytes && found.as_ref() == source.sha256
}

/// Records one by one.
struct OneByOne {
    records: Records,
    piece: std::vec::IntoIter<Record>,
}

impl OneByOne {
    fn new(records: Records) -> Self {
        Self {
            records,
            piece: Vec::new().into_iter(),
        }
    }

    async fn next(&mut self) -> Result<Option<Record>, store::Error> {
        loop {
            if let Some(record) = self.piece.next() {
                return Ok(Some(record));
            }
            match self.records.recv().await.transpose()? {
                Some(piece) => self.piece = piece.into_iter(),
                None => return Ok(None),
            }
        }
    }

    /// The next image which has bytes.
    async fn image(&mut self) -> Result<Option<(AccountId, Image, Source)>, store::Error> {
        while let Some(record) = self.next().await? {
            if let Record::Image(account, image) = record
                && let Some(source) = image.source.clone()
            {
                return Ok(Some((account, image, source)));
            }
        }
        Ok(None)
    }
}

//! Tidying up: expired drafts, and bytes which no record points to.

use std::time::Duration;

use crate::{Error, Service};

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Expired drafts which were deleted.
    pub drafts: u64,
    /// Blobs which were deleted.
    pub blobs: u64,
}

const BATCH: u32 = 1_000;
/// How long an expired upload URL still says that it has expired; then nobody knows it.
const DRAFT_GRACE: Duration = Duration::from_mins(30);

impl Service {
    /// Deletes expired drafts, then the blobs of failed uploads and deleted images, until there are
    /// none left. A crash in between is made good by the next sweep.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        loop {
            let long_expired = self.catalog.now().before(DRAFT_GRACE);
            let drafts = self.catalog.delete_expired_drafts(long_expired, BATCH);
            let drafts = drafts.await?;
            swept.drafts += u64::from(drafts);
            if drafts < BATCH {
                break;
            }
        }
        loop {
            let blobs = self
                .catalog
                .abandoned_blobs(self.catalog.now(), BATCH)
                .await?;
            for blob in &blobs {
                self.renditions.remove_blob(blob).await;
                self.renditions.empty_shared(blob).await?;
            }
            self.blobs.delete(&blobs).await?;
            self.catalog.forget_blobs(&blobs).await?;
            swept.blobs += blobs.len() as u64;
            if blobs.len() < BATCH as usize {
                return Ok(swept);
            }
        }
    }
}

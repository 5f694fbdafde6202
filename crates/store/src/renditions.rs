//! Renditions on disk: a cache, bounded in bytes, which survives a restart.
//!
//! The folder itself is the index. Renditions lie in 256 shards by the first byte of their blob's
//! key, which is random, so that each shard is a fair sample of all; when the budget is exceeded,
//! the shards take turns in giving up what was not used for longest. In memory there is only the
//! size of each shard, hence nothing to restore, and nothing that grows with the cache.

mod file;
mod shards;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use model::{BlobKey, MediaType};
use tokio::task::spawn_blocking;

use crate::Error;
use shards::Shards;

/// A bounded cache of renditions. A failure to read or write it is logged and otherwise a miss.
#[derive(Clone, Debug)]
pub struct Renditions {
    shards: Arc<Shards>,
}

/// Names a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RenditionKey {
    /// The bytes it was made from.
    pub blob: BlobKey,
    /// A digest of all that it was made with.
    pub transform: [u8; 32],
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRendition {
    /// The format of the bytes.
    pub format: MediaType,
    /// The encoded image.
    pub bytes: Bytes,
    /// Short texts about what could not be done as asked.
    pub warnings: Vec<String>,
}

impl Renditions {
    /// Opens the cache in a folder which nobody else writes to, and counts what it holds in the
    /// background. 0 bytes turn the cache off.
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Self, Error> {
        let shards = Shards::open(dir, bytes_max).map_err(|error| Error::folder(dir, error))?;
        let shards = Arc::new(shards);
        let counted = Arc::clone(&shards);
        thread::Builder::new()
            .name("renditions".to_owned())
            .spawn(move || counted.count())
            .map_err(|error| Error::folder(dir, error))?;
        Ok(Self { shards })
    }

    /// The rendition of this key, if it is there and whole.
    pub async fn get(&self, key: &RenditionKey) -> Option<StoredRendition> {
        if self.shards.are_off() {
            return None;
        }
        let (shards, key) = (Arc::clone(&self.shards), key.clone());
        let read = spawn_blocking(move || shards.get(&key));
        read.await.ok().flatten()
    }

    /// Keeps a rendition, and lets go of others if the cache is full.
    pub async fn put(&self, key: &RenditionKey, rendition: &StoredRendition) {
        if self.shards.are_off() {
            return;
        }
        let (shards, key, rendition) = (Arc::clone(&self.shards), key.clone(), rendition.clone());
        // A panic is reported by its thread.
        let _ = spawn_blocking(move || shards.put(&key, &rendition)).await;
    }

    /// Removes every rendition of a blob, which is never used again. Renditions which are put
    /// later, because they were in the making, are dropped. The blobs removed last are remembered
    /// for that; call this once more when the blob's own bytes are deleted, much later, and none
    /// can be left.
    pub async fn remove_blob(&self, blob: &BlobKey) {
        let (shards, blob) = (Arc::clone(&self.shards), blob.clone());
        let _ = spawn_blocking(move || shards.remove_blob(&blob)).await;
    }

    /// Lets go of about so many bytes of renditions, the longest unused first, for the disk is
    /// needed for what matters.
    pub async fn give_up(&self, bytes: u64) {
        let shards = Arc::clone(&self.shards);
        let _ = spawn_blocking(move || shards.give_up_bytes(bytes)).await;
    }

    /// Bytes on disk, in whole blocks, as far as they are counted yet.
    pub fn bytes(&self) -> u64 {
        self.shards.bytes()
    }
}

impl RenditionKey {
    /// `<2 hex of blob>/<blob>/<hex of transform>`
    fn path(&self) -> PathBuf {
        let digits: String = self
            .transform
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(u32::from(digit), 16))
            .collect();
        blob_path(&self.blob).join(digits)
    }
}

fn blob_path(blob: &BlobKey) -> PathBuf {
    let name = blob.to_string();
    Path::new(&name[..2]).join(&name)
}

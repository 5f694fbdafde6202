//! Renditions in memory and on disk: caches, bounded in bytes, of which the second survives a
//! restart.
//!
//! The folder itself is the index. Renditions lie in 256 shards by the first byte of their blob's
//! key, which is random, so that each shard is a fair sample of all; when the budget is exceeded,
//! the shards take turns in giving up what was not used for longest. In memory there is only the
//! size of each shard, hence nothing to restore, and nothing that grows with the cache.

mod file;
mod in_place;
mod known;
mod memory;
mod shards;
mod shared;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use model::{BlobKey, MediaType};
use tokio::task::spawn_blocking;

use crate::{Bucket, Error};
pub use in_place::{OpenRendition, RenditionFile};
use memory::Memory;
use shards::Shards;
use shared::Shared;

/// A bounded cache of renditions. A failure to read or write it is logged and otherwise a miss.
#[derive(Clone, Debug)]
pub struct Renditions {
    memory: Arc<Memory>,
    shards: Arc<Shards>,
    /// Behind both, where nodes share what they make.
    shared: Option<Arc<Shared>>,
}

/// Names a rendition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RenditionKey {
    /// The bytes it was made from.
    pub blob: BlobKey,
    /// A digest of all that it was made with.
    pub transform: [u8; 32],
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// Renditions and notes.
    pub entries: u64,
    /// What they took on disk, in whole blocks; in memory, if they were only there.
    pub bytes: u64,
}

impl Emptied {
    fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    /// Most of what is in memory is on disk as well and counts once.
    fn or(self, in_memory: Self) -> Self {
        if self.entries >= in_memory.entries {
            self
        } else {
            in_memory
        }
    }
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
    /// background. 0 bytes turn a cache off.
    pub fn open(dir: &Path, bytes_max: u64, memory_bytes_max: u64) -> Result<Self, Error> {
        let shards = Shards::open(dir, bytes_max).map_err(|error| Error::folder(dir, error))?;
        let shards = Arc::new(shards);
        count_aside(&shards).map_err(|error| Error::folder(dir, error))?;
        Ok(Self {
            memory: Arc::new(Memory::new(memory_bytes_max)),
            shards,
            shared: None,
        })
    }

    /// With a bucket behind it which other nodes use as well. One which refuses is an error.
    pub async fn sharing(self, bucket: &Bucket) -> Result<Self, Error> {
        let shared = Shared::new(bucket.open()?);
        shared.check().await?;
        Ok(Self {
            shared: Some(Arc::new(shared)),
            ..self
        })
    }

    /// Whether other nodes have what this one makes.
    pub fn are_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The rendition of this key, if another node has made it. It is kept here from then on.
    pub async fn get_shared(&self, key: &RenditionKey) -> Option<StoredRendition> {
        let rendition = self.shared.as_ref()?.get(key).await?;
        self.put(key, &rendition).await;
        Some(rendition)
    }

    /// Lets other nodes have a rendition, as far as that is no trouble.
    pub fn put_shared(&self, key: &RenditionKey, rendition: &StoredRendition) {
        if let Some(shared) = &self.shared {
            shared.put(key, rendition);
        }
    }

    /// Removes every rendition of a blob from where other nodes have it.
    pub async fn empty_shared(&self, blob: &BlobKey) -> Result<(), Error> {
        match &self.shared {
            Some(shared) => shared.empty_blob(blob).await,
            None => Ok(()),
        }
    }

    /// Removes these renditions from where other nodes have them.
    pub async fn remove_shared(&self, keys: &[RenditionKey]) -> Result<(), Error> {
        match &self.shared {
            Some(shared) => shared.remove(keys).await,
            None => Ok(()),
        }
    }

    /// The rendition of this key, if it is in memory.
    pub fn get_ready(&self, key: &RenditionKey) -> Option<StoredRendition> {
        self.memory.get(key)
    }

    /// The rendition of this key, if it is there and whole.
    pub async fn get(&self, key: &RenditionKey) -> Option<StoredRendition> {
        if let Some(ready) = self.get_ready(key) {
            return Some(ready);
        }
        if self.shards.are_off() || !self.shards.may_have(key) {
            return None;
        }
        let (this, key) = (self.clone(), key.clone());
        let read = spawn_blocking(move || {
            let rendition = this.shards.get(&key, file::read)?;
            this.remember(&key, &rendition);
            Some(rendition)
        });
        read.await.ok().flatten()
    }

    /// Where the rendition of this key lies on disk, if it is there and whole.
    pub async fn file(&self, key: &RenditionKey) -> Option<RenditionFile> {
        if self.shards.are_off() {
            return None;
        }
        let (shards, key) = (Arc::clone(&self.shards), key.clone());
        let found = spawn_blocking(move || {
            shards.get(&key, |file| {
                let length = file::read(file)?.bytes.len();
                Some(RenditionFile {
                    path: shards.path(&key).into(),
                    offset: (file.len() - length) as u64,
                    length: length as u64,
                })
            })
        });
        found.await.ok().flatten()
    }

    /// Keeps a rendition in memory, unless its blob was removed meanwhile.
    fn remember(&self, key: &RenditionKey, rendition: &StoredRendition) {
        self.memory.put(key, rendition);
        if self.shards.is_removed(&key.blob) {
            self.memory.remove_blob(&key.blob);
        }
    }

    /// Keeps a rendition, and lets go of others if the cache is full.
    pub async fn put(&self, key: &RenditionKey, rendition: &StoredRendition) {
        let (this, key, rendition) = (self.clone(), key.clone(), rendition.clone());
        let kept = spawn_blocking(move || {
            this.remember(&key, &rendition);
            if !this.shards.are_off() {
                this.shards.put(&key, &file::write(&rendition));
            }
            if this.shards.is_overfull()
                && let Err(error) = count_aside(&this.shards)
            {
                tracing::warn!(%error, "renditions cannot be counted");
            }
        });
        // A panic is reported by its thread.
        let _ = kept.await;
    }

    /// Removes every rendition of a blob, which is never used again. Renditions which are put
    /// later, because they were in the making, are dropped. The blobs removed last are remembered
    /// for that; call this once more when the blob's own bytes are deleted, much later, and none
    /// can be left.
    pub async fn remove_blob(&self, blob: &BlobKey) {
        let (this, blob) = (self.clone(), blob.clone());
        let removed = spawn_blocking(move || {
            this.shards.remove_blob(&blob);
            this.memory.remove_blob(&blob);
        });
        // A panic is reported by its thread.
        let _ = removed.await;
    }

    /// Bytes of another kind which were kept on disk under this key.
    pub async fn get_note(&self, key: &RenditionKey) -> Option<Bytes> {
        if self.shards.are_off() || !self.shards.may_have(key) {
            return None;
        }
        let (shards, key) = (Arc::clone(&self.shards), key.clone());
        let read = spawn_blocking(move || shards.get(&key, file::read_note));
        read.await.ok().flatten()
    }

    /// Keeps bytes of another kind on disk, where they come and go like renditions: what renditions
    /// were made from, and what is known of it. A key must not be used for both.
    pub async fn put_note(&self, key: &RenditionKey, note: Bytes) {
        if self.shards.are_off() {
            return;
        }
        let (shards, key) = (Arc::clone(&self.shards), key.clone());
        let kept = spawn_blocking(move || shards.put(&key, &file::write_note(&note)));
        let _ = kept.await;
    }

    /// Removes every rendition and note of a blob, which may be used again.
    pub async fn empty_blob(&self, blob: &BlobKey) -> Emptied {
        let (this, blob) = (self.clone(), blob.clone());
        let emptied = spawn_blocking(move || {
            let on_disk = this.shards.empty_blob(&blob);
            on_disk.or(this.memory.remove_blob(&blob))
        });
        emptied.await.unwrap_or_default()
    }

    /// Removes these renditions, as far as they are there.
    pub async fn remove(&self, keys: Vec<RenditionKey>) -> Emptied {
        let this = self.clone();
        let removed = spawn_blocking(move || {
            let mut removed = Emptied::default();
            for key in &keys {
                let on_disk = this.shards.remove(key);
                removed.add(on_disk.or(this.memory.remove(key)));
            }
            removed
        });
        removed.await.unwrap_or_default()
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

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.bytes()
    }
}

/// Counts in a thread of its own, for it can take long.
fn count_aside(shards: &Arc<Shards>) -> io::Result<()> {
    let shards = Arc::clone(shards);
    let counting = thread::Builder::new().name("renditions".to_owned());
    counting.spawn(move || shards.count()).map(drop)
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

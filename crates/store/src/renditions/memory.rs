//! The renditions which are asked for most, in memory.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::BlobKey;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::{Emptied, RenditionKey, StoredRendition};

/// What a rendition takes besides its bytes: places in the cache and in the index.
const OVERHEAD: u64 = 400;

/// Larger renditions come from disk: they would push out many small ones for one.
const BYTES_EACH_MAX: u64 = 1 << 20;

/// For the size of tables which are made at the start and grow.
const BYTES_EXPECTED: u64 = 64 << 10;

/// A cache bounded in bytes. What is read once in a row of many, such as every width of an image,
/// does not push out what is read again and again (S3-FIFO).
pub(super) struct Memory {
    cache: Cache<RenditionKey, StoredRendition, Bytes, DefaultHashBuilder, Index>,
    index: Index,
    bytes_each_max: u64,
}

#[derive(Clone)]
struct Bytes;

/// Which renditions of a blob are here, so that they can go with it.
#[derive(Clone, Default)]
struct Index(Arc<Mutex<HashMap<BlobKey, HashSet<[u8; 32]>>>>);

impl Weighter<RenditionKey, StoredRendition> for Bytes {
    fn weight(&self, _: &RenditionKey, rendition: &StoredRendition) -> u64 {
        let warnings: usize = rendition.warnings.iter().map(String::len).sum();
        OVERHEAD + rendition.bytes.len() as u64 + warnings as u64
    }
}

impl Lifecycle<RenditionKey, StoredRendition> for Index {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), key: RenditionKey, _: StoredRendition) {
        self.remove(&key);
    }
}

impl Index {
    /// No code panics under the lock, so a poisoned one still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, HashMap<BlobKey, HashSet<[u8; 32]>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, key: &RenditionKey) {
        let mut blobs = self.lock();
        blobs
            .entry(key.blob.clone())
            .or_default()
            .insert(key.transform);
    }

    fn remove(&self, key: &RenditionKey) {
        let mut blobs = self.lock();
        if let Some(transforms) = blobs.get_mut(&key.blob) {
            transforms.remove(&key.transform);
            if transforms.is_empty() {
                blobs.remove(&key.blob);
            }
        }
    }
}

impl Memory {
    /// 0 bytes keep nothing.
    pub(super) fn new(bytes_max: u64) -> Self {
        let index = Index::default();
        Self {
            cache: Cache::with(
                (bytes_max / BYTES_EXPECTED) as usize,
                bytes_max,
                Bytes,
                DefaultHashBuilder::default(),
                index.clone(),
            ),
            index,
            bytes_each_max: BYTES_EACH_MAX.min(bytes_max / 16),
        }
    }

    pub(super) fn get(&self, key: &RenditionKey) -> Option<StoredRendition> {
        self.cache.get(key)
    }

    pub(super) fn put(&self, key: &RenditionKey, rendition: &StoredRendition) {
        if rendition.bytes.len() as u64 > self.bytes_each_max {
            return;
        }
        // Before it can be evicted, which takes it off the index.
        self.index.add(key);
        self.cache.insert(key.clone(), rendition.clone());
    }

    pub(super) fn remove_blob(&self, blob: &BlobKey) -> Emptied {
        // Not under the lock, which evictions take inside of the cache.
        let transforms = self.index.lock().remove(blob);
        let mut emptied = Emptied::default();
        for transform in transforms.unwrap_or_default() {
            let key = RenditionKey {
                blob: blob.clone(),
                transform,
            };
            emptied.add(self.take(&key));
        }
        emptied
    }

    pub(super) fn remove(&self, key: &RenditionKey) -> Emptied {
        let emptied = self.take(key);
        self.index.remove(key);
        emptied
    }

    fn take(&self, key: &RenditionKey) -> Emptied {
        let taken = self.cache.remove(key);
        taken.map_or(Emptied::default(), |(_, rendition)| Emptied {
            entries: 1,
            bytes: rendition.bytes.len() as u64,
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use model::MediaType;

    use super::*;

    fn rendition(bytes: usize) -> StoredRendition {
        StoredRendition {
            format: MediaType::Webp,
            bytes: vec![7; bytes].into(),
            warnings: Vec::new(),
        }
    }

    fn key(blob: &BlobKey, number: u64) -> RenditionKey {
        let mut transform = [0; 32];
        transform[..8].copy_from_slice(&number.to_le_bytes());
        RenditionKey {
            blob: blob.clone(),
            transform,
        }
    }

    #[test]
    fn the_budget_holds_and_the_index_shrinks_with_the_cache() {
        let memory = Memory::new(1 << 20);
        let blob = BlobKey::generate();
        for number in 0..10_000 {
            memory.put(&key(&blob, number), &rendition(1_000));
            assert!(memory.bytes() <= 1 << 20);
        }
        let kept = (0..10_000).filter(|number| memory.get(&key(&blob, *number)).is_some());
        let kept = kept.count();
        assert!((500..=1_048_576 / 1_400).contains(&kept), "{kept}");
        assert_eq!(memory.index.lock()[&blob].len(), kept);
        memory.remove_blob(&blob);
        assert_eq!(memory.bytes(), 0);
        assert!(memory.index.lock().is_empty());
    }

    #[test]
    fn what_is_asked_for_often_survives_a_crowd() {
        let memory = Memory::new(1 << 20);
        let (often, crowd) = (BlobKey::generate(), BlobKey::generate());
        memory.put(&key(&often, 0), &rendition(1_000));
        for number in 0..10_000 {
            assert!(memory.get(&key(&often, 0)).is_some(), "{number}");
            memory.put(&key(&crowd, number), &rendition(1_000));
        }
    }

    #[test]
    fn a_blob_goes_with_all_its_renditions_and_no_others() {
        let memory = Memory::new(1 << 20);
        let (one, two) = (BlobKey::generate(), BlobKey::generate());
        for number in 0..3 {
            memory.put(&key(&one, number), &rendition(10));
            memory.put(&key(&two, number), &rendition(10));
        }
        memory.remove_blob(&one);
        for number in 0..3 {
            assert_eq!(memory.get(&key(&one, number)), None);
            assert_eq!(memory.get(&key(&two, number)), Some(rendition(10)));
        }
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let memory = Memory::new(1 << 20);
        let blob = BlobKey::generate();
        memory.put(&key(&blob, 0), &rendition(1 << 17));
        assert_eq!(memory.get(&key(&blob, 0)), None);
        let off = Memory::new(0);
        off.put(&key(&blob, 0), &rendition(1));
        assert_eq!((off.get(&key(&blob, 0)), off.bytes()), (None, 0));
        assert!(off.index.lock().is_empty());
    }
}

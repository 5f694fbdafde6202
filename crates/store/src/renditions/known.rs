//! Which keys may have files. Most renditions which are looked for under load are not there, and a
//! look at the disk for each would cost more than to refuse them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::RenditionKey;

/// Bits: a megabyte. With as many keys as an eighth of that, some 2 of 100 absent ones seem present.
const BITS: u64 = 1 << 23;
const KEYS_MAX: u64 = BITS / 8;
const BITS_EACH: u64 = 4;

/// A Bloom filter. What was removed stays in it until it is filled anew.
#[derive(Debug)]
pub(super) struct Known {
    words: Box<[AtomicU64]>,
    added: AtomicU64,
    /// Whether every file is in it.
    complete: AtomicBool,
}

impl Known {
    /// Nothing is known yet, so that everything may be there.
    pub(super) fn new() -> Self {
        Self {
            words: (0..BITS / 64).map(|_| AtomicU64::new(0)).collect(),
            added: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        }
    }

    /// To be called before there is a file of this key.
    pub(super) fn add(&self, key: &RenditionKey) {
        for (word, bit) in places(key) {
            self.words[word].fetch_or(bit, Relaxed);
        }
        self.added.fetch_add(1, Relaxed);
    }

    /// Whether there may be a file of this key.
    pub(super) fn may_have(&self, key: &RenditionKey) -> bool {
        let is_set = |(word, bit): (usize, u64)| self.words[word].load(Relaxed) & bit != 0;
        !self.complete.load(Relaxed) || places(key).all(is_set)
    }

    /// Whether it tells little by now.
    pub(super) fn is_full(&self) -> bool {
        self.complete.load(Relaxed) && self.added.load(Relaxed) > KEYS_MAX
    }

    /// Begins anew. Files which come from here on are added as ever.
    pub(super) fn begin(&self) {
        self.complete.store(false, Relaxed);
        self.added.store(0, Relaxed);
        for word in &self.words {
            word.store(0, Relaxed);
        }
    }

    /// Every file which was there has been added.
    pub(super) fn complete(&self) {
        self.complete.store(true, Relaxed);
    }
}

fn places(key: &RenditionKey) -> impl Iterator<Item = (usize, u64)> + use<> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    let (first, step) = (hash & 0xffff_ffff, (hash >> 32) | 1);
    (0..BITS_EACH).map(move |number| {
        let place = first.wrapping_add(step.wrapping_mul(number)) % BITS;
        ((place / 64) as usize, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use model::BlobKey;

    use super::*;

    fn key(blob: &BlobKey, number: u64) -> RenditionKey {
        let mut transform = [0; 32];
        transform[..8].copy_from_slice(&number.to_le_bytes());
        RenditionKey {
            blob: blob.clone(),
            transform,
        }
    }

    #[test]
    fn what_was_added_is_known_and_little_else_is() {
        let known = Known::new();
        let blob = BlobKey::generate();
        assert!(known.may_have(&key(&blob, 0)), "nothing is known yet");
        for number in 0..50_000 {
            known.add(&key(&blob, number));
        }
        known.complete();
        assert!((0..50_000).all(|number| known.may_have(&key(&blob, number))));
        let mistaken = (50_000..100_000).filter(|number| known.may_have(&key(&blob, *number)));
        let mistaken = mistaken.count();
        assert!(mistaken < 50, "{mistaken}");
        assert!(!known.is_full());
        known.begin();
        assert!(known.may_have(&key(&blob, 0)));
        known.complete();
        assert!(!known.may_have(&key(&blob, 0)));
    }
}

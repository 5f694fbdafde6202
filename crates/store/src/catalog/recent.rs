//! Records which were read lately, in memory, for deliveries. Of what this process writes they are
//! never stale: it moves an epoch on, after its commit and before its caller is answered, and a
//! record counts only in the epoch in which its reading began. What another process writes, such as
//! a command beside the server or another node, is looked for several times a second; where looking
//! can fail, records count only for a while after it succeeded.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{Account, AccountHash, AccountId, Image, ImageId, SigningKey, Variant, VariantName};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};

/// Images are spread over so many epochs by their names.
const IMAGE_EPOCHS: usize = 256;

/// About so many bytes of images are kept.
const IMAGE_BYTES: u64 = 16 << 20;

/// What an image takes besides its texts: the record, its place in the cache, allocations.
const IMAGE_OVERHEAD: u64 = 600;

/// Accounts, variants and sets of signing keys which are kept, of each kind.
const SETTINGS: usize = 4_096;

type Kept<K, V> = Cache<K, Stamped<V>>;

/// The records.
pub(super) struct Recent {
    hasher: DefaultHashBuilder,
    started: Instant,
    /// Records count up to this time after the start, in milliseconds.
    trusted_until: AtomicU64,
    /// Moved on by whatever may have changed anything.
    everything: AtomicU64,
    /// Moved on by changes of accounts, variants and signing keys.
    settings: AtomicU64,
    images: [AtomicU64; IMAGE_EPOCHS],
    accounts: Kept<AccountHash, Account>,
    variants: Kept<(AccountId, VariantName), Variant>,
    keys: Kept<AccountId, Vec<SigningKey>>,
    image_records: Cache<(AccountId, ImageId), Stamped<Image>, ImageWeight>,
}

/// What a write may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// No record that is kept here.
    Nothing,
    /// An account, a variant or a signing key.
    Settings,
    /// Images of this epoch.
    Images(usize),
    /// Anything.
    Everything,
}

/// When records were read. It can be asked whether they may have changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    settings: u64,
    /// The image's place among the epochs, and its epoch.
    image: Option<(usize, u64)>,
}

#[derive(Clone)]
struct Stamped<T> {
    epoch: u64,
    record: T,
}

#[derive(Clone)]
struct ImageWeight;

impl Weighter<(AccountId, ImageId), Stamped<Image>> for ImageWeight {
    fn weight(&self, (_, id): &(AccountId, ImageId), kept: &Stamped<Image>) -> u64 {
        let metadata = kept.record.metadata.as_ref();
        let metadata = metadata.map_or(0, |metadata| metadata.as_json().len());
        // The id is in the key and in the record.
        IMAGE_OVERHEAD + 2 * id.as_str().len() as u64 + metadata as u64
    }
}

impl Recent {
    /// Records count until they are forgotten.
    pub(super) fn new() -> Self {
        Self::trusted_until(u64::MAX)
    }

    /// Records count while `trust` says so.
    pub(super) fn on_trust() -> Self {
        Self::trusted_until(0)
    }

    fn trusted_until(millis: u64) -> Self {
        let images = IMAGE_BYTES / (IMAGE_OVERHEAD + 100);
        Self {
            hasher: DefaultHashBuilder::default(),
            started: Instant::now(),
            trusted_until: AtomicU64::new(millis),
            everything: AtomicU64::new(0),
            settings: AtomicU64::new(0),
            images: [const { AtomicU64::new(0) }; IMAGE_EPOCHS],
            accounts: Cache::new(SETTINGS),
            variants: Cache::new(SETTINGS),
            keys: Cache::new(SETTINGS),
            image_records: Cache::with_weighter(images as usize, IMAGE_BYTES, ImageWeight),
        }
    }

    /// Makes records which were read before a write count no more. To be called after its commit
    /// and before anybody is told of it.
    pub(super) fn forget(&self, touched: Touched) {
        let epoch = match touched {
            Touched::Nothing => return,
            Touched::Settings => &self.settings,
            Touched::Images(epoch) => &self.images[epoch % IMAGE_EPOCHS],
            Touched::Everything => &self.everything,
        };
        epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Everything which was written before `looked` has been forgotten: records count until `time`
    /// has passed since then.
    pub(super) fn trust(&self, looked: Instant, time: Duration) {
        let until = (looked + time).saturating_duration_since(self.started);
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.trusted_until.store(millis, Ordering::SeqCst);
    }

    fn is_trusted(&self) -> bool {
        let until = self.trusted_until.load(Ordering::SeqCst);
        until == u64::MAX || self.started.elapsed().as_millis() < u128::from(until)
    }

    /// That a write may have changed this image.
    pub(super) fn image_touched(&self, account: &AccountId, id: &ImageId) -> Touched {
        Touched::Images(self.image_epoch(account, id))
    }

    /// The moment now, for records of accounts, variants and signing keys which are read after it.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            settings: self.epoch(&self.settings),
            image: None,
        }
    }

    /// The same, for an image as well, which is read after this call.
    pub(super) fn moment_of(&self, moment: Moment, account: &AccountId, id: &ImageId) -> Moment {
        let place = self.image_epoch(account, id);
        let image = Some((place, self.epoch(&self.images[place])));
        Moment { image, ..moment }
    }

    /// Whether what was read then is what would be read now.
    pub(super) fn is_still(&self, moment: &Moment) -> bool {
        let same_image = |(place, epoch)| self.epoch(&self.images[place]) == epoch;
        self.is_trusted()
            && self.epoch(&self.settings) == moment.settings
            && moment.image.is_none_or(same_image)
    }

    pub(super) async fn account(
        &self,
        hash: &AccountHash,
        read: impl Future<Output = Result<Option<Account>, crate::Error>>,
    ) -> Result<Option<Account>, crate::Error> {
        let epoch = || self.epoch(&self.settings);
        self.kept_or_read(&self.accounts, hash, epoch, read).await
    }

    pub(super) async fn variant(
        &self,
        account: &AccountId,
        name: &VariantName,
        read: impl Future<Output = Result<Option<Variant>, crate::Error>>,
    ) -> Result<Option<Variant>, crate::Error> {
        let key = (account.clone(), name.clone());
        let epoch = || self.epoch(&self.settings);
        self.kept_or_read(&self.variants, &key, epoch, read).await
    }

    pub(super) async fn signing_keys(
        &self,
        account: &AccountId,
        read: impl Future<Output = Result<Vec<SigningKey>, crate::Error>>,
    ) -> Result<Vec<SigningKey>, crate::Error> {
        let epoch = || self.epoch(&self.settings);
        let read = async { read.await.map(Some) };
        let keys = self.kept_or_read(&self.keys, account, epoch, read).await?;
        Ok(keys.unwrap_or_default())
    }

    pub(super) async fn image(
        &self,
        account: &AccountId,
        id: &ImageId,
        read: impl Future<Output = Result<Option<Image>, crate::Error>>,
    ) -> Result<Option<Image>, crate::Error> {
        let key = (account.clone(), id.clone());
        let epoch = &self.images[self.image_epoch(account, id)];
        self.kept_or_read(&self.image_records, &key, || self.epoch(epoch), read)
            .await
    }

    fn image_epoch(&self, account: &AccountId, id: &ImageId) -> usize {
        self.hasher.hash_one((account, id)) as usize % IMAGE_EPOCHS
    }

    /// Grows with either counter, so that it never comes back to a value it had.
    fn epoch(&self, of: &AtomicU64) -> u64 {
        self.everything.load(Ordering::SeqCst) + of.load(Ordering::SeqCst)
    }

    /// The kept record, or the one which is read now. What is not there is not kept.
    async fn kept_or_read<K, V, W>(
        &self,
        kept: &Cache<K, Stamped<V>, W>,
        key: &K,
        epoch: impl Fn() -> u64,
        read: impl Future<Output = Result<Option<V>, crate::Error>>,
    ) -> Result<Option<V>, crate::Error>
    where
        K: Clone + Eq + Hash,
        V: Clone,
        W: Weighter<K, Stamped<V>> + Clone,
    {
        // Before the reading begins: a write in between leaves the record with an epoch which is over.
        let epoch = epoch();
        if let Some(found) = kept.get(key)
            && found.epoch == epoch
            && self.is_trusted()
        {
            return Ok(Some(found.record));
        }
        let read = read.await?;
        if let Some(record) = read.clone() {
            kept.insert(key.clone(), Stamped { epoch, record });
        }
        Ok(read)
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account {
            id: AccountId::generate(),
            hash: AccountHash::generate(),
            name: name.to_owned(),
            created: model::Timestamp::from_micros(0),
            config: model::AccountConfig::default(),
        }
    }

    #[tokio::test]
    async fn a_record_is_read_again_after_a_write_alone() {
        let recent = Recent::new();
        let hash = AccountHash::generate();
        let look = async |stored: &str| {
            let stored = account(stored);
            let found = recent.account(&hash, async { Ok(Some(stored)) }).await;
            found.unwrap().unwrap().name
        };
        assert_eq!(look("first").await, "first");
        assert_eq!(look("second").await, "first");
        recent.forget(Touched::Nothing);
        recent.forget(Touched::Images(3));
        assert_eq!(look("third").await, "first");
        recent.forget(Touched::Settings);
        assert_eq!(look("fourth").await, "fourth");
        recent.forget(Touched::Everything);
        assert_eq!(look("fifth").await, "fifth");
        assert_eq!(look("sixth").await, "fifth");
    }

    #[tokio::test]
    async fn what_was_read_before_a_write_and_kept_after_it_does_not_count() {
        let recent = Recent::new();
        let hash = AccountHash::generate();
        let old = recent.account(&hash, async {
            recent.forget(Touched::Settings);
            Ok(Some(account("old")))
        });
        assert_eq!(old.await.unwrap().unwrap().name, "old");
        let new = recent.account(&hash, async { Ok(Some(account("new"))) });
        assert_eq!(new.await.unwrap().unwrap().name, "new");
    }

    #[tokio::test]
    async fn absence_is_not_kept() {
        let recent = Recent::new();
        let hash = AccountHash::generate();
        let none = recent.account(&hash, async { Ok(None) }).await;
        assert_eq!(none.unwrap(), None);
        let found = recent.account(&hash, async { Ok(Some(account("new"))) });
        assert!(found.await.unwrap().is_some());
    }

    #[test]
    fn a_moment_is_over_after_a_write_to_what_was_read() {
        let recent = Recent::new();
        let account = AccountId::generate();
        let [one, other] = ["one", "other"].map(|id| ImageId::from_path(id.to_owned()));
        let moment = || recent.moment_of(recent.moment(), &account, &one);
        let before = moment();
        assert!(recent.is_still(&before));
        let touched = recent.image_touched(&account, &other);
        if touched != recent.image_touched(&account, &one) {
            recent.forget(touched);
            assert!(recent.is_still(&before), "another image");
        }
        for touched in [
            recent.image_touched(&account, &one),
            Touched::Settings,
            Touched::Everything,
        ] {
            let before = moment();
            recent.forget(touched);
            assert!(!recent.is_still(&before), "{touched:?}");
        }
        let untrusted = Recent::on_trust();
        assert!(!untrusted.is_still(&untrusted.moment()));
    }

    #[tokio::test]
    async fn a_record_on_trust_counts_only_while_it_is_trusted() {
        let recent = Recent::on_trust();
        let hash = AccountHash::generate();
        let look = async |stored: &str| {
            let stored = account(stored);
            let found = recent.account(&hash, async { Ok(Some(stored)) }).await;
            found.unwrap().unwrap().name
        };
        assert_eq!(look("first").await, "first");
        assert_eq!(look("second").await, "second", "nothing was trusted yet");
        recent.trust(Instant::now(), Duration::from_hours(1));
        assert_eq!(look("third").await, "second");
        recent.trust(recent.started, Duration::ZERO);
        assert_eq!(look("fourth").await, "fourth");
    }
}

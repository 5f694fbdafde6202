//! Records about accounts, images, variants, signing keys, tokens and webhooks.
//!
//! A blob is written before its record and removed after it. So that a crash between the two leaves
//! nothing behind for ever, a blob is *reserved* first (`reserve_blobs`); the transaction which
//! inserts the record takes the reservation with it, and `abandoned_blobs` hands out what was never
//! taken, or was released by a deletion.

mod imports;
mod leaves;
mod notifications;
mod postgres;
mod recent;
mod records;
mod sealed_keys;
mod sqlite;
mod zone_text;

use std::time::Duration;

use async_trait::async_trait;
use model::{
    Account, AccountConfig, AccountHash, AccountId, ApiToken, BlobKey, Creator, CreatorFilter,
    Filename, Image, ImageId, KeyName, Metadata, MetadataFilter, SigningKey, Source, Timestamp,
    TokenHash, TokenId, Variant, VariantName,
};

use crate::Error;
pub use imports::{ClaimedImport, ImportStep, Imports};
pub use notifications::{Claimed, Claims, Notifications};
pub use postgres::{Postgres, PostgresUrl};
pub use recent::Moment;
pub use records::{AccountRecords, Filling, Place, Portable, Reading, Record, Records};
pub use sqlite::Sqlite;

/// Names statements, and lists them all in `STATEMENTS` for the check at the start.
macro_rules! statements {
    ($($(#[$doc:meta])* $visible:vis $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* $visible const $name: &str = $sql;)*
        pub(super) const STATEMENTS: &[&str] = &[$($name),*];
    };
}
use statements;

/// A stored value which this program never writes.
#[derive(Debug, thiserror::Error)]
#[error("the stored {0} is not valid")]
struct Corrupt(&'static str);

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Database(corrupt.into())
    }
}

/// Records. Implemented by `Sqlite` and `Postgres`, and by nothing else.
#[async_trait]
pub trait Catalog: Notifications + Imports + Send + Sync {
    /// The time by which everything in it expires: one for all processes which share it, however
    /// much their own clocks differ.
    fn now(&self) -> Timestamp;

    /// Inserts an account together with the variant and the signing key it starts with.
    /// `Taken` if its id or hash is in use.
    async fn create_account(
        &self,
        account: &Account,
        variant: &Variant,
        key: &SigningKey,
    ) -> Result<(), Error>;

    /// The moment before records of accounts, variants and signing keys are read.
    fn moment(&self) -> Moment;

    /// That moment, and the one before the record of an image is read.
    fn moment_of(&self, moment: Moment, account: &AccountId, id: &ImageId) -> Moment;

    /// Whether all of what was read since a moment would be read again now. Takes no time.
    fn is_still(&self, moment: &Moment) -> bool;

    /// The account of this id.
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, Error>;

    /// The account of this hash.
    async fn account_by_hash(&self, hash: &AccountHash) -> Result<Option<Account>, Error>;

    /// Every account, oldest first.
    async fn accounts(&self) -> Result<Vec<Account>, Error>;

    /// Replaces the settings. `Changed` if they are not `before` any more, `NotFound` without the
    /// account.
    async fn set_config(
        &self,
        account: &AccountId,
        before: &AccountConfig,
        after: &AccountConfig,
    ) -> Result<(), Error>;

    /// Deletes the account with all its records and releases its blobs. `NotFound` without it.
    async fn delete_account(&self, account: &AccountId) -> Result<(), Error>;

    /// Inserts a token. `Taken` if a token of this hash exists.
    async fn insert_token(&self, token: &ApiToken) -> Result<(), Error>;

    /// The token of this hash, expired or not.
    async fn token(&self, hash: &TokenHash) -> Result<Option<ApiToken>, Error>;

    /// The tokens of an account, oldest first.
    async fn tokens(&self, account: &AccountId) -> Result<Vec<ApiToken>, Error>;

    /// Deletes a token. `NotFound` if the account has none of this id.
    async fn delete_token(&self, account: &AccountId, id: &TokenId) -> Result<(), Error>;

    /// The signing keys of an account, oldest first.
    async fn signing_keys(&self, account: &AccountId) -> Result<Vec<SigningKey>, Error>;

    /// Inserts a key, or gives the one of its name this value. `Full` if it would be one more than
    /// `keys_max`. Returns all keys.
    async fn put_signing_key(
        &self,
        account: &AccountId,
        key: &SigningKey,
        keys_max: usize,
    ) -> Result<Vec<SigningKey>, Error>;

    /// Deletes a key; `successor` takes the place of the last one. `NotFound` without the key.
    /// Returns all keys.
    async fn delete_signing_key(
        &self,
        account: &AccountId,
        name: &KeyName,
        successor: &SigningKey,
    ) -> Result<Vec<SigningKey>, Error>;

    /// The variants of an account: `public` first, then in the order of their creation.
    async fn variants(&self, account: &AccountId) -> Result<Vec<Variant>, Error>;

    /// The variant of this name.
    async fn variant(
        &self,
        account: &AccountId,
        name: &VariantName,
    ) -> Result<Option<Variant>, Error>;

    /// Inserts a variant. `Taken` if the name is in use, `Full` if it would be one more than
    /// `variants_max`.
    async fn insert_variant(
        &self,
        account: &AccountId,
        variant: &Variant,
        variants_max: usize,
    ) -> Result<(), Error>;

    /// Replaces a variant. `Changed` if it is not `before` any more, `NotFound` without it.
    async fn set_variant(
        &self,
        account: &AccountId,
        before: &Variant,
        after: &Variant,
    ) -> Result<(), Error>;

    /// Deletes a variant. `NotFound` without it.
    async fn delete_variant(&self, account: &AccountId, name: &VariantName) -> Result<(), Error>;

    /// Notes that bytes will be written under these keys. Durable before it returns. If no record
    /// takes a reservation until `not_before`, the blob counts as abandoned.
    async fn reserve_blobs(&self, keys: &[BlobKey], not_before: Timestamp) -> Result<(), Error>;

    /// Inserts an image, or a draft, and takes the reservation of its blob, in one transaction
    /// which is durable before this returns. `uploaded` becomes strictly greater than that of any
    /// image inserted before by this process; the image is returned as stored.
    ///
    /// `Taken` if the id is in use (by a draft too, expired or not), `ReservationLapsed` if the
    /// blob's reservation is gone, `Full` if it would be one more than `images_max` (drafts do not
    /// count).
    async fn insert_image(
        &self,
        account: &AccountId,
        image: Image,
        images_max: Option<u64>,
    ) -> Result<Image, Error>;

    /// The image or draft of this id.
    async fn image(&self, account: &AccountId, id: &ImageId) -> Result<Option<Image>, Error>;

    /// Turns a draft into an image, once, and notes it for each webhook that is to know. `NotFound` without it, `DraftUsed` if it is none any
    /// more, `DraftExpired` at or after its time, else as `insert_image`.
    async fn fill_draft(
        &self,
        account: &AccountId,
        id: &ImageId,
        filled: Filled,
        images_max: Option<u64>,
    ) -> Result<Image, Error>;

    /// Changes an image or draft. Another `require_signed_urls` gives a generated id its other
    /// access flag; the old id is gone from then on. `NotFound` without it, `Taken` if the new id
    /// is in use. Returns the image as stored.
    async fn edit_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        edit: ImageEdit,
    ) -> Result<Image, Error>;

    /// Deletes an image or draft and releases its blob, which `abandoned_blobs` hands out from
    /// `not_before` on. `NotFound` without it. Returns what was deleted.
    async fn delete_image(
        &self,
        account: &AccountId,
        id: &ImageId,
        not_before: Timestamp,
    ) -> Result<Image, Error>;

    /// Images without drafts, by upload time and id, after a position: keyset pagination.
    async fn images_after(
        &self,
        account: &AccountId,
        query: &ListQuery,
    ) -> Result<Vec<Image>, Error>;

    /// Images without drafts, newest first, after `offset` of them: pages by number.
    async fn images_at(
        &self,
        account: &AccountId,
        creator: &CreatorFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Image>, Error>;

    /// How many images `images_at` has in all.
    async fn image_count(&self, account: &AccountId, creator: &CreatorFilter)
    -> Result<u64, Error>;

    /// Deletes up to `limit` drafts which expired at or before `now`, and notes each for the webhooks
    /// that are to know; returns how many.
    async fn delete_expired_drafts(&self, now: Timestamp, limit: u32) -> Result<u32, Error>;

    /// Up to `limit` blobs whose reservation lapsed, or which were released, at or before `now`;
    /// none while somebody holds them (`Portable::hold_blobs`). From then on no record can take them. They are handed out again until they are forgotten.
    async fn abandoned_blobs(&self, now: Timestamp, limit: u32) -> Result<Vec<BlobKey>, Error>;

    /// Forgets blobs whose bytes are gone: abandoned ones, and reserved ones which no record will
    /// take any more.
    async fn forget_blobs(&self, keys: &[BlobKey]) -> Result<(), Error>;

    /// Whether any image has this blob, or any reservation or release names it.
    async fn knows_blob(&self, key: &BlobKey) -> Result<bool, Error>;

    /// Whether this process is the one which does the job for the next while. Others which ask get
    /// no for so long, by the clock of the catalog, unless they asked first.
    async fn take_lease(&self, job: &'static str, time: Duration) -> Result<bool, Error>;

    /// Tells the other processes of this store what to purge of their caches, in words which are
    /// theirs to read. They are kept for an hour.
    async fn announce_purge(&self, purge: &str) -> Result<(), Error>;

    /// Up to `limit` purges which other processes announced, with increasing numbers: those after
    /// the one of this number.
    async fn announced_purges(&self, after: i64, limit: u32) -> Result<Vec<(i64, String)>, Error>;

    /// Answers a trivial query, so that health checks see a broken database.
    async fn ping(&self) -> Result<(), Error>;

    /// Finishes what is under way. Every later call fails.
    async fn close(&self) -> Result<(), Error>;
}

/// What turns a draft into an image.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The uploaded bytes, described.
    pub source: Source,
    /// The name they were uploaded under.
    pub filename: Option<Filename>,
    /// The upload time.
    pub now: Timestamp,
}

/// What changes in an image; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ImageEdit {
    /// Replaces the metadata; `Some(None)` clears it.
    pub metadata: Option<Option<Metadata>>,
    /// Replaces the creator; `Some(None)` clears it.
    pub creator: Option<Option<Creator>>,
    /// Replaces the access control.
    pub require_signed_urls: Option<bool>,
}

/// One page of `images_after`.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Oldest or newest first.
    pub order: Order,
    /// Where the page before ended; `None` is the first page.
    pub after: Option<Position>,
    /// Images on the page at most.
    pub limit: u32,
    /// Whose images.
    pub creator: CreatorFilter,
    /// What their metadata must hold.
    pub filter: MetadataFilter,
}

/// The order of a list by upload time; ties by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// A place between two images of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The upload time of the image before it.
    pub uploaded: Timestamp,
    /// The id of the image before it.
    pub id: ImageId,
}

//! A catalog as a whole, for those who compare, copy, keep or restore one: every record there is,
//! in one order for every database. Whatever kinds of records there are, they are listed here.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    Account, AccountId, ApiToken, BlobKey, Image, ImageId, ImportSource, NotificationPolicy,
    Pending, SigningKey, Timestamp, Variant, Webhook,
};
use tokio::sync::{mpsc, oneshot};

use super::Catalog;
use crate::Error;

/// One record, or those which are of no use alone.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all records are images")]
pub enum Record {
    /// An account with everything but its images.
    Account(Box<AccountRecords>),
    /// An image or draft and the account it belongs to.
    Image(AccountId, Image),
}

/// What there is about an account besides its images.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRecords {
    /// The account with its settings.
    pub account: Account,
    /// No image of it was ever uploaded later than this.
    pub last_uploaded: Timestamp,
    /// `public` first, then in the order of their creation.
    pub variants: Vec<Variant>,
    /// Oldest first, and open.
    pub keys: Vec<SigningKey>,
    /// Oldest first.
    pub tokens: Vec<ApiToken>,
    /// Oldest first, with their secrets open.
    pub webhooks: Vec<Webhook>,
    /// Oldest first.
    pub policies: Vec<NotificationPolicy>,
    /// Oldest first, with their secrets open. Their jobs stay where they are.
    pub import_sources: Vec<ImportSource>,
    /// What is not told yet, in the order in which it was noted.
    pub pending: Vec<Pending>,
}

/// Where a record is in the order of all: accounts, drafts, images. It stays the same whatever is
/// edited in the record, and those of images follow each other as their blobs do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An account.
    Account(AccountId),
    /// A draft: when it expires, whose it is, and its id.
    Draft(Timestamp, AccountId, ImageId),
    /// An image.
    Image(BlobKey),
}

impl Record {
    /// Its place.
    pub fn place(&self) -> Place {
        match self {
            Self::Account(records) => Place::Account(records.account.id.clone()),
            Self::Image(account, image) => match &image.source {
                Some(source) => Place::Image(source.blob.clone()),
                None => Place::Draft(
                    image.draft_expires.unwrap_or(Timestamp::from_micros(0)),
                    account.clone(),
                    image.id.clone(),
                ),
            },
        }
    }
}

/// How all records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All as they were at one moment. It holds up nobody, but what the database writes meanwhile
    /// piles up until the end, so that readers should not dawdle.
    AtOneMoment,
    /// Each as it is when it is read, however long that takes.
    PieceByPiece,
}

/// Records in the order of their places, some at a time. After an error comes nothing.
pub type Records = mpsc::Receiver<Result<Vec<Record>, Error>>;

/// Records which are read, or written, in one go.
pub(super) const PIECE: u32 = 500;

/// A catalog which can be read and written as a whole.
#[async_trait]
pub trait Portable: Catalog {
    /// Every record.
    fn records(&self, reading: Reading) -> Records;

    /// Makes these records be there as they are, in one transaction. What stands in their way, by
    /// a name or a moment, goes; its blob is released. Of an account, all but its images is replaced as
    /// a whole. `NotFound` for an image without its account.
    ///
    /// Only for a catalog which is being filled: no limit is asked for, and no reservation.
    async fn put_records(&self, records: Vec<Record>) -> Result<(), Error>;

    /// Takes away the records at these places, if they are there, and releases their blobs.
    async fn remove_records(&self, places: Vec<Place>) -> Result<(), Error>;

    /// Takes the right to fill the catalog, which one process has at a time. `None` if another one has
    /// it. For a catalog in a file it is the lock of its folder.
    async fn take_filling(&self) -> Result<Option<Filling>, Error>;

    /// What the catalog is being filled from, as long as that is not complete. No server may work
    /// with it before.
    async fn incoming(&self) -> Result<Option<String>, Error>;

    /// Says what the catalog is being filled from, or that it is complete.
    async fn set_incoming(&self, origin: Option<&str>) -> Result<(), Error>;

    /// Whether nothing was ever kept here, or nothing is left of it.
    async fn is_empty(&self) -> Result<bool, Error>;

    /// For so long, no blob is handed out as abandoned, so that those of every record which is
    /// there now can be read, even if the record goes. The holder may ask again; no time ends it.
    async fn hold_blobs(&self, holder: [u8; 16], time: Duration) -> Result<(), Error>;

    /// Refuses every write to records with `Closed`, by whichever process, or takes them again.
    /// What was begun before is finished before this returns.
    async fn set_closed(&self, closed: bool) -> Result<(), Error>;

    /// Whether writes are refused.
    async fn is_closed(&self) -> Result<bool, Error>;
}

/// The right to fill a catalog. It ends with its process, when it is dropped, and when the database
/// loses sight of it.
#[derive(Debug)]
pub struct Filling {
    /// Who keeps it is asked whether it still is; `None` where it cannot be lost.
    keeper: Option<mpsc::Sender<oneshot::Sender<()>>>,
}

impl Filling {
    pub(super) fn for_good() -> Self {
        Self { keeper: None }
    }

    /// Kept by somebody who answers as long as he keeps it, and gives it back when nobody can ask
    /// any more.
    pub(super) fn kept() -> (Self, mpsc::Receiver<oneshot::Sender<()>>) {
        let (keeper, questions) = mpsc::channel(1);
        let keeper = Some(keeper);
        (Self { keeper }, questions)
    }

    /// Whether nobody else can have it. To be asked before what cannot be undone.
    pub async fn is_held(&self) -> bool {
        let Some(keeper) = &self.keeper else {
            return true;
        };
        let (answer, answered) = oneshot::channel();
        keeper.send(answer).await.is_ok() && answered.await.is_ok()
    }
}

/// The tables whose rows are the records.
pub(super) const TABLES: [&str; 14] = [
    "accounts",
    "tokens",
    "signing_keys",
    "variants",
    "images",
    "loose_blobs",
    "webhooks",
    "policies",
    "policy_webhooks",
    "notifications",
    "import_sources",
    "import_jobs",
    "import_objects",
    "import_log",
];

/// Where a reading goes on.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// After the account of this id, which is empty before the first.
    Accounts(String),
    /// After the draft with these three.
    Drafts(i64, String, String),
    /// After the image with this blob, which is empty before the first.
    Images(Vec<u8>),
}

impl Next {
    pub(super) fn first() -> Self {
        Self::Accounts(String::new())
    }

    /// Where the next kind begins; `None` after the last.
    pub(super) fn kind(&self) -> Option<Self> {
        match self {
            Self::Accounts(_) => Some(Self::Drafts(i64::MIN, String::new(), String::new())),
            Self::Drafts(..) => Some(Self::Images(Vec::new())),
            Self::Images(_) => None,
        }
    }
}

/// Some records, and where the reading goes on.
pub(super) struct Piece {
    pub(super) records: Vec<Record>,
    pub(super) next: Option<Next>,
}

impl Piece {
    /// Of the rows of one kind: their records, and the place of the last of them. Rows of deleted
    /// accounts have no record.
    pub(super) fn of(asked: &Next, rows: Vec<(Option<Record>, Next)>) -> Self {
        let last = rows.last().map(|(_, place)| place.clone());
        Self {
            records: rows.into_iter().filter_map(|(record, _)| record).collect(),
            next: last.or_else(|| asked.kind()),
        }
    }
}

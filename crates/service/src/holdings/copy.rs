//! Into another store, while servers work with this one: the records of both are walked side by
//! side, what differs is copied, and so again until nothing differs. What was copied needs no
//! keeping of accounts, so that a copy which was killed is simply started again.

use std::collections::HashSet;

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{AccountId, ImageId, Source};
use store::catalog::{Place, Reading, Record};

use super::check::Named;
use super::{BLOBS_AT_ONCE, Check, Checked, Error, Filling, Finding, Holdings, OneByOne, Repair};
use super::{Watch, are_those};

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Accounts in the target.
    pub accounts: u64,
    /// Images in the target, without drafts.
    pub images: u64,
    /// Bytes which were copied by this run.
    pub bytes: u64,
    /// Walks over all records.
    pub passes: u32,
}

/// Records which are copied in one go, with their blobs.
const GROUP: usize = 100;

/// So few differences are worth a short closure.
const FEW: u64 = 1_000;

/// After so many passes the store is closed, however much was written meanwhile.
const OPEN_PASSES: u32 = 5;

/// So many images whose bytes were lost are brought again in one go.
const LOST_MAX: usize = 100_000;

/// Nothing is written any more; some passes settle what stood in each other's way.
const CLOSED_PASSES: u32 = 8;

impl Holdings {
    /// Copies everything into `target`, which is being filled from here, until `stop` comes true. With
    /// `close` this store is closed to writes for the last passes, and stays so; after a failure it is
    /// as it was before. When this returns, the target holds each record and each blob as they are
    /// here, compared one by one.
    pub async fn move_to(
        &self,
        target: &Self,
        filling: &Filling,
        close: bool,
        watch: &dyn Watch,
        stop: impl Future<Output = ()>,
    ) -> Result<Copied, Error> {
        // By a run which was killed, or by another move which has ended well.
        let was_closed = self.catalog.is_closed().await?;
        let copying = Copying {
            source: self,
            target,
            filling,
            watch,
        };
        let moved = tokio::select! {
            moved = copying.copy_until_equal(close) => moved,
            () = stop => Err(Error::Refused(
                "interrupted; the same command goes on where it stopped".to_owned(),
            )),
        };
        if moved.is_err()
            && close
            && !was_closed
            && let Err(error) = self.catalog.set_closed(false).await
        {
            tracing::error!(%error, "the source stays closed to writes");
        }
        moved
    }
}

/// One run.
#[derive(Clone, Copy)]
struct Copying<'a> {
    source: &'a Holdings,
    target: &'a Holdings,
    filling: &'a Filling,
    watch: &'a dyn Watch,
}

impl Copying<'_> {
    async fn copy_until_equal(self, close: bool) -> Result<Copied, Error> {
        let Self { source, target, .. } = self;
        let mut copied = Copied::default();
        let mut closed_passes = 0;
        loop {
            let pass = self.pass().await?;
            copied.passes += 1;
            copied.bytes += pass.bytes;
            if closed_passes > 0 || !close {
                closed_passes += 1;
                if pass.differences == 0 {
                    break;
                }
                if closed_passes > CLOSED_PASSES {
                    return Err(Error::Refused(
                        "the target still differs after all was copied several times: somebody \
                         writes to it, or to a source which was left open"
                            .to_owned(),
                    ));
                }
            } else if pass.differences <= FEW || copied.passes >= OPEN_PASSES {
                source.catalog.set_closed(true).await?;
                closed_passes = 1;
            }
        }
        let checked = self.check_bytes().await?;
        let counted = (source.image_count().await?, target.image_count().await?);
        if close && (counted.0 != checked.images || counted.1 != checked.images) {
            return Err(Error::Damaged(format!(
                "the source counts {} images, the target {}, and {} are there",
                counted.0, counted.1, checked.images
            )));
        }
        copied.images = checked.images;
        copied.accounts = target.catalog.accounts().await?.len() as u64;
        target.end_filling(self.filling).await?;
        Ok(copied)
    }

    /// Removes bytes of no image from the target, and brings those which were lost there after they
    /// had been written.
    async fn check_bytes(self) -> Result<Checked, Error> {
        let check = Check {
            deep: false,
            age_min: std::time::Duration::ZERO,
            // Of images which were deleted after a run which was killed had copied their bytes.
            repair: Repair {
                orphans: true,
                images: false,
                force: true,
            },
        };
        let mut mended = HashSet::new();
        loop {
            let mut lost = Vec::new();
            let mut found = |finding: &Finding, _| match finding {
                Finding::Orphan(_) => {}
                Finding::Missing(named)
                | Finding::WrongSize(named, _)
                | Finding::WrongDigest(named) => {
                    if lost.len() < LOST_MAX {
                        lost.push(named.clone());
                    }
                }
            };
            self.filling.check().await?;
            let checked = self.target.check(check, self.watch, &mut found).await?;
            if lost.is_empty() {
                return Ok(checked);
            }
            let was_mended = |named: &&Named| !mended.insert(named.source.blob.clone());
            if let Some(first) = lost.iter().find(was_mended) {
                return Err(Error::Damaged(format!(
                    "the target lost the bytes of the image {} of account {} again and again",
                    first.id, first.account,
                )));
            }
            self.watch
                .begin("lost images brought again", lost.len() as u64);
            let brought = lost.into_iter().map(|named| async move {
                let id = &named.id;
                self.bring(&named.account, id, &named.source).await?;
                self.watch.advance(1);
                Ok::<_, Error>(())
            });
            let mut brought = stream::iter(brought).buffer_unordered(BLOBS_AT_ONCE);
            while let Some(()) = brought.try_next().await? {}
        }
    }

    /// Walks over both, and makes the target equal.
    async fn pass(self) -> Result<Pass, Error> {
        let Self {
            source,
            target,
            watch,
            ..
        } = self;
        watch.begin("records compared", source.image_count().await?);
        self.remove_accounts().await?;
        let mut here = OneByOne::new(source.catalog.records(Reading::PieceByPiece));
        let mut there = OneByOne::new(target.catalog.records(Reading::PieceByPiece));
        let mut pass = Pass::default();
        let mut group = Group::default();
        let mut record = here.next().await?;
        let mut copy = there.next().await?;
        loop {
            let places = (
                record.as_ref().map(Record::place),
                copy.as_ref().map(Record::place),
            );
            let order = match &places {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.cmp(other),
            };
            if order.is_eq() && record == copy {
                if matches!(places.0, Some(Place::Image(_))) {
                    watch.advance(1);
                }
            } else if order.is_gt() {
                group.remove.extend(places.1);
            } else if let Some(record) = record.take() {
                group.put.push((record, order.is_lt()));
            }
            if order.is_le() {
                record = here.next().await?;
            }
            if order.is_ge() {
                copy = there.next().await?;
            }
            if group.put.len() + group.remove.len() >= GROUP {
                self.copy(std::mem::take(&mut group), &mut pass).await?;
            }
        }
        self.copy(group, &mut pass).await?;
        Ok(pass)
    }

    /// Accounts which are no more may have left their names to others.
    async fn remove_accounts(self) -> Result<(), Error> {
        let here: HashSet<AccountId> = self
            .source
            .catalog
            .accounts()
            .await?
            .into_iter()
            .map(|account| account.id)
            .collect();
        let there = self.target.catalog.accounts().await?.into_iter();
        let gone: Vec<Place> = there
            .filter(|account| !here.contains(&account.id))
            .map(|account| Place::Account(account.id))
            .collect();
        if !gone.is_empty() {
            self.filling.check().await?;
            self.target.catalog.remove_records(gone).await?;
        }
        Ok(())
    }

    async fn copy(self, group: Group, pass: &mut Pass) -> Result<(), Error> {
        let Self { target, watch, .. } = self;
        self.filling.check().await?;
        pass.differences += (group.put.len() + group.remove.len()) as u64;
        if !group.remove.is_empty() {
            target.catalog.remove_records(group.remove).await?;
        }
        let copies = group.put.into_iter().map(|(record, is_new)| async move {
            let bytes = match &record {
                Record::Image(account, image) if is_new && let Some(source) = &image.source => {
                    self.bring(account, &image.id, source).await?
                }
                _ => Some(0),
            };
            Ok::<_, Error>(bytes.map(|bytes| (record, bytes)))
        });
        let mut copies = stream::iter(copies).buffered(BLOBS_AT_ONCE);
        let mut records = Vec::new();
        while let Some(copied) = copies.try_next().await? {
            if let Some((record, bytes)) = copied {
                pass.bytes += bytes;
                records.push(record);
                watch.advance(1);
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        self.filling.check().await?;
        match target.catalog.put_records(records).await {
            // Its account was made after this pass had begun: the next one has it.
            Err(store::Error::NotFound) => Ok(()),
            put => Ok(put?),
        }
    }

    /// Copies the bytes of an image and reads them back. `None` if it was deleted meanwhile.
    async fn bring(
        self,
        account: &AccountId,
        id: &ImageId,
        source: &Source,
    ) -> Result<Option<u64>, Error> {
        let damaged = |what: &str| {
            Error::Damaged(format!(
                "the image {id} of account {account} {what}; `calotype check --deep` finds all of \
                 these, and with --repair --delete-images removes them"
            ))
        };
        let Some(bytes) = self.source.blobs.get(&source.blob).await? else {
            if self.source.still_there(account, id, source).await? {
                return Err(damaged("has no bytes"));
            }
            return Ok(None);
        };
        if !are_those(&bytes, source) {
            return Err(damaged("has other bytes than were uploaded"));
        }
        self.target.write_bytes(source, bytes).await?;
        Ok(Some(source.bytes))
    }
}

impl Holdings {
    /// Writes bytes and reads them back.
    pub(super) async fn write_bytes(
        &self,
        source: &Source,
        bytes: bytes::Bytes,
    ) -> Result<(), Error> {
        match self.blobs.put(&source.blob, bytes.clone()).await {
            Err(store::Error::Taken) => {
                // Of a run which was killed, and whole or not.
                let found = self.blobs.get(&source.blob).await?;
                if !found.is_some_and(|found| are_those(&found, source)) {
                    self.blobs
                        .delete(std::slice::from_ref(&source.blob))
                        .await?;
                    self.blobs.put(&source.blob, bytes).await?;
                }
            }
            put => put?,
        }
        let written = self.blobs.get(&source.blob).await?;
        if written.is_some_and(|written| are_those(&written, source)) {
            Ok(())
        } else {
            Err(Error::Damaged(format!(
                "the blob {} cannot be read as it was written",
                source.blob
            )))
        }
    }
}

/// What one walk came to.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    differences: u64,
    bytes: u64,
}

/// What is copied in one go.
#[derive(Debug, Default)]
struct Group {
    /// Each with whether the target has nothing of it yet, not even its bytes.
    put: Vec<(Record, bool)>,
    remove: Vec<Place>,
}

//! Into another store, while servers work with this one: the records of both are walked side by
//! side, what differs is copied, and so again until nothing differs. What was copied needs no
//! keeping of accounts, so that a copy which was killed is simply started again.

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{AccountId, Image, Source, Timestamp};
use store::catalog::{Place, Reading, Record};

use super::{BLOBS_AT_ONCE, Check, Error, Holdings, OneByOne, Repair, Watch, are_those};

/// How a store is moved.
#[derive(Clone, Debug)]
pub struct Move {
    /// Names this store, so that the target is filled from one alone.
    pub origin: String,
    /// Whether this store is closed to writes for the last passes, and stays so afterwards.
    pub close: bool,
}

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

/// Nothing is written any more; some passes settle what stood in each other's way.
const CLOSED_PASSES: u32 = 8;

impl Holdings {
    /// Copies everything into `target`, which must be empty or hold an unfinished copy from the same
    /// origin. When this returns, the target holds each record and each blob as they are here,
    /// compared one by one.
    pub async fn move_to(
        &self,
        target: &Self,
        how: &Move,
        watch: &dyn Watch,
    ) -> Result<Copied, Error> {
        match target.catalog.incoming().await? {
            Some(origin) if origin == how.origin => {}
            Some(origin) => {
                return Err(Error::Refused(format!(
                    "the target holds an unfinished copy of {origin}"
                )));
            }
            None if target.is_empty().await? => {
                target.catalog.set_incoming(Some(&how.origin)).await?;
            }
            None => return Err(Error::Refused("the target is not empty".to_owned())),
        }
        let moved = self.copy_until_equal(target, how, watch).await;
        if moved.is_err()
            && how.close
            && let Err(error) = self.catalog.set_closed(false).await
        {
            tracing::error!(%error, "the source stays closed to writes");
        }
        moved
    }

    async fn copy_until_equal(
        &self,
        target: &Self,
        how: &Move,
        watch: &dyn Watch,
    ) -> Result<Copied, Error> {
        let mut copied = Copied::default();
        let mut closed_passes = 0;
        loop {
            let pass = self.pass(target, watch).await?;
            copied.passes += 1;
            copied.bytes += pass.bytes;
            if closed_passes > 0 || !how.close {
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
                self.catalog.set_closed(true).await?;
                closed_passes = 1;
            }
        }
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
        let mut first = None;
        let mut found = |finding: &super::Finding, _| {
            if !matches!(finding, super::Finding::Orphan(_)) {
                first.get_or_insert_with(|| finding.clone());
            }
        };
        let checked = target.check(check, watch, &mut found).await?;
        let counted = (self.image_count().await?, target.image_count().await?);
        if let Some(finding) = first {
            return Err(Error::Damaged(format!(
                "the target lost what was written to it: {finding:?}"
            )));
        }
        if how.close && (counted.0 != checked.images || counted.1 != checked.images) {
            return Err(Error::Damaged(format!(
                "the source counts {} images, the target {}, and {} are there",
                counted.0, counted.1, checked.images
            )));
        }
        copied.images = checked.images;
        copied.accounts = target.catalog.accounts().await?.len() as u64;
        target.catalog.set_incoming(None).await?;
        Ok(copied)
    }

    /// Walks over both, and makes the target equal.
    async fn pass(&self, target: &Self, watch: &dyn Watch) -> Result<Pass, Error> {
        watch.begin("records compared", self.image_count().await?);
        self.remove_accounts(target).await?;
        let mut here = OneByOne::new(self.catalog.records(Reading::PieceByPiece));
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
                self.copy(target, std::mem::take(&mut group), &mut pass, watch)
                    .await?;
            }
        }
        self.copy(target, group, &mut pass, watch).await?;
        Ok(pass)
    }

    /// Accounts which are no more may have left their names to others.
    async fn remove_accounts(&self, target: &Self) -> Result<(), Error> {
        let here: std::collections::HashSet<AccountId> = self
            .catalog
            .accounts()
            .await?
            .into_iter()
            .map(|account| account.id)
            .collect();
        let there = target.catalog.accounts().await?.into_iter();
        let gone: Vec<Place> = there
            .filter(|account| !here.contains(&account.id))
            .map(|account| Place::Account(account.id))
            .collect();
        if !gone.is_empty() {
            target.catalog.remove_records(gone).await?;
        }
        Ok(())
    }

    async fn copy(
        &self,
        target: &Self,
        group: Group,
        pass: &mut Pass,
        watch: &dyn Watch,
    ) -> Result<(), Error> {
        pass.differences += (group.put.len() + group.remove.len()) as u64;
        if !group.remove.is_empty() {
            target.catalog.remove_records(group.remove).await?;
        }
        let copies = group.put.into_iter().map(|(record, is_new)| async move {
            let bytes = match &record {
                Record::Image(account, image) if is_new => {
                    self.copy_bytes(target, account, image).await?
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
        match target.catalog.put_records(records).await {
            // Its account was made after this pass had begun: the next one has it.
            Err(store::Error::NotFound) => Ok(()),
            put => Ok(put?),
        }
    }

    /// Copies the bytes of an image and reads them back. `None` if it was deleted meanwhile.
    async fn copy_bytes(
        &self,
        target: &Self,
        account: &AccountId,
        image: &Image,
    ) -> Result<Option<u64>, Error> {
        let Some(source) = &image.source else {
            return Ok(Some(0));
        };
        let damaged = |what: &str| {
            Error::Damaged(format!(
                "the image {} of account {account} {what}; `calotype check --deep` finds all of \
                 these, and with --repair --delete-images removes them",
                image.id
            ))
        };
        let Some(bytes) = self.blobs.get(&source.blob).await? else {
            if self.still_there(account, &image.id, source).await? {
                return Err(damaged("has no bytes"));
            }
            return Ok(None);
        };
        if !are_those(&bytes, source) {
            return Err(damaged("has other bytes than were uploaded"));
        }
        target.write_bytes(source, bytes).await?;
        Ok(Some(source.bytes))
    }

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

    /// Takes everything away again from a store which was being filled.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        for account in self.catalog.accounts().await? {
            self.catalog.delete_account(&account.id).await?;
        }
        loop {
            let far = Timestamp::from_micros(i64::MAX);
            let blobs = self.catalog.abandoned_blobs(far, 1_000).await?;
            if blobs.is_empty() {
                break;
            }
            self.blobs.delete(&blobs).await?;
            self.catalog.forget_blobs(&blobs).await?;
        }
        let mut left = self.blobs.sorted().chunks(1_000);
        while let Some(some) = left.next().await {
            let keys = some.into_iter().map(|stored| Ok(stored?.key));
            let keys: Vec<_> = keys.collect::<Result<_, Error>>()?;
            self.blobs.delete(&keys).await?;
        }
        Ok(())
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

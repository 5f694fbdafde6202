//! Whether records and bytes belong together: two ordered lists, walked side by side.
//!
//! Servers may go on meanwhile. What seems to be wrong is looked at again, in the order in which
//! uploads write and deletions remove, so that nothing under way is taken for a difference.

use std::time::Duration;

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{AccountId, BlobKey, ImageId, Source, Timestamp};
use store::Stored;
use store::catalog::Reading;

use super::{BLOBS_AT_ONCE, Error, Holdings, OneByOne, Watch, are_those};

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Whether every blob is read and its checksum compared.
    pub deep: bool,
    /// Bytes without record which are younger than this are left out.
    pub age_min: Duration,
    /// What is done about what is found.
    pub repair: Repair,
}

/// What is done about differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Bytes without record are deleted.
    pub orphans: bool,
    /// Images whose bytes are missing or not what was uploaded are deleted.
    pub images: bool,
    /// Even if no image at all has its bytes here.
    pub force: bool,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An image without bytes.
    Missing(Named),
    /// An image whose bytes are more or fewer than were uploaded: so many.
    WrongSize(Named, u64),
    /// An image whose bytes are not those which were uploaded.
    WrongDigest(Named),
    /// Bytes without record.
    Orphan(Stored),
}

/// An image, and what is known of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Whose it is.
    pub account: AccountId,
    /// Its name.
    pub id: ImageId,
    /// Its bytes, as its record has them.
    pub source: Source,
}

/// What was found, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Images, without drafts.
    pub images: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes without record which are too young to judge.
    pub young: u64,
    /// Images without bytes.
    pub missing: u64,
    /// Images with other bytes than were uploaded.
    pub wrong: u64,
    /// Bytes without record.
    pub orphans: u64,
    /// How many of the differences are no more.
    pub repaired: u64,
}

impl Checked {
    /// How many differences are left.
    pub fn left(&self) -> u64 {
        (self.missing + self.wrong + self.orphans).saturating_sub(self.repaired)
    }
}

/// Pairs which are read at the same time, in a deep check.
const PAIRS: usize = 64;

impl Holdings {
    /// Compares all records with all bytes, and calls `found` for each difference, with whether it
    /// was repaired. Memory does not grow with the number of images.
    pub async fn check(
        &self,
        check: Check,
        watch: &dyn Watch,
        found: &mut (dyn FnMut(&Finding, bool) + Send),
    ) -> Result<Checked, Error> {
        if (check.repair.orphans || check.repair.images) && !check.repair.force {
            self.look_first(check, watch).await?;
        }
        self.walk(check, watch, found).await
    }

    /// Where most of it does not agree, one of the two is probably not the right one.
    async fn look_first(&self, check: Check, watch: &dyn Watch) -> Result<(), Error> {
        let look = Check {
            deep: false,
            repair: Repair::default(),
            ..check
        };
        let seen = self.walk(look, watch, &mut |_, _| {}).await?;
        if seen.images > 0 && seen.missing <= seen.images / 2 {
            return Ok(());
        }
        if (check.repair.orphans && seen.orphans > 0) || (check.repair.images && seen.missing > 0) {
            return Err(Error::Refused(format!(
                "of {} images {} have no bytes here, and {} blobs belong to no image: is it the \
                 right pair of database and blobs? Nothing was changed; --force repairs it anyway",
                seen.images, seen.missing, seen.orphans,
            )));
        }
        Ok(())
    }

    async fn walk(
        &self,
        check: Check,
        watch: &dyn Watch,
        found: &mut (dyn FnMut(&Finding, bool) + Send),
    ) -> Result<Checked, Error> {
        watch.begin("images checked", self.image_count().await?);
        let mut walk = Walk {
            holdings: self,
            check,
            old: self.catalog.now().before(check.age_min),
            sums: Checked::default(),
            pairs: Vec::new(),
            findings: Vec::new(),
        };
        let mut images = OneByOne::new(self.catalog.records(Reading::PieceByPiece));
        let mut blobs = self.blobs.sorted();
        let mut image = images.image().await?;
        let mut blob = blobs.try_next().await?;
        loop {
            let key = image.as_ref().map(|(_, _, source)| source.blob.clone());
            let order = match (key, &blob) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(key), Some(stored)) => key.cmp(&stored.key),
            };
            let mut of_image = None;
            if order.is_le() {
                of_image = image.take().map(|(account, image, source)| Named {
                    account,
                    id: image.id,
                    source,
                });
                image = images.image().await?;
                walk.sums.images += 1;
                watch.advance(1);
            }
            let mut of_blob = None;
            if order.is_ge() {
                of_blob = blob.take();
                blob = blobs.try_next().await?;
                walk.sums.blobs += 1;
            }
            match (of_image, of_blob) {
                (Some(named), Some(stored)) => walk.pair(named, stored.bytes).await?,
                (Some(named), None) => walk.without_bytes(named).await?,
                (None, Some(stored)) => walk.without_record(stored).await?,
                (None, None) => {}
            }
            if walk.findings.len() >= 1_000 {
                walk.settle(found).await?;
            }
        }
        walk.read_pairs().await?;
        walk.settle(found).await?;
        Ok(walk.sums)
    }
}

struct Walk<'a> {
    holdings: &'a Holdings,
    check: Check,
    /// What was written before this is old enough.
    old: Timestamp,
    sums: Checked,
    pairs: Vec<Named>,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    async fn pair(&mut self, named: Named, bytes: u64) -> Result<(), Error> {
        if named.source.bytes != bytes {
            self.findings.push(Finding::WrongSize(named, bytes));
        } else if self.check.deep {
            self.pairs.push(named);
            if self.pairs.len() >= PAIRS {
                self.read_pairs().await?;
            }
        }
        Ok(())
    }

    /// Reads what has been put off, several at a time.
    async fn read_pairs(&mut self) -> Result<(), Error> {
        let holdings = self.holdings;
        let read = std::mem::take(&mut self.pairs).into_iter();
        let read = read.map(|named| async move {
            let bytes = holdings.blobs.get(&named.source.blob).await?;
            Ok::<_, Error>((bytes.map(|bytes| are_those(&bytes, &named.source)), named))
        });
        let mut read = stream::iter(read).buffered(BLOBS_AT_ONCE);
        while let Some((outcome, named)) = read.try_next().await? {
            match outcome {
                Some(true) => {}
                Some(false) => self.findings.push(Finding::WrongDigest(named)),
                None => self.without_bytes(named).await?,
            }
        }
        Ok(())
    }

    /// An upload writes bytes first and a deletion removes the record first: bytes which are not
    /// there before the record is are missing.
    async fn without_bytes(&mut self, named: Named) -> Result<(), Error> {
        let Named {
            account,
            id,
            source,
        } = &named;
        if self.holdings.blobs.head(&source.blob).await?.is_none()
            && self.holdings.still_there(account, id, source).await?
        {
            self.findings.push(Finding::Missing(named));
        }
        Ok(())
    }

    /// Bytes of an upload under way are reserved, and those which wait for the sweep are released.
    async fn without_record(&mut self, stored: Stored) -> Result<(), Error> {
        if self.holdings.catalog.knows_blob(&stored.key).await? {
            return Ok(());
        }
        if stored.written > self.old {
            self.sums.young += 1;
        } else {
            self.findings.push(Finding::Orphan(stored));
        }
        Ok(())
    }

    /// Counts what was found, and repairs what is to be.
    async fn settle(
        &mut self,
        found: &mut (dyn FnMut(&Finding, bool) + Send),
    ) -> Result<(), Error> {
        let findings = std::mem::take(&mut self.findings);
        let mut orphans: Vec<BlobKey> = Vec::new();
        for finding in &findings {
            match finding {
                Finding::Orphan(stored) => orphans.push(stored.key.clone()),
                Finding::Missing(named)
                | Finding::WrongSize(named, _)
                | Finding::WrongDigest(named)
                    if self.check.repair.images =>
                {
                    self.delete_image(named).await?;
                }
                _ => {}
            }
        }
        if self.check.repair.orphans {
            self.holdings.blobs.delete(&orphans).await?;
        }
        for finding in &findings {
            let (sum, repaired) = match finding {
                Finding::Missing(_) => (&mut self.sums.missing, self.check.repair.images),
                Finding::WrongSize(..) | Finding::WrongDigest(_) => {
                    (&mut self.sums.wrong, self.check.repair.images)
                }
                Finding::Orphan(_) => (&mut self.sums.orphans, self.check.repair.orphans),
            };
            *sum += 1;
            self.sums.repaired += u64::from(repaired);
            found(finding, repaired);
        }
        Ok(())
    }

    /// The sweep removes what is left of its bytes.
    async fn delete_image(&self, named: &Named) -> Result<(), Error> {
        let Named {
            account,
            id,
            source,
        } = named;
        if !self.holdings.still_there(account, id, source).await? {
            return Ok(());
        }
        let at_once = self.holdings.catalog.now();
        match self
            .holdings
            .catalog
            .delete_image(account, id, at_once)
            .await
        {
            Ok(_) | Err(store::Error::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

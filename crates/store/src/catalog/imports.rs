//! From where images are imported, and how far that is. A job which runs belongs to one process, whose
//! claim lapses unless it goes on, so that another one takes over where it was.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    AccountId, BlobKey, Image, ImageId, ImportCounts, ImportEntry, ImportJob, ImportOutcome,
    ImportSource, ImportState, ImportedObject, OpaqueId, Timestamp,
};

use super::Corrupt;
use crate::{Error, Vault};

/// Sources and jobs of imports in a catalog.
#[async_trait]
pub trait Imports: Send + Sync {
    /// The sources of an account, oldest first, without their secrets.
    async fn import_sources(&self, account: &AccountId) -> Result<Vec<ImportSource>, Error>;

    /// Inserts a source. `Full` if it would be one more than `sources_max`.
    async fn insert_import_source(
        &self,
        account: &AccountId,
        source: &ImportSource,
        sources_max: usize,
    ) -> Result<(), Error>;

    /// Names a source otherwise. `NotFound` without it.
    async fn rename_import_source(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        name: &str,
    ) -> Result<(), Error>;

    /// Deletes a source with its jobs and their logs. `NotFound` without it, `InUse` if a job of it has
    /// not ended.
    async fn delete_import_source(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error>;

    /// The jobs of an account, newest first.
    async fn import_jobs(&self, account: &AccountId) -> Result<Vec<ImportJob>, Error>;

    /// Inserts a job. `NotFound` without its source, `Full` if `open_max` jobs of the account have not
    /// ended. Of those which have, the newest `JOBS_KEPT` stay.
    async fn insert_import_job(
        &self,
        account: &AccountId,
        job: &ImportJob,
        open_max: usize,
    ) -> Result<(), Error>;

    /// Ends a job. `NotFound` without it, `Changed` if it has ended.
    async fn abort_import_job(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Up to `limit` lines of a job's log, with their numbers, after the one of this number. `NotFound`
    /// without the job.
    async fn import_log(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImportEntry)>, Error>;

    /// Takes the job whose turn was longest ago, for `time`, in the name of `holder`. It runs from then on.
    /// One whose source does not open has failed.
    async fn claim_import_job(
        &self,
        holder: [u8; 16],
        time: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedImport>, Error>;

    /// What is known of the objects of a source which became these images.
    async fn imported_objects(
        &self,
        claimed: &ClaimedImport,
        images: Vec<ImageId>,
    ) -> Result<Vec<ImportedObject>, Error>;

    /// Notes a step and keeps the job for another `time`. Whether it is the holder's to go on with. What was
    /// done before it was aborted is noted too, and of one which somebody else holds nothing is.
    async fn advance_import_job(
        &self,
        claimed: &ClaimedImport,
        step: ImportStep,
        time: Duration,
    ) -> Result<bool, Error>;

    /// Ends a job in this state, as long as it is the holder's.
    async fn end_import_job(
        &self,
        claimed: &ClaimedImport,
        state: ImportState,
        error: Option<String>,
        now: Timestamp,
    ) -> Result<(), Error>;

    /// Gives a job back of which all is noted, for somebody to go on with after a `pause`.
    async fn yield_import_job(&self, claimed: &ClaimedImport, pause: Duration)
    -> Result<(), Error>;

    /// Gives back what those hold whose names begin so, for others to go on with at once. They may have done
    /// more than is noted.
    async fn release_import_jobs(&self, holders: &[u8]) -> Result<(), Error>;

    /// As `Catalog::insert_image`, as long as the job is the holder's; `NotFound` if it is not.
    ///
    /// With the blob of an image, in the place of the image which has it: `Changed` if it is gone or another
    /// one is there. Its blob is released from `not_before` on. At no moment is there none, and no limit is
    /// asked for.
    async fn insert_imported_image(
        &self,
        claimed: &ClaimedImport,
        image: Image,
        replaced: Option<BlobKey>,
        images_max: Option<u64>,
        not_before: Timestamp,
    ) -> Result<Image, Error>;
}

/// Jobs of an account which have ended and are kept.
pub(super) const JOBS_KEPT: u32 = 100;

/// Lines in the log of one job; what comes after is only counted.
const LOG_MAX: u64 = 10_000;

/// Of those, what did not fail has half, so that failures are not lost among it.
const LOG_MAX_GOOD: u64 = LOG_MAX / 2;

/// The entries for which there is room behind so many lines.
pub(super) fn loggable(lines: u64, entries: &[ImportEntry]) -> impl Iterator<Item = &ImportEntry> {
    let mut lines = lines;
    entries.iter().filter(move |entry| {
        let max = match entry.outcome {
            ImportOutcome::Failed => LOG_MAX,
            ImportOutcome::Imported | ImportOutcome::Skipped => LOG_MAX_GOOD,
        };
        let has_room = lines < max;
        lines += u64::from(has_room);
        has_room
    })
}

/// Rows which are deleted in one go.
pub(super) const DELETED_AT_ONCE: u32 = 5_000;

/// A job which is a process's for a while.
#[derive(Clone, Debug)]
pub struct ClaimedImport {
    /// Names the job among all.
    pub number: i64,
    /// Names its source among all.
    pub source_number: i64,
    /// Whose it is.
    pub account: AccountId,
    /// From where.
    pub source: ImportSource,
    /// What is to be done.
    pub job: ImportJob,
    /// The key of the last object which was looked at; empty at the beginning.
    pub after: String,
    /// Whether somebody had it and did not give it back, who may have done more than was noted.
    pub is_taken_over: bool,
    /// How often it was claimed since it last got on, this time included.
    pub claims: u32,
    /// In whose name.
    pub holder: [u8; 16],
}

/// What a process did of a job.
#[derive(Clone, Debug, Default)]
pub struct ImportStep {
    /// The key of the last object which was looked at; `None` if there was none.
    pub after: Option<String>,
    /// How many objects there were, and what came of them.
    pub counts: ImportCounts,
    /// A line for each that is worth one.
    pub entries: Vec<ImportEntry>,
    /// What became images.
    pub objects: Vec<ImportedObject>,
    /// Why the job will not have done all, though it goes on.
    pub error: Option<String>,
}

/// A sealed secret opens only as that of this source in this account.
fn context(account: &AccountId, id: &OpaqueId) -> String {
    format!("secret of import source {id} of account {account}")
}

pub(super) fn seal(vault: &Vault, account: &AccountId, source: &ImportSource) -> Vec<u8> {
    let secret = source.bucket.secret_access_key.as_bytes();
    vault.seal(secret, &context(account, &source.id))
}

/// Opens the secret of a source which came without.
pub(super) fn unseal(
    vault: &Vault,
    account: &AccountId,
    (mut source, sealed): (ImportSource, Vec<u8>),
) -> Result<ImportSource, Error> {
    let opened = vault.open(&sealed, &context(account, &source.id))?;
    source.bucket.secret_access_key =
        String::from_utf8(opened).map_err(|_| Corrupt("secret of an import source"))?;
    Ok(source)
}

pub(super) fn unseal_all(
    vault: &Vault,
    account: &AccountId,
    sealed: Vec<(ImportSource, Vec<u8>)>,
) -> Result<Vec<ImportSource>, Error> {
    let open = |sealed| unseal(vault, account, sealed);
    sealed.into_iter().map(open).collect()
}

/// Why a job ends whose source cannot be opened.
pub(super) const SEALED: &str = "the key of the source does not open with this server's secret key";

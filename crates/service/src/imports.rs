//! Imports: every image of somebody's bucket becomes one of ours (management-api.md, section 8.4).

mod bucket;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use model::{
    AccountId, BlobKey, Image, ImageId, ImportBucket, ImportEntry, ImportJob, ImportOutcome,
    ImportSource, ImportState, ImportedObject, OpaqueId, Timestamp,
};
use ring::digest;
use store::catalog::{ClaimedImport, ImportStep};
use tokio::time::{MissedTickBehavior, interval};

use crate::{Error, FetchError, Service};
use bucket::{Listed, Reader};

/// A source as a client wants it.
#[derive(Clone, Debug)]
pub struct NewImportSource {
    /// What to call it.
    pub name: String,
    /// Where it is, and what opens it.
    pub bucket: ImportBucket,
}

/// An import as a client wants it.
#[derive(Clone, Debug)]
pub struct NewImport {
    /// From which source.
    pub source: String,
    /// The folder of the bucket which is imported; empty for all of it.
    pub root: String,
    /// What the ids of images begin with.
    pub prefix: String,
    /// Whether images whose object changed are replaced.
    pub overwrite: bool,
}

/// Objects of one step, and how many of them are fetched at a time.
const STEP: usize = 100;
const AT_ONCE: usize = 4;
/// How long a job is a server's without a sign of it, and how often it gives one.
const CLAIM: Duration = Duration::from_secs(15);
const SIGN: Duration = Duration::from_secs(3);
/// Bytes of a path in a bucket.
const ROOT_BYTES_MAX: usize = 1_024;
/// Objects in a row which could not be fetched, after which a bucket is not asked for more.
const FAILURES_MAX: u32 = 100;
/// Claims without getting on, after which a job is given up: for an hour, if nobody else has a turn.
const CLAIMS_MAX: u32 = 240;
/// Steps after which other jobs have their turn.
const TURN: usize = 20;

/// What came of one object.
struct Came {
    entry: Option<ImportEntry>,
    outcome: ImportOutcome,
    object: Option<ImportedObject>,
    /// Whether its bytes could be had; `None` if they were not asked for.
    was_fetched: Option<bool>,
}

/// Why a job does not go on.
enum Stop {
    /// It has ended in this state, for this reason.
    Ended(ImportState, Option<String>),
    /// It is somebody else's by now, or was aborted.
    Lost,
    /// Others have their turn.
    Turn,
    /// This server cannot go on, and another one may.
    Trouble(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Trouble(error)
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Trouble(error.into())
    }
}

impl Service {
    /// The sources of an account, oldest first.
    pub async fn import_sources(&self, account: &AccountId) -> Result<Vec<ImportSource>, Error> {
        Ok(self.catalog.import_sources(account).await?)
    }

    /// The source of this id.
    pub async fn import_source(
        &self,
        account: &AccountId,
        id: &str,
    ) -> Result<ImportSource, Error> {
        let id = OpaqueId::parse(id).ok_or(NO_SOURCE)?;
        let all = self.catalog.import_sources(account).await?;
        all.into_iter()
            .find(|source| source.id == id)
            .ok_or(NO_SOURCE)
    }

    /// Makes a source, if its bucket can be read.
    pub async fn create_import_source(
        &self,
        account: &AccountId,
        new: NewImportSource,
    ) -> Result<ImportSource, Error> {
        let source = ImportSource {
            id: OpaqueId::generate(),
            name: source_name(&new.name)?,
            bucket: checked(new.bucket)?,
            created: Timestamp::now(),
        };
        let sources_max = self.settings.limits.import_sources_max;
        if self.catalog.import_sources(account).await?.len() >= sources_max {
            return Err(Error::LimitReached("import sources"));
        }
        let listed = self.reader(&source.bucket).list("", "", 1).await;
        listed.map_err(|error| Error::Invalid(format!("the bucket cannot be read: {error}")))?;
        self.catalog
            .insert_import_source(account, &source, sources_max)
            .await
            .map_err(|error| match error {
                store::Error::Full => Error::LimitReached("import sources"),
                other => other.into(),
            })?;
        Ok(source)
    }

    /// Names a source otherwise.
    pub async fn rename_import_source(
        &self,
        account: &AccountId,
        id: &str,
        name: &str,
    ) -> Result<ImportSource, Error> {
        let mut source = self.import_source(account, id).await?;
        source.name = source_name(name)?;
        let renamed = self
            .catalog
            .rename_import_source(account, &source.id, &source.name);
        match renamed.await {
            Err(store::Error::NotFound) => Err(NO_SOURCE),
            renamed => Ok(renamed.map(|()| source)?),
        }
    }

    /// Deletes a source with its jobs; what was imported stays.
    pub async fn delete_import_source(&self, account: &AccountId, id: &str) -> Result<(), Error> {
        let id = OpaqueId::parse(id).ok_or(NO_SOURCE)?;
        match self.catalog.delete_import_source(account, &id).await {
            Err(store::Error::NotFound) => Err(NO_SOURCE),
            Err(store::Error::InUse) => Err(Error::ImportRuns),
            deleted => Ok(deleted?),
        }
    }

    /// The imports of an account, newest first.
    pub async fn imports(&self, account: &AccountId) -> Result<Vec<ImportJob>, Error> {
        Ok(self.catalog.import_jobs(account).await?)
    }

    /// The import of this id.
    pub async fn import(&self, account: &AccountId, id: &str) -> Result<ImportJob, Error> {
        let id = OpaqueId::parse(id).ok_or(NO_JOB)?;
        let all = self.catalog.import_jobs(account).await?;
        all.into_iter().find(|job| job.id == id).ok_or(NO_JOB)
    }

    /// Asks for an import, which one of the servers begins within a second or when there is time.
    pub async fn create_import(
        &self,
        account: &AccountId,
        new: NewImport,
    ) -> Result<ImportJob, Error> {
        let source = OpaqueId::parse(&new.source);
        let source =
            source.ok_or_else(|| Error::Invalid("source_id names no source".to_owned()))?;
        let job = ImportJob {
            id: OpaqueId::generate(),
            source,
            root: root(&new.root)?,
            prefix: self.prefix(new.prefix)?,
            overwrite: new.overwrite,
            state: ImportState::Pending,
            counts: model::ImportCounts::default(),
            error: None,
            created: Timestamp::now(),
            started: None,
            finished: None,
        };
        let open_max = self.settings.limits.imports_max;
        self.catalog
            .insert_import_job(account, &job, open_max)
            .await
            .map_err(|error| match error {
                store::Error::NotFound => Error::Invalid("source_id names no source".to_owned()),
                store::Error::Full => Error::LimitReached("imports"),
                other => other.into(),
            })?;
        Ok(job)
    }

    /// Ends an import; what was imported stays.
    pub async fn abort_import(&self, account: &AccountId, id: &str) -> Result<ImportJob, Error> {
        let job = OpaqueId::parse(id).ok_or(NO_JOB)?;
        let now = Timestamp::now();
        match self.catalog.abort_import_job(account, &job, now).await {
            Err(store::Error::NotFound) => Err(NO_JOB),
            Err(store::Error::Changed) => Err(Error::ImportEnded),
            aborted => {
                aborted?;
                self.import(account, id).await
            }
        }
    }

    /// Lines of an import's log after the one of this number, with their numbers.
    pub async fn import_log(
        &self,
        account: &AccountId,
        id: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImportEntry)>, Error> {
        let id = OpaqueId::parse(id).ok_or(NO_JOB)?;
        match self.catalog.import_log(account, &id, after, limit).await {
            Err(store::Error::NotFound) => Err(NO_JOB),
            lines => Ok(lines?),
        }
    }

    /// Carries out the import whose turn was longest ago, to its end or for a while. `false` if none
    /// waits.
    pub async fn run_import(&self) -> Result<bool, Error> {
        let now = Timestamp::now();
        let mut holder = self.process;
        holder[PROCESS_BYTES..].copy_from_slice(&model::random_bytes::<{ 16 - PROCESS_BYTES }>());
        let claimed = self.catalog.claim_import_job(holder, CLAIM, now);
        let Some(claimed) = claimed.await? else {
            return Ok(false);
        };
        let gone_through = if claimed.claims > CLAIMS_MAX {
            let words = "it does not get on: see the log of the server".to_owned();
            Err(Stop::Ended(ImportState::Failed, Some(words)))
        } else {
            self.go_through(&claimed).await
        };
        let ended = match gone_through {
            Ok(()) => (ImportState::Completed, None),
            Err(Stop::Ended(state, error)) => (state, error),
            Err(Stop::Lost) => return Ok(true),
            Err(Stop::Turn) => {
                self.catalog.release_import_jobs(&claimed.holder).await?;
                return Ok(true);
            }
            Err(Stop::Trouble(error)) => return Err(error),
        };
        let now = Timestamp::now();
        tracing::info!(import = %claimed.job.id, state = ended.0.as_str(), "an import has ended");
        self.catalog
            .end_import_job(&claimed, ended.0, ended.1, now)
            .await?;
        Ok(true)
    }

    /// Before this server ends: what it does not go on with, others may.
    pub async fn release_imports(&self) -> Result<(), Error> {
        let ours = &self.process[..PROCESS_BYTES];
        Ok(self.catalog.release_import_jobs(ours).await?)
    }

    async fn go_through(&self, claimed: &ClaimedImport) -> Result<(), Stop> {
        let reader = self.reader(&claimed.source.bucket);
        let mut after = claimed.after.clone();
        let mut failures = 0;
        for steps in 1.. {
            let listing = async {
                let listed = reader.list(&claimed.job.root, &after, STEP).await;
                listed.map_err(|error| {
                    let words = format!("the bucket cannot be read: {error}");
                    Stop::Ended(ImportState::Failed, Some(words))
                })
            };
            let objects = self.with_signs(claimed, listing).await?;
            let step = self.step(claimed, &reader, &objects.listed, &mut failures);
            let (step, stop) = self.with_signs(claimed, step).await?;
            if let Some(last) = &step.after {
                after.clone_from(last);
            }
            let goes_on = self.catalog.advance_import_job(claimed, step, CLAIM);
            if !goes_on.await? {
                return Err(Stop::Lost);
            }
            if let Some(stop) = stop {
                return Err(stop);
            }
            if !objects.are_more {
                break;
            }
            if steps == TURN {
                return Err(Stop::Turn);
            }
        }
        Ok(())
    }

    /// Gives signs of life while work is done, and stops it when it is not ours any more.
    async fn with_signs<T>(
        &self,
        claimed: &ClaimedImport,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let mut work = std::pin::pin!(work);
        let mut signs = interval(SIGN);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        signs.tick().await;
        loop {
            tokio::select! {
                done = work.as_mut() => return done,
                _ = signs.tick() => {
                    let nothing = ImportStep::default();
                    if !self.catalog.advance_import_job(claimed, nothing, CLAIM).await? {
                        return Err(Stop::Lost);
                    }
                }
            }
        }
    }

    /// Imports some objects, and says why to stop after them. `failures` counts those in a row which could
    /// not be fetched.
    async fn step(
        &self,
        claimed: &ClaimedImport,
        reader: &Reader<'_>,
        listed: &[Listed],
        failures: &mut u32,
    ) -> Result<(ImportStep, Option<Stop>), Stop> {
        let ids: Vec<_> = listed
            .iter()
            .map(|found| self.id_of(claimed, found))
            .collect();
        let images = ids.iter().filter_map(|id| id.as_ref().ok().cloned());
        let known = self.catalog.imported_objects(claimed, images.collect());
        let known = known.await?;
        let known: HashMap<&ImageId, &ImportedObject> =
            known.iter().map(|object| (&object.image, object)).collect();
        let has_ended = AtomicBool::new(false);
        let comings = listed.iter().zip(&ids).map(|(found, id)| {
            let has_ended = &has_ended;
            let known = id.as_ref().ok().and_then(|id| known.get(id).copied());
            async move {
                if has_ended.load(Relaxed) {
                    return Ok(None);
                }
                let came = self.import_object(claimed, reader, found, id, known);
                came.await.map(Some)
            }
        });
        // In their order, so that what was looked at is all up to one key.
        let mut comings = stream::iter(comings.collect::<Vec<_>>()).buffered(AT_ONCE);
        let (mut step, mut stop) = (ImportStep::default(), None);
        let mut objects = listed.iter();
        while let Some(came) = comings.next().await {
            let object = objects.next();
            let came = match came {
                Ok(Some(came)) => came,
                Ok(None) => continue,
                // What is under way beside it counts as well.
                Err(ended @ Stop::Ended(..)) => {
                    has_ended.store(true, Relaxed);
                    stop.get_or_insert(ended);
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            step.counts.found += 1;
            match came.outcome {
                ImportOutcome::Imported => step.counts.imported += 1,
                ImportOutcome::Skipped => step.counts.skipped += 1,
                ImportOutcome::Failed => step.counts.failed += 1,
            }
            step.entries.extend(came.entry);
            step.objects.extend(came.object);
            if stop.is_none() {
                step.after = object.map(|found| found.key.clone());
            }
            match came.was_fetched {
                Some(true) => *failures = 0,
                Some(false) => *failures += 1,
                None => {}
            }
            if *failures >= FAILURES_MAX {
                has_ended.store(true, Relaxed);
                let words = "too many objects in a row could not be fetched".to_owned();
                stop.get_or_insert(Stop::Ended(ImportState::Failed, Some(words)));
            }
        }
        Ok((step, stop))
    }

    /// The id of the image which an object becomes.
    fn id_of(&self, claimed: &ClaimedImport, found: &Listed) -> Result<ImageId, Error> {
        let ImportJob { root, prefix, .. } = &claimed.job;
        let name = found.key.strip_prefix(root.as_str()).unwrap_or(&found.key);
        self.settle_id(Some(&format!("{prefix}{name}")), false)
    }

    async fn import_object(
        &self,
        claimed: &ClaimedImport,
        reader: &Reader<'_>,
        found: &Listed,
        id: &Result<ImageId, Error>,
        known: Option<&ImportedObject>,
    ) -> Result<Came, Stop> {
        let skipped = |reason: &str| Ok(Came::of(found, ImportOutcome::Skipped, reason));
        let failed = |reason: &str| Ok(Came::of(found, ImportOutcome::Failed, reason));
        if found.key.ends_with('/') || found.bytes == 0 {
            return skipped("it is empty");
        }
        if found.is_archived {
            return skipped("it is archived: restore it first");
        }
        let limits = &self.settings.limits;
        if found.bytes > limits.upload_bytes_max {
            let reason = format!("it has more than {} bytes", limits.upload_bytes_max);
            return skipped(&reason);
        }
        let id = match id {
            Ok(id) => id,
            Err(error) => return failed(&error.to_string()),
        };
        let there = self.catalog.image(&claimed.account, id).await?;
        if there.as_ref().is_some_and(Image::is_draft) {
            return skipped("an upload to this id is awaited");
        }
        let there = there.and_then(|image| image.source.map(|source| (source, image.uploaded)));
        let mut may_be_ours = false;
        if let Some((source, uploaded)) = &there {
            if known.is_some_and(|known| *known == found.as_image(id, &source.blob)) {
                return Ok(Came::unchanged());
            }
            // Of a server which died before it could note what it had done, perhaps.
            let began = claimed.job.started.filter(|_| claimed.is_taken_over);
            may_be_ours =
                began.is_some_and(|began| *uploaded >= began) && source.bytes == found.bytes;
            if !claimed.job.overwrite && !may_be_ours {
                return skipped("there is an image of this id");
            }
        }
        let admission = self.admit(found.bytes).await?;
        let bytes = match reader.object(&found.key, found.bytes).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return failed("no address names its key"),
            Err(FetchError::Busy) => return Err(Stop::Trouble(Error::Busy)),
            Err(error) => {
                let came = Came::of(found, ImportOutcome::Failed, &error.to_string());
                return Ok(came.fetched(false));
            }
        };
        if let Some((source, _)) = &there {
            let digest = digest::digest(&digest::SHA256, &bytes);
            if digest.as_ref() == source.sha256.as_slice() {
                // It need not be done again.
                let object = found.as_image(id, &source.blob);
                return Ok(Came::same(found, object, may_be_ours).fetched(true));
            }
            if !claimed.job.overwrite {
                return skipped("there is an image of this id");
            }
        }
        let stored = self.store_object(&claimed.account, id, bytes, &found.key, there.is_some());
        let stored = stored.await;
        drop(admission);
        let came = match stored {
            Ok(image) => match &image.source {
                Some(source) => Came::imported(found, found.as_image(id, &source.blob)),
                None => return failed("it was not stored"),
            },
            Err(Error::Unreadable(
                pixels::Error::NotAnImage
                | pixels::Error::Unsupported(_)
                | pixels::Error::NotAccepted(_),
            )) => Came::of(
                found,
                ImportOutcome::Skipped,
                "it is no image of a format which is taken",
            ),
            Err(Error::Unreadable(error)) => {
                let reason = format!("it is no good image: {error}");
                Came::of(found, ImportOutcome::Failed, &reason)
            }
            Err(error @ (Error::Invalid(_) | Error::TooManyBytes(_) | Error::Worker(_))) => {
                Came::of(found, ImportOutcome::Failed, &error.to_string())
            }
            Err(Error::ImageTaken(_)) => Came::of(
                found,
                ImportOutcome::Skipped,
                "there is an image of this id",
            ),
            Err(error @ (Error::LimitReached(_) | Error::Store(store::Error::NoSpace(_)))) => {
                let words = Some(error.to_string());
                return Err(Stop::Ended(ImportState::QuotaExceeded, words));
            }
            Err(error) => return Err(Stop::Trouble(error)),
        };
        Ok(came.fetched(true))
    }

    async fn store_object(
        &self,
        account: &AccountId,
        id: &ImageId,
        bytes: Bytes,
        name: &str,
        replace: bool,
    ) -> Result<Image, Error> {
        if !replace {
            self.check_quota(account).await?;
        }
        let kept = self.keep(bytes, name.rsplit('/').next()).await?;
        let blob = kept.source.blob.clone();
        let image = Image {
            id: id.clone(),
            filename: kept.filename,
            metadata: None,
            creator: None,
            uploaded: Timestamp::now(),
            require_signed_urls: false,
            source: Some(kept.source),
            draft_expires: None,
        };
        let images_max = self.settings.limits.images_max;
        let stored = if replace {
            let not_before = Timestamp::now().after(self.settings.release_grace);
            self.catalog
                .replace_image(account, image, images_max, not_before)
                .await
        } else {
            self.catalog.insert_image(account, image, images_max).await
        };
        match stored {
            Ok(image) => Ok(image),
            Err(error) => Err(self.discard(&blob, error, id).await),
        }
    }

    fn reader<'a>(&'a self, bucket: &'a ImportBucket) -> Reader<'a> {
        Reader {
            fetcher: &self.fetcher,
            bucket,
            time: self.settings.source_timeout,
        }
    }

    /// What ids may begin with.
    fn prefix(&self, prefix: String) -> Result<String, Error> {
        if !prefix.is_empty() {
            // With any name behind it, it must be an id.
            ImageId::custom(
                &format!("{prefix}x"),
                self.settings.limits.image_id_chars_max,
            )?;
        }
        Ok(prefix)
    }
}

impl Listed {
    /// As it is known when it has become this image.
    fn as_image(&self, id: &ImageId, blob: &BlobKey) -> ImportedObject {
        ImportedObject {
            image: id.clone(),
            blob: blob.clone(),
            etag: self.etag.clone(),
            bytes: self.bytes,
            modified: self.modified,
        }
    }
}

impl Came {
    fn of(found: &Listed, outcome: ImportOutcome, reason: &str) -> Self {
        Self {
            entry: Some(ImportEntry {
                key: found.key.clone(),
                outcome,
                reason: Some(reason.to_owned()),
            }),
            outcome,
            object: None,
            was_fetched: None,
        }
    }

    fn imported(found: &Listed, object: ImportedObject) -> Self {
        Self {
            entry: Some(ImportEntry {
                key: found.key.clone(),
                outcome: ImportOutcome::Imported,
                reason: None,
            }),
            outcome: ImportOutcome::Imported,
            object: Some(object),
            was_fetched: None,
        }
    }

    /// As it was when it was imported: not worth a line.
    fn unchanged() -> Self {
        Self {
            entry: None,
            outcome: ImportOutcome::Skipped,
            object: None,
            was_fetched: None,
        }
    }

    /// The image has these bytes: by whoever began with the job, or as it happens.
    fn same(found: &Listed, object: ImportedObject, is_ours: bool) -> Self {
        if is_ours {
            Self::imported(found, object)
        } else {
            Self {
                object: Some(object),
                ..Self::unchanged()
            }
        }
    }

    fn fetched(self, was_fetched: bool) -> Self {
        Self {
            was_fetched: Some(was_fetched),
            ..self
        }
    }
}

/// Of the name of a holder, what is the same for all of one process.
const PROCESS_BYTES: usize = 8;

const NO_SOURCE: Error = Error::NotFound("import source");
const NO_JOB: Error = Error::NotFound("import");

fn source_name(name: &str) -> Result<String, Error> {
    let max = ImportSource::NAME_CHARS_MAX;
    if name.trim().is_empty() || name.chars().count() > max || name.contains('\0') {
        let sentence = format!("name must have 1 to {max} characters");
        return Err(Error::Invalid(sentence));
    }
    Ok(name.to_owned())
}

fn checked(bucket: ImportBucket) -> Result<ImportBucket, Error> {
    let invalid = |sentence: &str| Err(Error::Invalid(sentence.to_owned()));
    let is_named = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (1..=255).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !is_named(&bucket.name) || bucket.name.starts_with('.') {
        return invalid("bucket must be 1 to 255 of A-Z a-z 0-9 . _ -");
    }
    if !is_named(&bucket.region) {
        return invalid("region must be 1 to 255 of A-Z a-z 0-9 . _ -");
    }
    let is_printable = |text: &str| {
        (1..=1_024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_printable(&bucket.access_key_id) || bucket.access_key_id.contains(['/', ',']) {
        return invalid("access_key_id must be 1 to 1,024 printable characters of ASCII");
    }
    if !is_printable(&bucket.secret_access_key) {
        return invalid("secret_access_key must be 1 to 1,024 printable characters of ASCII");
    }
    if let Some(endpoint) = &bucket.endpoint {
        let is_origin = endpoint.len() <= 2_048
            && reqwest::Url::parse(endpoint).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
            });
        if !is_origin {
            return invalid("endpoint must be an http or https URL of a host alone");
        }
    }
    Ok(bucket)
}

/// Empty, or a folder with a slash at its end and none at its beginning.
fn root(path: &str) -> Result<String, Error> {
    let path = path.trim_matches('/');
    if path.len() > ROOT_BYTES_MAX || path.contains('\0') {
        let sentence = format!("root_path may have {ROOT_BYTES_MAX} bytes at most");
        return Err(Error::Invalid(sentence));
    }
    Ok(match path {
        "" => String::new(),
        path => format!("{path}/"),
    })
}

//! How an import is carried out: its objects step by step, each step noted before the next one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use model::{
    BlobKey, Image, ImageId, ImportEntry, ImportJob, ImportOutcome, ImportState, ImportedObject,
    Timestamp,
};
use ring::digest;
use store::catalog::{ClaimedImport, ImportStep};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::bucket::{Failure, Listed, Objects, Reader};
use crate::{Error, FetchError, Service};

/// Objects of one list, and how many of them are fetched at a time.
const LIST: usize = 100;
const AT_ONCE: usize = 4;
/// After which time a step begins with no more objects and is noted.
const STEP_TIME: Duration = Duration::from_secs(2);
/// How long a job is a server's without a sign of it, and how often it gives one.
const CLAIM: Duration = Duration::from_secs(15);
const SIGN: Duration = Duration::from_secs(3);
/// Objects in a row which the store did not give, after which a bucket is not asked for more; where they take
/// their time, fewer of them in this time.
const FAILURES_MAX: u32 = 100;
const SLOW_FAILURES_MAX: u32 = 8;
const FAILURES_TIME: Duration = Duration::from_mins(5);
/// Claims without getting on, after which a job is given up: for an hour, if nobody else has a turn.
const CLAIMS_MAX: u32 = 240;
/// Of these, how many may end at a bucket which is out of reach: some minutes.
const CLAIMS_OUT_OF_REACH_MAX: u32 = 12;
/// Objects and time after which other jobs have their turn.
const TURN: u64 = 2_000;
const TURN_TIME: Duration = Duration::from_mins(1);
/// Of the name of a holder, what is the same for all of one process.
const PROCESS_BYTES: usize = 8;

/// What came of one object.
struct Came {
    entry: Option<ImportEntry>,
    outcome: ImportOutcome,
    object: Option<ImportedObject>,
    /// Whether the store gave its bytes; `None` if they were not asked for, or the fault is the object's.
    was_given: Option<bool>,
}

/// Why a job does not go on.
enum Stop {
    /// It has ended in this state, for this reason.
    Ended(ImportState, Option<String>),
    /// It is somebody else's by now, or was aborted.
    Lost,
    /// Others have their turn.
    Turn,
    /// Its bucket cannot be listed at present. It is tried again when the claim has lapsed.
    OutOfReach(FetchError),
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

/// One turn of a job.
struct Turn<'a> {
    claimed: &'a ClaimedImport,
    reader: Reader<'a>,
    /// Whether the job is not ours any more.
    over: watch::Receiver<bool>,
    /// Whether there is no place for new images.
    is_full: AtomicBool,
    /// Whether all that was done is noted, by whoever had the job before as well.
    is_noted: AtomicBool,
}

/// Objects in a row which the store did not give.
#[derive(Default)]
struct Failures {
    count: u32,
    since: Option<Instant>,
}

impl Failures {
    fn add(&mut self, was_given: bool) {
        if was_given {
            *self = Self::default();
        } else {
            self.count += 1;
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn are_too_many(&self) -> bool {
        let time = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.count >= FAILURES_MAX || (self.count >= SLOW_FAILURES_MAX && time >= FAILURES_TIME)
    }
}

impl Turn<'_> {
    /// Why the job will not have done all.
    fn error(&self) -> Option<String> {
        let is_full = self.is_full.load(Relaxed);
        is_full.then(|| Error::LimitReached("images").to_string())
    }

    /// What is asked of the bucket, as long as the job is ours.
    async fn unless_over<T>(&self, asked: impl Future<Output = T>) -> Result<T, Stop> {
        let mut over = self.over.clone();
        tokio::select! {
            biased;
            // Without its sender nobody says so.
            Ok(_) = over.wait_for(|over| *over) => Err(Stop::Lost),
            done = asked => Ok(done),
        }
    }
}

impl Service {
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
            Err(Stop::OutOfReach(error)) => {
                tracing::info!(import = %claimed.job.id, %error, "a bucket is out of reach");
                return Ok(true);
            }
            Err(Stop::Turn) => {
                // If it is not yet.
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

    /// Takes the steps of one turn, and gives signs of life beside them.
    async fn go_through(&self, claimed: &ClaimedImport) -> Result<(), Stop> {
        let (is_over, over) = watch::channel(false);
        let turn = Turn {
            claimed,
            reader: self.reader(&claimed.source.bucket),
            over,
            // By an earlier turn.
            is_full: AtomicBool::new(claimed.job.error.is_some()),
            is_noted: AtomicBool::new(!claimed.is_taken_over),
        };
        let done = tokio::select! {
            done = self.take_steps(&turn) => done,
            never = self.give_signs(claimed, &is_over) => match never {},
        };
        let pause = match &done {
            Err(Stop::Turn) => Duration::ZERO,
            Err(Stop::OutOfReach(_)) => CLAIM,
            _ => return done,
        };
        if turn.is_noted.load(Relaxed) {
            self.catalog.yield_import_job(claimed, pause).await?;
        }
        done
    }

    /// Says when the job is not ours any more, and does not return.
    async fn give_signs(
        &self,
        claimed: &ClaimedImport,
        is_over: &watch::Sender<bool>,
    ) -> Infallible {
        let mut signs = interval(SIGN);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        signs.tick().await;
        while !*is_over.borrow() {
            signs.tick().await;
            let nothing = ImportStep::default();
            match self
                .catalog
                .advance_import_job(claimed, nothing, CLAIM)
                .await
            {
                Ok(goes_on) => drop(is_over.send_replace(!goes_on)),
                // The claim lapses some signs later, and whether it did is asked with every step.
                Err(error) => tracing::debug!(%error, "an import gives no sign of life"),
            }
        }
        std::future::pending().await
    }

    async fn take_steps(&self, turn: &Turn<'_>) -> Result<(), Stop> {
        let claimed = turn.claimed;
        let began = Instant::now();
        let (mut after, mut looked_at) = (claimed.after.clone(), 0);
        let mut failures = Failures::default();
        let mut objects = Objects::default();
        let mut is_first = true;
        loop {
            if objects.listed.is_empty() {
                if !is_first && !objects.are_more {
                    break;
                }
                let is_patient = !is_first || claimed.claims <= CLAIMS_OUT_OF_REACH_MAX;
                objects = self.list(turn, &after, is_patient).await?;
                is_first = false;
            }
            let (mut step, stop) = self.step(turn, &objects.listed, &mut failures).await?;
            step.error = turn.error();
            let looked = step.counts.found;
            if let Some(last) = &step.after {
                after.clone_from(last);
            }
            if !self
                .catalog
                .advance_import_job(claimed, step, CLAIM)
                .await?
            {
                return Err(Stop::Lost);
            }
            if let Some(stop) = stop {
                return Err(stop);
            }
            let looked_now = usize::try_from(looked).unwrap_or(usize::MAX);
            objects.listed.drain(..looked_now.min(objects.listed.len()));
            looked_at += looked;
            if looked_at >= LIST as u64 {
                turn.is_noted.store(true, Relaxed);
            }
            // Failures in a row are counted to their end.
            let is_long = began.elapsed() >= TURN_TIME && failures.count == 0;
            let has_had_turn = looked_at >= TURN || is_long;
            if has_had_turn && (objects.are_more || !objects.listed.is_empty()) {
                return Err(Stop::Turn);
            }
        }
        match turn.error() {
            Some(words) => Err(Stop::Ended(ImportState::QuotaExceeded, Some(words))),
            None => Ok(()),
        }
    }

    /// The next objects. While `is_patient`, a bucket which is out of reach may be asked later.
    async fn list(&self, turn: &Turn<'_>, after: &str, is_patient: bool) -> Result<Objects, Stop> {
        let listing = turn.reader.list(&turn.claimed.job.root, after, LIST);
        let listed = turn.unless_over(listing).await?;
        listed.map_err(|error| match error {
            Failure::Fetch(FetchError::Busy) => Stop::Trouble(Error::Busy),
            Failure::Fetch(error) if is_patient && error.is_passing() => Stop::OutOfReach(error),
            error => {
                let words = format!("the bucket cannot be read: {error}");
                Stop::Ended(ImportState::Failed, Some(words))
            }
        })
    }

    /// Imports some objects, the first of these, and says why to stop after them. `failures` counts those in
    /// a row which the store did not give.
    async fn step(
        &self,
        turn: &Turn<'_>,
        listed: &[Listed],
        failures: &mut Failures,
    ) -> Result<(ImportStep, Option<Stop>), Stop> {
        let ids: Vec<_> = listed
            .iter()
            .map(|found| self.id_of(&turn.claimed.job, found))
            .collect();
        let images = ids.iter().filter_map(|id| id.as_ref().ok().cloned());
        let known = self
            .catalog
            .imported_objects(turn.claimed, images.collect());
        let known = known.await?;
        let known: HashMap<&ImageId, &ImportedObject> =
            known.iter().map(|object| (&object.image, object)).collect();
        let comings: Vec<_> = listed
            .iter()
            .zip(&ids)
            .map(|(found, id)| {
                let known = id.as_ref().ok().and_then(|id| known.get(id).copied());
                self.import_object(turn, found, id, known)
            })
            .collect();
        // They begin in their order, so that what was looked at is all up to one key.
        let (has_ended, until) = (AtomicBool::new(false), Instant::now() + STEP_TIME);
        let mut comings = comings.into_iter();
        let begun = std::iter::from_fn(|| {
            let goes_on = !has_ended.load(Relaxed) && Instant::now() < until;
            goes_on.then(|| comings.next()).flatten()
        });
        let mut comings = stream::iter(begun).buffered(AT_ONCE);
        let (mut step, mut stop) = (ImportStep::default(), None);
        let mut objects = listed.iter();
        while let Some(came) = comings.next().await {
            let object = objects.next();
            let came = match came {
                Ok(came) => came,
                Err(why) => {
                    has_ended.store(true, Relaxed);
                    stop.get_or_insert(why);
                    continue;
                }
            };
            // What was under way beside it counts as well, unless it is looked at again.
            if matches!(stop, Some(Stop::Trouble(_))) {
                continue;
            }
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
            let Some(was_given) = came.was_given else {
                continue;
            };
            failures.add(was_given);
            if failures.are_too_many() {
                has_ended.store(true, Relaxed);
                let words = "too many objects in a row could not be fetched".to_owned();
                stop.get_or_insert(Stop::Ended(ImportState::Failed, Some(words)));
            }
        }
        Ok((step, stop))
    }

    /// The id of the image which an object becomes.
    fn id_of(&self, job: &ImportJob, found: &Listed) -> Result<ImageId, Error> {
        let name = found.key.strip_prefix(job.root.as_str());
        let name = name.unwrap_or(&found.key);
        self.settle_id(Some(&format!("{}{name}", job.prefix)), false)
    }

    async fn import_object(
        &self,
        turn: &Turn<'_>,
        found: &Listed,
        id: &Result<ImageId, Error>,
        known: Option<&ImportedObject>,
    ) -> Result<Came, Stop> {
        let claimed = turn.claimed;
        let skipped = |reason: &str| Ok(Came::of(found, ImportOutcome::Skipped, reason));
        let failed = |reason: &str| Ok(Came::of(found, ImportOutcome::Failed, reason));
        if found.key.ends_with('/') || found.bytes == 0 {
            return skipped("it is empty");
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
        } else if let Some(words) = turn.error() {
            return failed(&words);
        }
        let admission = self.admit(found.bytes).await?;
        let asked = turn.reader.object(&found.key, found.bytes);
        let bytes = match turn.unless_over(asked).await? {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return failed("no address names its key"),
            Err(FetchError::Busy) => return Err(Stop::Trouble(Error::Busy)),
            Err(FetchError::Status(403)) if found.may_be_archived => {
                return skipped("it is archived, or the key may not read it");
            }
            Err(error) => {
                let came = Came::of(found, ImportOutcome::Failed, &error.to_string());
                let is_of_the_store =
                    error.is_passing() || matches!(error, FetchError::Status(401 | 403));
                return Ok(if is_of_the_store {
                    came.given(false)
                } else {
                    came
                });
            }
        };
        if let Some((source, _)) = &there {
            let digest = digest::digest(&digest::SHA256, &bytes);
            if digest.as_ref() == source.sha256.as_slice() {
                // It need not be done again.
                let object = found.as_image(id, &source.blob);
                return Ok(Came::same(found, object, may_be_ours).given(true));
            }
            if !claimed.job.overwrite {
                return skipped("there is an image of this id");
            }
        }
        let replaced = there.map(|(source, _)| source.blob);
        let stored = self.store_object(claimed, id, bytes, &found.key, replaced);
        let stored = stored.await;
        drop(admission);
        let outcome = match stored {
            Ok(blob) => return Ok(Came::imported(found, found.as_image(id, &blob)).given(true)),
            // The job is not ours any more.
            Err(Error::ImageNotFound(_)) => return Err(Stop::Lost),
            Err(Error::Unreadable(
                pixels::Error::NotAnImage
                | pixels::Error::Unsupported(_)
                | pixels::Error::NotAccepted(_),
            )) => skipped("it is no image of a format which is taken"),
            Err(Error::Unreadable(error)) => failed(&format!("it is no good image: {error}")),
            Err(error @ (Error::Invalid(_) | Error::TooManyBytes(_) | Error::Worker(_))) => {
                failed(&error.to_string())
            }
            Err(Error::ImageTaken(_)) => skipped("there is an image of this id"),
            Err(Error::Store(store::Error::Changed)) => {
                skipped("its image was changed at the same time")
            }
            // Those which are there may still be replaced.
            Err(error @ Error::LimitReached(_)) if claimed.job.overwrite => {
                turn.is_full.store(true, Relaxed);
                failed(&error.to_string())
            }
            Err(error @ (Error::LimitReached(_) | Error::Store(store::Error::NoSpace(_)))) => {
                let words = Some(error.to_string());
                return Err(Stop::Ended(ImportState::QuotaExceeded, words));
            }
            Err(error) => return Err(Stop::Trouble(error)),
        };
        outcome.map(|came| came.given(true))
    }

    /// Stores an image while the job is ours, in the place of the one with this blob. Its own blob.
    async fn store_object(
        &self,
        claimed: &ClaimedImport,
        id: &ImageId,
        bytes: Bytes,
        name: &str,
        replaced: Option<BlobKey>,
    ) -> Result<BlobKey, Error> {
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
        let not_before = Timestamp::now().after(self.settings.release_grace);
        let stored = self
            .catalog
            .insert_imported_image(claimed, image, replaced, images_max, not_before);
        match stored.await {
            Ok(_) => Ok(blob),
            Err(error) => Err(self.discard(&blob, error, id).await),
        }
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
            was_given: None,
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
            was_given: None,
        }
    }

    /// As it was when it was imported: not worth a line.
    fn unchanged() -> Self {
        Self {
            entry: None,
            outcome: ImportOutcome::Skipped,
            object: None,
            was_given: None,
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

    fn given(self, was_given: bool) -> Self {
        Self {
            was_given: Some(was_given),
            ..self
        }
    }
}

//! How an import is carried out: its objects step by step, each step noted before the next one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use model::{ImageId, ImportOutcome, ImportState, ImportedObject};
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

/// Why a job does not go on.
pub(super) enum Stop {
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
pub(super) struct Turn<'a> {
    pub(super) claimed: &'a ClaimedImport,
    pub(super) reader: Reader<'a>,
    /// Whether the job is not ours any more.
    over: watch::Receiver<bool>,
    /// Whether there is no place for new images.
    pub(super) is_full: AtomicBool,
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
    pub(super) fn error(&self) -> Option<String> {
        let is_full = self.is_full.load(Relaxed);
        is_full.then(|| Error::LimitReached("images").to_string())
    }

    /// What is asked of the bucket, as long as the job is ours.
    pub(super) async fn unless_over<T>(&self, asked: impl Future<Output = T>) -> Result<T, Stop> {
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
        let now = self.catalog.now();
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
                // Without effect where it was given back as one of which all is noted.
                self.catalog.release_import_jobs(&claimed.holder).await?;
                return Ok(true);
            }
            Err(Stop::Trouble(error)) => return Err(error),
        };
        let now = self.catalog.now();
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
}

//! The one thread which writes. It takes the jobs which are waiting, runs them in one transaction,
//! each in a savepoint of its own, and answers all of them after the commit: one sync of the disk
//! serves many callers.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use model::Timestamp;
use rusqlite::{Connection, ffi};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Closed, statements};
use crate::Error;
use crate::catalog::recent::{Recent, Touched};

statements! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVEPOINT = "SAVEPOINT job";
    RELEASE = "RELEASE job";
    ROLLBACK_TO = "ROLLBACK TO job";
    DATA_VERSION = "PRAGMA data_version";
    LAST_UPLOADED = "SELECT coalesce(max(last_uploaded), 0) FROM accounts";
}

/// Jobs of one transaction.
const GROUP_MAX: usize = 256;

/// Jobs which wait or run; further callers wait before they queue.
const QUEUE_MAX: usize = 1024;

/// How late a write of another process may be noticed.
const FOREIGN_NOTICED: Duration = Duration::from_millis(500);

/// After so much silence the log is folded into the database and caches are given back.
const IDLE: Duration = Duration::from_secs(5);

/// Hands jobs to the thread which writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Sender<Message>,
    places: Arc<Semaphore>,
}

/// What a job works with.
pub(super) struct Writing<'a> {
    /// The connection, inside a transaction.
    pub(super) connection: &'a Connection,
    last_uploaded: &'a Cell<i64>,
}

enum Message {
    Job(Box<dyn Job>, OwnedSemaphorePermit),
    Close(oneshot::Sender<Result<(), Error>>),
}

/// What becomes of a job's savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Keep,
    Undo,
    NoSpace,
}

trait Job: Send {
    /// What it may change.
    fn touched(&self) -> Touched;

    /// Runs inside the savepoint.
    fn run(&mut self, writing: &Writing<'_>) -> Outcome;

    /// Tells the caller, if it is still there, after the commit or its failure.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Task<T, F> {
    touched: Touched,
    work: Option<F>,
    result: Option<Result<T, Error>>,
    caller: oneshot::Sender<Result<T, Error>>,
}

impl Writer {
    /// Starts the thread. It ends with `close`, or when the writer is dropped.
    pub(super) fn start(connection: Connection, recent: Arc<Recent>) -> Result<Self, Error> {
        let last_uploaded = connection.query_row(LAST_UPLOADED, [], |row| row.get(0))?;
        let (queue, messages) = channel();
        thread::Builder::new()
            .name("catalog".to_owned())
            .spawn(move || {
                write(&connection, &recent, &messages, last_uploaded);
            })
            .map_err(|error| Error::Database(error.into()))?;
        Ok(Self {
            queue,
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
        })
    }

    /// Runs a job and returns when its effect is durable. Once queued it runs even if the caller
    /// goes away. `touched` says what it may change.
    pub(super) async fn run<T, F>(&self, touched: Touched, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Writing<'_>) -> Result<T, Error> + Send + 'static,
    {
        let closed = || Error::Database(Closed.into());
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| closed())?;
        let (caller, answer) = oneshot::channel();
        let task = Task {
            touched,
            work: Some(work),
            result: None,
            caller,
        };
        let message = Message::Job(Box::new(task), place);
        self.queue.send(message).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Lets the queued jobs finish, folds the log into the database and ends the thread.
    pub(super) async fn close(&self) -> Result<(), Error> {
        let (caller, answer) = oneshot::channel();
        if self.queue.send(Message::Close(caller)).is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

impl Writing<'_> {
    /// `wanted`, or the next moment in which no image was uploaded yet.
    pub(super) fn unique_moment(&self, wanted: Timestamp) -> Timestamp {
        let micros = wanted.micros().max(self.last_uploaded.get() + 1);
        self.last_uploaded.set(micros);
        Timestamp::from_micros(micros)
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Writing<'_>) -> Result<T, Error> + Send,
{
    fn touched(&self) -> Touched {
        self.touched
    }

    fn run(&mut self, writing: &Writing<'_>) -> Outcome {
        let Some(work) = self.work.take() else {
            return Outcome::Undo;
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(writing)))
            .unwrap_or_else(|panic| Err(Error::Database(panic_text(&*panic).into())));
        let outcome = match &result {
            Ok(_) => Outcome::Keep,
            Err(Error::NoSpace(_)) => Outcome::NoSpace,
            Err(_) => Outcome::Undo,
        };
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::Database(Closed.into())),
            (Err(error), _) => Err(error),
        };
        // A caller which has gone does not want to know.
        let _ = self.caller.send(result);
    }
}

fn write(
    connection: &Connection,
    recent: &Recent,
    messages: &Receiver<Message>,
    last_uploaded: i64,
) {
    let last_uploaded = Cell::new(last_uploaded);
    let writing = Writing {
        connection,
        last_uploaded: &last_uploaded,
    };
    let mut foreign = ForeignWrites::default();
    let mut last_job = Instant::now();
    let mut resting = false;
    loop {
        let first = messages.recv_timeout(FOREIGN_NOTICED);
        foreign.notice(connection, recent);
        let mut closing = None;
        let mut group = Vec::new();
        match first {
            Ok(Message::Job(job, place)) => group.push((job, place)),
            Ok(Message::Close(caller)) => closing = Some(caller),
            Err(RecvTimeoutError::Timeout) => {
                if !resting && last_job.elapsed() >= IDLE {
                    resting = true;
                    rest(connection);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        last_job = Instant::now();
        resting = false;
        while closing.is_none() && group.len() < GROUP_MAX {
            match messages.try_recv() {
                Ok(Message::Job(job, place)) => group.push((job, place)),
                Ok(Message::Close(caller)) => closing = Some(caller),
                Err(_) => break,
            }
        }
        let mut jobs = group.into_iter();
        while jobs.len() > 0 {
            run_group(&writing, recent, &mut jobs);
        }
        if let Some(caller) = closing {
            let _ = caller.send(close(connection));
            return;
        }
    }
}

/// Notices what other processes write.
#[derive(Default)]
struct ForeignWrites {
    version: Option<i64>,
}

impl ForeignWrites {
    /// The pragma `data_version` changes with the commits of every connection but the one which asks.
    fn notice(&mut self, connection: &Connection, recent: &Recent) {
        let version = connection
            .prepare_cached(DATA_VERSION)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
        // Once, and not again with each look until it works again.
        if let (Err(error), Some(_)) = (&version, self.version) {
            tracing::warn!(%error, "writes of other processes cannot be noticed");
        }
        let version = version.ok();
        if version.is_none() || version != self.version {
            recent.forget(Touched::Everything);
        }
        self.version = version;
    }
}

/// Runs jobs in one transaction until there are no more, or until the database ends the
/// transaction by itself, as it may when the disk is full.
fn run_group(
    writing: &Writing<'_>,
    recent: &Recent,
    jobs: &mut impl ExactSizeIterator<Item = (Box<dyn Job>, OwnedSemaphorePermit)>,
) {
    let connection = writing.connection;
    let mut done = Vec::with_capacity(jobs.len());
    let committed = match execute(connection, BEGIN) {
        Ok(()) => run_all(writing, jobs, &mut done).and_then(|()| execute(connection, COMMIT)),
        Err(error) => {
            // The next group would only wait for the same lock again.
            done.extend(jobs);
            Err(error)
        }
    };
    if committed.is_err()
        && !connection.is_autocommit()
        && let Err(error) = execute(connection, ROLLBACK)
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
    for (job, _) in &done {
        recent.forget(job.touched());
    }
    let committed = committed.map_err(Arc::new);
    for (job, _place) in done {
        job.answer(committed.clone().map_err(super::shared_error));
    }
}

fn run_all<P>(
    writing: &Writing<'_>,
    jobs: &mut impl Iterator<Item = (Box<dyn Job>, P)>,
    done: &mut Vec<(Box<dyn Job>, P)>,
) -> rusqlite::Result<()> {
    for (mut job, place) in jobs {
        let outcome = run_in_savepoint(writing, job.as_mut());
        done.push((job, place));
        outcome?;
    }
    Ok(())
}

/// The error is of the transaction as a whole; that of the job is its own affair.
fn run_in_savepoint(writing: &Writing<'_>, job: &mut dyn Job) -> rusqlite::Result<()> {
    let connection = writing.connection;
    execute(connection, SAVEPOINT)?;
    let outcome = job.run(writing);
    if connection.is_autocommit() {
        let code = match outcome {
            Outcome::NoSpace => ffi::SQLITE_FULL,
            Outcome::Keep | Outcome::Undo => ffi::SQLITE_ABORT_ROLLBACK,
        };
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    }
    if outcome != Outcome::Keep {
        execute(connection, ROLLBACK_TO)?;
    }
    execute(connection, RELEASE)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Folds the log into the database while nobody waits, and gives back memory.
fn rest(connection: &Connection) {
    let done = connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .and_then(|()| connection.execute_batch("PRAGMA shrink_memory"));
    if let Err(error) = done {
        tracing::warn!(%error, "the catalog's log could not be folded into the database");
    }
}

fn close(connection: &Connection) -> Result<(), Error> {
    connection.execute_batch("PRAGMA analysis_limit = 400; PRAGMA optimize;")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a job panicked: {}", text.unwrap_or_default())
}

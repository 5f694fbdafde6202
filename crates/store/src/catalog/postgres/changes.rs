//! What other nodes write, noticed within a second.
//!
//! A transaction which changes what nodes may remember says so in a row of `changes`. Every node
//! looks for new rows several times a second and forgets what they name. What it remembers counts
//! for `TRUSTED` after the start of a look which succeeded, so that nothing depends on a message
//! being delivered: a node which cannot look reads everything afresh.
//!
//! Rows become visible in another order than they are numbered, so a look asks for those which its
//! predecessor's snapshot did not show. A notification (LISTEN, NOTIFY) lets the others look at once.
//! It is sent after the commit and for many of them together, since transactions which notify commit
//! one after the other; where it is lost, as in a pooler of connections, the next look is in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{AccountId, ImageId};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use super::clock::Clock;
use super::pool::{Connection, Pool};
use super::statements;
use crate::Error;
use crate::catalog::recent::{Recent, Touched};

statements! {
    NOTE = "INSERT INTO changes (account, image) VALUES ($1, $2)";
    START = "SELECT pg_current_snapshot()::text";
    LOOK =
        "SELECT pg_current_snapshot()::text, change.account, change.image, change.xid IS NOT NULL,
             (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
         FROM (SELECT 1) AS look LEFT JOIN changes AS change
             ON change.xid >= pg_snapshot_xmin($1::text::pg_snapshot)
             AND NOT pg_visible_in_snapshot(change.xid, $1::text::pg_snapshot)";
    CLEAN = "DELETE FROM changes WHERE noted < clock_timestamp() - interval '5 minutes'";
}

/// Between those who look. Not among the statements which must be there: other servers refuse them.
const LISTEN: &str = "LISTEN calotype_changes";
const NOTIFY: &str = "NOTIFY calotype_changes";

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// The least time between two looks where others notify, and between two notifications.
const REST: Duration = Duration::from_millis(10);

/// How long what is remembered counts after a look began.
const TRUSTED: Duration = Duration::from_millis(800);

/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// After so long without a look its rows may have been cleaned away.
const GAP_MAX: Duration = Duration::from_mins(1);

/// Time between two removals of old rows.
const CLEAN_EVERY: Duration = Duration::from_mins(1);

/// What a write may have changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Nothing that a node remembers. An image which was not there is not remembered.
    Nothing,
    /// The account, its variants or its signing keys.
    Settings(AccountId),
    /// One image or draft.
    Image(AccountId, ImageId),
    /// Anything.
    Everything,
}

impl Change {
    /// What this node has to forget.
    pub(super) fn touched(&self, recent: &Recent) -> Touched {
        match self {
            Self::Nothing => Touched::Nothing,
            Self::Settings(_) => Touched::Settings,
            Self::Image(account, id) => recent.image_touched(account, id),
            Self::Everything => Touched::Everything,
        }
    }

    /// Tells the other nodes, with the commit of this transaction.
    pub(super) async fn note(&self, connection: &Connection) -> Result<(), Error> {
        let (account, image) = match self {
            Self::Nothing => return Ok(()),
            Self::Settings(account) => (Some(account.as_str()), None),
            Self::Image(account, id) => (Some(account.as_str()), Some(id.as_str())),
            Self::Everything => (None, None),
        };
        connection.execute(NOTE, &[&account, &image]).await?;
        Ok(())
    }
}

/// What a look brings up to date.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) recent: Arc<Recent>,
    pub(super) clock: Arc<Clock>,
    /// This node has written something which others may remember.
    pub(super) written: Arc<Notify>,
}

/// Looks for the changes of other nodes, and tells them of those of this one, until it is aborted.
pub(super) async fn watch(pool: Pool, watched: Watched) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watcher: Option<Watcher> = None;
    let mut failing = false;
    let mut began = Instant::now();
    let mut told = began;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = pool.notified() => sleep_until((began + REST).into()).await,
            () = watched.written.notified() => {
                sleep_until((told + REST).into()).await;
                told = Instant::now();
                if let Some(watcher) = &mut watcher {
                    watcher.notify().await;
                }
                continue;
            }
        }
        began = Instant::now();
        let looked = timeout(LOOK_MAX, look(&mut watcher, &pool, &watched)).await;
        match looked.unwrap_or(Err(Error::Timeout)) {
            Ok(()) => {
                watched.recent.trust(began, TRUSTED);
                failing = false;
            }
            Err(error) => {
                watcher = None;
                // Once, and not again with each look until it works again.
                if !failing {
                    tracing::warn!(%error, "changes of other nodes cannot be seen: nothing is remembered");
                }
                failing = true;
            }
        }
    }
}

/// Where the looks are, on a connection of their own, so that they never wait for one.
struct Watcher {
    connection: Connection,
    snapshot: String,
    looked: Instant,
    cleaned: Instant,
    /// Not every server which speaks this protocol can.
    notifies: bool,
}

impl Watcher {
    /// What fails here is found by the next look, or costs nothing but time.
    async fn notify(&mut self) {
        if self.notifies {
            let notified = timeout(LOOK_MAX, self.connection.batch(NOTIFY)).await;
            self.notifies = matches!(notified, Ok(Ok(())));
        }
    }
}

async fn look(watcher: &mut Option<Watcher>, pool: &Pool, watched: &Watched) -> Result<(), Error> {
    let Watched { recent, clock, .. } = watched;
    let began = Instant::now();
    let Some(watcher) = watcher else {
        let connection = pool.connect().await?;
        let notifies = connection.batch(LISTEN).await.is_ok();
        // The database behind a new connection may be another one, which took the place of the first.
        let row = connection.query_one(START, &[]).await?;
        recent.forget(Touched::Everything);
        *watcher = Some(Watcher {
            snapshot: row.try_get(0)?,
            connection,
            looked: began,
            cleaned: began,
            notifies,
        });
        return Ok(());
    };
    let asked = Instant::now();
    let rows = watcher.connection.query(LOOK, &[&watcher.snapshot]).await?;
    let answered = Instant::now();
    if began.duration_since(watcher.looked) > GAP_MAX {
        recent.forget(Touched::Everything);
    }
    for row in &rows {
        if row.try_get(3)? {
            recent.forget(touched(recent, row.try_get(1)?, row.try_get(2)?));
        }
    }
    if let Some(row) = rows.first() {
        watcher.snapshot = row.try_get(0)?;
        clock.set(row.try_get(4)?, asked, answered);
    }
    watcher.looked = began;
    if began.duration_since(watcher.cleaned) > CLEAN_EVERY {
        watcher.cleaned = began;
        watcher.connection.execute(CLEAN, &[]).await?;
    }
    Ok(())
}

fn touched(recent: &Recent, account: Option<&str>, image: Option<String>) -> Touched {
    let account = account.map(AccountId::try_from);
    match (account, image) {
        (Some(Ok(_)), None) => Touched::Settings,
        (Some(Ok(account)), Some(image)) => {
            recent.image_touched(&account, &ImageId::from_path(image))
        }
        _ => Touched::Everything,
    }
}

//! Reads, and transactions, which are repeated where that is safe.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join, try_join};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::changes::Change;
use super::pool::{Connection, Lent, Pool};
use super::{Shared, Writing, is_lost, is_same_moment};
use crate::Error;

/// How long a read or a transaction may take from this side. The server gives up a little earlier
/// on each statement, unless it does not answer at all.
const WORK_MAX: Duration = Duration::from_secs(25);

/// How often work is done again: for another transaction's sake, or on another connection.
const REPEATS_MAX: u32 = 8;

/// A read, done again where a connection was lost, or another transaction was in the way.
pub(super) async fn read<T>(
    pool: &Pool,
    work: impl for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<T, Error>>,
) -> Result<T, Error> {
    let mut repeats = 0;
    loop {
        let mut connection = pool.lend().await?;
        // If this is dropped in the middle, the answer which still comes is nobody's.
        let outcome = in_time(work(&connection)).await;
        if matches!(outcome, Err(Error::Timeout | Error::Unavailable(_))) {
            connection.mark_busy();
        }
        match outcome {
            Err(error) if is_passing(&error) && repeats < REPEATS_MAX => repeats += 1,
            outcome => return outcome,
        }
    }
}

/// As `read`, with one state for all statements.
pub(super) async fn read_snapshot<T>(
    pool: &Pool,
    work: impl for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<T, Error>>,
) -> Result<T, Error> {
    let mut repeats = 0;
    loop {
        let mut connection = pool.lend().await?;
        connection.mark_busy();
        let outcome = in_time(async {
            let begin = connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
            let begin = async { Ok(begin.await?) };
            let ((), result) = try_join(begin, work(&connection)).await?;
            Ok(result)
        })
        .await;
        let ended = end(&mut connection, "COMMIT").await;
        match outcome.and_then(|found| ended.map(|()| found)) {
            Err(error) if is_passing(&error) && repeats < REPEATS_MAX => repeats += 1,
            outcome => return outcome,
        }
    }
}

/// A transaction, done again after a conflict with another one, or where a connection was lost
/// before it was to be committed. What came of a commit which was not answered nobody knows.
pub(super) async fn write<T>(
    shared: &Shared,
    change: &Change,
    work: impl for<'a> Fn(&'a Writing<'a>) -> BoxFuture<'a, Result<T, Error>>,
) -> Result<T, Error> {
    let mut repeats = 0;
    loop {
        let mut connection = shared.pool.lend().await?;
        connection.mark_busy();
        let writing = Writing {
            connection: &connection,
            moments: &shared.moments,
            is_repeated: repeats > 0,
        };
        let outcome = in_time(async {
            // The first statement is on its way before the server has answered the beginning.
            let begin = async { Ok(writing.connection.batch("BEGIN").await?) };
            let ((), result) = try_join(begin, work(&writing)).await?;
            change.note(writing.connection).await?;
            Ok(result)
        })
        .await;
        match outcome {
            Ok(result) => return end(&mut connection, "COMMIT").await.map(|()| result),
            Err(error) => {
                let undone = !is_lost(&error) && end(&mut connection, "ROLLBACK").await.is_ok();
                let again = is_lost(&error) || (undone && is_conflict(&error));
                if !again || repeats >= REPEATS_MAX {
                    return Err(error);
                }
                repeats += 1;
            }
        }
    }
}

/// Two statements, or series of them, the second on its way before the first is answered. Where both fail, the
/// first is why.
pub(super) fn both<A, B>(
    first: impl Future<Output = Result<A, Error>>,
    second: impl Future<Output = Result<B, Error>>,
) -> impl Future<Output = Result<(A, B), Error>> {
    join(first, second).map(|(first, second)| Ok((first?, second?)))
}

/// Ends a transaction. The connection goes back only if the server says that it did.
async fn end(connection: &mut Lent, word: &str) -> Result<(), Error> {
    let ended = in_time(async { Ok(connection.batch(word).await?) }).await;
    if ended.is_ok() {
        connection.mark_clean();
    }
    ended
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(WORK_MAX, work).await.unwrap_or(Err(Error::Timeout))
}

/// Whether a reading may succeed if it is done again. Whoever opens or closes the store to writes locks
/// whole tables, and readers may be undone for that.
fn is_passing(error: &Error) -> bool {
    is_lost(error) || is_conflict(error)
}

/// Whether a transaction was undone for the sake of another one.
fn is_conflict(error: &Error) -> bool {
    let Error::Database(cause) = error else {
        return false;
    };
    let Some(cause) = cause.downcast_ref::<tokio_postgres::Error>() else {
        return false;
    };
    let code = cause.code();
    code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
        || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
        || is_same_moment(cause)
}

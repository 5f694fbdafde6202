//! Who does what only one node may do.

use std::time::Duration;

use super::pool::Connection;
use super::statements;
use crate::Error;

statements! {
    TAKE =
        "INSERT INTO leases (job, holder, lapses)
         VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
         ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, lapses = excluded.lapses
         WHERE leases.holder = excluded.holder OR leases.lapses <= clock_timestamp()";
}

/// Takes the lease, or keeps it, by the clock of the database.
pub(super) async fn take(
    connection: &Connection,
    job: &str,
    holder: &[u8],
    time: Duration,
) -> Result<bool, Error> {
    let millis = time.as_secs_f64() * 1_000.0;
    let taken = connection.execute(TAKE, &[&job, &holder, &millis]).await;
    Ok(taken? == 1)
}

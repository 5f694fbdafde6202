//! What one node was told to purge, for the others.

use super::pool::Connection;
use super::statements;
use crate::Error;

statements! {
    // One after the other, so that no number becomes visible after a higher one.
    LOCK = "LOCK TABLE purges IN SHARE ROW EXCLUSIVE MODE";
    ANNOUNCE = "INSERT INTO purges (node, purge) VALUES ($1, $2)";
    CLEAN = "DELETE FROM purges WHERE noted < clock_timestamp() - interval '1 hour'";
    ANNOUNCED =
        "SELECT number, purge FROM purges WHERE number > $1 AND node <> $2
         ORDER BY number LIMIT $3";
}

pub(super) async fn announce(
    connection: &Connection,
    node: &[u8],
    purge: &str,
) -> Result<(), Error> {
    connection.execute(LOCK, &[]).await?;
    connection.execute(ANNOUNCE, &[&node, &purge]).await?;
    connection.execute(CLEAN, &[]).await?;
    Ok(())
}

pub(super) async fn announced(
    connection: &Connection,
    node: &[u8],
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, String)>, Error> {
    let rows = connection
        .query(ANNOUNCED, &[&after, &node, &i64::from(limit)])
        .await?;
    let purge = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(purge).collect()
}

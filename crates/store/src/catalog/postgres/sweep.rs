//! What waits to be removed: blobs without a record.

use model::{BlobKey, Timestamp};

use super::pool::Connection;
use super::{rows, statements, taken_or};
use crate::Error;

statements! {
    RESERVE =
        "INSERT INTO loose_blobs (blob, released, not_before)
         SELECT blob, FALSE, $2 FROM unnest($1::bytea[]) AS new (blob)";
    pub(super) TAKE = "DELETE FROM loose_blobs WHERE blob = $1 AND NOT released";
    pub(super) RELEASE =
        "INSERT INTO loose_blobs (blob, released, not_before) VALUES ($1, TRUE, $2)
         ON CONFLICT (blob) DO UPDATE SET released = TRUE, not_before = excluded.not_before";
    // What a transaction is taking at this moment is left to the next sweep.
    ABANDONED =
        "UPDATE loose_blobs SET released = TRUE WHERE blob IN (
             SELECT blob FROM loose_blobs WHERE not_before <= $1
                 AND NOT EXISTS (SELECT 1 FROM holds WHERE lapses > clock_timestamp())
             ORDER BY not_before LIMIT $2
             FOR UPDATE SKIP LOCKED)
         RETURNING blob";
    FORGET = "DELETE FROM loose_blobs WHERE blob = ANY($1::bytea[])";
    KNOWS =
        "SELECT EXISTS (SELECT 1 FROM images WHERE blob = $1)
             OR EXISTS (SELECT 1 FROM loose_blobs WHERE blob = $1)";
    PING = "SELECT count(*) FROM seal";
}

pub(super) async fn reserve(
    connection: &Connection,
    keys: &[BlobKey],
    not_before: Timestamp,
) -> Result<(), Error> {
    let blobs: Vec<&[u8]> = keys.iter().map(|key| key.bytes().as_slice()).collect();
    let reserved = connection
        .execute(RESERVE, &[&blobs, &not_before.micros()])
        .await;
    reserved.map(drop).map_err(taken_or)
}

/// A record takes the reservation of its blob.
pub(super) async fn take(connection: &Connection, key: &BlobKey) -> Result<(), Error> {
    let taken = connection.execute(TAKE, &[&key.bytes().as_slice()]).await;
    match taken? {
        0 => Err(Error::ReservationLapsed),
        _ => Ok(()),
    }
}

/// The record of a blob is gone.
pub(super) async fn release(
    connection: &Connection,
    key: &BlobKey,
    not_before: Timestamp,
) -> Result<(), Error> {
    let blob = key.bytes().as_slice();
    connection
        .execute(RELEASE, &[&blob, &not_before.micros()])
        .await?;
    Ok(())
}

pub(super) async fn abandoned(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<BlobKey>, Error> {
    let found = connection
        .query(ABANDONED, &[&now.micros(), &i64::from(limit)])
        .await;
    let key = |row: &tokio_postgres::Row| rows::blob_key(row.try_get(0)?);
    found?.iter().map(key).collect()
}

pub(super) async fn forget(connection: &Connection, keys: &[BlobKey]) -> Result<(), Error> {
    let blobs: Vec<&[u8]> = keys.iter().map(|key| key.bytes().as_slice()).collect();
    connection.execute(FORGET, &[&blobs]).await?;
    Ok(())
}

pub(super) async fn knows(connection: &Connection, key: &BlobKey) -> Result<bool, Error> {
    let row = connection
        .query_one(KNOWS, &[&key.bytes().as_slice()])
        .await;
    Ok(row?.try_get(0)?)
}

/// A query which reads a table, so that a broken database is noticed.
pub(super) async fn ping(connection: &Connection) -> Result<(), Error> {
    connection.query_one(PING, &[]).await?;
    Ok(())
}

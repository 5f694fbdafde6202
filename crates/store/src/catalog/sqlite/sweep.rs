//! What waits to be removed: blobs without a record, and drafts which nobody filled.

use model::{BlobKey, Timestamp};
use rusqlite::{Connection, params};

use super::rows::Blob;
use super::writer::Writing;
use super::{notifications, statements, taken_or};
use crate::Error;

statements! {
    RESERVE = "INSERT INTO loose_blobs (blob, released, not_before) VALUES (?1, 0, ?2)";
    TAKE = "DELETE FROM loose_blobs WHERE blob = ?1 AND released = 0";
    RELEASE = "INSERT OR REPLACE INTO loose_blobs (blob, released, not_before) VALUES (?1, 1, ?2)";
    ABANDONED =
        "UPDATE loose_blobs SET released = 1 WHERE blob IN (
             SELECT blob FROM loose_blobs WHERE not_before <= ?1
                 AND NOT EXISTS (SELECT 1 FROM holds WHERE lapses > ?3)
             ORDER BY not_before LIMIT ?2)
         RETURNING blob";
    FORGET = "DELETE FROM loose_blobs WHERE blob = ?1";
    KNOWS =
        "SELECT EXISTS (SELECT 1 FROM images WHERE blob = ?1)
             OR EXISTS (SELECT 1 FROM loose_blobs WHERE blob = ?1)";
    DELETE_EXPIRED_DRAFTS =
        "DELETE FROM images WHERE pk IN (
             SELECT pk FROM images INDEXED BY images_draft
             WHERE blob IS NULL AND draft_expires <= ?1 ORDER BY draft_expires LIMIT ?2)";
    PING = "SELECT count(*) FROM sqlite_schema";
}

pub(super) fn reserve(
    writing: &Writing<'_>,
    keys: &[BlobKey],
    not_before: Timestamp,
) -> Result<(), Error> {
    let mut statement = writing.connection.prepare_cached(RESERVE)?;
    for key in keys {
        let reserved = statement.execute(params![Blob(key.clone()), not_before.micros()]);
        reserved.map_err(taken_or)?;
    }
    Ok(())
}

/// A record takes the reservation of its blob.
pub(super) fn take(connection: &Connection, key: &BlobKey) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(TAKE)?;
    match statement.execute([Blob(key.clone())])? {
        0 => Err(Error::ReservationLapsed),
        _ => Ok(()),
    }
}

/// The record of a blob is gone.
pub(super) fn release(
    connection: &Connection,
    key: &BlobKey,
    not_before: Timestamp,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(RELEASE)?;
    statement.execute(params![Blob(key.clone()), not_before.micros()])?;
    Ok(())
}

pub(super) fn abandoned(
    writing: &Writing<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<BlobKey>, Error> {
    let mut statement = writing.connection.prepare_cached(ABANDONED)?;
    let clock = Timestamp::now().micros();
    let found = statement.query_map([now.micros(), i64::from(limit), clock], |row| {
        row.get(0).map(|Blob(key)| key)
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn forget(writing: &Writing<'_>, keys: &[BlobKey]) -> Result<(), Error> {
    let mut statement = writing.connection.prepare_cached(FORGET)?;
    for key in keys {
        statement.execute([Blob(key.clone())])?;
    }
    Ok(())
}

/// A blob which has a record again.
pub(super) fn untie(connection: &Connection, key: &BlobKey) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(FORGET)?;
    statement.execute([Blob(key.clone())])?;
    Ok(())
}

pub(super) fn knows(connection: &Connection, key: &BlobKey) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached(KNOWS)?;
    Ok(statement.query_row([Blob(key.clone())], |row| row.get(0))?)
}

pub(super) fn delete_expired_drafts(
    writing: &Writing<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<u32, Error> {
    notifications::note_expired(writing.connection, now, limit)?;
    let mut statement = writing.connection.prepare_cached(DELETE_EXPIRED_DRAFTS)?;
    let deleted = statement.execute([now.micros(), i64::from(limit)])?;
    Ok(u32::try_from(deleted).unwrap_or(limit))
}

/// A query which reads the file, so that a broken one is noticed.
pub(super) fn ping(connection: &Connection) -> Result<(), Error> {
    connection
        .prepare_cached(PING)?
        .query_row([], |_| Ok(()))
        .map_err(Into::into)
}

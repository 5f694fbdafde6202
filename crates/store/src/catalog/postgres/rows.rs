//! Between the columns of the database and the nouns of the model.

use model::{
    AccountId, BlobKey, Creator, Filename, Image, ImageId, MediaType, Metadata, Source, Timestamp,
};
use ring::digest;
use tokio_postgres::Row;

use super::pool::Connection;
use super::{Corrupt, statements};
use crate::Error;

/// The columns which `image` reads, in its order.
macro_rules! image_columns {
    () => {
        "id, uploaded, require_signed_urls, draft_expires, blob, bytes, sha256, format, width, \
         height, filename, creator, metadata"
    };
}
pub(super) use image_columns;

statements! {
    ACCOUNT = "SELECT pk FROM accounts WHERE id = $1";
    // Until the end of the transaction the account is not deleted.
    KEEP_ACCOUNT = "SELECT pk FROM accounts WHERE id = $1 FOR KEY SHARE";
    // One after the other, where a limit is compared with what is there.
    LOCK_ACCOUNT = "SELECT pk FROM accounts WHERE id = $1 FOR NO KEY UPDATE";
}

/// Reads the `image_columns` from `at` on.
pub(super) fn image(row: &Row, at: usize) -> Result<Image, Error> {
    let metadata: Option<&str> = row.try_get(at + 12)?;
    let metadata = match metadata {
        Some(text) => Some(Metadata::from_stored(text).ok_or(Corrupt("metadata"))?),
        None => None,
    };
    let draft_expires: Option<i64> = row.try_get(at + 3)?;
    let creator: Option<Vec<u8>> = row.try_get(at + 11)?;
    let creator = creator.map(|bytes| text(bytes, "creator")).transpose()?;
    let filename: Option<String> = row.try_get(at + 10)?;
    Ok(Image {
        id: ImageId::from_path(row.try_get(at)?),
        filename: filename.map(Filename::from_stored),
        metadata,
        creator: creator.and_then(Creator::from_stored),
        uploaded: Timestamp::from_micros(row.try_get(at + 1)?),
        require_signed_urls: row.try_get(at + 2)?,
        source: source(row, at + 4)?,
        draft_expires: draft_expires.map(Timestamp::from_micros),
    })
}

fn source(row: &Row, at: usize) -> Result<Option<Source>, Error> {
    let Some(blob) = row.try_get::<_, Option<&[u8]>>(at)? else {
        return Ok(None);
    };
    let bytes: i64 = row.try_get(at + 1)?;
    let sha256: &[u8] = row.try_get(at + 2)?;
    let format: &str = row.try_get(at + 3)?;
    let side = |at| -> Result<u32, Error> {
        let side: i64 = row.try_get(at)?;
        Ok(u32::try_from(side).map_err(|_| Corrupt("side"))?)
    };
    Ok(Some(Source {
        blob: blob_key(blob)?,
        bytes: u64::try_from(bytes).map_err(|_| Corrupt("size"))?,
        sha256: sha256.try_into().map_err(|_| Corrupt("checksum"))?,
        format: MediaType::parse(format).ok_or(Corrupt("format"))?,
        width: side(at + 4)?,
        height: side(at + 5)?,
    }))
}

pub(super) fn blob_key(bytes: &[u8]) -> Result<BlobKey, Error> {
    let bytes = bytes.try_into().map_err(|_| Corrupt("blob key"))?;
    Ok(BlobKey::from_bytes(bytes))
}

pub(super) fn text(bytes: Vec<u8>, what: &'static str) -> Result<String, Error> {
    Ok(String::from_utf8(bytes).map_err(|_| Corrupt(what))?)
}

/// Where an image is found by its id.
pub(super) fn id_hash(id: &ImageId) -> Vec<u8> {
    sha256(id.as_str())
}

/// Where the images of a creator, or of none, are found.
pub(super) fn creator_hash(creator: Option<&Creator>) -> Vec<u8> {
    sha256(creator.map_or("", Creator::as_str))
}

fn sha256(text: &str) -> Vec<u8> {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().to_vec()
}

/// The primary key of an account.
pub(super) async fn account_pk(
    connection: &Connection,
    id: &AccountId,
) -> Result<Option<i64>, Error> {
    pk(connection, ACCOUNT, id).await
}

/// The primary key of an account which must exist, and does until the transaction ends.
pub(super) async fn keep_account(connection: &Connection, id: &AccountId) -> Result<i64, Error> {
    pk(connection, KEEP_ACCOUNT, id)
        .await?
        .ok_or(Error::NotFound)
}

/// As `keep_account`, and no other transaction holds this lock at the same time.
pub(super) async fn lock_account(connection: &Connection, id: &AccountId) -> Result<i64, Error> {
    pk(connection, LOCK_ACCOUNT, id)
        .await?
        .ok_or(Error::NotFound)
}

async fn pk(
    connection: &Connection,
    sql: &'static str,
    id: &AccountId,
) -> Result<Option<i64>, Error> {
    let found = connection.query_opt(sql, &[&id.as_str()]).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// A count of rows as the model counts.
pub(super) fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

/// A limit as the database counts.
pub(super) fn limit(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Refuses one row more where `count` finds as many as there may be.
pub(super) async fn require_place(
    connection: &Connection,
    count: &'static str,
    account: i64,
    max: usize,
) -> Result<(), Error> {
    let row = connection.query_one(count, &[&account]).await?;
    if self::count(row.try_get(0)?) < max as u64 {
        Ok(())
    } else {
        Err(Error::Full)
    }
}

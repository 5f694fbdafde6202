//! Between the columns of the database and the nouns of the model.

use model::{
    AccountId, BlobKey, Creator, Filename, Image, ImageId, MediaType, Metadata, Source, Timestamp,
};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::Corrupt;
use crate::Error;

/// The columns which `image` reads, in its order.
macro_rules! image_columns {
    () => {
        "id, uploaded, require_signed_urls, draft_expires, blob, bytes, sha256, format, width, \
         height, filename, creator, metadata"
    };
}
pub(super) use image_columns;

/// Reads the `image_columns` from `at` on.
pub(super) fn image(row: &Row<'_>, at: usize) -> Result<Image, Error> {
    let metadata = row.get_ref(at + 12)?;
    let metadata = match metadata.as_str_or_null().map_err(|_| Corrupt("metadata"))? {
        Some(text) => Some(Metadata::from_stored(text).ok_or(Corrupt("metadata"))?),
        None => None,
    };
    let draft_expires: Option<i64> = row.get(at + 3)?;
    let creator: Option<String> = row.get(at + 11)?;
    let filename: Option<String> = row.get(at + 10)?;
    Ok(Image {
        id: ImageId::from_path(row.get(at)?),
        filename: filename.map(Filename::from_stored),
        metadata,
        creator: creator.and_then(Creator::from_stored),
        uploaded: Timestamp::from_micros(row.get(at + 1)?),
        require_signed_urls: row.get(at + 2)?,
        source: source(row, at + 4)?,
        draft_expires: draft_expires.map(Timestamp::from_micros),
    })
}

fn source(row: &Row<'_>, at: usize) -> Result<Option<Source>, Error> {
    let Some(Blob(blob)) = row.get(at)? else {
        return Ok(None);
    };
    let bytes: i64 = row.get(at + 1)?;
    let format = row.get_ref(at + 3)?;
    let format = format.as_str().ok().and_then(MediaType::parse);
    Ok(Some(Source {
        blob,
        bytes: u64::try_from(bytes).map_err(|_| Corrupt("size"))?,
        sha256: row.get(at + 2)?,
        format: format.ok_or(Corrupt("format"))?,
        width: row.get(at + 4)?,
        height: row.get(at + 5)?,
    }))
}

/// The primary key of an account.
pub(super) fn account_pk(connection: &Connection, id: &AccountId) -> Result<Option<i64>, Error> {
    let mut statement = connection.prepare_cached(super::accounts::PK)?;
    Ok(statement
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?)
}

/// The primary key of an account which must exist.
pub(super) fn require_account(connection: &Connection, id: &AccountId) -> Result<i64, Error> {
    account_pk(connection, id)?.ok_or(Error::NotFound)
}

/// A blob key as the database stores it.
#[derive(Clone, Debug)]
pub(super) struct Blob(pub(super) BlobKey);

impl ToSql for Blob {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.bytes())))
    }
}

impl FromSql for Blob {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(BlobKey::from_bytes(bytes)))
    }
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
pub(super) fn require_place(
    connection: &Connection,
    count: &'static str,
    account: i64,
    max: usize,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(count)?;
    let rows: i64 = statement.query_row([account], |row| row.get(0))?;
    if self::count(rows) < max as u64 {
        Ok(())
    } else {
        Err(Error::Full)
    }
}

//! The statements of the index of scalars in metadata.

use model::Image;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};

use super::statements;
use crate::Error;
use crate::catalog::leaves::{Candidate, Keys, Leaf, Range, each};

statements! {
    INSERT =
        "INSERT OR IGNORE INTO leaves (account, path, value, uploaded, image)
         VALUES (?1, ?2, ?3, ?4, ?5)";
    DELETE =
        "DELETE FROM leaves WHERE account = ?1 AND path = ?2 AND value = ?3 AND uploaded = ?4";
    COUNT =
        "SELECT count(*) FROM (SELECT 1 FROM leaves
         WHERE account = ?1 AND path = ?2 AND value >= ?3 AND value <= ?4 LIMIT ?5)";
    EQUAL_ASCENDING =
        "SELECT uploaded, image FROM leaves
         WHERE account = ?1 AND path = ?2 AND value = ?3 AND uploaded > ?4
         ORDER BY uploaded LIMIT ?5";
    EQUAL_DESCENDING =
        "SELECT uploaded, image FROM leaves
         WHERE account = ?1 AND path = ?2 AND value = ?3 AND uploaded < ?4
         ORDER BY uploaded DESC LIMIT ?5";
    BETWEEN =
        "SELECT uploaded, image FROM leaves
         WHERE account = ?1 AND path = ?2 AND value >= ?3 AND value <= ?4";
}

pub(super) fn insert(
    connection: &Connection,
    account: i64,
    pk: i64,
    image: &Image,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(INSERT)?;
    let uploaded = image.uploaded.micros();
    each(image.metadata.as_ref(), &mut |path, value| {
        statement.execute(params![account, path, value, uploaded, pk])?;
        Ok(())
    })
}

pub(super) fn delete(connection: &Connection, account: i64, image: &Image) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(DELETE)?;
    let uploaded = image.uploaded.micros();
    each(image.metadata.as_ref(), &mut |path, value| {
        statement.execute(params![account, path, value, uploaded])?;
        Ok(())
    })
}

/// How many entries there are, counted up to `most`.
pub(super) fn count(
    connection: &Connection,
    account: i64,
    keys: &Keys,
    most: i64,
) -> Result<i64, Error> {
    let mut statement = connection.prepare_cached(COUNT)?;
    let mut total = 0;
    let mut add = |low: &Leaf, high: &Leaf| -> Result<(), Error> {
        let key = params![account, keys.path, low, high, most - total];
        total += statement.query_row(key, |row| row.get::<_, i64>(0))?;
        Ok(())
    };
    match &keys.range {
        Range::At(values) => {
            for value in values {
                add(value, value)?;
            }
        }
        Range::Between(low, high) => add(&Leaf::Number(*low), &Leaf::Number(*high))?,
    }
    Ok(total)
}

/// Up to `limit` entries of one value after an upload time, in order.
pub(super) fn at(
    connection: &Connection,
    account: i64,
    path: &str,
    value: &Leaf,
    ascending: bool,
    after: i64,
    limit: usize,
) -> Result<Vec<Candidate>, Error> {
    let sql = if ascending {
        EQUAL_ASCENDING
    } else {
        EQUAL_DESCENDING
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let entries = statement.query_map(params![account, path, value, after, limit], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(entries.collect::<Result<_, _>>()?)
}

/// All entries of the numbers between two, in no order.
pub(super) fn between(
    connection: &Connection,
    account: i64,
    path: &str,
    low: f64,
    high: f64,
    mut visit: impl FnMut(Candidate),
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(BETWEEN)?;
    let mut entries = statement.query(params![account, path, low, high])?;
    while let Some(row) = entries.next()? {
        visit((row.get(0)?, row.get(1)?));
    }
    Ok(())
}

impl ToSql for Leaf {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Boolean(truth) => ValueRef::Blob(if *truth { b"\x01" } else { b"\x00" }),
        }))
    }
}

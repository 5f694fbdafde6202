//! The statements of signing keys.

use model::{AccountId, KeyName};
use rusqlite::{Connection, params};

use super::writer::Writing;
use super::{Corrupt, rows, statements, taken_or};
use crate::Error;
use crate::catalog::sealed_keys::SealedKey;

statements! {
    ALL =
        "SELECT name, value FROM signing_keys
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY pk";
    COUNT = "SELECT count(*) FROM signing_keys WHERE account = ?1";
    INSERT = "INSERT INTO signing_keys (account, name, value) VALUES (?1, ?2, ?3)";
    SET = "UPDATE signing_keys SET value = ?3 WHERE account = ?1 AND name = ?2";
    DELETE = "DELETE FROM signing_keys WHERE account = ?1 AND name = ?2";
}

pub(super) fn all(connection: &Connection, account: &AccountId) -> Result<Vec<SealedKey>, Error> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut found = statement.query([account.as_str()])?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        let name = row.get_ref(0)?.as_str().ok().and_then(KeyName::parse);
        keys.push(SealedKey {
            name: name.ok_or(Corrupt("key name"))?,
            value: row.get(1)?,
        });
    }
    Ok(keys)
}

pub(super) fn insert(
    writing: &Writing<'_>,
    account: i64,
    name: &KeyName,
    sealed: &[u8],
) -> Result<(), Error> {
    let mut statement = writing.connection.prepare_cached(INSERT)?;
    let inserted = statement.execute(params![account, name.as_str(), sealed]);
    inserted.map(drop).map_err(taken_or)
}

pub(super) fn put(
    writing: &Writing<'_>,
    id: &AccountId,
    name: &KeyName,
    sealed: &[u8],
    keys_max: usize,
) -> Result<Vec<SealedKey>, Error> {
    let connection = writing.connection;
    let account = rows::require_account(connection, id)?;
    let mut statement = connection.prepare_cached(SET)?;
    if statement.execute(params![account, name.as_str(), sealed])? == 0 {
        if count(connection, account)? >= keys_max as u64 {
            return Err(Error::Full);
        }
        insert(writing, account, name, sealed)?;
    }
    all(connection, id)
}

pub(super) fn delete(
    writing: &Writing<'_>,
    id: &AccountId,
    name: &KeyName,
    successor: &KeyName,
    sealed: &[u8],
) -> Result<Vec<SealedKey>, Error> {
    let connection = writing.connection;
    let account = rows::require_account(connection, id)?;
    let mut statement = connection.prepare_cached(DELETE)?;
    if statement.execute(params![account, name.as_str()])? == 0 {
        return Err(Error::NotFound);
    }
    if count(connection, account)? == 0 {
        insert(writing, account, successor, sealed)?;
    }
    all(connection, id)
}

fn count(connection: &Connection, account: i64) -> Result<u64, Error> {
    let mut statement = connection.prepare_cached(COUNT)?;
    let keys: i64 = statement.query_row([account], |row| row.get(0))?;
    Ok(rows::count(keys))
}

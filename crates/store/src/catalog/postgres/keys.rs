//! The statements of signing keys.

use model::{AccountId, KeyName};

use super::pool::Connection;
use super::{Corrupt, rows, statements, taken_or};
use crate::Error;
use crate::catalog::sealed_keys::SealedKey;

statements! {
    ALL =
        "SELECT name, value FROM signing_keys
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY pk";
    COUNT = "SELECT count(*) FROM signing_keys WHERE account = $1";
    INSERT = "INSERT INTO signing_keys (account, name, value) VALUES ($1, $2, $3)";
    SET = "UPDATE signing_keys SET value = $3 WHERE account = $1 AND name = $2";
    DELETE = "DELETE FROM signing_keys WHERE account = $1 AND name = $2";
}

pub(super) async fn all(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<SealedKey>, Error> {
    let found = connection.query(ALL, &[&account.as_str()]).await?;
    let key = |row: &tokio_postgres::Row| -> Result<SealedKey, Error> {
        let name: &str = row.try_get(0)?;
        Ok(SealedKey {
            name: KeyName::parse(name).ok_or(Corrupt("key name"))?,
            value: row.try_get(1)?,
        })
    };
    found.iter().map(key).collect()
}

pub(super) async fn insert(
    connection: &Connection,
    account: i64,
    name: &KeyName,
    sealed: &[u8],
) -> Result<(), Error> {
    let key = connection
        .execute(INSERT, &[&account, &name.as_str(), &sealed])
        .await;
    key.map(drop).map_err(taken_or)
}

pub(super) async fn put(
    connection: &Connection,
    id: &AccountId,
    name: &KeyName,
    sealed: &[u8],
    keys_max: usize,
) -> Result<Vec<SealedKey>, Error> {
    let account = rows::lock_account(connection, id).await?;
    let set = connection
        .execute(SET, &[&account, &name.as_str(), &sealed])
        .await;
    if set? == 0 {
        if count(connection, account).await? >= keys_max as u64 {
            return Err(Error::Full);
        }
        insert(connection, account, name, sealed).await?;
    }
    all(connection, id).await
}

pub(super) async fn delete(
    connection: &Connection,
    id: &AccountId,
    name: &KeyName,
    successor: &KeyName,
    sealed: &[u8],
) -> Result<Vec<SealedKey>, Error> {
    let account = rows::lock_account(connection, id).await?;
    let deleted = connection
        .execute(DELETE, &[&account, &name.as_str()])
        .await;
    if deleted? == 0 {
        return Err(Error::NotFound);
    }
    if count(connection, account).await? == 0 {
        insert(connection, account, successor, sealed).await?;
    }
    all(connection, id).await
}

async fn count(connection: &Connection, account: i64) -> Result<u64, Error> {
    let row = connection.query_one(COUNT, &[&account]).await?;
    Ok(rows::count(row.try_get(0)?))
}

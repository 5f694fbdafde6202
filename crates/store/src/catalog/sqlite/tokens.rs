//! API tokens, known by the SHA-256 of their secret.

use model::{AccountId, ApiToken, Permission, Timestamp, TokenHash, TokenId};
use rusqlite::{Connection, Row, params};

use super::writer::Writing;
use super::{Corrupt, rows, statements, taken_or};
use crate::Error;

/// The columns which `token` reads, in its order.
macro_rules! select {
    () => {
        "SELECT tokens.id, tokens.hash, accounts.id, tokens.name, permission, tokens.created,
             expires, not_before
         FROM tokens JOIN accounts ON accounts.pk = tokens.account "
    };
}

statements! {
    BY_HASH = concat!(select!(), "WHERE tokens.hash = ?1");
    ALL = concat!(select!(), "WHERE accounts.id = ?1 ORDER BY tokens.created, tokens.pk");
    INSERT =
        "INSERT INTO tokens (account, id, hash, name, permission, created, expires, not_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    DELETE = "DELETE FROM tokens WHERE account = ?1 AND id = ?2";
}

pub(super) fn by_hash(
    connection: &Connection,
    hash: &TokenHash,
) -> Result<Option<ApiToken>, Error> {
    let mut statement = connection.prepare_cached(BY_HASH)?;
    let mut found = statement.query([hash.0])?;
    found.next()?.map(token).transpose()
}

pub(super) fn all(connection: &Connection, account: &AccountId) -> Result<Vec<ApiToken>, Error> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut found = statement.query([account.as_str()])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(token(row)?);
    }
    Ok(tokens)
}

pub(super) fn insert(writing: &Writing<'_>, token: &ApiToken) -> Result<(), Error> {
    let account = rows::require_account(writing.connection, &token.account)?;
    let mut statement = writing.connection.prepare_cached(INSERT)?;
    let inserted = statement.execute(params![
        account,
        token.id.as_str(),
        token.hash.0,
        token.name,
        token.permission.as_str(),
        token.created.micros(),
        token.expires.map(Timestamp::micros),
        token.not_before.map(Timestamp::micros),
    ]);
    inserted.map(drop).map_err(taken_or)
}

pub(super) fn delete(
    writing: &Writing<'_>,
    account: &AccountId,
    id: &TokenId,
) -> Result<(), Error> {
    let account = rows::require_account(writing.connection, account)?;
    let mut statement = writing.connection.prepare_cached(DELETE)?;
    match statement.execute(params![account, id.as_str()])? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

fn token(row: &Row<'_>) -> Result<ApiToken, Error> {
    let account = row.get_ref(2)?.as_str().ok();
    let permission = row.get_ref(4)?.as_str().ok();
    let expires: Option<i64> = row.get(6)?;
    let not_before: Option<i64> = row.get(7)?;
    Ok(ApiToken {
        id: TokenId::from(row.get::<_, String>(0)?),
        hash: TokenHash(row.get(1)?),
        account: account
            .and_then(|id| AccountId::try_from(id).ok())
            .ok_or(Corrupt("account id"))?,
        name: row.get(3)?,
        permission: permission
            .and_then(Permission::parse)
            .ok_or(Corrupt("permission"))?,
        created: Timestamp::from_micros(row.get(5)?),
        expires: expires.map(Timestamp::from_micros),
        not_before: not_before.map(Timestamp::from_micros),
    })
}

//! API tokens, known by the SHA-256 of their secret.

use model::{AccountId, ApiToken, Permission, Timestamp, TokenHash, TokenId};
use tokio_postgres::Row;

use super::pool::Connection;
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
    BY_HASH = concat!(select!(), "WHERE tokens.hash = $1");
    ALL = concat!(select!(), "WHERE accounts.id = $1 ORDER BY tokens.created, tokens.pk");
    INSERT =
        "INSERT INTO tokens (account, id, hash, name, permission, created, expires, not_before)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    DELETE = "DELETE FROM tokens WHERE account = $1 AND id = $2";
}

pub(super) async fn by_hash(
    connection: &Connection,
    hash: &TokenHash,
) -> Result<Option<ApiToken>, Error> {
    let found = connection.query_opt(BY_HASH, &[&hash.0.as_slice()]).await?;
    found.as_ref().map(token).transpose()
}

pub(super) async fn all(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<ApiToken>, Error> {
    let found = connection.query(ALL, &[&account.as_str()]).await?;
    found.iter().map(token).collect()
}

pub(super) async fn insert(connection: &Connection, token: &ApiToken) -> Result<(), Error> {
    let account = rows::keep_account(connection, &token.account).await?;
    let inserted = connection
        .execute(
            INSERT,
            &[
                &account,
                &token.id.as_str(),
                &token.hash.0.as_slice(),
                &token.name,
                &token.permission.as_str(),
                &token.created.micros(),
                &token.expires.map(Timestamp::micros),
                &token.not_before.map(Timestamp::micros),
            ],
        )
        .await;
    inserted.map(drop).map_err(taken_or)
}

pub(super) async fn delete(
    connection: &Connection,
    account: &AccountId,
    id: &TokenId,
) -> Result<(), Error> {
    let account = rows::keep_account(connection, account).await?;
    let deleted = connection.execute(DELETE, &[&account, &id.as_str()]).await;
    match deleted? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

fn token(row: &Row) -> Result<ApiToken, Error> {
    let hash: &[u8] = row.try_get(1)?;
    let account: &str = row.try_get(2)?;
    let permission: &str = row.try_get(4)?;
    let expires: Option<i64> = row.try_get(6)?;
    let not_before: Option<i64> = row.try_get(7)?;
    Ok(ApiToken {
        id: TokenId::from(row.try_get::<_, String>(0)?),
        hash: TokenHash(hash.try_into().map_err(|_| Corrupt("token hash"))?),
        account: AccountId::try_from(account).map_err(|_| Corrupt("account id"))?,
        name: row.try_get(3)?,
        permission: Permission::parse(permission).ok_or(Corrupt("permission"))?,
        created: Timestamp::from_micros(row.try_get(5)?),
        expires: expires.map(Timestamp::from_micros),
        not_before: not_before.map(Timestamp::from_micros),
    })
}

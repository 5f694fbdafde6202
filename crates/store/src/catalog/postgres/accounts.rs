//! Accounts and their settings.

use model::{Account, AccountConfig, AccountHash, AccountId, Timestamp};
use tokio_postgres::Row;

use super::pool::Connection;
use super::rows::{self, image_columns};
use super::{Corrupt, images, imports, notifications, statements, taken_or, zone_text};
use crate::Error;

/// The columns which `account` reads, in its order.
macro_rules! columns {
    () => {
        "id, hash, name, created, flexible_variants, browser_ttl, preserve_content_credentials, zones"
    };
}

statements! {
    BY_ID = concat!("SELECT ", columns!(), " FROM accounts WHERE id = $1");
    BY_HASH = concat!("SELECT ", columns!(), " FROM accounts WHERE hash = $1");
    ALL = concat!("SELECT ", columns!(), " FROM accounts WHERE NOT deleted ORDER BY created, pk");
    INSERT = concat!(
        "INSERT INTO accounts (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING pk"
    );
    CONFIG =
        "SELECT flexible_variants, browser_ttl, preserve_content_credentials, zones FROM accounts
         WHERE id = $1 FOR NO KEY UPDATE";
    SET_CONFIG =
        "UPDATE accounts
         SET flexible_variants = $2, browser_ttl = $3, preserve_content_credentials = $4,
             zones = $5
         WHERE id = $1";
    // No id and no hash looks like this. It waits for the transactions which keep the account.
    MARK_DELETED =
        "UPDATE accounts SET deleted = TRUE, id = 'deleted ' || pk, hash = 'deleted ' || pk
         WHERE id = $1 RETURNING pk";
    DELETE_TOKENS = "DELETE FROM tokens WHERE account = $1";
    DELETE_KEYS = "DELETE FROM signing_keys WHERE account = $1";
    DELETE_VARIANTS = "DELETE FROM variants WHERE account = $1";
    A_DELETED = "SELECT pk FROM accounts WHERE deleted LIMIT 1 FOR UPDATE SKIP LOCKED";
    LOCK_DELETED = "SELECT pk FROM accounts WHERE pk = $1 AND deleted FOR UPDATE";
    SOME_IMAGES = concat!(
        "SELECT pk, ", image_columns!(), " FROM images WHERE account = $1 LIMIT $2"
    );
    DELETE_IMAGE_COUNTS = "DELETE FROM image_counts WHERE account = $1";
    DELETE_CREATOR_COUNTS = "DELETE FROM creator_counts WHERE account = $1";
    DELETE_LEAVES = "DELETE FROM leaves WHERE account = $1";
    DELETE = "DELETE FROM accounts WHERE pk = $1";
}

/// Images which are deleted in one go when their account is.
pub(super) const PURGE_STEP: u32 = 1_000;

/// Whether anything is left of a deleted account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purge {
    Finished,
    Unfinished,
}

pub(super) async fn by_id(
    connection: &Connection,
    id: &AccountId,
) -> Result<Option<Account>, Error> {
    let found = connection.query_opt(BY_ID, &[&id.as_str()]).await?;
    found.as_ref().map(account).transpose()
}

pub(super) async fn by_hash(
    connection: &Connection,
    hash: &AccountHash,
) -> Result<Option<Account>, Error> {
    let found = connection.query_opt(BY_HASH, &[&hash.as_str()]).await?;
    found.as_ref().map(account).transpose()
}

pub(super) async fn all(connection: &Connection) -> Result<Vec<Account>, Error> {
    connection
        .query(ALL, &[])
        .await?
        .iter()
        .map(account)
        .collect()
}

pub(super) async fn insert(connection: &Connection, account: &Account) -> Result<i64, Error> {
    let config = &account.config;
    let inserted = connection
        .query_one(
            INSERT,
            &[
                &account.id.as_str(),
                &account.hash.as_str(),
                &account.name,
                &account.created.micros(),
                &config.flexible_variants,
                &i64::from(config.browser_ttl),
                &config.preserve_content_credentials,
                &zone_text::of(&config.zones),
            ],
        )
        .await;
    Ok(inserted.map_err(taken_or)?.try_get(0)?)
}

pub(super) async fn set_config(
    connection: &Connection,
    id: &AccountId,
    before: &AccountConfig,
    after: &AccountConfig,
) -> Result<(), Error> {
    let current = connection.query_opt(CONFIG, &[&id.as_str()]).await?;
    if config(&current.ok_or(Error::NotFound)?, 0)? != *before {
        return Err(Error::Changed);
    }
    connection
        .execute(
            SET_CONFIG,
            &[
                &id.as_str(),
                &after.flexible_variants,
                &i64::from(after.browser_ttl),
                &after.preserve_content_credentials,
                &zone_text::of(&after.zones),
            ],
        )
        .await?;
    Ok(())
}

/// The account is gone for everyone from here on; its images are left to `purge`.
pub(super) async fn mark_deleted(connection: &Connection, id: &AccountId) -> Result<i64, Error> {
    let marked = connection.query_opt(MARK_DELETED, &[&id.as_str()]).await?;
    let pk: i64 = marked.ok_or(Error::NotFound)?.try_get(0)?;
    for sql in [
        DELETE_TOKENS,
        DELETE_KEYS,
        DELETE_VARIANTS,
        notifications::DELETE_POLICIES,
        notifications::DELETE_WEBHOOKS,
        imports::ABORT_ALL,
    ] {
        connection.execute(sql, &[&pk]).await?;
    }
    Ok(pk)
}

/// Steps of deleting what imports of an account left, in one go.
const IMPORT_STEPS: usize = 10;

/// Deletes up to `limit` images of a deleted account, and the account after the last of them.
pub(super) async fn purge(connection: &Connection, pk: i64, limit: u32) -> Result<Purge, Error> {
    // One node after the other.
    if connection.query_opt(LOCK_DELETED, &[&pk]).await?.is_none() {
        return Ok(Purge::Finished);
    }
    let found = connection
        .query(SOME_IMAGES, &[&pk, &i64::from(limit)])
        .await?;
    let image = |row: &Row| Ok((row.try_get(0)?, rows::image(row, 1)?));
    let images = found.iter().map(image).collect::<Result<Vec<_>, Error>>()?;
    images::delete_rows(connection, &images).await?;
    if images.len() as u64 == u64::from(limit) {
        return Ok(Purge::Unfinished);
    }
    for _ in 0..IMPORT_STEPS {
        if !imports::delete_any(connection, pk).await? {
            return finish(connection, pk).await;
        }
    }
    Ok(Purge::Unfinished)
}

async fn finish(connection: &Connection, pk: i64) -> Result<Purge, Error> {
    for sql in [
        DELETE_LEAVES,
        DELETE_CREATOR_COUNTS,
        DELETE_IMAGE_COUNTS,
        DELETE,
    ] {
        connection.execute(sql, &[&pk]).await?;
    }
    Ok(Purge::Finished)
}

/// Goes on with a deletion which was interrupted.
pub(super) async fn purge_any(connection: &Connection, limit: u32) -> Result<(), Error> {
    match connection.query_opt(A_DELETED, &[]).await? {
        Some(row) => purge(connection, row.try_get(0)?, limit).await.map(drop),
        None => Ok(()),
    }
}

fn account(row: &Row) -> Result<Account, Error> {
    let id: &str = row.try_get(0)?;
    let hash: &str = row.try_get(1)?;
    Ok(Account {
        id: AccountId::try_from(id).map_err(|_| Corrupt("account id"))?,
        hash: AccountHash::try_from(hash).map_err(|_| Corrupt("account hash"))?,
        name: row.try_get(2)?,
        created: Timestamp::from_micros(row.try_get(3)?),
        config: config(row, 4)?,
    })
}

fn config(row: &Row, at: usize) -> Result<AccountConfig, Error> {
    let browser_ttl: i64 = row.try_get(at + 1)?;
    Ok(AccountConfig {
        flexible_variants: row.try_get(at)?,
        browser_ttl: u32::try_from(browser_ttl).map_err(|_| Corrupt("lifetime"))?,
        preserve_content_credentials: row.try_get(at + 2)?,
        zones: zone_text::read(row.try_get(at + 3)?).ok_or(Corrupt("settings of zones"))?,
    })
}

//! Accounts and their settings.

use model::{Account, AccountConfig, AccountHash, AccountId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{self, image_columns};
use super::writer::Writing;
use super::{Corrupt, images, imports, notifications, statements, taken_or, zone_text};
use crate::Error;

/// The columns which `account` reads, in its order.
macro_rules! columns {
    () => {
        "id, hash, name, created, flexible_variants, browser_ttl, preserve_content_credentials, zones"
    };
}

statements! {
    BY_ID = concat!("SELECT ", columns!(), " FROM accounts WHERE id = ?1");
    BY_HASH = concat!("SELECT ", columns!(), " FROM accounts WHERE hash = ?1");
    ALL = concat!("SELECT ", columns!(), " FROM accounts WHERE deleted = 0 ORDER BY created, pk");
    INSERT = concat!(
        "INSERT INTO accounts (", columns!(), ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    );
    CONFIG =
        "SELECT flexible_variants, browser_ttl, preserve_content_credentials, zones FROM accounts
         WHERE id = ?1";
    SET_CONFIG =
        "UPDATE accounts
         SET flexible_variants = ?2, browser_ttl = ?3, preserve_content_credentials = ?4,
             zones = ?5
         WHERE id = ?1";
    // No id and no hash looks like this.
    MARK_DELETED =
        "UPDATE accounts SET deleted = 1, id = 'deleted ' || pk, hash = 'deleted ' || pk
         WHERE pk = ?1";
    DELETE_TOKENS = "DELETE FROM tokens WHERE account = ?1";
    DELETE_KEYS = "DELETE FROM signing_keys WHERE account = ?1";
    DELETE_VARIANTS = "DELETE FROM variants WHERE account = ?1";
    A_DELETED = "SELECT pk FROM accounts WHERE deleted = 1 LIMIT 1";
    SOME_IMAGES = concat!(
        "SELECT pk, ", image_columns!(), " FROM images WHERE account = ?1 LIMIT ?2"
    );
    DELETE = "DELETE FROM accounts WHERE pk = ?1";
}

/// The primary key of an account.
pub(super) const PK: &str = "SELECT pk FROM accounts WHERE id = ?1";

/// Images which are deleted in one go when their account is.
pub(super) const PURGE_STEP: u32 = 1_000;

/// Whether anything is left of a deleted account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purge {
    Finished,
    Unfinished,
}

pub(super) fn by_id(connection: &Connection, id: &AccountId) -> Result<Option<Account>, Error> {
    let mut statement = connection.prepare_cached(BY_ID)?;
    let mut found = statement.query([id.as_str()])?;
    found.next()?.map(account).transpose()
}

pub(super) fn by_hash(
    connection: &Connection,
    hash: &AccountHash,
) -> Result<Option<Account>, Error> {
    let mut statement = connection.prepare_cached(BY_HASH)?;
    let mut found = statement.query([hash.as_str()])?;
    found.next()?.map(account).transpose()
}

pub(super) fn all(connection: &Connection) -> Result<Vec<Account>, Error> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut found = statement.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = found.next()? {
        accounts.push(account(row)?);
    }
    Ok(accounts)
}

pub(super) fn insert(writing: &Writing<'_>, account: &Account) -> Result<i64, Error> {
    let mut statement = writing.connection.prepare_cached(INSERT)?;
    let inserted = statement.insert(params![
        account.id.as_str(),
        account.hash.as_str(),
        account.name,
        account.created.micros(),
        account.config.flexible_variants,
        account.config.browser_ttl,
        account.config.preserve_content_credentials,
        zone_text::of(&account.config.zones),
    ]);
    inserted.map_err(taken_or)
}

pub(super) fn set_config(
    writing: &Writing<'_>,
    id: &AccountId,
    before: &AccountConfig,
    after: &AccountConfig,
) -> Result<(), Error> {
    let mut statement = writing.connection.prepare_cached(CONFIG)?;
    let mut found = statement.query([id.as_str()])?;
    let current = found.next()?.map(|row| config(row, 0));
    if current.ok_or(Error::NotFound)?? != *before {
        return Err(Error::Changed);
    }
    let mut statement = writing.connection.prepare_cached(SET_CONFIG)?;
    statement.execute(params![
        id.as_str(),
        after.flexible_variants,
        after.browser_ttl,
        after.preserve_content_credentials,
        zone_text::of(&after.zones),
    ])?;
    Ok(())
}

/// The account is gone for everyone from here on; its images are left to `purge`.
pub(super) fn mark_deleted(writing: &Writing<'_>, id: &AccountId) -> Result<i64, Error> {
    let connection = writing.connection;
    let pk = rows::require_account(connection, id)?;
    for sql in [
        MARK_DELETED,
        DELETE_TOKENS,
        DELETE_KEYS,
        DELETE_VARIANTS,
        notifications::DELETE_POLICIES,
        notifications::DELETE_WEBHOOKS,
        imports::ABORT_ALL,
    ] {
        connection.prepare_cached(sql)?.execute([pk])?;
    }
    Ok(pk)
}

/// Steps of deleting what imports of an account left, in one go.
const IMPORT_STEPS: usize = 10;

/// Deletes up to `limit` images of a deleted account, and the account after the last of them.
pub(super) fn purge(writing: &Writing<'_>, pk: i64, limit: u32) -> Result<Purge, Error> {
    let connection = writing.connection;
    let mut statement = connection.prepare_cached(SOME_IMAGES)?;
    let mut found = statement.query(params![pk, limit])?;
    let mut images = Vec::new();
    while let Some(row) = found.next()? {
        images.push((row.get(0)?, rows::image(row, 1)?));
    }
    let at_once = Timestamp::from_micros(0);
    for (image_pk, image) in &images {
        images::delete_row(connection, pk, *image_pk, image, at_once)?;
    }
    if images.len() as u64 == u64::from(limit) {
        return Ok(Purge::Unfinished);
    }
    for _ in 0..IMPORT_STEPS {
        if !imports::delete_any(connection, pk)? {
            connection.prepare_cached(DELETE)?.execute([pk])?;
            return Ok(Purge::Finished);
        }
    }
    Ok(Purge::Unfinished)
}

/// Goes on with a deletion which was interrupted.
pub(super) fn purge_any(writing: &Writing<'_>, limit: u32) -> Result<(), Error> {
    let mut statement = writing.connection.prepare_cached(A_DELETED)?;
    let deleted = statement.query_row([], |row| row.get(0)).optional()?;
    match deleted {
        Some(pk) => purge(writing, pk, limit).map(drop),
        None => Ok(()),
    }
}

fn account(row: &Row<'_>) -> Result<Account, Error> {
    let id = row.get_ref(0)?.as_str().ok();
    let hash = row.get_ref(1)?.as_str().ok();
    Ok(Account {
        id: id
            .and_then(|id| AccountId::try_from(id).ok())
            .ok_or(Corrupt("account id"))?,
        hash: hash
            .and_then(|hash| AccountHash::try_from(hash).ok())
            .ok_or(Corrupt("account hash"))?,
        name: row.get(2)?,
        created: Timestamp::from_micros(row.get(3)?),
        config: config(row, 4)?,
    })
}

fn config(row: &Row<'_>, at: usize) -> Result<AccountConfig, Error> {
    let zones = row.get_ref(at + 3)?.as_str().ok();
    Ok(AccountConfig {
        flexible_variants: row.get(at)?,
        browser_ttl: row.get(at + 1)?,
        preserve_content_credentials: row.get(at + 2)?,
        zones: zones
            .and_then(zone_text::read)
            .ok_or(Corrupt("settings of zones"))?,
    })
}

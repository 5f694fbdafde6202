//! Variants, their options as the JSON of the API.

use model::{AccountId, Variant, VariantName, VariantOptions};
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::writer::Writing;
use super::{Corrupt, rows, statements, taken_or};
use crate::Error;

statements! {
    ALL =
        "SELECT name, options, never_require_signed_urls FROM variants
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY name <> 'public', pk";
    FIND =
        "SELECT name, options, never_require_signed_urls FROM variants
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND name = ?2";
    COUNT = "SELECT count(*) FROM variants WHERE account = ?1";
    INSERT =
        "INSERT INTO variants (account, name, options, never_require_signed_urls)
         VALUES (?1, ?2, ?3, ?4)";
    SET =
        "UPDATE variants SET name = ?3, options = ?4, never_require_signed_urls = ?5
         WHERE account = ?1 AND name = ?2";
    DELETE = "DELETE FROM variants WHERE account = ?1 AND name = ?2";
}

pub(super) fn all(connection: &Connection, account: &AccountId) -> Result<Vec<Variant>, Error> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut found = statement.query([account.as_str()])?;
    let mut variants = Vec::new();
    while let Some(row) = found.next()? {
        variants.push(variant(row)?);
    }
    Ok(variants)
}

pub(super) fn find(
    connection: &Connection,
    account: &AccountId,
    name: &VariantName,
) -> Result<Option<Variant>, Error> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut found = statement.query([account.as_str(), name.as_str()])?;
    found.next()?.map(variant).transpose()
}

pub(super) fn insert(writing: &Writing<'_>, account: i64, variant: &Variant) -> Result<(), Error> {
    let mut statement = writing.connection.prepare_cached(INSERT)?;
    let inserted = statement.execute(params![
        account,
        variant.name.as_str(),
        options(variant),
        variant.never_require_signed_urls,
    ]);
    inserted.map(drop).map_err(taken_or)
}

pub(super) fn add(
    writing: &Writing<'_>,
    account: &AccountId,
    variant: &Variant,
    variants_max: usize,
) -> Result<(), Error> {
    let connection = writing.connection;
    let account = rows::require_account(connection, account)?;
    insert(writing, account, variant)?;
    let mut statement = connection.prepare_cached(COUNT)?;
    let variants: i64 = statement.query_row([account], |row| row.get(0))?;
    if rows::count(variants) > variants_max as u64 {
        return Err(Error::Full);
    }
    Ok(())
}

pub(super) fn set(
    writing: &Writing<'_>,
    account: &AccountId,
    before: &Variant,
    after: &Variant,
) -> Result<(), Error> {
    let connection = writing.connection;
    let current = find(connection, account, &before.name)?.ok_or(Error::NotFound)?;
    if current != *before {
        return Err(Error::Changed);
    }
    let account = rows::require_account(connection, account)?;
    let mut statement = connection.prepare_cached(SET)?;
    let updated = statement.execute(params![
        account,
        before.name.as_str(),
        after.name.as_str(),
        options(after),
        after.never_require_signed_urls,
    ]);
    updated.map(drop).map_err(taken_or)
}

pub(super) fn delete(
    writing: &Writing<'_>,
    account: &AccountId,
    name: &VariantName,
) -> Result<(), Error> {
    let account = rows::require_account(writing.connection, account)?;
    let mut statement = writing.connection.prepare_cached(DELETE)?;
    match statement.execute(params![account, name.as_str()])? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

fn options(variant: &Variant) -> String {
    Value::Object(variant.options.to_json()).to_string()
}

fn variant(row: &Row<'_>) -> Result<Variant, Error> {
    let name = row.get_ref(0)?.as_str().ok().and_then(VariantName::parse);
    let json = row.get_ref(1)?.as_str().ok();
    let options = match json.map(serde_json::from_str) {
        Some(Ok(Value::Object(options))) => VariantOptions::from_json(&options).ok(),
        _ => None,
    };
    Ok(Variant {
        name: name.ok_or(Corrupt("variant name"))?,
        options: options.ok_or(Corrupt("variant options"))?,
        never_require_signed_urls: row.get(2)?,
    })
}

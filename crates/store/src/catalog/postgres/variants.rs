//! Variants, their options as the JSON of the API.

use model::{AccountId, Variant, VariantName, VariantOptions};
use serde_json::Value;
use tokio_postgres::Row;

use super::pool::Connection;
use super::{Corrupt, rows, statements, taken_or};
use crate::Error;

statements! {
    ALL =
        "SELECT name, options, never_require_signed_urls FROM variants
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY name <> 'public', pk";
    FIND =
        "SELECT name, options, never_require_signed_urls FROM variants
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND name = $2";
    FIND_TO_WRITE =
        "SELECT name, options, never_require_signed_urls FROM variants
         WHERE account = $1 AND name = $2 FOR UPDATE";
    COUNT = "SELECT count(*) FROM variants WHERE account = $1";
    INSERT =
        "INSERT INTO variants (account, name, options, never_require_signed_urls)
         VALUES ($1, $2, $3, $4)";
    SET =
        "UPDATE variants SET name = $3, options = $4, never_require_signed_urls = $5
         WHERE account = $1 AND name = $2";
    DELETE = "DELETE FROM variants WHERE account = $1 AND name = $2";
}

pub(super) async fn all(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<Variant>, Error> {
    let found = connection.query(ALL, &[&account.as_str()]).await?;
    found.iter().map(variant).collect()
}

pub(super) async fn find(
    connection: &Connection,
    account: &AccountId,
    name: &VariantName,
) -> Result<Option<Variant>, Error> {
    let key = connection
        .query_opt(FIND, &[&account.as_str(), &name.as_str()])
        .await;
    key?.as_ref().map(variant).transpose()
}

pub(super) async fn insert(
    connection: &Connection,
    account: i64,
    variant: &Variant,
) -> Result<(), Error> {
    let inserted = connection
        .execute(
            INSERT,
            &[
                &account,
                &variant.name.as_str(),
                &options(variant),
                &variant.never_require_signed_urls,
            ],
        )
        .await;
    inserted.map(drop).map_err(taken_or)
}

pub(super) async fn add(
    connection: &Connection,
    account: &AccountId,
    variant: &Variant,
    variants_max: usize,
) -> Result<(), Error> {
    let account = rows::lock_account(connection, account).await?;
    insert(connection, account, variant).await?;
    let row = connection.query_one(COUNT, &[&account]).await?;
    if rows::count(row.try_get(0)?) > variants_max as u64 {
        return Err(Error::Full);
    }
    Ok(())
}

pub(super) async fn set(
    connection: &Connection,
    account: &AccountId,
    before: &Variant,
    after: &Variant,
) -> Result<(), Error> {
    let account = rows::keep_account(connection, account).await?;
    let found = connection
        .query_opt(FIND_TO_WRITE, &[&account, &before.name.as_str()])
        .await;
    if variant(&found?.ok_or(Error::NotFound)?)? != *before {
        return Err(Error::Changed);
    }
    let updated = connection
        .execute(
            SET,
            &[
                &account,
                &before.name.as_str(),
                &after.name.as_str(),
                &options(after),
                &after.never_require_signed_urls,
            ],
        )
        .await;
    updated.map(drop).map_err(taken_or)
}

pub(super) async fn delete(
    connection: &Connection,
    account: &AccountId,
    name: &VariantName,
) -> Result<(), Error> {
    let account = rows::keep_account(connection, account).await?;
    let deleted = connection
        .execute(DELETE, &[&account, &name.as_str()])
        .await;
    match deleted? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

fn options(variant: &Variant) -> String {
    Value::Object(variant.options.to_json()).to_string()
}

fn variant(row: &Row) -> Result<Variant, Error> {
    let name: &str = row.try_get(0)?;
    let options = match serde_json::from_str(row.try_get(1)?) {
        Ok(Value::Object(options)) => VariantOptions::from_json(&options).ok(),
        _ => None,
    };
    Ok(Variant {
        name: VariantName::parse(name).ok_or(Corrupt("variant name"))?,
        options: options.ok_or(Corrupt("variant options"))?,
        never_require_signed_urls: row.try_get(2)?,
    })
}

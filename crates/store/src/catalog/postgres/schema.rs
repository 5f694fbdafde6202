//! Migrations, and what is looked at before a database is used.

use futures_util::future::try_join_all;

use super::pool::Connection;
use super::{
    accounts, changes, clock, images, imports, keys, leases, leaves, lists, notifications, purges,
    records, rows, statements, sweep, tokens, variants,
};
use crate::{Error, Vault};

/// The steps of the schema; `schema_version` says how many a database has.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/postgres/0001.sql"),
    include_str!("../../../migrations/postgres/0002.sql"),
    include_str!("../../../migrations/postgres/0003.sql"),
    include_str!("../../../migrations/postgres/0004.sql"),
    include_str!("../../../migrations/postgres/0005.sql"),
];

/// Every statement of this backend but those of the migration. Preparing them finds a wrong table,
/// column or type at the start.
const ALL_STATEMENTS: &[&[&str]] = &[
    accounts::STATEMENTS,
    changes::STATEMENTS,
    clock::STATEMENTS,
    images::STATEMENTS,
    imports::STATEMENTS,
    keys::STATEMENTS,
    leases::STATEMENTS,
    leaves::STATEMENTS,
    lists::STATEMENTS,
    notifications::STATEMENTS,
    purges::STATEMENTS,
    records::STATEMENTS,
    rows::STATEMENTS,
    STATEMENTS,
    sweep::STATEMENTS,
    tokens::STATEMENTS,
    variants::STATEMENTS,
];

statements! {
    SEAL = "SELECT value FROM seal";
    INSERT_SEAL = "INSERT INTO seal (value) VALUES ($1)";
    LAST_UPLOADED = "SELECT coalesce(max(last_uploaded), 0) FROM image_counts";
}

/// The least `server_version_num`.
const VERSION_MIN: i32 = 150_000;

/// The advisory lock under which one node migrates, however long it takes; what it locks then is
/// waited for as always.
const LOCK: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
    SELECT pg_advisory_xact_lock(4747271902531); SET LOCAL lock_timeout = '10s'";

/// What the seal holds.
const SEALED: &[u8] = b"calotype";
const SEAL_CONTEXT: &str = "the database";

/// Creates the schema or brings it up to date, one node after the other, and checks that this
/// program can work with it. Returns the latest upload time.
pub(super) async fn prepare(connection: &Connection, vault: &Vault) -> Result<i64, Error> {
    connection.batch("BEGIN").await?;
    connection.batch(LOCK).await?;
    check_server(connection).await?;
    migrate(connection).await?;
    check_statements(connection).await?;
    check_seal(connection, vault).await?;
    connection.batch("COMMIT").await?;
    let row = connection.query_one(LAST_UPLOADED, &[]).await?;
    Ok(row.try_get(0)?)
}

async fn check_server(connection: &Connection) -> Result<(), Error> {
    let row = connection
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
                 current_setting('server_version')",
            &[],
        )
        .await?;
    let (number, encoding): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
    if number < VERSION_MIN {
        let version: &str = row.try_get(2)?;
        let words = format!("it is PostgreSQL {version}, and version 15 or newer is needed");
        return Err(Error::Schema(words));
    }
    if encoding != "UTF8" {
        let words = format!("its encoding is {encoding}, and UTF8 is needed");
        return Err(Error::Schema(words));
    }
    Ok(())
}

async fn migrate(connection: &Connection) -> Result<(), Error> {
    let row = connection
        .query_one("SELECT to_regclass('schema_version') IS NULL", &[])
        .await?;
    // Not IF NOT EXISTS, for which a role must be allowed to create tables that are there.
    if row.try_get(0)? {
        connection
            .batch("CREATE TABLE schema_version (version BIGINT NOT NULL)")
            .await?;
    }
    let row = connection
        .query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[])
        .await?;
    let found: i64 = row.try_get(0)?;
    let known = MIGRATIONS.len();
    let steps = usize::try_from(found)
        .ok()
        .and_then(|found| MIGRATIONS.get(found..))
        .ok_or_else(|| {
            Error::Schema(format!(
                "its schema is version {found}, and this program knows versions up to {known}; \
                 start a newer version of Calotype"
            ))
        })?;
    if steps.is_empty() {
        return Ok(());
    }
    for step in steps {
        connection.batch(step).await.map_err(|error| {
            use tokio_postgres::error::SqlState;
            match error.code() {
                Some(&SqlState::DUPLICATE_TABLE) => {
                    Error::Schema("it holds tables of another program".to_owned())
                }
                _ => error.into(),
            }
        })?;
    }
    let version =
        format!("DELETE FROM schema_version; INSERT INTO schema_version VALUES ({known})");
    connection.batch(&version).await?;
    Ok(())
}

async fn check_statements(connection: &Connection) -> Result<(), Error> {
    let all = ALL_STATEMENTS.iter().copied().flatten();
    let prepared = all.map(|sql| async move {
        connection
            .statement(sql)
            .await
            .map_err(|error| match error.as_db_error() {
                Some(reason) => Error::Schema(format!("{}, in: {sql}", reason.message())),
                None => error.into(),
            })
    });
    try_join_all(prepared).await.map(drop)
}

/// All nodes must have the same secret key: what one seals, the others open.
async fn check_seal(connection: &Connection, vault: &Vault) -> Result<(), Error> {
    let Some(row) = connection.query_opt(SEAL, &[]).await? else {
        let sealed = vault.seal(SEALED, SEAL_CONTEXT);
        connection.execute(INSERT_SEAL, &[&sealed]).await?;
        return Ok(());
    };
    vault
        .open(row.try_get(0)?, SEAL_CONTEXT)
        .map(drop)
        .map_err(|_| {
            Error::Schema(
                "it was made with another `secret_key`; every node needs the same".to_owned(),
            )
        })
}

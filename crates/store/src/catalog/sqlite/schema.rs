//! Connections, their settings, and the migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{
    accounts, images, imports, keys, leaves, lists, notifications, records, sweep, tokens,
    variants, writer,
};
use crate::Error;

/// The steps of the schema; a database's `user_version` says how many it has.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001.sql"),
    include_str!("../../../migrations/sqlite/0002.sql"),
    include_str!("../../../migrations/sqlite/0003.sql"),
    include_str!("../../../migrations/sqlite/0004.sql"),
    include_str!("../../../migrations/sqlite/0005.sql"),
];

/// Every statement of this backend. Preparing them finds a wrong table or column at the start.
const STATEMENTS: &[&[&str]] = &[
    accounts::STATEMENTS,
    images::STATEMENTS,
    imports::STATEMENTS,
    keys::STATEMENTS,
    leaves::STATEMENTS,
    lists::STATEMENTS,
    notifications::STATEMENTS,
    records::STATEMENTS,
    sweep::STATEMENTS,
    tokens::STATEMENTS,
    variants::STATEMENTS,
    writer::STATEMENTS,
];

/// How long to wait for a lock of another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements kept per connection; there are fewer.
const STATEMENTS_MAX: usize = 128;

/// How a database is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// A commit has reached the disk when it returns.
    Full,
    /// For databases which are thrown away.
    Off,
}

/// Opens the connection which writes; creates and migrates the database.
pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Off => "OFF",
    };
    connection.execute_batch("PRAGMA page_size = 4096")?;
    // Where write-ahead logging cannot be had, the answer is another mode, and no error.
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !journal.eq_ignore_ascii_case("wal") {
        let words = format!("write-ahead logging does not work at {}", path.display());
        return Err(Error::Schema(words));
    }
    connection.pragma_update(None, "synchronous", synchronous)?;
    // A larger cache writes no faster, since the system keeps the file in memory, and would not be
    // given back.
    connection.execute_batch(
        "PRAGMA wal_autocheckpoint = 8000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8192;",
    )?;
    migrate(&mut connection)?;
    for sql in STATEMENTS.iter().copied().flatten() {
        connection
            .prepare(sql)
            .map_err(|error| Error::Schema(format!("{error}, in: {sql}")))?;
    }
    Ok(connection)
}

/// Opens a connection which only reads. Memory-mapped reads would be a little faster, but turn an
/// error of the disk into the end of the process.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -2048;",
    )?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let known = MIGRATIONS.len();
    if version(connection)? == known {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(Error::Schema(format!(
            "its schema is version {found}, and this program knows versions up to {known}; start a \
             newer version of Calotype"
        )));
    }
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found == 0 && tables > 0 {
        return Err(Error::Schema(
            "it holds tables of another program".to_owned(),
        ));
    }
    for step in &MIGRATIONS[found..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known as i64)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> Result<usize, Error> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version)
        .map_err(|_| Error::Schema(format!("its schema is of unknown version {version}")))
}

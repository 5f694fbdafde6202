//! Sources and jobs of imports.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    AccountId, BlobKey, Image, ImageId, ImportBucket, ImportCounts, ImportEntry, ImportJob,
    ImportOutcome, ImportSource, ImportState, ImportedObject, OpaqueId, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rows::{self, Blob};
use super::{Corrupt, Sqlite, Touched, images, statements, taken_or};
use crate::Error;
use crate::catalog::imports::{
    ClaimedImport, DELETED_AT_ONCE, ImportStep, Imports, JOBS_KEPT, SEALED, loggable, seal, unseal,
};
use crate::catalog::notifications::opaque_id;

/// The columns which `source` reads, in its order.
macro_rules! source_columns {
    () => {
        "import_sources.id, import_sources.name, bucket, endpoint, region, path_style, \
         access_key_id, secret_access_key, import_sources.created"
    };
}

/// The columns which `job` reads, in its order.
macro_rules! job_columns {
    () => {
        "import_jobs.id, import_sources.id, root, prefix, overwrite, state, found, imported, \
         skipped, failed, error, import_jobs.created, started, finished"
    };
}

statements! {
    SOURCES = concat!(
        "SELECT ", source_columns!(), " FROM import_sources
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY pk"
    );
    COUNT_SOURCES = "SELECT count(*) FROM import_sources WHERE account = ?1";
    INSERT_SOURCE =
        "INSERT INTO import_sources (account, id, name, bucket, endpoint, region, path_style,
             access_key_id, secret_access_key, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    RENAME = "UPDATE import_sources SET name = ?3 WHERE account = ?1 AND id = ?2";
    SOURCE_PK = "SELECT pk FROM import_sources WHERE account = ?1 AND id = ?2";
    IS_OPEN =
        "SELECT EXISTS (SELECT 1 FROM import_jobs
         WHERE source = ?1 AND state IN ('pending', 'running'))";
    DELETE_OBJECTS =
        "DELETE FROM import_objects WHERE source = ?1
             AND image IN (SELECT image FROM import_objects WHERE source = ?1 LIMIT ?2)";
    DELETE_LINES =
        "DELETE FROM import_log WHERE (job, number) IN (
             SELECT job, number FROM import_log
             WHERE job IN (SELECT pk FROM import_jobs WHERE source = ?1) LIMIT ?2)";
    DELETE_SOURCE = "DELETE FROM import_sources WHERE pk = ?1";
    A_SOURCE = "SELECT pk FROM import_sources WHERE account = ?1 LIMIT 1";
    JOBS = concat!(
        "SELECT ", job_columns!(), "
         FROM import_jobs JOIN import_sources ON import_sources.pk = source
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1)
         ORDER BY import_jobs.created DESC, import_jobs.pk DESC"
    );
    COUNT_OPEN =
        "SELECT count(*) FROM import_jobs JOIN import_sources ON import_sources.pk = source
         WHERE account = ?1 AND state IN ('pending', 'running')";
    INSERT_JOB =
        "INSERT INTO import_jobs (source, id, root, prefix, overwrite, state, created, turn)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)";
    DELETE_OLD_JOBS =
        "DELETE FROM import_jobs WHERE pk IN (
             SELECT import_jobs.pk
             FROM import_jobs JOIN import_sources ON import_sources.pk = source
             WHERE account = ?1 AND state NOT IN ('pending', 'running')
             ORDER BY import_jobs.created DESC, import_jobs.pk DESC LIMIT -1 OFFSET ?2)";
    JOB_PK =
        "SELECT import_jobs.pk FROM import_jobs JOIN import_sources ON import_sources.pk = source
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND import_jobs.id = ?2";
    ABORT =
        "UPDATE import_jobs SET state = 'aborted', finished = ?2
         WHERE pk = ?1 AND state IN ('pending', 'running')";
    LOG =
        "SELECT number, key, outcome, reason FROM import_log
         WHERE job = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    WAITS =
        "SELECT EXISTS (SELECT 1 FROM import_jobs
         WHERE state IN ('pending', 'running') AND lapses <= ?1)";
    NEXT = concat!(
        "SELECT import_jobs.pk, source, accounts.id, after_key, claims, ", source_columns!(), ", ",
        job_columns!(), ", holder IS NOT NULL
         FROM import_jobs JOIN import_sources ON import_sources.pk = source
             JOIN accounts ON accounts.pk = account
         WHERE state IN ('pending', 'running') AND lapses <= ?1
         ORDER BY turn, import_jobs.pk LIMIT 1"
    );
    CLAIM =
        "UPDATE import_jobs
         SET state = 'running', holder = ?2, lapses = ?3, started = coalesce(started, ?4), turn = ?5,
             claims = claims + 1
         WHERE pk = ?1";
    OBJECT =
        "SELECT image, etag, bytes, modified, blob FROM import_objects
         WHERE source = ?1 AND image = ?2";
    ADVANCE =
        "UPDATE import_jobs SET after_key = coalesce(?3, after_key), lapses = ?4,
             found = found + ?5, imported = imported + ?6, skipped = skipped + ?7,
             failed = failed + ?8, error = coalesce(?9, error),
             claims = iif(?3 IS NULL, claims, 0)
         WHERE pk = ?1 AND holder = ?2 AND state IN ('running', 'aborted')
         RETURNING state = 'running'";
    LINES = "SELECT coalesce(max(number), 0) FROM import_log WHERE job = ?1";
    INSERT_LINE =
        "INSERT INTO import_log (job, number, key, outcome, reason) VALUES (?1, ?2, ?3, ?4, ?5)";
    PUT_OBJECT =
        "INSERT OR REPLACE INTO import_objects (source, image, etag, bytes, modified, blob)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    END =
        "UPDATE import_jobs SET state = ?3, error = ?4, finished = ?5
         WHERE pk = ?1 AND holder = ?2 AND state = 'running'";
    FAIL =
        "UPDATE import_jobs SET state = 'failed', error = ?2, finished = ?3 WHERE pk = ?1";
    YIELD =
        "UPDATE import_jobs SET holder = NULL, lapses = ?3
         WHERE pk = ?1 AND holder = ?2 AND state = 'running'";
    LET_GO =
        "UPDATE import_jobs SET lapses = 0
         WHERE substr(holder, 1, length(?1)) = ?1 AND state = 'running'";
    KEEP_CLAIM =
        "SELECT 1 FROM import_jobs WHERE pk = ?1 AND holder = ?2 AND state = 'running'";
    pub(super) DELETE_SOURCES = "DELETE FROM import_sources WHERE account = ?1";
    pub(super) ABORT_ALL =
        "UPDATE import_jobs SET state = 'aborted'
         WHERE source IN (SELECT pk FROM import_sources WHERE account = ?1)
             AND state IN ('pending', 'running')";
}

#[async_trait]
impl Imports for Sqlite {
    async fn import_sources(&self, account: &AccountId) -> Result<Vec<ImportSource>, Error> {
        let account = account.clone();
        let sealed = self.read(move |connection| sources(connection, &account));
        Ok(sealed
            .await?
            .into_iter()
            .map(|(source, _)| source)
            .collect())
    }

    async fn insert_import_source(
        &self,
        account: &AccountId,
        source: &ImportSource,
        sources_max: usize,
    ) -> Result<(), Error> {
        let sealed = seal(&self.vault, account, source);
        let (account, source) = (account.clone(), source.clone());
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let account = rows::require_account(connection, &account)?;
            rows::require_place(connection, COUNT_SOURCES, account, sources_max)?;
            insert_source(connection, account, &source, &sealed)
        })
        .await
    }

    async fn rename_import_source(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        name: &str,
    ) -> Result<(), Error> {
        let (account, id, name) = (account.clone(), id.clone(), name.to_owned());
        self.write(Touched::Nothing, move |writing| {
            let account = rows::require_account(writing.connection, &account)?;
            let mut statement = writing.connection.prepare_cached(RENAME)?;
            match statement.execute(params![account, id.as_str(), name])? {
                0 => Err(Error::NotFound),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn delete_import_source(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error> {
        loop {
            let (account, id) = (account.clone(), id.clone());
            // In steps, so that others can write in between.
            let is_gone = self.write(Touched::Nothing, move |writing| {
                let connection = writing.connection;
                let account = rows::require_account(connection, &account)?;
                let pk = source_pk(connection, account, &id)?;
                let mut statement = connection.prepare_cached(IS_OPEN)?;
                if statement.query_row([pk], |row| row.get(0))? {
                    return Err(Error::InUse);
                }
                delete_some(connection, pk)
            });
            if is_gone.await? {
                return Ok(());
            }
        }
    }

    async fn import_jobs(&self, account: &AccountId) -> Result<Vec<ImportJob>, Error> {
        let account = account.clone();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(JOBS)?;
            let mut rows = statement.query([account.as_str()])?;
            let mut jobs = Vec::new();
            while let Some(row) = rows.next()? {
                jobs.push(job(row, 0)?);
            }
            Ok(jobs)
        })
        .await
    }

    async fn insert_import_job(
        &self,
        account: &AccountId,
        job: &ImportJob,
        open_max: usize,
    ) -> Result<(), Error> {
        let (account, job) = (account.clone(), job.clone());
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let account = rows::require_account(connection, &account)?;
            let source = source_pk(connection, account, &job.source)?;
            rows::require_place(connection, COUNT_OPEN, account, open_max)?;
            let mut statement = connection.prepare_cached(DELETE_OLD_JOBS)?;
            statement.execute(params![account, JOBS_KEPT - 1])?;
            let mut statement = connection.prepare_cached(INSERT_JOB)?;
            let inserted = statement.execute(params![
                source,
                job.id.as_str(),
                job.root,
                job.prefix,
                job.overwrite,
                job.state.as_str(),
                job.created.micros(),
            ]);
            inserted.map(drop).map_err(taken_or)
        })
        .await
    }

    async fn abort_import_job(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        self.write(Touched::Nothing, move |writing| {
            let pk = job_pk(writing.connection, &account, &id)?;
            let mut statement = writing.connection.prepare_cached(ABORT)?;
            match statement.execute([pk, now.micros()])? {
                0 => Err(Error::Changed),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn import_log(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImportEntry)>, Error> {
        let (account, id) = (account.clone(), id.clone());
        self.read_snapshot(move |connection| {
            let pk = job_pk(connection, &account, &id)?;
            let mut statement = connection.prepare_cached(LOG)?;
            let mut rows = statement.query(params![pk, rows::limit(after), limit])?;
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                let outcome = row.get_ref(2)?.as_str().ok();
                let outcome = outcome.and_then(ImportOutcome::parse);
                let entry = ImportEntry {
                    key: row.get(1)?,
                    outcome: outcome.ok_or(Corrupt("outcome of an import"))?,
                    reason: row.get(3)?,
                };
                lines.push((rows::count(row.get(0)?), entry));
            }
            Ok(lines)
        })
        .await
    }

    async fn claim_import_job(
        &self,
        holder: [u8; 16],
        time: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedImport>, Error> {
        let waits = self.read(|connection| {
            let mut statement = connection.prepare_cached(WAITS)?;
            Ok(statement.query_row([Timestamp::now().micros()], |row| row.get(0))?)
        });
        let waits: bool = waits.await?;
        if !waits {
            return Ok(None);
        }
        let vault = self.vault.clone();
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let clock = Timestamp::now();
            let mut statement = connection.prepare_cached(NEXT)?;
            let mut found = statement.query([clock.micros()])?;
            let Some(row) = found.next()? else {
                return Ok(None);
            };
            let account = row.get_ref(2)?.as_str().ok();
            let account = account.and_then(|id| AccountId::try_from(id).ok());
            let account = account.ok_or(Corrupt("account id"))?;
            let number: i64 = row.get(0)?;
            let source = match unseal(&vault, &account, source(row, 5)?) {
                Err(Error::Sealed) => {
                    let mut statement = connection.prepare_cached(FAIL)?;
                    statement.execute(params![number, SEALED, now.micros()])?;
                    return Ok(None);
                }
                source => source?,
            };
            let job = job(row, 14)?;
            let claims: u32 = row.get(4)?;
            let claimed = ClaimedImport {
                number,
                source_number: row.get(1)?,
                source,
                is_taken_over: row.get(28)?,
                job,
                after: row.get(3)?,
                claims: claims.saturating_add(1),
                holder,
                account,
            };
            connection.prepare_cached(CLAIM)?.execute(params![
                claimed.number,
                holder,
                clock.after(time).micros(),
                now.micros(),
                clock.micros(),
            ])?;
            Ok(Some(claimed))
        })
        .await
    }

    async fn imported_objects(
        &self,
        claimed: &ClaimedImport,
        images: Vec<ImageId>,
    ) -> Result<Vec<ImportedObject>, Error> {
        let source = claimed.source_number;
        self.read_snapshot(move |connection| {
            let mut statement = connection.prepare_cached(OBJECT)?;
            let mut objects = Vec::new();
            for image in &images {
                let found = statement.query_row(params![source, image.as_str()], |row| {
                    let Blob(blob) = row.get(4)?;
                    Ok(ImportedObject {
                        image: ImageId::from_path(row.get(0)?),
                        etag: row.get(1)?,
                        bytes: rows::count(row.get(2)?),
                        modified: Timestamp::from_micros(row.get(3)?),
                        blob,
                    })
                });
                objects.extend(found.optional()?);
            }
            Ok(objects)
        })
        .await
    }

    async fn advance_import_job(
        &self,
        claimed: &ClaimedImport,
        step: ImportStep,
        time: Duration,
    ) -> Result<bool, Error> {
        let claimed = claimed.clone();
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let ImportCounts {
                found,
                imported,
                skipped,
                failed,
            } = step.counts;
            let mut statement = connection.prepare_cached(ADVANCE)?;
            let asked = params![
                claimed.number,
                claimed.holder,
                step.after,
                Timestamp::now().after(time).micros(),
                rows::limit(found),
                rows::limit(imported),
                rows::limit(skipped),
                rows::limit(failed),
                step.error,
            ];
            let advanced = statement.query_row(asked, |row| row.get(0)).optional()?;
            let Some(goes_on) = advanced else {
                return Ok(false);
            };
            let mut statement = connection.prepare_cached(PUT_OBJECT)?;
            for object in &step.objects {
                statement.execute(params![
                    claimed.source_number,
                    object.image.as_str(),
                    object.etag,
                    rows::limit(object.bytes),
                    object.modified.micros(),
                    Blob(object.blob.clone()),
                ])?;
            }
            if step.entries.is_empty() {
                return Ok(goes_on);
            }
            let mut statement = connection.prepare_cached(LINES)?;
            let last: i64 = statement.query_row([claimed.number], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(INSERT_LINE)?;
            for (number, entry) in (last + 1..).zip(loggable(rows::count(last), &step.entries)) {
                statement.execute(params![
                    claimed.number,
                    number,
                    entry.key,
                    entry.outcome.as_str(),
                    entry.reason,
                ])?;
            }
            Ok(goes_on)
        })
        .await
    }

    async fn end_import_job(
        &self,
        claimed: &ClaimedImport,
        state: ImportState,
        error: Option<String>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let claimed = claimed.clone();
        self.write(Touched::Nothing, move |writing| {
            writing.connection.prepare_cached(END)?.execute(params![
                claimed.number,
                claimed.holder,
                state.as_str(),
                error,
                now.micros(),
            ])?;
            Ok(())
        })
        .await
    }

    async fn yield_import_job(
        &self,
        claimed: &ClaimedImport,
        pause: Duration,
    ) -> Result<(), Error> {
        let (number, holder) = (claimed.number, claimed.holder);
        self.write(Touched::Nothing, move |writing| {
            let mut statement = writing.connection.prepare_cached(YIELD)?;
            let until = Timestamp::now().after(pause);
            statement.execute(params![number, holder, until.micros()])?;
            Ok(())
        })
        .await
    }

    async fn release_import_jobs(&self, holders: &[u8]) -> Result<(), Error> {
        let holder = holders.to_vec();
        self.write(Touched::Nothing, move |writing| {
            writing
                .connection
                .prepare_cached(LET_GO)?
                .execute([holder])?;
            Ok(())
        })
        .await
    }

    async fn insert_imported_image(
        &self,
        claimed: &ClaimedImport,
        image: Image,
        replaced: Option<BlobKey>,
        images_max: Option<u64>,
        not_before: Timestamp,
    ) -> Result<Image, Error> {
        let touched = self.recent.image_touched(&claimed.account, &image.id);
        let claimed = claimed.clone();
        self.write(touched, move |writing| {
            let mut statement = writing.connection.prepare_cached(KEEP_CLAIM)?;
            if !statement.exists(params![claimed.number, claimed.holder])? {
                return Err(Error::NotFound);
            }
            let account = &claimed.account;
            let images_max = match replaced {
                Some(replaced) => {
                    let there = match images::delete(writing, account, &image.id, not_before) {
                        Err(Error::NotFound) => return Err(Error::Changed),
                        deleted => deleted?.source,
                    };
                    if there.is_none_or(|source| source.blob != replaced) {
                        return Err(Error::Changed);
                    }
                    None
                }
                None => images_max,
            };
            images::insert(writing, account, image, images_max)
        })
        .await
    }
}

/// Deletes something of a source, and the source when nothing else is left. Whether it is gone.
fn delete_some(connection: &Connection, pk: i64) -> Result<bool, Error> {
    for sql in [DELETE_OBJECTS, DELETE_LINES] {
        let mut statement = connection.prepare_cached(sql)?;
        let deleted = statement.execute(params![pk, DELETED_AT_ONCE])?;
        if deleted as u64 == u64::from(DELETED_AT_ONCE) {
            return Ok(false);
        }
    }
    connection.prepare_cached(DELETE_SOURCE)?.execute([pk])?;
    Ok(true)
}

/// Deletes something of a source of an account. `false` if it has none.
pub(super) fn delete_any(connection: &Connection, account: i64) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached(A_SOURCE)?;
    let source = statement
        .query_row([account], |row| row.get(0))
        .optional()?;
    source.map_or(Ok(false), |pk| delete_some(connection, pk).map(|_| true))
}

pub(super) fn sources(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<(ImportSource, Vec<u8>)>, Error> {
    let mut statement = connection.prepare_cached(SOURCES)?;
    let mut rows = statement.query([account.as_str()])?;
    let mut sources = Vec::new();
    while let Some(row) = rows.next()? {
        sources.push(source(row, 0)?);
    }
    Ok(sources)
}

pub(super) fn insert_source(
    connection: &Connection,
    account: i64,
    source: &ImportSource,
    sealed: &[u8],
) -> Result<(), Error> {
    let ImportBucket {
        name,
        endpoint,
        region,
        path_style,
        access_key_id,
        ..
    } = &source.bucket;
    let mut statement = connection.prepare_cached(INSERT_SOURCE)?;
    let inserted = statement.execute(params![
        account,
        source.id.as_str(),
        source.name,
        name,
        endpoint,
        region,
        path_style,
        access_key_id,
        sealed,
        source.created.micros(),
    ]);
    inserted.map(drop).map_err(taken_or)
}

fn source_pk(connection: &Connection, account: i64, id: &OpaqueId) -> Result<i64, Error> {
    let mut statement = connection.prepare_cached(SOURCE_PK)?;
    let found = statement.query_row(params![account, id.as_str()], |row| row.get(0));
    found.optional()?.ok_or(Error::NotFound)
}

fn job_pk(connection: &Connection, account: &AccountId, id: &OpaqueId) -> Result<i64, Error> {
    let mut statement = connection.prepare_cached(JOB_PK)?;
    let found = statement.query_row([account.as_str(), id.as_str()], |row| row.get(0));
    found.optional()?.ok_or(Error::NotFound)
}

/// Without its secret, which is sealed.
fn source(row: &Row<'_>, at: usize) -> Result<(ImportSource, Vec<u8>), Error> {
    let id = row.get_ref(at)?.as_str().map_err(|_| Corrupt("source"))?;
    let source = ImportSource {
        id: opaque_id(id)?,
        name: row.get(at + 1)?,
        bucket: ImportBucket {
            name: row.get(at + 2)?,
            endpoint: row.get(at + 3)?,
            region: row.get(at + 4)?,
            path_style: row.get(at + 5)?,
            access_key_id: row.get(at + 6)?,
            secret_access_key: String::new(),
        },
        created: Timestamp::from_micros(row.get(at + 8)?),
    };
    Ok((source, row.get(at + 7)?))
}

fn job(row: &Row<'_>, at: usize) -> Result<ImportJob, Error> {
    let id = |at: usize| -> Result<OpaqueId, Error> {
        let text = row.get_ref(at)?.as_str().map_err(|_| Corrupt("import"))?;
        Ok(opaque_id(text)?)
    };
    let count = |at: usize| -> Result<u64, Error> { Ok(rows::count(row.get(at)?)) };
    let moment = |at: usize| -> Result<Option<Timestamp>, Error> {
        let micros: Option<i64> = row.get(at)?;
        Ok(micros.map(Timestamp::from_micros))
    };
    let state = row.get_ref(at + 5)?.as_str().ok();
    let state = state.and_then(ImportState::parse);
    Ok(ImportJob {
        id: id(at)?,
        source: id(at + 1)?,
        root: row.get(at + 2)?,
        prefix: row.get(at + 3)?,
        overwrite: row.get(at + 4)?,
        state: state.ok_or(Corrupt("state of an import"))?,
        counts: ImportCounts {
            found: count(at + 6)?,
            imported: count(at + 7)?,
            skipped: count(at + 8)?,
            failed: count(at + 9)?,
        },
        error: row.get(at + 10)?,
        created: Timestamp::from_micros(row.get(at + 11)?),
        started: moment(at + 12)?,
        finished: moment(at + 13)?,
    })
}

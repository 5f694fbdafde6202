//! Sources and jobs of imports. Sources and new jobs change under a lock of their account; a job which runs is
//! its holder's, by the clock of the database.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use model::{
    AccountId, BlobKey, Image, ImageId, ImportBucket, ImportCounts, ImportEntry, ImportJob,
    ImportOutcome, ImportSource, ImportState, ImportedObject, OpaqueId, Timestamp,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::changes::Change;
use super::pool::Connection;
use super::{Corrupt, Postgres, Writing, images, rows, statements, taken_or, work};
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
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY pk"
    );
    COUNT_SOURCES = "SELECT count(*) FROM import_sources WHERE account = $1";
    INSERT_SOURCE =
        "INSERT INTO import_sources (account, id, name, bucket, endpoint, region, path_style,
             access_key_id, secret_access_key, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    RENAME = "UPDATE import_sources SET name = $3 WHERE account = $1 AND id = $2";
    SOURCE_PK = "SELECT pk FROM import_sources WHERE account = $1 AND id = $2";
    IS_OPEN =
        "SELECT EXISTS (SELECT 1 FROM import_jobs
         WHERE source = $1 AND state IN ('pending', 'running'))";
    DELETE_OBJECTS =
        "DELETE FROM import_objects WHERE source = $1
             AND image_hash IN (SELECT image_hash FROM import_objects WHERE source = $1 LIMIT $2)";
    DELETE_LINES =
        "DELETE FROM import_log WHERE (job, number) IN (
             SELECT job, number FROM import_log
             WHERE job IN (SELECT pk FROM import_jobs WHERE source = $1) LIMIT $2)";
    DELETE_JOBS = "DELETE FROM import_jobs WHERE source = $1";
    DELETE_SOURCE = "DELETE FROM import_sources WHERE pk = $1";
    A_SOURCE = "SELECT pk FROM import_sources WHERE account = $1 LIMIT 1";
    JOBS = concat!(
        "SELECT ", job_columns!(), "
         FROM import_jobs JOIN import_sources ON import_sources.pk = source
         WHERE account = (SELECT pk FROM accounts WHERE id = $1)
         ORDER BY import_jobs.created DESC, import_jobs.pk DESC"
    );
    COUNT_OPEN =
        "SELECT count(*) FROM import_jobs JOIN import_sources ON import_sources.pk = source
         WHERE account = $1 AND state IN ('pending', 'running')";
    INSERT_JOB =
        "INSERT INTO import_jobs (source, id, root, prefix, overwrite, state, created)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    DELETE_OLD_JOBS =
        "DELETE FROM import_jobs WHERE pk IN (
             SELECT import_jobs.pk
             FROM import_jobs JOIN import_sources ON import_sources.pk = source
             WHERE account = $1 AND state NOT IN ('pending', 'running')
             ORDER BY import_jobs.created DESC, import_jobs.pk DESC OFFSET $2)";
    JOB_PK =
        "SELECT import_jobs.pk FROM import_jobs JOIN import_sources ON import_sources.pk = source
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND import_jobs.id = $2";
    ABORT =
        "UPDATE import_jobs SET state = 'aborted', finished = $2
         WHERE pk = $1 AND state IN ('pending', 'running')";
    LOG =
        "SELECT number, key, outcome, reason FROM import_log
         WHERE job = $1 AND number > $2 ORDER BY number LIMIT $3";
    WAITS =
        "SELECT EXISTS (SELECT 1 FROM import_jobs
         WHERE state IN ('pending', 'running') AND lapses <= clock_timestamp())";
    CLAIM =
        "WITH next AS MATERIALIZED (
             SELECT pk, holder FROM import_jobs
             WHERE state IN ('pending', 'running') AND lapses <= clock_timestamp()
             ORDER BY turn, pk LIMIT 1
             FOR UPDATE SKIP LOCKED)
         UPDATE import_jobs
         SET state = 'running', holder = $1,
             lapses = clock_timestamp() + $2 * interval '1 millisecond',
             started = coalesce(started, $3), turn = clock_timestamp(), claims = claims + 1
         FROM next WHERE import_jobs.pk = next.pk
         RETURNING import_jobs.pk, claims, next.holder IS NOT NULL";
    CLAIMED = concat!(
        "SELECT import_jobs.pk, source, accounts.id, after_key, ", source_columns!(), ", ",
        job_columns!(), "
         FROM import_jobs JOIN import_sources ON import_sources.pk = source
             JOIN accounts ON accounts.pk = account
         WHERE import_jobs.pk = $1"
    );
    OBJECTS =
        "SELECT image, etag, bytes, modified, blob
         FROM unnest($2::bytea[], $3::text[]) AS asked (hash, image)
             JOIN import_objects ON source = $1 AND image_hash = hash";
    ADVANCE =
        "UPDATE import_jobs SET after_key = coalesce($3::text, after_key),
             lapses = clock_timestamp() + $4 * interval '1 millisecond',
             found = found + $5, imported = imported + $6, skipped = skipped + $7,
             failed = failed + $8, error = coalesce($9::text, error),
             claims = CASE WHEN $3::text IS NULL THEN claims ELSE 0 END
         WHERE pk = $1 AND holder = $2 AND state IN ('running', 'aborted')
         RETURNING state = 'running'";
    LINES = "SELECT coalesce(max(number), 0) FROM import_log WHERE job = $1";
    INSERT_LINES =
        "INSERT INTO import_log (job, number, key, outcome, reason)
         SELECT $1, $2 + number, key, outcome, reason
         FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY
             AS line (key, outcome, reason, number)";
    PUT_OBJECTS =
        "INSERT INTO import_objects (source, image_hash, etag, bytes, modified, blob)
         SELECT $1, image_hash, etag, bytes, modified, blob
         FROM unnest($2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
             AS object (image_hash, etag, bytes, modified, blob) ORDER BY image_hash
         ON CONFLICT (source, image_hash) DO UPDATE
         SET etag = excluded.etag, bytes = excluded.bytes, modified = excluded.modified,
             blob = excluded.blob";
    END =
        "UPDATE import_jobs SET state = $3, error = $4, finished = $5
         WHERE pk = $1 AND holder = $2 AND state = 'running'";
    FAIL = "UPDATE import_jobs SET state = 'failed', error = $2, finished = $3 WHERE pk = $1";
    YIELD =
        "UPDATE import_jobs SET holder = NULL,
             lapses = clock_timestamp() + $3 * interval '1 millisecond'
         WHERE pk = $1 AND holder = $2 AND state = 'running'";
    LET_GO =
        "UPDATE import_jobs SET lapses = '-infinity'
         WHERE substring(holder FROM 1 FOR length($1::bytea)) = $1::bytea AND state = 'running'";
    // Until the image is there, so that it was not before it was aborted.
    KEEP_CLAIM =
        "SELECT 1 FROM import_jobs WHERE pk = $1 AND holder = $2 AND state = 'running' FOR SHARE";
    pub(super) DELETE_SOURCES = "DELETE FROM import_sources WHERE account = $1";
    pub(super) ABORT_ALL =
        "UPDATE import_jobs SET state = 'aborted'
         WHERE source IN (SELECT pk FROM import_sources WHERE account = $1)
             AND state IN ('pending', 'running')";
}

#[async_trait]
impl Imports for Postgres {
    async fn import_sources(&self, account: &AccountId) -> Result<Vec<ImportSource>, Error> {
        let sealed = self.read(work!(
            [account] | connection | sources(connection, &account)
        ));
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
        self.write(
            Change::Nothing,
            work!(
                [account, source, sealed]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        rows::require_place(connection, COUNT_SOURCES, account, sources_max)
                            .await?;
                        insert_source(connection, account, &source, &sealed).await
                    }
            ),
        )
        .await
    }

    async fn rename_import_source(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        name: &str,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        self.write(
            Change::Nothing,
            work!(
                [account, id, name]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        let renamed = connection
                            .execute(RENAME, &[&account, &id.as_str(), &name])
                            .await;
                        match renamed? {
                            0 => Err(Error::NotFound),
                            _ => Ok(()),
                        }
                    }
            ),
        )
        .await
    }

    async fn delete_import_source(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error> {
        // In steps, so that nothing is locked for long.
        while !self
            .write(
                Change::Nothing,
                work!([account, id] | writing | delete_source(writing.connection, &account, &id)),
            )
            .await?
        {}
        Ok(())
    }

    async fn import_jobs(&self, account: &AccountId) -> Result<Vec<ImportJob>, Error> {
        self.read(work!(
            [account]
                | connection
                | async move {
                    let found = connection.query(JOBS, &[&account.as_str()]).await?;
                    found.iter().map(|row| job(row, 0)).collect()
                }
        ))
        .await
    }

    async fn insert_import_job(
        &self,
        account: &AccountId,
        job: &ImportJob,
        open_max: usize,
    ) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, job]
                    | writing
                    | async move { insert_job(writing.connection, &account, &job, open_max).await }
            ),
        )
        .await
    }

    async fn abort_import_job(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, id]
                    | writing
                    | async move {
                        let pk = job_pk(writing.connection, &account, &id).await?;
                        let aborted = writing
                            .connection
                            .execute(ABORT, &[&pk, &now.micros()])
                            .await;
                        match aborted? {
                            0 => Err(Error::Changed),
                            _ => Ok(()),
                        }
                    }
            ),
        )
        .await
    }

    async fn import_log(
        &self,
        account: &AccountId,
        id: &OpaqueId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImportEntry)>, Error> {
        self.read_snapshot(work!(
            [account, id]
                | connection
                | async move {
                    let pk = job_pk(connection, &account, &id).await?;
                    let asked = (rows::limit(after), i64::from(limit));
                    let found = connection.query(LOG, &[&pk, &asked.0, &asked.1]).await?;
                    found.iter().map(line).collect()
                }
        ))
        .await
    }

    async fn claim_import_job(
        &self,
        holder: [u8; 16],
        time: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedImport>, Error> {
        let waits = self.read(|connection| {
            async move { Ok(connection.query_one(WAITS, &[]).await?.try_get(0)?) }.boxed()
        });
        let waits: bool = waits.await?;
        if !waits {
            return Ok(None);
        }
        let vault = &self.vault;
        self.write(
            Change::Nothing,
            work!(
                [vault]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let millis = time.as_secs_f64() * 1_000.0;
                        let claimed = connection
                            .query_opt(CLAIM, &[&holder.as_slice(), &millis, &now.micros()])
                            .await?;
                        let Some(claimed) = claimed else {
                            return Ok(None);
                        };
                        let pk: i64 = claimed.try_get(0)?;
                        let row = connection.query_one(CLAIMED, &[&pk]).await?;
                        let account = AccountId::try_from(row.try_get::<_, &str>(2)?);
                        let account = account.map_err(|_| Corrupt("account id"))?;
                        let source = match unseal(&vault, &account, source(&row, 4)?) {
                            Err(Error::Sealed) => {
                                connection
                                    .execute(FAIL, &[&pk, &SEALED, &now.micros()])
                                    .await?;
                                return Ok(None);
                            }
                            source => source?,
                        };
                        let claims: i64 = claimed.try_get(1)?;
                        Ok(Some(ClaimedImport {
                            number: pk,
                            source_number: row.try_get(1)?,
                            source,
                            job: job(&row, 13)?,
                            after: row.try_get(3)?,
                            is_taken_over: claimed.try_get(2)?,
                            claims: u32::try_from(claims).unwrap_or(u32::MAX),
                            holder,
                            account,
                        }))
                    }
            ),
        )
        .await
    }

    async fn imported_objects(
        &self,
        claimed: &ClaimedImport,
        images: Vec<ImageId>,
    ) -> Result<Vec<ImportedObject>, Error> {
        let source = claimed.source_number;
        let hashes: Vec<Vec<u8>> = images.iter().map(rows::id_hash).collect();
        self.read(work!(
            [images, hashes]
                | connection
                | async move {
                    let names: Vec<&str> = images.iter().map(ImageId::as_str).collect();
                    let found = connection
                        .query(OBJECTS, &[&source, &hashes, &names])
                        .await?;
                    let object = |row: &Row| -> Result<ImportedObject, Error> {
                        Ok(ImportedObject {
                            image: ImageId::from_path(row.try_get(0)?),
                            etag: row.try_get(1)?,
                            bytes: rows::count(row.try_get(2)?),
                            modified: Timestamp::from_micros(row.try_get(3)?),
                            blob: rows::blob_key(row.try_get(4)?)?,
                        })
                    };
                    found.iter().map(object).collect()
                }
        ))
        .await
    }

    async fn advance_import_job(
        &self,
        claimed: &ClaimedImport,
        step: ImportStep,
        time: Duration,
    ) -> Result<bool, Error> {
        self.write(
            Change::Nothing,
            work!(
                [claimed, step]
                    | writing
                    | async move { advance(writing.connection, &claimed, &step, time).await }
            ),
        )
        .await
    }

    async fn end_import_job(
        &self,
        claimed: &ClaimedImport,
        state: ImportState,
        error: Option<String>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [claimed, error]
                    | writing
                    | async move {
                        writing
                            .connection
                            .execute(
                                END,
                                &[
                                    &claimed.number,
                                    &claimed.holder.as_slice(),
                                    &state.as_str(),
                                    &error,
                                    &now.micros(),
                                ],
                            )
                            .await?;
                        Ok(())
                    }
            ),
        )
        .await
    }

    async fn yield_import_job(
        &self,
        claimed: &ClaimedImport,
        pause: Duration,
    ) -> Result<(), Error> {
        let millis = pause.as_secs_f64() * 1_000.0;
        self.write(
            Change::Nothing,
            work!(
                [claimed]
                    | writing
                    | async move {
                        let asked: [&(dyn ToSql + Sync); 3] =
                            [&claimed.number, &claimed.holder.as_slice(), &millis];
                        writing.connection.execute(YIELD, &asked).await?;
                        Ok(())
                    }
            ),
        )
        .await
    }

    async fn release_import_jobs(&self, holders: &[u8]) -> Result<(), Error> {
        let holders = holders.to_vec();
        self.write(
            Change::Nothing,
            work!(
                [holders]
                    | writing
                    | async move {
                        writing.connection.execute(LET_GO, &[&holders]).await?;
                        Ok(())
                    }
            ),
        )
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
        let place = Place {
            replaced,
            images_max,
            not_before,
        };
        self.write(
            Change::Image(claimed.account.clone(), image.id.clone()),
            work!([claimed, image, place] | writing | insert(writing, &claimed, image, place)),
        )
        .await
    }
}

/// Where an imported image comes.
#[derive(Clone)]
struct Place {
    replaced: Option<BlobKey>,
    images_max: Option<u64>,
    not_before: Timestamp,
}

async fn insert(
    writing: &Writing<'_>,
    claimed: &ClaimedImport,
    image: Image,
    place: Place,
) -> Result<Image, Error> {
    let account = &claimed.account;
    let images_max = match place.replaced {
        Some(replaced) => {
            let deleted = images::delete(writing, account, &image.id, place.not_before).await;
            let there = match deleted {
                Err(Error::NotFound) => return Err(Error::Changed),
                deleted => deleted?.source,
            };
            if there.is_none_or(|source| source.blob != replaced) {
                return Err(Error::Changed);
            }
            None
        }
        None => place.images_max,
    };
    let inserted = images::insert(writing, account, image, images_max).await?;
    // The account is locked before the job, as whoever deletes the account does it.
    let asked: [&(dyn ToSql + Sync); 2] = [&claimed.number, &claimed.holder.as_slice()];
    let kept = writing.connection.query_opt(KEEP_CLAIM, &asked).await?;
    kept.map(|_| inserted).ok_or(Error::NotFound)
}

pub(super) async fn sources(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<(ImportSource, Vec<u8>)>, Error> {
    let found = connection.query(SOURCES, &[&account.as_str()]).await?;
    found.iter().map(|row| source(row, 0)).collect()
}

pub(super) async fn insert_source(
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
    let inserted = connection
        .execute(
            INSERT_SOURCE,
            &[
                &account,
                &source.id.as_str(),
                &source.name,
                name,
                endpoint,
                region,
                path_style,
                access_key_id,
                &sealed,
                &source.created.micros(),
            ],
        )
        .await;
    inserted.map(drop).map_err(taken_or)
}

/// Whether it is gone; else the next step goes on.
async fn delete_source(
    connection: &Connection,
    account: &AccountId,
    id: &OpaqueId,
) -> Result<bool, Error> {
    let account = rows::lock_account(connection, account).await?;
    let pk = source_pk(connection, account, id).await?;
    if connection.query_one(IS_OPEN, &[&pk]).await?.try_get(0)? {
        return Err(Error::InUse);
    }
    delete_some(connection, pk).await
}

/// Deletes something of a source, and the source when nothing else is left. Whether it is gone.
async fn delete_some(connection: &Connection, pk: i64) -> Result<bool, Error> {
    let limit = i64::from(DELETED_AT_ONCE);
    for sql in [DELETE_OBJECTS, DELETE_LINES] {
        if connection.execute(sql, &[&pk, &limit]).await? == u64::from(DELETED_AT_ONCE) {
            return Ok(false);
        }
    }
    // Jobs before their source, as they are noted.
    connection.execute(DELETE_JOBS, &[&pk]).await?;
    connection.execute(DELETE_SOURCE, &[&pk]).await?;
    Ok(true)
}

/// Deletes something of a source of an account. `false` if it has none.
pub(super) async fn delete_any(connection: &Connection, account: i64) -> Result<bool, Error> {
    match connection.query_opt(A_SOURCE, &[&account]).await? {
        Some(row) => delete_some(connection, row.try_get(0)?).await.map(|_| true),
        None => Ok(false),
    }
}

async fn insert_job(
    connection: &Connection,
    account: &AccountId,
    job: &ImportJob,
    open_max: usize,
) -> Result<(), Error> {
    let account = rows::lock_account(connection, account).await?;
    let source = source_pk(connection, account, &job.source).await?;
    rows::require_place(connection, COUNT_OPEN, account, open_max).await?;
    let kept = i64::from(JOBS_KEPT - 1);
    connection
        .execute(DELETE_OLD_JOBS, &[&account, &kept])
        .await?;
    let inserted = connection
        .execute(
            INSERT_JOB,
            &[
                &source,
                &job.id.as_str(),
                &job.root,
                &job.prefix,
                &job.overwrite,
                &job.state.as_str(),
                &job.created.micros(),
            ],
        )
        .await;
    inserted.map(drop).map_err(taken_or)
}

async fn advance(
    connection: &Connection,
    claimed: &ClaimedImport,
    step: &ImportStep,
    time: Duration,
) -> Result<bool, Error> {
    let ImportCounts {
        found,
        imported,
        skipped,
        failed,
    } = step.counts;
    let millis = time.as_secs_f64() * 1_000.0;
    let advanced = connection
        .query_opt(
            ADVANCE,
            &[
                &claimed.number,
                &claimed.holder.as_slice(),
                &step.after,
                &millis,
                &rows::limit(found),
                &rows::limit(imported),
                &rows::limit(skipped),
                &rows::limit(failed),
                &step.error,
            ],
        )
        .await?;
    let Some(advanced) = advanced else {
        return Ok(false);
    };
    let goes_on: bool = advanced.try_get(0)?;
    if !step.objects.is_empty() {
        let objects = step.objects.iter();
        let hashes: Vec<Vec<u8>> = objects
            .clone()
            .map(|object| rows::id_hash(&object.image))
            .collect();
        let blobs: Vec<&[u8]> = objects
            .clone()
            .map(|object| object.blob.bytes().as_slice())
            .collect();
        let etags: Vec<Option<&str>> = objects
            .clone()
            .map(|object| object.etag.as_deref())
            .collect();
        let bytes: Vec<i64> = objects
            .clone()
            .map(|object| rows::limit(object.bytes))
            .collect();
        let modified: Vec<i64> = objects.map(|object| object.modified.micros()).collect();
        connection
            .execute(
                PUT_OBJECTS,
                &[
                    &claimed.source_number,
                    &hashes,
                    &etags,
                    &bytes,
                    &modified,
                    &blobs,
                ],
            )
            .await?;
    }
    if step.entries.is_empty() {
        return Ok(goes_on);
    }
    let row = connection.query_one(LINES, &[&claimed.number]).await?;
    let last: i64 = row.try_get(0)?;
    let entries: Vec<_> = loggable(rows::count(last), &step.entries).collect();
    let entries = entries.iter();
    let keys: Vec<&str> = entries.clone().map(|entry| entry.key.as_str()).collect();
    let outcomes: Vec<&str> = entries
        .clone()
        .map(|entry| entry.outcome.as_str())
        .collect();
    let reasons: Vec<Option<&str>> = entries.map(|entry| entry.reason.as_deref()).collect();
    connection
        .execute(
            INSERT_LINES,
            &[&claimed.number, &last, &keys, &outcomes, &reasons],
        )
        .await?;
    Ok(goes_on)
}

async fn source_pk(connection: &Connection, account: i64, id: &OpaqueId) -> Result<i64, Error> {
    let found = connection
        .query_opt(SOURCE_PK, &[&account, &id.as_str()])
        .await?;
    Ok(found.ok_or(Error::NotFound)?.try_get(0)?)
}

async fn job_pk(connection: &Connection, account: &AccountId, id: &OpaqueId) -> Result<i64, Error> {
    let found = connection
        .query_opt(JOB_PK, &[&account.as_str(), &id.as_str()])
        .await?;
    Ok(found.ok_or(Error::NotFound)?.try_get(0)?)
}

fn line(row: &Row) -> Result<(u64, ImportEntry), Error> {
    let outcome = ImportOutcome::parse(row.try_get(2)?);
    let entry = ImportEntry {
        key: row.try_get(1)?,
        outcome: outcome.ok_or(Corrupt("outcome of an import"))?,
        reason: row.try_get(3)?,
    };
    Ok((rows::count(row.try_get(0)?), entry))
}

/// Without its secret, which is sealed.
fn source(row: &Row, at: usize) -> Result<(ImportSource, Vec<u8>), Error> {
    let source = ImportSource {
        id: opaque_id(row.try_get(at)?)?,
        name: row.try_get(at + 1)?,
        bucket: ImportBucket {
            name: row.try_get(at + 2)?,
            endpoint: row.try_get(at + 3)?,
            region: row.try_get(at + 4)?,
            path_style: row.try_get(at + 5)?,
            access_key_id: row.try_get(at + 6)?,
            secret_access_key: String::new(),
        },
        created: Timestamp::from_micros(row.try_get(at + 8)?),
    };
    Ok((source, row.try_get(at + 7)?))
}

fn job(row: &Row, at: usize) -> Result<ImportJob, Error> {
    let count = |at: usize| -> Result<u64, Error> { Ok(rows::count(row.try_get(at)?)) };
    let moment = |at: usize| -> Result<Option<Timestamp>, Error> {
        let micros: Option<i64> = row.try_get(at)?;
        Ok(micros.map(Timestamp::from_micros))
    };
    let state = ImportState::parse(row.try_get(at + 5)?);
    Ok(ImportJob {
        id: opaque_id(row.try_get(at)?)?,
        source: opaque_id(row.try_get(at + 1)?)?,
        root: row.try_get(at + 2)?,
        prefix: row.try_get(at + 3)?,
        overwrite: row.try_get(at + 4)?,
        state: state.ok_or(Corrupt("state of an import"))?,
        counts: ImportCounts {
            found: count(at + 6)?,
            imported: count(at + 7)?,
            skipped: count(at + 8)?,
            failed: count(at + 9)?,
        },
        error: row.try_get(at + 10)?,
        created: Timestamp::from_micros(row.try_get(at + 11)?),
        started: moment(at + 12)?,
        finished: moment(at + 13)?,
    })
}

//! Webhooks, policies, and what waits to be told.
//!
//! Webhooks and policies change under a lock of their account. Who notes the end of an upload locks the
//! rows of those who are told against their deletion.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use model::{
    AccountId, Creator, ImageId, NotificationPolicy, OpaqueId, Pending, Timestamp, UploadEnd,
    Webhook,
};
use tokio_postgres::Row;

use super::changes::Change;
use super::pool::Connection;
use super::{Corrupt, Postgres, rows, statements, taken_or, work};
use crate::catalog::notifications::{
    ATTEMPTS_MAX, Claimed, Claims, EXPIRED, Notifications, SealedWebhook, opaque_id, outcome, seal,
    unseal, unseal_all,
};
use crate::{Error, Vault};

/// The columns which `webhook` reads, in its order.
macro_rules! webhook_columns {
    () => {
        "webhooks.id, webhooks.name, url, secret, webhooks.created, last_success, last_failure"
    };
}

/// The columns which `pending` reads, in its order.
macro_rules! pending_columns {
    () => {
        "policies.id, webhooks.id, image, creator, uploaded, reason, happened"
    };
}

/// Those which an account tells of an upload.
macro_rules! told {
    () => {
        "policies JOIN policy_webhooks ON policy_webhooks.policy = policies.pk
             JOIN webhooks ON webhooks.pk = policy_webhooks.webhook"
    };
}

/// Keeps them until the transaction ends.
macro_rules! keep_told {
    () => {
        " FOR KEY SHARE OF policies, policy_webhooks, webhooks"
    };
}

statements! {
    WEBHOOKS = concat!(
        "SELECT ", webhook_columns!(), " FROM webhooks
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY pk"
    );
    COUNT_WEBHOOKS = "SELECT count(*) FROM webhooks WHERE account = $1";
    INSERT_WEBHOOK =
        "INSERT INTO webhooks (account, id, name, url, secret, created, last_success, last_failure)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    SET_WEBHOOK =
        "UPDATE webhooks SET name = $3, url = $4, secret = $5, failures = 0, failing_since = NULL,
             paused_until = '-infinity'
         WHERE account = $1 AND id = $2";
    WEBHOOK_PK = "SELECT pk FROM webhooks WHERE account = $1 AND id = $2";
    IS_TOLD = "SELECT EXISTS (SELECT 1 FROM policy_webhooks WHERE webhook = $1)";
    DELETE_WEBHOOK = "DELETE FROM webhooks WHERE pk = $1";
    POLICIES =
        "SELECT pk, id, name, description, enabled, created, modified FROM policies
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY pk";
    POLICY =
        "SELECT pk, id, name, description, enabled, created, modified FROM policies
         WHERE account = $1 AND id = $2";
    WEBHOOKS_OF_POLICY =
        "SELECT id FROM policy_webhooks JOIN webhooks ON webhooks.pk = webhook
         WHERE policy = $1 ORDER BY place";
    COUNT_POLICIES = "SELECT count(*) FROM policies WHERE account = $1";
    INSERT_POLICY =
        "INSERT INTO policies (account, id, name, description, enabled, created, modified)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING pk";
    SET_POLICY =
        "UPDATE policies SET name = $2, description = $3, enabled = $4, modified = $5
         WHERE pk = $1";
    DELETE_POLICY = "DELETE FROM policies WHERE account = $1 AND id = $2";
    LINK =
        "INSERT INTO policy_webhooks (policy, webhook, place)
         SELECT $1, pk, $4 FROM webhooks WHERE account = $2 AND id = $3
         ON CONFLICT (policy, webhook) DO UPDATE SET place = excluded.place";
    // Alone those which go: whoever notes an end of an upload at this moment passes over rows which are
    // deleted, and does not see new ones yet.
    UNLINK =
        "DELETE FROM policy_webhooks WHERE policy = $1
             AND webhook = (SELECT pk FROM webhooks WHERE account = $2 AND id = $3)";
    DROP_UNTOLD =
        "DELETE FROM notifications WHERE policy = $1
             AND (NOT $2
                 OR webhook NOT IN (SELECT webhook FROM policy_webhooks WHERE policy = $1))";
    pub(super) NOTE = concat!(
        "INSERT INTO notifications
             (policy, webhook, image, image_hash, creator, uploaded, reason, happened)
         SELECT policies.pk, webhooks.pk, $2, $3, $4, $5::bigint, $6::text, $7 FROM ", told!(), "
         WHERE policies.account = $1 AND enabled
             AND ($6::text IS NULL OR NOT EXISTS (SELECT 1 FROM notifications AS waiting
                 WHERE waiting.policy = policies.pk AND waiting.image_hash = $3
                     AND waiting.webhook = webhooks.pk AND waiting.reason IS NOT NULL))",
        keep_told!()
    );
    // What a transaction is filling at this moment is left to the next sweep.
    pub(super) DELETE_EXPIRED_DRAFTS = concat!(
        "WITH gone AS (
             DELETE FROM images WHERE pk IN (
                 SELECT pk FROM images
                 WHERE blob IS NULL AND draft_expires <= $1 ORDER BY draft_expires LIMIT $2
                 FOR UPDATE SKIP LOCKED)
             RETURNING account, id, id_hash, creator, draft_expires),
         noted AS (
             INSERT INTO notifications
                 (policy, webhook, image, image_hash, creator, reason, happened)
             SELECT policies.pk, webhooks.pk, gone.id, id_hash, creator, $3, draft_expires
             FROM gone JOIN (", told!(), ") ON policies.account = gone.account AND enabled",
        keep_told!(), ")
         SELECT count(*) FROM gone"
    );
    READY =
        "SELECT pk FROM webhooks WHERE paused_until <= clock_timestamp()
             AND EXISTS (SELECT 1 FROM notifications
                 WHERE webhook = webhooks.pk AND due <= clock_timestamp())
         ORDER BY paused_until, pk LIMIT $1";
    DROP_OLD =
        "DELETE FROM notifications WHERE webhook = $1 AND due <= clock_timestamp()
             AND noted <= clock_timestamp() - $2 * interval '1 millisecond'
             AND (attempts >= $3
                 OR (SELECT failing_since FROM webhooks WHERE pk = $1)
                     <= clock_timestamp() - $2 * interval '1 millisecond')";
    FAILURES = "SELECT failures, paused_until > clock_timestamp() FROM webhooks WHERE pk = $1";
    // Before its notifications, in this order for all.
    LOCK_WEBHOOK =
        "SELECT failures, paused_until > clock_timestamp() FROM webhooks WHERE pk = $1
         FOR NO KEY UPDATE";
    CLAIM =
        "UPDATE notifications SET due = clock_timestamp() + $2 * interval '1 millisecond'
         WHERE pk IN (
             SELECT pk FROM notifications WHERE webhook = $1 AND due <= clock_timestamp()
             ORDER BY attempts, pk LIMIT $3
             FOR UPDATE SKIP LOCKED)
         RETURNING pk";
    CLAIMED = concat!(
        "SELECT notifications.pk, accounts.id, policies.name, attempts, ", webhook_columns!(), ", ",
        pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook JOIN accounts ON accounts.pk = policies.account
         WHERE notifications.pk = ANY($1::bigint[]) ORDER BY attempts, notifications.pk"
    );
    TOLD = "DELETE FROM notifications WHERE pk = $1";
    SUCCEEDED =
        "UPDATE webhooks SET last_success = $2, failures = 0, failing_since = NULL,
             paused_until = '-infinity'
         WHERE pk = $1";
    FAILED =
        "UPDATE webhooks SET last_failure = $2, failures = $3,
             paused_until = clock_timestamp() + $4 * interval '1 millisecond',
             failing_since = coalesce(failing_since, clock_timestamp())
         WHERE pk = $1";
    COUNT_ATTEMPT =
        "UPDATE notifications SET attempts = attempts + 1, due = clock_timestamp() WHERE pk = $1";
    PENDING = concat!(
        "SELECT ", pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook
         WHERE policies.account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY notifications.pk"
    );
    PUT =
        "INSERT INTO notifications
             (policy, webhook, image, image_hash, creator, uploaded, reason, happened)
         SELECT policies.pk, webhooks.pk, image, image_hash, creator, uploaded, reason, happened
         FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[],
                 $8::text[], $9::bigint[]) WITH ORDINALITY
             AS new (policy, webhook, image, image_hash, creator, uploaded, reason, happened, number)
             JOIN policies ON policies.account = $1 AND policies.id = new.policy
             JOIN webhooks ON webhooks.account = $1 AND webhooks.id = new.webhook
         ORDER BY number";
    pub(super) DELETE_POLICIES = "DELETE FROM policies WHERE account = $1";
    pub(super) DELETE_WEBHOOKS = "DELETE FROM webhooks WHERE account = $1";
}

#[async_trait]
impl Notifications for Postgres {
    async fn webhooks(&self, account: &AccountId) -> Result<Vec<Webhook>, Error> {
        let sealed = self.read(work!(
            [account] | connection | webhooks(connection, &account)
        ));
        unseal_all(&self.vault, account, sealed.await?)
    }

    async fn insert_webhook(
        &self,
        account: &AccountId,
        webhook: &Webhook,
        webhooks_max: usize,
    ) -> Result<(), Error> {
        let secret = seal(&self.vault, account, webhook);
        self.write(
            Change::Nothing,
            work!(
                [account, webhook, secret]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        rows::require_place(connection, COUNT_WEBHOOKS, account, webhooks_max)
                            .await?;
                        insert_webhook(connection, account, &webhook, secret.as_deref()).await
                    }
            ),
        )
        .await
    }

    async fn set_webhook(&self, account: &AccountId, webhook: &Webhook) -> Result<(), Error> {
        let secret = seal(&self.vault, account, webhook);
        self.write(
            Change::Nothing,
            work!(
                [account, webhook, secret]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        let Webhook { id, name, url, .. } = &webhook;
                        let set = connection
                            .execute(SET_WEBHOOK, &[&account, &id.as_str(), name, url, &secret])
                            .await;
                        found(set?)
                    }
            ),
        )
        .await
    }

    async fn delete_webhook(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, id]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        let webhook = connection
                            .query_opt(WEBHOOK_PK, &[&account, &id.as_str()])
                            .await?;
                        let pk: i64 = webhook.ok_or(Error::NotFound)?.try_get(0)?;
                        if connection.query_one(IS_TOLD, &[&pk]).await?.try_get(0)? {
                            return Err(Error::InUse);
                        }
                        connection.execute(DELETE_WEBHOOK, &[&pk]).await?;
                        Ok(())
                    }
            ),
        )
        .await
    }

    async fn policies(&self, account: &AccountId) -> Result<Vec<NotificationPolicy>, Error> {
        self.read_snapshot(work!(
            [account] | connection | policies(connection, &account)
        ))
        .await
    }

    async fn insert_policy(
        &self,
        account: &AccountId,
        policy: &NotificationPolicy,
        policies_max: usize,
    ) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, policy]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        rows::require_place(connection, COUNT_POLICIES, account, policies_max)
                            .await?;
                        insert_policy(connection, account, &policy).await
                    }
            ),
        )
        .await
    }

    async fn set_policy(
        &self,
        account: &AccountId,
        before: &NotificationPolicy,
        after: &NotificationPolicy,
    ) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, before, after]
                    | writing
                    | async move { set_policy(writing.connection, &account, &before, &after).await }
            ),
        )
        .await
    }

    async fn delete_policy(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, id]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::lock_account(connection, &account).await?;
                        let deleted = connection
                            .execute(DELETE_POLICY, &[&account, &id.as_str()])
                            .await;
                        found(deleted?)
                    }
            ),
        )
        .await
    }

    async fn note_failed_upload(&self, account: &AccountId, end: &UploadEnd) -> Result<u64, Error> {
        self.write(
            Change::Nothing,
            work!(
                [account, end]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let account = rows::keep_account(connection, &account).await?;
                        note(connection, account, &end).await
                    }
            ),
        )
        .await
    }

    async fn ready_webhooks(&self, limit: u32) -> Result<Vec<i64>, Error> {
        self.read(work!(
            [] | connection
                | async move {
                    let found = connection.query(READY, &[&i64::from(limit)]).await?;
                    found.iter().map(|row| Ok(row.try_get(0)?)).collect()
                }
        ))
        .await
    }

    async fn claim_notifications(
        &self,
        webhook: i64,
        time: Duration,
        age_max: Duration,
        limit: u32,
    ) -> Result<Claims, Error> {
        let vault = &self.vault;
        self.write(
            Change::Nothing,
            work!(
                [vault]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        let age_max = age_max.as_secs_f64() * 1_000.0;
                        let attempts_max = i64::from(ATTEMPTS_MAX);
                        let dropped = connection
                            .execute(DROP_OLD, &[&webhook, &age_max, &attempts_max])
                            .await?;
                        let mut claims = Claims {
                            claimed: Vec::new(),
                            dropped,
                        };
                        let limit = match failures(connection, FAILURES, webhook).await? {
                            Some((0, false)) => i64::from(limit),
                            Some((_, false)) => 1,
                            Some((_, true)) | None => return Ok(claims),
                        };
                        let millis = time.as_secs_f64() * 1_000.0;
                        let claimed = connection
                            .query(CLAIM, &[&webhook, &millis, &limit])
                            .await?;
                        let pk = |row: &Row| row.try_get(0);
                        let pks: Vec<i64> = claimed.iter().map(pk).collect::<Result<_, _>>()?;
                        for row in connection.query(CLAIMED, &[&pks]).await? {
                            claims.claimed.push(claimed_row(&row, webhook, &vault)?);
                        }
                        Ok(claims)
                    }
            ),
        )
        .await
    }

    async fn notification_told(&self, claimed: &Claimed, now: Timestamp) -> Result<(), Error> {
        let (number, webhook) = (claimed.number, claimed.webhook_number);
        self.write(
            Change::Nothing,
            work!(
                [] | writing
                    | async move {
                        let connection = writing.connection;
                        connection
                            .execute(SUCCEEDED, &[&webhook, &now.micros()])
                            .await?;
                        connection.execute(TOLD, &[&number]).await?;
                        Ok(())
                    }
            ),
        )
        .await
    }

    async fn notification_refused(
        &self,
        claimed: &Claimed,
        now: Timestamp,
        pause: fn(u32) -> Duration,
    ) -> Result<Duration, Error> {
        let (number, webhook) = (claimed.number, claimed.webhook_number);
        self.write(
            Change::Nothing,
            work!(
                [] | writing
                    | async move {
                        let connection = writing.connection;
                        let found = failures(connection, LOCK_WEBHOOK, webhook).await?;
                        let Some((failures, is_paused)) = found else {
                            return Ok(Duration::ZERO);
                        };
                        // Of several which were under way, the first counts.
                        let failures = if is_paused {
                            failures
                        } else {
                            failures.saturating_add(1)
                        };
                        let pause = pause(failures);
                        let millis = pause.as_secs_f64() * 1_000.0;
                        connection
                            .execute(
                                FAILED,
                                &[&webhook, &now.micros(), &i64::from(failures), &millis],
                            )
                            .await?;
                        connection.execute(COUNT_ATTEMPT, &[&number]).await?;
                        Ok(pause)
                    }
            ),
        )
        .await
    }
}

/// Failures of a webhook in a row, and whether it is left alone; `None` if it is gone.
async fn failures(
    connection: &Connection,
    sql: &'static str,
    webhook: i64,
) -> Result<Option<(u32, bool)>, Error> {
    let found = connection.query_opt(sql, &[&webhook]).await?;
    let Some(row) = found else {
        return Ok(None);
    };
    let failures: i64 = row.try_get(0)?;
    let failures = u32::try_from(failures).unwrap_or(u32::MAX);
    Ok(Some((failures, row.try_get(1)?)))
}

fn claimed_row(row: &Row, webhook_number: i64, vault: &Vault) -> Result<Claimed, Error> {
    let account = AccountId::try_from(row.try_get::<_, &str>(1)?);
    let account = account.map_err(|_| Corrupt("account id"))?;
    let attempts: i64 = row.try_get(3)?;
    Ok(Claimed {
        number: row.try_get(0)?,
        webhook_number,
        policy_name: row.try_get(2)?,
        webhook: unseal(vault, &account, webhook(row, 4)?)?,
        pending: pending(row, 11)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        account,
    })
}

/// Notes the end of an upload for whom it concerns.
pub(super) async fn note(
    connection: &Connection,
    account: i64,
    end: &UploadEnd,
) -> Result<u64, Error> {
    let noted = connection
        .execute(
            NOTE,
            &[
                &account,
                &end.image.as_str(),
                &rows::id_hash(&end.image),
                &creator(end),
                &end.outcome.as_ref().ok().map(|uploaded| uploaded.micros()),
                &end.outcome.as_ref().err(),
                &end.happened.micros(),
            ],
        )
        .await;
    Ok(noted?)
}

/// Deletes drafts, and notes each.
pub(super) async fn delete_expired_drafts(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<u32, Error> {
    let asked = (now.micros(), i64::from(limit));
    let row = connection
        .query_one(DELETE_EXPIRED_DRAFTS, &[&asked.0, &asked.1, &EXPIRED])
        .await?;
    let deleted: i64 = row.try_get(0)?;
    Ok(u32::try_from(deleted).unwrap_or(limit))
}

pub(super) async fn webhooks(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<SealedWebhook>, Error> {
    let found = connection.query(WEBHOOKS, &[&account.as_str()]).await?;
    found.iter().map(|row| webhook(row, 0)).collect()
}

pub(super) async fn insert_webhook(
    connection: &Connection,
    account: i64,
    webhook: &Webhook,
    secret: Option<&[u8]>,
) -> Result<(), Error> {
    let inserted = connection
        .execute(
            INSERT_WEBHOOK,
            &[
                &account,
                &webhook.id.as_str(),
                &webhook.name,
                &webhook.url,
                &secret,
                &webhook.created.micros(),
                &webhook.last_success.map(Timestamp::micros),
                &webhook.last_failure.map(Timestamp::micros),
            ],
        )
        .await;
    inserted.map(drop).map_err(taken_or)
}

pub(super) async fn policies(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<NotificationPolicy>, Error> {
    let mut policies = Vec::new();
    for row in connection.query(POLICIES, &[&account.as_str()]).await? {
        policies.push(policy(connection, &row).await?);
    }
    Ok(policies)
}

pub(super) async fn insert_policy(
    connection: &Connection,
    account: i64,
    policy: &NotificationPolicy,
) -> Result<(), Error> {
    let inserted = connection
        .query_one(
            INSERT_POLICY,
            &[
                &account,
                &policy.id.as_str(),
                &policy.name,
                &policy.description,
                &policy.enabled,
                &policy.created.micros(),
                &policy.modified.micros(),
            ],
        )
        .await;
    let pk = inserted.map_err(taken_or)?.try_get(0)?;
    link(connection, account, pk, policy).await
}

async fn set_policy(
    connection: &Connection,
    account: &AccountId,
    before: &NotificationPolicy,
    after: &NotificationPolicy,
) -> Result<(), Error> {
    let account = rows::lock_account(connection, account).await?;
    let found = connection
        .query_opt(POLICY, &[&account, &before.id.as_str()])
        .await?;
    let row = found.ok_or(Error::Changed)?;
    if policy(connection, &row).await? != *before {
        return Err(Error::Changed);
    }
    let pk: i64 = row.try_get(0)?;
    let NotificationPolicy {
        name,
        description,
        enabled,
        modified,
        ..
    } = after;
    connection
        .execute(
            SET_POLICY,
            &[&pk, name, description, enabled, &modified.micros()],
        )
        .await?;
    for webhook in &before.webhooks {
        if !after.webhooks.contains(webhook) {
            connection
                .execute(UNLINK, &[&pk, &account, &webhook.as_str()])
                .await?;
        }
    }
    link(connection, account, pk, after).await?;
    connection.execute(DROP_UNTOLD, &[&pk, enabled]).await?;
    Ok(())
}

async fn link(
    connection: &Connection,
    account: i64,
    policy_pk: i64,
    policy: &NotificationPolicy,
) -> Result<(), Error> {
    for (place, webhook) in (0_i64..).zip(&policy.webhooks) {
        let linked = connection
            .execute(LINK, &[&policy_pk, &account, &webhook.as_str(), &place])
            .await;
        found(linked.map_err(taken_or)?)?;
    }
    Ok(())
}

/// What waits in an account.
pub(super) async fn all_pending(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<Pending>, Error> {
    let found = connection.query(PENDING, &[&account.as_str()]).await?;
    found.iter().map(|row| pending(row, 0)).collect()
}

/// What waits in a catalog which is copied; it is due at once.
pub(super) async fn put_pending(
    connection: &Connection,
    account: i64,
    pending: &[Pending],
) -> Result<(), Error> {
    let ends = pending.iter().map(|pending| &pending.end);
    let policies: Vec<&str> = pending
        .iter()
        .map(|pending| pending.policy.as_str())
        .collect();
    let webhooks: Vec<&str> = pending
        .iter()
        .map(|pending| pending.webhook.as_str())
        .collect();
    let images: Vec<&str> = ends.clone().map(|end| end.image.as_str()).collect();
    let hashes: Vec<Vec<u8>> = ends.clone().map(|end| rows::id_hash(&end.image)).collect();
    let creators: Vec<Option<&[u8]>> = ends.clone().map(creator).collect();
    let uploaded: Vec<Option<i64>> = ends
        .clone()
        .map(|end| end.outcome.as_ref().ok().map(|uploaded| uploaded.micros()))
        .collect();
    let reasons: Vec<Option<&String>> =
        ends.clone().map(|end| end.outcome.as_ref().err()).collect();
    let happened: Vec<i64> = ends.map(|end| end.happened.micros()).collect();
    connection
        .execute(
            PUT,
            &[
                &account, &policies, &webhooks, &images, &hashes, &creators, &uploaded, &reasons,
                &happened,
            ],
        )
        .await?;
    Ok(())
}

fn creator(end: &UploadEnd) -> Option<&[u8]> {
    let creator = end.creator.as_ref();
    creator.map(|creator| creator.as_str().as_bytes())
}

fn found(rows: u64) -> Result<(), Error> {
    match rows {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

fn webhook(row: &Row, at: usize) -> Result<SealedWebhook, Error> {
    let moment = |at| -> Result<Option<Timestamp>, Error> {
        let micros: Option<i64> = row.try_get(at)?;
        Ok(micros.map(Timestamp::from_micros))
    };
    Ok(SealedWebhook {
        webhook: Webhook {
            id: opaque_id(row.try_get(at)?)?,
            name: row.try_get(at + 1)?,
            url: row.try_get(at + 2)?,
            secret: None,
            created: Timestamp::from_micros(row.try_get(at + 4)?),
            last_success: moment(at + 5)?,
            last_failure: moment(at + 6)?,
        },
        secret: row.try_get(at + 3)?,
    })
}

/// Reads the columns of `POLICIES`.
async fn policy(connection: &Connection, row: &Row) -> Result<NotificationPolicy, Error> {
    let pk: i64 = row.try_get(0)?;
    let found = connection.query(WEBHOOKS_OF_POLICY, &[&pk]).await?;
    let id = |row: &Row| -> Result<OpaqueId, Error> { Ok(opaque_id(row.try_get(0)?)?) };
    Ok(NotificationPolicy {
        id: opaque_id(row.try_get(1)?)?,
        name: row.try_get(2)?,
        description: row.try_get(3)?,
        enabled: row.try_get(4)?,
        webhooks: found.iter().map(id).collect::<Result<_, _>>()?,
        created: Timestamp::from_micros(row.try_get(5)?),
        modified: Timestamp::from_micros(row.try_get(6)?),
    })
}

fn pending(row: &Row, at: usize) -> Result<Pending, Error> {
    let id = |at: usize| -> Result<OpaqueId, Error> { Ok(opaque_id(row.try_get(at)?)?) };
    let creator: Option<Vec<u8>> = row.try_get(at + 3)?;
    let creator = creator
        .map(|bytes| rows::text(bytes, "creator"))
        .transpose()?;
    Ok(Pending {
        policy: id(at)?,
        webhook: id(at + 1)?,
        end: UploadEnd {
            image: ImageId::from_path(row.try_get(at + 2)?),
            creator: creator.and_then(Creator::from_stored),
            outcome: outcome(row.try_get(at + 4)?, row.try_get(at + 5)?)?,
            happened: Timestamp::from_micros(row.try_get(at + 6)?),
        },
    })
}

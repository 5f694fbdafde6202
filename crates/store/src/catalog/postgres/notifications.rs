//! Webhooks, policies, and what waits to be told.
//!
//! Webhooks and policies change under a lock of their account. Who notes the end of an upload locks the
//! rows of those who are told against their deletion.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use model::{
    AccountId, Creator, ImageId, NotificationPolicy, NotifierId, Pending, Timestamp, UploadEnd,
    Webhook,
};
use tokio_postgres::Row;

use super::changes::Change;
use super::pool::Connection;
use super::{Corrupt, Postgres, rows, statements, taken_or, work};
use crate::Error;
use crate::catalog::notifications::{
    Claimed, Claims, EXPIRED, Notifications, SealedWebhook, notifier_id, outcome, seal, unseal,
    unseal_all,
};

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
        "UPDATE webhooks SET name = $3, url = $4, secret = $5 WHERE account = $1 AND id = $2";
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
         SELECT $1, pk, $4 FROM webhooks WHERE account = $2 AND id = $3";
    UNLINK = "DELETE FROM policy_webhooks WHERE policy = $1";
    DROP_UNTOLD =
        "DELETE FROM notifications WHERE policy = $1
             AND (NOT $2
                 OR webhook NOT IN (SELECT webhook FROM policy_webhooks WHERE policy = $1))";
    NOTE = concat!(
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
    IS_DUE = "SELECT EXISTS (SELECT 1 FROM notifications WHERE due <= clock_timestamp())";
    DROP_OLD =
        "DELETE FROM notifications WHERE due <= clock_timestamp()
             AND happened <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $1";
    CLAIM =
        "UPDATE notifications
         SET due = clock_timestamp() + $1 * interval '1 millisecond', attempts = attempts + 1
         WHERE pk IN (
             SELECT pk FROM notifications WHERE due <= clock_timestamp() ORDER BY due LIMIT $2
             FOR UPDATE SKIP LOCKED)
         RETURNING pk";
    CLAIMED = concat!(
        "SELECT notifications.pk, accounts.id, policies.name, attempts, ", webhook_columns!(), ", ",
        pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook JOIN accounts ON accounts.pk = policies.account
         WHERE notifications.pk = ANY($1::bigint[]) ORDER BY notifications.pk"
    );
    TOLD = "DELETE FROM notifications WHERE pk = $1";
    SUCCEEDED =
        "UPDATE webhooks SET last_success = $3
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND id = $2";
    FAILED =
        "UPDATE webhooks SET last_failure = $3
         WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND id = $2";
    ATTEMPTS =
        "SELECT coalesce(max(attempts), 0) FROM notifications
         WHERE webhook = (SELECT pk FROM webhooks
             WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND id = $2)";
    PAUSE =
        "UPDATE notifications SET due = clock_timestamp() + $3 * interval '1 millisecond'
         WHERE webhook = (SELECT pk FROM webhooks
             WHERE account = (SELECT pk FROM accounts WHERE id = $1) AND id = $2)";
    PENDING = concat!(
        "SELECT ", pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook
         WHERE policies.account = (SELECT pk FROM accounts WHERE id = $1) ORDER BY notifications.pk"
    );
    PUT =
        "INSERT INTO notifications
             (policy, webhook, image, image_hash, creator, uploaded, reason, happened)
         SELECT policies.pk, webhooks.pk, $4, $5, $6, $7::bigint, $8::text, $9
         FROM policies JOIN webhooks USING (account)
         WHERE account = $1 AND policies.id = $2 AND webhooks.id = $3";
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
                        require_place(connection, COUNT_WEBHOOKS, account, webhooks_max).await?;
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

    async fn delete_webhook(&self, account: &AccountId, id: &NotifierId) -> Result<(), Error> {
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
                        require_place(connection, COUNT_POLICIES, account, policies_max).await?;
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

    async fn delete_policy(&self, account: &AccountId, id: &NotifierId) -> Result<(), Error> {
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

    async fn notifications_are_due(&self) -> Result<bool, Error> {
        self.read(|connection| {
            async move { Ok(connection.query_one(IS_DUE, &[]).await?.try_get(0)?) }.boxed()
        })
        .await
    }

    async fn claim_notifications(
        &self,
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
                        let age_max = i64::try_from(age_max.as_micros()).unwrap_or(i64::MAX);
                        let dropped = connection.execute(DROP_OLD, &[&age_max]).await?;
                        let (millis, limit) = (time.as_secs_f64() * 1_000.0, i64::from(limit));
                        let claimed = connection.query(CLAIM, &[&millis, &limit]).await?;
                        let pk = |row: &Row| row.try_get(0);
                        let pks: Vec<i64> = claimed.iter().map(pk).collect::<Result<_, _>>()?;
                        let found = connection.query(CLAIMED, &[&pks]).await?;
                        let claimed = found.iter().map(|row| {
                            let account = AccountId::try_from(row.try_get::<_, &str>(1)?);
                            let account = account.map_err(|_| Corrupt("account id"))?;
                            let attempts: i64 = row.try_get(3)?;
                            Ok(Claimed {
                                number: row.try_get(0)?,
                                policy_name: row.try_get(2)?,
                                webhook: unseal(&vault, &account, webhook(row, 4)?)?,
                                pending: pending(row, 11)?,
                                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                                account,
                            })
                        });
                        let claimed = claimed.collect::<Result<_, Error>>()?;
                        Ok(Claims { claimed, dropped })
                    }
            ),
        )
        .await
    }

    async fn notification_told(&self, claimed: &Claimed, now: Timestamp) -> Result<(), Error> {
        self.write(
            Change::Nothing,
            work!(
                [claimed]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        connection.execute(TOLD, &[&claimed.number]).await?;
                        touch(connection, SUCCEEDED, &claimed, now).await
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
        self.write(
            Change::Nothing,
            work!(
                [claimed]
                    | writing
                    | async move {
                        let connection = writing.connection;
                        touch(connection, FAILED, &claimed, now).await?;
                        let (account, webhook) =
                            (claimed.account.as_str(), claimed.webhook.id.as_str());
                        let row = connection
                            .query_one(ATTEMPTS, &[&account, &webhook])
                            .await?;
                        let attempts: i64 = row.try_get(0)?;
                        let pause = pause(u32::try_from(attempts).unwrap_or(u32::MAX));
                        let millis = pause.as_secs_f64() * 1_000.0;
                        connection
                            .execute(PAUSE, &[&account, &webhook, &millis])
                            .await?;
                        Ok(pause)
                    }
            ),
        )
        .await
    }
}

/// A statement about the webhook of a notification, and a moment.
async fn touch(
    connection: &Connection,
    sql: &'static str,
    claimed: &Claimed,
    moment: Timestamp,
) -> Result<(), Error> {
    let (account, webhook) = (claimed.account.as_str(), claimed.webhook.id.as_str());
    connection
        .execute(sql, &[&account, &webhook, &moment.micros()])
        .await?;
    Ok(())
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
    connection.execute(UNLINK, &[&pk]).await?;
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
    pending: &Pending,
) -> Result<(), Error> {
    let Pending {
        policy,
        webhook,
        end,
    } = pending;
    connection
        .execute(
            PUT,
            &[
                &account,
                &policy.as_str(),
                &webhook.as_str(),
                &end.image.as_str(),
                &rows::id_hash(&end.image),
                &creator(end),
                &end.outcome.as_ref().ok().map(|uploaded| uploaded.micros()),
                &end.outcome.as_ref().err(),
                &end.happened.micros(),
            ],
        )
        .await?;
    Ok(())
}

fn creator(end: &UploadEnd) -> Option<&[u8]> {
    let creator = end.creator.as_ref();
    creator.map(|creator| creator.as_str().as_bytes())
}

async fn require_place(
    connection: &Connection,
    count: &'static str,
    account: i64,
    max: usize,
) -> Result<(), Error> {
    let row = connection.query_one(count, &[&account]).await?;
    if rows::count(row.try_get(0)?) < max as u64 {
        Ok(())
    } else {
        Err(Error::Full)
    }
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
            id: notifier_id(row.try_get(at)?)?,
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
    let id = |row: &Row| -> Result<NotifierId, Error> { Ok(notifier_id(row.try_get(0)?)?) };
    Ok(NotificationPolicy {
        id: notifier_id(row.try_get(1)?)?,
        name: row.try_get(2)?,
        description: row.try_get(3)?,
        enabled: row.try_get(4)?,
        webhooks: found.iter().map(id).collect::<Result<_, _>>()?,
        created: Timestamp::from_micros(row.try_get(5)?),
        modified: Timestamp::from_micros(row.try_get(6)?),
    })
}

fn pending(row: &Row, at: usize) -> Result<Pending, Error> {
    let id = |at: usize| -> Result<NotifierId, Error> { Ok(notifier_id(row.try_get(at)?)?) };
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

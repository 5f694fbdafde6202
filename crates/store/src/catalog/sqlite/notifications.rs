//! Webhooks, policies, and what waits to be told.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    AccountId, Creator, ImageId, NotificationPolicy, OpaqueId, Pending, Timestamp, UploadEnd,
    Webhook,
};
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::writer::Writing;
use super::{Corrupt, Sqlite, Touched, rows, statements, taken_or};
use crate::Error;
use crate::catalog::notifications::{
    ATTEMPTS_MAX, Claimed, Claims, EXPIRED, Notifications, SealedWebhook, opaque_id, outcome, seal,
    unseal, unseal_all,
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

statements! {
    WEBHOOKS = concat!(
        "SELECT ", webhook_columns!(), " FROM webhooks
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY pk"
    );
    COUNT_WEBHOOKS = "SELECT count(*) FROM webhooks WHERE account = ?1";
    INSERT_WEBHOOK =
        "INSERT INTO webhooks (account, id, name, url, secret, created, last_success, last_failure)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    SET_WEBHOOK =
        "UPDATE webhooks SET name = ?3, url = ?4, secret = ?5, failures = 0, failing_since = NULL,
             paused_until = 0
         WHERE account = ?1 AND id = ?2";
    WEBHOOK_PK = "SELECT pk FROM webhooks WHERE account = ?1 AND id = ?2";
    IS_TOLD = "SELECT EXISTS (SELECT 1 FROM policy_webhooks WHERE webhook = ?1)";
    DELETE_WEBHOOK = "DELETE FROM webhooks WHERE pk = ?1";
    POLICIES =
        "SELECT pk, id, name, description, enabled, created, modified FROM policies
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY pk";
    POLICY =
        "SELECT pk, id, name, description, enabled, created, modified FROM policies
         WHERE account = ?1 AND id = ?2";
    WEBHOOKS_OF_POLICY =
        "SELECT id FROM policy_webhooks JOIN webhooks ON webhooks.pk = webhook
         WHERE policy = ?1 ORDER BY place";
    COUNT_POLICIES = "SELECT count(*) FROM policies WHERE account = ?1";
    INSERT_POLICY =
        "INSERT INTO policies (account, id, name, description, enabled, created, modified)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    SET_POLICY =
        "UPDATE policies SET name = ?2, description = ?3, enabled = ?4, modified = ?5
         WHERE pk = ?1";
    DELETE_POLICY = "DELETE FROM policies WHERE account = ?1 AND id = ?2";
    LINK =
        "INSERT INTO policy_webhooks (policy, webhook, place)
         SELECT ?1, pk, ?4 FROM webhooks WHERE account = ?2 AND id = ?3
         ON CONFLICT (policy, webhook) DO UPDATE SET place = excluded.place";
    UNLINK =
        "DELETE FROM policy_webhooks WHERE policy = ?1
             AND webhook = (SELECT pk FROM webhooks WHERE account = ?2 AND id = ?3)";
    DROP_UNTOLD =
        "DELETE FROM notifications WHERE policy = ?1
             AND (?2 = 0
                 OR webhook NOT IN (SELECT webhook FROM policy_webhooks WHERE policy = ?1))";
    NOTE =
        "INSERT INTO notifications
             (policy, webhook, image, creator, uploaded, reason, happened, noted, due)
         SELECT policies.pk, webhook, :image, :creator, :uploaded, :reason, :happened, :now, :now
         FROM policies JOIN policy_webhooks ON policy_webhooks.policy = policies.pk
         WHERE account = :account AND enabled = 1
             AND (:reason IS NULL OR NOT EXISTS (SELECT 1 FROM notifications AS waiting
                 WHERE waiting.policy = policies.pk AND waiting.image = :image
                     AND waiting.webhook = policy_webhooks.webhook AND waiting.reason IS NOT NULL))";
    NOTE_EXPIRED =
        "INSERT INTO notifications
             (policy, webhook, image, creator, reason, happened, noted, due)
         SELECT policies.pk, webhook, draft.id, creator, ?3, draft_expires, ?4, ?4
         FROM (SELECT account, id, creator, draft_expires FROM images INDEXED BY images_draft
             WHERE blob IS NULL AND draft_expires <= ?1 ORDER BY draft_expires LIMIT ?2) AS draft
         JOIN policies ON policies.account = draft.account AND enabled = 1
         JOIN policy_webhooks ON policy_webhooks.policy = policies.pk";
    READY =
        "SELECT pk FROM webhooks WHERE paused_until <= ?1
             AND EXISTS (SELECT 1 FROM notifications WHERE webhook = webhooks.pk AND due <= ?1)
         ORDER BY paused_until, pk LIMIT ?2";
    DROP_OLD =
        "DELETE FROM notifications WHERE webhook = ?1 AND due <= ?2 AND noted <= ?3
             AND (attempts >= ?4
                 OR (SELECT failing_since FROM webhooks WHERE pk = ?1) <= ?3)";
    FAILURES = "SELECT failures, paused_until > ?2 FROM webhooks WHERE pk = ?1";
    NEXT = concat!(
        "SELECT notifications.pk, accounts.id, policies.name, attempts, ", webhook_columns!(), ", ",
        pending_columns!(), "
         FROM notifications INDEXED BY notifications_turn JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook JOIN accounts ON accounts.pk = policies.account
         WHERE webhook = ?1 AND due <= ?2 ORDER BY attempts, notifications.pk LIMIT ?3"
    );
    CLAIM = "UPDATE notifications SET due = ?2 WHERE pk = ?1";
    TOLD = "DELETE FROM notifications WHERE pk = ?1";
    SUCCEEDED =
        "UPDATE webhooks SET last_success = ?2, failures = 0, failing_since = NULL, paused_until = 0
         WHERE pk = ?1";
    FAILED =
        "UPDATE webhooks SET last_failure = ?2, failures = ?3, paused_until = ?4,
             failing_since = coalesce(failing_since, ?5)
         WHERE pk = ?1";
    COUNT_ATTEMPT = "UPDATE notifications SET attempts = attempts + 1, due = ?2 WHERE pk = ?1";
    PENDING = concat!(
        "SELECT ", pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook
         WHERE policies.account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY notifications.pk"
    );
    PUT =
        "INSERT INTO notifications
             (policy, webhook, image, creator, uploaded, reason, happened, noted, due)
         SELECT policies.pk, webhooks.pk, ?4, ?5, ?6, ?7, ?8, ?9, ?9
         FROM policies JOIN webhooks USING (account)
         WHERE account = ?1 AND policies.id = ?2 AND webhooks.id = ?3";
    pub(super) DELETE_POLICIES = "DELETE FROM policies WHERE account = ?1";
    pub(super) DELETE_WEBHOOKS = "DELETE FROM webhooks WHERE account = ?1";
}

#[async_trait]
impl Notifications for Sqlite {
    async fn webhooks(&self, account: &AccountId) -> Result<Vec<Webhook>, Error> {
        let id = account.clone();
        let sealed = self.read(move |connection| webhooks(connection, &id));
        unseal_all(&self.vault, account, sealed.await?)
    }

    async fn insert_webhook(
        &self,
        account: &AccountId,
        webhook: &Webhook,
        webhooks_max: usize,
    ) -> Result<(), Error> {
        let secret = seal(&self.vault, account, webhook);
        let (account, webhook) = (account.clone(), webhook.clone());
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let account = rows::require_account(connection, &account)?;
            rows::require_place(connection, COUNT_WEBHOOKS, account, webhooks_max)?;
            insert_webhook(connection, account, &webhook, secret.as_deref())
        })
        .await
    }

    async fn set_webhook(&self, account: &AccountId, webhook: &Webhook) -> Result<(), Error> {
        let secret = seal(&self.vault, account, webhook);
        let (account, webhook) = (account.clone(), webhook.clone());
        self.write(Touched::Nothing, move |writing| {
            let account = rows::require_account(writing.connection, &account)?;
            let mut statement = writing.connection.prepare_cached(SET_WEBHOOK)?;
            found(statement.execute(params![
                account,
                webhook.id.as_str(),
                webhook.name,
                webhook.url,
                secret
            ])?)
        })
        .await
    }

    async fn delete_webhook(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let account = rows::require_account(connection, &account)?;
            let mut statement = connection.prepare_cached(WEBHOOK_PK)?;
            let mut webhooks = statement.query(params![account, id.as_str()])?;
            let pk: i64 = webhooks.next()?.ok_or(Error::NotFound)?.get(0)?;
            let mut statement = connection.prepare_cached(IS_TOLD)?;
            if statement.query_row([pk], |row| row.get(0))? {
                return Err(Error::InUse);
            }
            connection.prepare_cached(DELETE_WEBHOOK)?.execute([pk])?;
            Ok(())
        })
        .await
    }

    async fn policies(&self, account: &AccountId) -> Result<Vec<NotificationPolicy>, Error> {
        let account = account.clone();
        self.read_snapshot(move |connection| policies(connection, &account))
            .await
    }

    async fn insert_policy(
        &self,
        account: &AccountId,
        policy: &NotificationPolicy,
        policies_max: usize,
    ) -> Result<(), Error> {
        let (account, policy) = (account.clone(), policy.clone());
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let account = rows::require_account(connection, &account)?;
            rows::require_place(connection, COUNT_POLICIES, account, policies_max)?;
            insert_policy(connection, account, &policy)
        })
        .await
    }

    async fn set_policy(
        &self,
        account: &AccountId,
        before: &NotificationPolicy,
        after: &NotificationPolicy,
    ) -> Result<(), Error> {
        let (account, before, after) = (account.clone(), before.clone(), after.clone());
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let account = rows::require_account(connection, &account)?;
            let mut statement = connection.prepare_cached(POLICY)?;
            let mut policies = statement.query(params![account, before.id.as_str()])?;
            let row = policies.next()?.ok_or(Error::Changed)?;
            let pk: i64 = row.get(0)?;
            if policy(connection, row)? != before {
                return Err(Error::Changed);
            }
            connection.prepare_cached(SET_POLICY)?.execute(params![
                pk,
                after.name,
                after.description,
                after.enabled,
                after.modified.micros(),
            ])?;
            let mut statement = connection.prepare_cached(UNLINK)?;
            for webhook in &before.webhooks {
                if !after.webhooks.contains(webhook) {
                    statement.execute(params![pk, account, webhook.as_str()])?;
                }
            }
            link(connection, account, pk, &after)?;
            let mut statement = connection.prepare_cached(DROP_UNTOLD)?;
            statement.execute(params![pk, after.enabled])?;
            Ok(())
        })
        .await
    }

    async fn delete_policy(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        self.write(Touched::Nothing, move |writing| {
            let account = rows::require_account(writing.connection, &account)?;
            let mut statement = writing.connection.prepare_cached(DELETE_POLICY)?;
            found(statement.execute(params![account, id.as_str()])?)
        })
        .await
    }

    async fn note_failed_upload(&self, account: &AccountId, end: &UploadEnd) -> Result<u64, Error> {
        let (account, end) = (account.clone(), end.clone());
        self.write(Touched::Nothing, move |writing| {
            let account = rows::require_account(writing.connection, &account)?;
            note(writing.connection, account, &end)
        })
        .await
    }

    async fn ready_webhooks(&self, limit: u32) -> Result<Vec<i64>, Error> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(READY)?;
            let asked = params![Timestamp::now().micros(), limit];
            let ready = statement.query_map(asked, |row| row.get(0))?;
            Ok(ready.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn claim_notifications(
        &self,
        webhook: i64,
        time: Duration,
        age_max: Duration,
        limit: u32,
    ) -> Result<Claims, Error> {
        let vault = self.vault.clone();
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let now = Timestamp::now();
            let old = now.before(age_max).micros();
            let mut statement = connection.prepare_cached(DROP_OLD)?;
            let dropped = statement.execute(params![webhook, now.micros(), old, ATTEMPTS_MAX])?;
            let mut claims = Claims {
                claimed: Vec::new(),
                dropped: dropped as u64,
            };
            let Some((failures, is_paused)) = failures(connection, webhook, now)? else {
                return Ok(claims);
            };
            if is_paused {
                return Ok(claims);
            }
            let limit = if failures > 0 { 1 } else { limit };
            let mut statement = connection.prepare_cached(NEXT)?;
            let mut due = statement.query(params![webhook, now.micros(), limit])?;
            while let Some(row) = due.next()? {
                let account = row.get_ref(1)?.as_str().ok();
                let account = account.and_then(|id| AccountId::try_from(id).ok());
                let account = account.ok_or(Corrupt("account id"))?;
                claims.claimed.push(Claimed {
                    number: row.get(0)?,
                    webhook_number: webhook,
                    policy_name: row.get(2)?,
                    webhook: unseal(&vault, &account, self::webhook(row, 4)?)?,
                    pending: pending(row, 11)?,
                    attempts: row.get(3)?,
                    account,
                });
            }
            let mut statement = connection.prepare_cached(CLAIM)?;
            for notification in &claims.claimed {
                statement.execute([notification.number, now.after(time).micros()])?;
            }
            Ok(claims)
        })
        .await
    }

    async fn notification_told(&self, claimed: &Claimed, now: Timestamp) -> Result<(), Error> {
        let (number, webhook) = (claimed.number, claimed.webhook_number);
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let mut statement = connection.prepare_cached(SUCCEEDED)?;
            statement.execute([webhook, now.micros()])?;
            connection.prepare_cached(TOLD)?.execute([number])?;
            Ok(())
        })
        .await
    }

    async fn notification_refused(
        &self,
        claimed: &Claimed,
        now: Timestamp,
        pause: fn(u32) -> Duration,
    ) -> Result<Duration, Error> {
        let (number, webhook) = (claimed.number, claimed.webhook_number);
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let clock = Timestamp::now();
            let Some((failures, is_paused)) = failures(connection, webhook, clock)? else {
                return Ok(Duration::ZERO);
            };
            // Of several which were under way, the first counts.
            let failures = if is_paused {
                failures
            } else {
                failures.saturating_add(1)
            };
            let pause = pause(failures);
            connection.prepare_cached(FAILED)?.execute(params![
                webhook,
                now.micros(),
                failures,
                clock.after(pause).micros(),
                clock.micros(),
            ])?;
            let mut statement = connection.prepare_cached(COUNT_ATTEMPT)?;
            statement.execute([number, clock.micros()])?;
            Ok(pause)
        })
        .await
    }
}

/// Failures of a webhook in a row, and whether it is left alone; `None` if it is gone.
fn failures(
    connection: &Connection,
    webhook: i64,
    now: Timestamp,
) -> Result<Option<(u32, bool)>, Error> {
    let mut statement = connection.prepare_cached(FAILURES)?;
    let found = statement.query_row([webhook, now.micros()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    Ok(found.optional()?)
}

/// Notes the end of an upload for whom it concerns.
pub(super) fn note(connection: &Connection, account: i64, end: &UploadEnd) -> Result<u64, Error> {
    let noted = connection.prepare_cached(NOTE)?.execute(named_params! {
        ":account": account,
        ":image": end.image.as_str(),
        ":creator": end.creator.as_ref().map(Creator::as_str),
        ":uploaded": end.outcome.as_ref().ok().map(|uploaded| uploaded.micros()),
        ":reason": end.outcome.as_ref().err(),
        ":happened": end.happened.micros(),
        ":now": Timestamp::now().micros(),
    })?;
    Ok(noted as u64)
}

/// Notes the drafts which `delete_expired_drafts` deletes next.
pub(super) fn note_expired(
    connection: &Connection,
    expired_at: Timestamp,
    limit: u32,
) -> Result<(), Error> {
    let now = Timestamp::now().micros();
    connection.prepare_cached(NOTE_EXPIRED)?.execute(params![
        expired_at.micros(),
        limit,
        EXPIRED,
        now
    ])?;
    Ok(())
}

pub(super) fn webhooks(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<SealedWebhook>, Error> {
    let mut statement = connection.prepare_cached(WEBHOOKS)?;
    let mut rows = statement.query([account.as_str()])?;
    let mut webhooks = Vec::new();
    while let Some(row) = rows.next()? {
        webhooks.push(webhook(row, 0)?);
    }
    Ok(webhooks)
}

pub(super) fn insert_webhook(
    connection: &Connection,
    account: i64,
    webhook: &Webhook,
    secret: Option<&[u8]>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(INSERT_WEBHOOK)?;
    let inserted = statement.execute(params![
        account,
        webhook.id.as_str(),
        webhook.name,
        webhook.url,
        secret,
        webhook.created.micros(),
        webhook.last_success.map(Timestamp::micros),
        webhook.last_failure.map(Timestamp::micros),
    ]);
    inserted.map(drop).map_err(taken_or)
}

pub(super) fn policies(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<NotificationPolicy>, Error> {
    let mut statement = connection.prepare_cached(POLICIES)?;
    let mut rows = statement.query([account.as_str()])?;
    let mut policies = Vec::new();
    while let Some(row) = rows.next()? {
        policies.push(policy(connection, row)?);
    }
    Ok(policies)
}

pub(super) fn insert_policy(
    connection: &Connection,
    account: i64,
    policy: &NotificationPolicy,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(INSERT_POLICY)?;
    let inserted = statement.insert(params![
        account,
        policy.id.as_str(),
        policy.name,
        policy.description,
        policy.enabled,
        policy.created.micros(),
        policy.modified.micros(),
    ]);
    link(connection, account, inserted.map_err(taken_or)?, policy)
}

fn link(
    connection: &Connection,
    account: i64,
    policy_pk: i64,
    policy: &NotificationPolicy,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(LINK)?;
    for (place, webhook) in (0_i64..).zip(&policy.webhooks) {
        let linked = statement.execute(params![policy_pk, account, webhook.as_str(), place]);
        found(linked.map_err(taken_or)?)?;
    }
    Ok(())
}

/// What waits in an account.
pub(super) fn all_pending(
    connection: &Connection,
    account: &AccountId,
) -> Result<Vec<Pending>, Error> {
    let mut statement = connection.prepare_cached(PENDING)?;
    let mut rows = statement.query([account.as_str()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(pending(row, 0)?);
    }
    Ok(all)
}

/// What waits in a catalog which is copied; it is due at once.
pub(super) fn put_pending(
    writing: &Writing<'_>,
    account: i64,
    pending: &Pending,
) -> Result<(), Error> {
    let Pending {
        policy,
        webhook,
        end,
    } = pending;
    let mut statement = writing.connection.prepare_cached(PUT)?;
    statement.execute(params![
        account,
        policy.as_str(),
        webhook.as_str(),
        end.image.as_str(),
        end.creator.as_ref().map(Creator::as_str),
        end.outcome.as_ref().ok().map(|uploaded| uploaded.micros()),
        end.outcome.as_ref().err(),
        end.happened.micros(),
        Timestamp::now().micros(),
    ])?;
    Ok(())
}

fn found(rows: usize) -> Result<(), Error> {
    match rows {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

fn webhook(row: &Row<'_>, at: usize) -> Result<SealedWebhook, Error> {
    let id = row.get_ref(at)?.as_str().map_err(|_| Corrupt("webhook"))?;
    let moment = |at| -> Result<Option<Timestamp>, Error> {
        let micros: Option<i64> = row.get(at)?;
        Ok(micros.map(Timestamp::from_micros))
    };
    Ok(SealedWebhook {
        webhook: Webhook {
            id: opaque_id(id)?,
            name: row.get(at + 1)?,
            url: row.get(at + 2)?,
            secret: None,
            created: Timestamp::from_micros(row.get(at + 4)?),
            last_success: moment(at + 5)?,
            last_failure: moment(at + 6)?,
        },
        secret: row.get(at + 3)?,
    })
}

/// Reads the columns of `POLICIES`.
fn policy(connection: &Connection, row: &Row<'_>) -> Result<NotificationPolicy, Error> {
    let id = row.get_ref(1)?.as_str().map_err(|_| Corrupt("policy"))?;
    let mut statement = connection.prepare_cached(WEBHOOKS_OF_POLICY)?;
    let mut rows = statement.query([row.get::<_, i64>(0)?])?;
    let mut webhooks = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_str().map_err(|_| Corrupt("webhook"))?;
        webhooks.push(opaque_id(id)?);
    }
    Ok(NotificationPolicy {
        id: opaque_id(id)?,
        name: row.get(2)?,
        description: row.get(3)?,
        enabled: row.get(4)?,
        webhooks,
        created: Timestamp::from_micros(row.get(5)?),
        modified: Timestamp::from_micros(row.get(6)?),
    })
}

fn pending(row: &Row<'_>, at: usize) -> Result<Pending, Error> {
    let id = |at: usize| -> Result<OpaqueId, Error> {
        let text = row.get_ref(at)?.as_str().map_err(|_| Corrupt("policy"))?;
        Ok(opaque_id(text)?)
    };
    let creator: Option<String> = row.get(at + 3)?;
    Ok(Pending {
        policy: id(at)?,
        webhook: id(at + 1)?,
        end: UploadEnd {
            image: ImageId::from_path(row.get(at + 2)?),
            creator: creator.and_then(Creator::from_stored),
            outcome: outcome(row.get(at + 4)?, row.get(at + 5)?)?,
            happened: Timestamp::from_micros(row.get(at + 6)?),
        },
    })
}

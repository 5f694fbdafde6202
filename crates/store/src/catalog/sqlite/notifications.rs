//! Webhooks, policies, and what waits to be told.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    AccountId, Creator, ImageId, NotificationPolicy, NotifierId, Pending, Timestamp, UploadEnd,
    Webhook,
};
use rusqlite::{Connection, Row, named_params, params};

use super::writer::Writing;
use super::{Corrupt, Sqlite, Touched, rows, statements, taken_or};
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
        "UPDATE webhooks SET name = ?3, url = ?4, secret = ?5 WHERE account = ?1 AND id = ?2";
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
         SELECT ?1, pk, ?4 FROM webhooks WHERE account = ?2 AND id = ?3";
    UNLINK = "DELETE FROM policy_webhooks WHERE policy = ?1";
    DROP_UNTOLD =
        "DELETE FROM notifications WHERE policy = ?1
             AND (?2 = 0
                 OR webhook NOT IN (SELECT webhook FROM policy_webhooks WHERE policy = ?1))";
    NOTE =
        "INSERT INTO notifications
             (policy, webhook, image, creator, uploaded, reason, happened, due)
         SELECT policies.pk, webhook, :image, :creator, :uploaded, :reason, :happened, :now
         FROM policies JOIN policy_webhooks ON policy_webhooks.policy = policies.pk
         WHERE account = :account AND enabled = 1
             AND (:reason IS NULL OR NOT EXISTS (SELECT 1 FROM notifications AS waiting
                 WHERE waiting.policy = policies.pk AND waiting.image = :image
                     AND waiting.webhook = policy_webhooks.webhook AND waiting.reason IS NOT NULL))";
    NOTE_EXPIRED =
        "INSERT INTO notifications (policy, webhook, image, creator, reason, happened, due)
         SELECT policies.pk, webhook, draft.id, creator, ?3, draft_expires, ?4
         FROM (SELECT account, id, creator, draft_expires FROM images INDEXED BY images_draft
             WHERE blob IS NULL AND draft_expires <= ?1 ORDER BY draft_expires LIMIT ?2) AS draft
         JOIN policies ON policies.account = draft.account AND enabled = 1
         JOIN policy_webhooks ON policy_webhooks.policy = policies.pk";
    IS_DUE = "SELECT EXISTS (SELECT 1 FROM notifications WHERE due <= ?1)";
    DROP_OLD = "DELETE FROM notifications WHERE due <= ?1 AND happened <= ?2";
    DUE = concat!(
        "SELECT notifications.pk, accounts.id, policies.name, attempts, ", webhook_columns!(), ", ",
        pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook JOIN accounts ON accounts.pk = policies.account
         WHERE due <= ?1 ORDER BY due LIMIT ?2"
    );
    CLAIM = "UPDATE notifications SET due = ?2, attempts = attempts + 1 WHERE pk = ?1";
    TOLD = "DELETE FROM notifications WHERE pk = ?1";
    SUCCEEDED =
        "UPDATE webhooks SET last_success = ?3
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND id = ?2";
    FAILED =
        "UPDATE webhooks SET last_failure = ?3
         WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND id = ?2";
    ATTEMPTS =
        "SELECT coalesce(max(attempts), 0) FROM notifications
         WHERE webhook = (SELECT pk FROM webhooks
             WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND id = ?2)";
    PAUSE =
        "UPDATE notifications SET due = ?3
         WHERE webhook = (SELECT pk FROM webhooks
             WHERE account = (SELECT pk FROM accounts WHERE id = ?1) AND id = ?2)";
    PENDING = concat!(
        "SELECT ", pending_columns!(), "
         FROM notifications JOIN policies ON policies.pk = policy
             JOIN webhooks ON webhooks.pk = webhook
         WHERE policies.account = (SELECT pk FROM accounts WHERE id = ?1) ORDER BY notifications.pk"
    );
    PUT =
        "INSERT INTO notifications
             (policy, webhook, image, creator, uploaded, reason, happened, due)
         SELECT policies.pk, webhooks.pk, ?4, ?5, ?6, ?7, ?8, ?9
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
            require_place(connection, COUNT_WEBHOOKS, account, webhooks_max)?;
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

    async fn delete_webhook(&self, account: &AccountId, id: &NotifierId) -> Result<(), Error> {
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
            require_place(connection, COUNT_POLICIES, account, policies_max)?;
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
            connection.prepare_cached(UNLINK)?.execute([pk])?;
            link(connection, account, pk, &after)?;
            let mut statement = connection.prepare_cached(DROP_UNTOLD)?;
            statement.execute(params![pk, after.enabled])?;
            Ok(())
        })
        .await
    }

    async fn delete_policy(&self, account: &AccountId, id: &NotifierId) -> Result<(), Error> {
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

    async fn notifications_are_due(&self) -> Result<bool, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(IS_DUE)?;
            Ok(statement.query_row([Timestamp::now().micros()], |row| row.get(0))?)
        })
        .await
    }

    async fn claim_notifications(
        &self,
        time: Duration,
        age_max: Duration,
        limit: u32,
    ) -> Result<Claims, Error> {
        let vault = self.vault.clone();
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            let now = Timestamp::now();
            let mut statement = connection.prepare_cached(DROP_OLD)?;
            let dropped = statement.execute([now.micros(), now.before(age_max).micros()])?;
            let mut statement = connection.prepare_cached(DUE)?;
            let mut due = statement.query([now.micros(), i64::from(limit)])?;
            let mut claimed = Vec::new();
            while let Some(row) = due.next()? {
                let account = row.get_ref(1)?.as_str().ok();
                let account = account.and_then(|id| AccountId::try_from(id).ok());
                let account = account.ok_or(Corrupt("account id"))?;
                claimed.push(Claimed {
                    number: row.get(0)?,
                    policy_name: row.get(2)?,
                    webhook: unseal(&vault, &account, webhook(row, 4)?)?,
                    pending: pending(row, 11)?,
                    attempts: row.get::<_, u32>(3)?.saturating_add(1),
                    account,
                });
            }
            let mut statement = connection.prepare_cached(CLAIM)?;
            for notification in &claimed {
                statement.execute([notification.number, now.after(time).micros()])?;
            }
            Ok(Claims {
                claimed,
                dropped: dropped as u64,
            })
        })
        .await
    }

    async fn notification_told(&self, claimed: &Claimed, now: Timestamp) -> Result<(), Error> {
        let claimed = claimed.clone();
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            connection.prepare_cached(TOLD)?.execute([claimed.number])?;
            touch(connection, SUCCEEDED, &claimed, now)
        })
        .await
    }

    async fn notification_refused(
        &self,
        claimed: &Claimed,
        now: Timestamp,
        pause: fn(u32) -> Duration,
    ) -> Result<Duration, Error> {
        let claimed = claimed.clone();
        self.write(Touched::Nothing, move |writing| {
            let connection = writing.connection;
            touch(connection, FAILED, &claimed, now)?;
            let webhook = [claimed.account.as_str(), claimed.webhook.id.as_str()];
            let mut statement = connection.prepare_cached(ATTEMPTS)?;
            let pause = pause(statement.query_row(webhook, |row| row.get(0))?);
            touch(connection, PAUSE, &claimed, Timestamp::now().after(pause))?;
            Ok(pause)
        })
        .await
    }
}

/// A statement about the webhook of a notification, and a moment.
fn touch(
    connection: &Connection,
    sql: &'static str,
    claimed: &Claimed,
    moment: Timestamp,
) -> Result<(), Error> {
    let (account, webhook) = (claimed.account.as_str(), claimed.webhook.id.as_str());
    connection
        .prepare_cached(sql)?
        .execute(params![account, webhook, moment.micros()])?;
    Ok(())
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

fn require_place(
    connection: &Connection,
    count: &'static str,
    account: i64,
    max: usize,
) -> Result<(), Error> {
    let rows: i64 = connection
        .prepare_cached(count)?
        .query_row([account], |row| row.get(0))?;
    if rows::count(rows) < max as u64 {
        Ok(())
    } else {
        Err(Error::Full)
    }
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
            id: notifier_id(id)?,
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
        webhooks.push(notifier_id(id)?);
    }
    Ok(NotificationPolicy {
        id: notifier_id(id)?,
        name: row.get(2)?,
        description: row.get(3)?,
        enabled: row.get(4)?,
        webhooks,
        created: Timestamp::from_micros(row.get(5)?),
        modified: Timestamp::from_micros(row.get(6)?),
    })
}

fn pending(row: &Row<'_>, at: usize) -> Result<Pending, Error> {
    let id = |at: usize| -> Result<NotifierId, Error> {
        let text = row.get_ref(at)?.as_str().map_err(|_| Corrupt("policy"))?;
        Ok(notifier_id(text)?)
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

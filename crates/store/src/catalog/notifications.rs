//! What an account has told to whom: webhooks, policies, and the notifications which are not told
//! yet. The end of an upload and its notifications are one transaction, so that none is forgotten.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    AccountId, Image, NotificationPolicy, OpaqueId, Pending, Timestamp, UploadEnd, Webhook,
};

use super::Corrupt;
use crate::{Error, Vault};

/// Webhooks, policies and notifications of a catalog.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// The webhooks of an account, oldest first.
    async fn webhooks(&self, account: &AccountId) -> Result<Vec<Webhook>, Error>;

    /// Inserts a webhook. `Full` if it would be one more than `webhooks_max`.
    async fn insert_webhook(
        &self,
        account: &AccountId,
        webhook: &Webhook,
        webhooks_max: usize,
    ) -> Result<(), Error>;

    /// Gives the webhook of this id this name, address and secret, and forgets its failures. `NotFound`
    /// without it.
    async fn set_webhook(&self, account: &AccountId, webhook: &Webhook) -> Result<(), Error>;

    /// Deletes a webhook. `NotFound` without it, `InUse` if a policy names it.
    async fn delete_webhook(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error>;

    /// The policies of an account, oldest first.
    async fn policies(&self, account: &AccountId) -> Result<Vec<NotificationPolicy>, Error>;

    /// Inserts a policy. `NotFound` if the account has not each of its webhooks, `Full` if it would
    /// be one more than `policies_max`.
    async fn insert_policy(
        &self,
        account: &AccountId,
        policy: &NotificationPolicy,
        policies_max: usize,
    ) -> Result<(), Error>;

    /// Replaces a policy; what waits for webhooks which it does not tell any more is dropped.
    /// `Changed` if it is not `before` any more or has gone, `NotFound` as for `insert_policy`.
    async fn set_policy(
        &self,
        account: &AccountId,
        before: &NotificationPolicy,
        after: &NotificationPolicy,
    ) -> Result<(), Error>;

    /// Deletes a policy and what waits by it. `NotFound` without it.
    async fn delete_policy(&self, account: &AccountId, id: &OpaqueId) -> Result<(), Error>;

    /// Notes an upload which failed for each webhook that is to know; returns how many. A failure of
    /// the same image which still waits stands for this one as well.
    async fn note_failed_upload(&self, account: &AccountId, end: &UploadEnd) -> Result<u64, Error>;

    /// Up to `limit` webhooks which are not left alone at present and for which something is due, by their
    /// numbers among all.
    async fn ready_webhooks(&self, limit: u32) -> Result<Vec<i64>, Error>;

    /// Takes up to `limit` notifications of a webhook, those first which failed least often; of one which
    /// failed last time, one. For `time` they are not due again, so that only a process which ends in
    /// between has them told twice. Those which wait for `age_max` are dropped if the webhook failed for as
    /// long, or at them in particular.
    async fn claim_notifications(
        &self,
        webhook: i64,
        time: Duration,
        age_max: Duration,
        limit: u32,
    ) -> Result<Claims, Error>;

    /// A webhook took its notification, which is done with.
    async fn notification_told(&self, claimed: &Claimed, now: Timestamp) -> Result<(), Error>;

    /// A webhook did not take its notification, and is left alone for the pause which follows on so many
    /// failures in a row. Returns the pause.
    async fn notification_refused(
        &self,
        claimed: &Claimed,
        now: Timestamp,
        pause: fn(u32) -> Duration,
    ) -> Result<Duration, Error>;
}

/// Attempts after which it is the notification that a webhook refuses, and not the webhook that fails.
pub(super) const ATTEMPTS_MAX: u32 = 10;

/// What is to be told now.
#[derive(Debug, Default)]
pub struct Claims {
    /// One each.
    pub claimed: Vec<Claimed>,
    /// How many were dropped.
    pub dropped: u64,
}

/// One notification, to be told.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Names it among all.
    pub number: i64,
    /// Names the webhook among all.
    pub webhook_number: i64,
    /// Whose it is.
    pub account: AccountId,
    /// The name of its policy.
    pub policy_name: String,
    /// Whom to tell.
    pub webhook: Webhook,
    /// What to tell.
    pub pending: Pending,
    /// How often that failed before.
    pub attempts: u32,
}

/// A webhook whose secret is sealed.
pub(super) struct SealedWebhook {
    /// Without its secret.
    pub(super) webhook: Webhook,
    pub(super) secret: Option<Vec<u8>>,
}

/// A sealed secret opens only as that of this webhook in this account.
fn context(account: &AccountId, id: &OpaqueId) -> String {
    format!("secret of webhook {id} of account {account}")
}

pub(super) fn seal(vault: &Vault, account: &AccountId, webhook: &Webhook) -> Option<Vec<u8>> {
    let secret = webhook.secret.as_ref()?;
    Some(vault.seal(secret.as_bytes(), &context(account, &webhook.id)))
}

pub(super) fn unseal(
    vault: &Vault,
    account: &AccountId,
    sealed: SealedWebhook,
) -> Result<Webhook, Error> {
    let SealedWebhook {
        mut webhook,
        secret,
    } = sealed;
    if let Some(secret) = secret {
        let opened = vault.open(&secret, &context(account, &webhook.id))?;
        webhook.secret =
            Some(String::from_utf8(opened).map_err(|_| Corrupt("secret of a webhook"))?);
    }
    Ok(webhook)
}

pub(super) fn unseal_all(
    vault: &Vault,
    account: &AccountId,
    sealed: Vec<SealedWebhook>,
) -> Result<Vec<Webhook>, Error> {
    let open = |sealed| unseal(vault, account, sealed);
    sealed.into_iter().map(open).collect()
}

/// The outcome of an upload from its two columns.
pub(super) fn outcome(
    uploaded: Option<i64>,
    reason: Option<String>,
) -> Result<Result<Timestamp, String>, Corrupt> {
    match (uploaded, reason) {
        (Some(uploaded), None) => Ok(Ok(Timestamp::from_micros(uploaded))),
        (None, Some(reason)) => Ok(Err(reason)),
        _ => Err(Corrupt("notification")),
    }
}

/// An id of the columns.
pub(super) fn opaque_id(text: &str) -> Result<OpaqueId, Corrupt> {
    OpaqueId::parse(text).ok_or(Corrupt("id of a webhook or policy"))
}

/// A draft which became this image.
pub(super) fn success(image: &Image) -> UploadEnd {
    UploadEnd {
        image: image.id.clone(),
        creator: image.creator.clone(),
        outcome: Ok(image.uploaded),
        happened: image.uploaded,
    }
}

/// What expired drafts failed for.
pub(super) const EXPIRED: &str = "the upload URL expired unused";

//! Webhooks: who wants to know how direct creator uploads end, and telling them
//! (management-api.md, section 8.3).

mod message;

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use model::{
    Account, AccountId, ImageId, NotificationPolicy, NotifierId, Timestamp, UploadEnd, Webhook,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use store::catalog::Claimed;

use crate::{Error, FetchError, Service};

/// A webhook as a client wants it.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// What to call it.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What the receiver is to know us by; the empty one is none.
    pub secret: Option<String>,
}

/// A policy as a client wants it.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    /// What to call it.
    pub name: String,
    /// What to say of it.
    pub description: Option<String>,
    /// Whether it tells anything.
    pub enabled: bool,
    /// The ids of those who are told.
    pub webhooks: Vec<String>,
}

/// What changes in a policy; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct PolicyEdit {
    /// Its name.
    pub name: Option<String>,
    /// What is said of it; `Some(None)` is nothing.
    pub description: Option<Option<String>>,
    /// Whether it tells anything.
    pub enabled: Option<bool>,
    /// The ids of those who are told.
    pub webhooks: Option<Vec<String>>,
}

/// What one round of telling did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Notifications which were taken.
    pub told: u64,
    /// Those which were not, and are tried again.
    pub refused: u64,
    /// Those which were given up.
    pub dropped: u64,
}

/// How long a webhook may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Notifications of one round, and how many of them are told at a time.
const ROUND: u32 = 64;
const AT_ONCE: usize = 16;
/// Longer than a round takes, in which every answer takes as long as it may.
const CLAIM: Duration = Duration::from_mins(1);
/// How long a notification is tried.
const AGE_MAX: Duration = Duration::from_hours(24);
/// The pause after the first failure, by how much it grows with each, and to what.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_GROWTH: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// How often a change is tried again which meets another one.
const ATTEMPTS: usize = 10;

impl Service {
    /// The webhooks of an account, oldest first.
    pub async fn webhooks(&self, account: &AccountId) -> Result<Vec<Webhook>, Error> {
        Ok(self.catalog.webhooks(account).await?)
    }

    /// The webhook of this id.
    pub async fn webhook(&self, account: &AccountId, id: &str) -> Result<Webhook, Error> {
        let id = webhook_id(id)?;
        let all = self.catalog.webhooks(account).await?;
        let found = all.into_iter().find(|webhook| webhook.id == id);
        found.ok_or(NO_WEBHOOK)
    }

    /// Makes a webhook, if it takes a message of trial.
    pub async fn create_webhook(
        &self,
        account: &AccountId,
        new: NewWebhook,
    ) -> Result<NotifierId, Error> {
        let webhook = webhook_of(NotifierId::generate(), new)?;
        let webhooks_max = self.settings.limits.webhooks_max;
        if self.catalog.webhooks(account).await?.len() >= webhooks_max {
            return Err(Error::LimitReached("webhooks"));
        }
        self.try_out(&webhook).await?;
        self.catalog
            .insert_webhook(account, &webhook, webhooks_max)
            .await
            .map_err(|error| match error {
                store::Error::Full => Error::LimitReached("webhooks"),
                other => other.into(),
            })?;
        Ok(webhook.id)
    }

    /// Gives a webhook another name, address and secret, if it takes a message of trial there.
    pub async fn replace_webhook(
        &self,
        account: &AccountId,
        id: &str,
        new: NewWebhook,
    ) -> Result<NotifierId, Error> {
        let before = self.webhook(account, id).await?;
        let webhook = webhook_of(before.id, new)?;
        self.try_out(&webhook).await?;
        match self.catalog.set_webhook(account, &webhook).await {
            Err(store::Error::NotFound) => Err(NO_WEBHOOK),
            set => Ok(set.map(|()| webhook.id)?),
        }
    }

    /// Deletes a webhook which no policy names.
    pub async fn delete_webhook(&self, account: &AccountId, id: &str) -> Result<(), Error> {
        let id = webhook_id(id)?;
        match self.catalog.delete_webhook(account, &id).await {
            Err(store::Error::NotFound) => Err(NO_WEBHOOK),
            Err(store::Error::InUse) => Err(Error::WebhookInUse),
            deleted => Ok(deleted?),
        }
    }

    /// The notification policies of an account, oldest first.
    pub async fn policies(&self, account: &AccountId) -> Result<Vec<NotificationPolicy>, Error> {
        Ok(self.catalog.policies(account).await?)
    }

    /// The policy of this id.
    pub async fn policy(&self, account: &AccountId, id: &str) -> Result<NotificationPolicy, Error> {
        let id = NotifierId::parse(id).ok_or(NO_POLICY)?;
        let all = self.catalog.policies(account).await?;
        let found = all.into_iter().find(|policy| policy.id == id);
        found.ok_or(NO_POLICY)
    }

    /// Makes a policy.
    pub async fn create_policy(
        &self,
        account: &AccountId,
        new: NewPolicy,
    ) -> Result<NotifierId, Error> {
        let now = Timestamp::now();
        let policy = NotificationPolicy {
            id: NotifierId::generate(),
            name: name(new.name)?,
            description: description(new.description)?,
            enabled: new.enabled,
            webhooks: webhook_ids(&new.webhooks)?,
            created: now,
            modified: now,
        };
        let policies_max = self.settings.limits.policies_max;
        self.catalog
            .insert_policy(account, &policy, policies_max)
            .await
            .map_err(|error| match error {
                store::Error::Full => Error::LimitReached("notification policies"),
                store::Error::NotFound => no_such_mechanism(),
                other => other.into(),
            })?;
        Ok(policy.id)
    }

    /// Changes a policy.
    pub async fn edit_policy(
        &self,
        account: &AccountId,
        id: &str,
        edit: PolicyEdit,
    ) -> Result<NotifierId, Error> {
        for _ in 0..ATTEMPTS {
            let before = self.policy(account, id).await?;
            let edit = edit.clone();
            let after = NotificationPolicy {
                name: edit.name.map_or(Ok(before.name.clone()), name)?,
                description: match edit.description {
                    Some(text) => description(text)?,
                    None => before.description.clone(),
                },
                enabled: edit.enabled.unwrap_or(before.enabled),
                webhooks: match &edit.webhooks {
                    Some(ids) => webhook_ids(ids)?,
                    None => before.webhooks.clone(),
                },
                modified: Timestamp::now(),
                ..before.clone()
            };
            match self.catalog.set_policy(account, &before, &after).await {
                Ok(()) => return Ok(after.id),
                Err(store::Error::Changed) => {}
                Err(store::Error::NotFound) => return Err(no_such_mechanism()),
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    /// Deletes a policy, and what waits to be told by it.
    pub async fn delete_policy(&self, account: &AccountId, id: &str) -> Result<(), Error> {
        let id = NotifierId::parse(id).ok_or(NO_POLICY)?;
        match self.catalog.delete_policy(account, &id).await {
            Err(store::Error::NotFound) => Err(NO_POLICY),
            deleted => Ok(deleted?),
        }
    }

    /// Notes that what came to a one-time upload URL was refused, for those who want to know. That it
    /// cannot be noted is no reason for another answer.
    pub async fn note_refused_upload(&self, account: &Account, id: &ImageId, reason: &str) {
        let noted = async {
            let draft = self.catalog.image(&account.id, id).await?;
            let Some(draft) = draft.filter(model::Image::is_draft) else {
                return Ok(0);
            };
            let end = UploadEnd {
                image: draft.id,
                creator: draft.creator,
                outcome: Err(reason.to_owned()),
                happened: Timestamp::now(),
            };
            self.catalog.note_failed_upload(&account.id, &end).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a refused upload is not told to webhooks");
        }
    }

    /// Whether `tell` has something to do.
    pub async fn has_to_tell(&self) -> Result<bool, Error> {
        Ok(self.catalog.notifications_are_due().await?)
    }

    /// Tells what is due. Every notification arrives at least once, in no certain order: what was taken
    /// by a receiver in the moment in which the server died is told again.
    pub async fn tell(&self) -> Result<Told, Error> {
        let mut all = Told::default();
        loop {
            let claims = self
                .catalog
                .claim_notifications(CLAIM, AGE_MAX, ROUND)
                .await?;
            all.dropped += claims.dropped;
            if claims.dropped > 0 {
                tracing::warn!(claims.dropped, "notifications were given up after a day");
            }
            let is_last = claims.claimed.len() < ROUND as usize;
            let failed = Mutex::default();
            let tellings = claims.claimed.into_iter().map(|claimed| {
                let failed = &failed;
                async move { self.tell_one(&claimed, failed).await }
            });
            let mut tellings = stream::iter(tellings).buffer_unordered(AT_ONCE);
            let mut round = Told {
                dropped: claims.dropped,
                ..Told::default()
            };
            // What was begun is ended, so that what was sent is noted as far as that goes.
            let mut error = None;
            while let Some(told) = tellings.next().await {
                match told {
                    Ok(true) => round.told += 1,
                    Ok(false) => round.refused += 1,
                    Err(first) => error = error.or(Some(first)),
                }
            }
            self.meters.count_notifications(round);
            if let Some(error) = error {
                return Err(error);
            }
            all.told += round.told;
            all.refused += round.refused;
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Whether it was taken. A webhook which has just failed is not asked again in the same round.
    async fn tell_one(
        &self,
        claimed: &Claimed,
        failed: &Mutex<HashSet<NotifierId>>,
    ) -> Result<bool, Error> {
        let webhook = &claimed.webhook;
        let has_failed = || {
            failed
                .lock()
                .is_ok_and(|failed| failed.contains(&webhook.id))
        };
        if has_failed() {
            return Ok(false);
        }
        let json = message::of(claimed);
        match self.send(webhook, json).await {
            Ok(()) => {
                let now = Timestamp::now();
                self.catalog.notification_told(claimed, now).await?;
                Ok(true)
            }
            Err(error) => {
                if let Ok(mut failed) = failed.lock() {
                    failed.insert(webhook.id.clone());
                }
                let now = Timestamp::now();
                let refused = self.catalog.notification_refused(claimed, now, pause_after);
                let (pause, attempts) = (refused.await?, claimed.attempts);
                // Its address may hold secrets.
                tracing::warn!(webhook = %webhook.id, %error, attempts, ?pause, "a webhook fails");
                Ok(false)
            }
        }
    }

    async fn try_out(&self, webhook: &Webhook) -> Result<(), Error> {
        let sent = self.send(webhook, message::of_trial()).await;
        sent.map_err(|error| {
            Error::Invalid(format!(
                "the test message was not accepted at the url: {error}"
            ))
        })
    }

    async fn send(&self, webhook: &Webhook, json: String) -> Result<(), FetchError> {
        let mut headers = HeaderMap::new();
        if let Some(secret) = &webhook.secret
            && let Ok(mut secret) = HeaderValue::from_str(secret)
        {
            secret.set_sensitive(true);
            headers.insert(HeaderName::from_static("cf-webhook-auth"), secret);
        }
        self.fetcher
            .tell(&webhook.url, headers, json, ANSWER_MAX)
            .await
    }
}

const NO_WEBHOOK: Error = Error::NotifierNotFound("webhook");
const NO_POLICY: Error = Error::NotifierNotFound("notification policy");

fn no_such_mechanism() -> Error {
    Error::Invalid("mechanisms.webhooks names a webhook which is not there".to_owned())
}

fn webhook_id(id: &str) -> Result<NotifierId, Error> {
    NotifierId::parse(id).ok_or(NO_WEBHOOK)
}

/// None twice, and at least one.
fn webhook_ids(ids: &[String]) -> Result<Vec<NotifierId>, Error> {
    let mut known = HashSet::new();
    let mut parsed = Vec::new();
    for id in ids {
        let id = NotifierId::parse(id).ok_or_else(no_such_mechanism)?;
        if known.insert(id.clone()) {
            parsed.push(id);
        }
    }
    if parsed.is_empty() {
        let sentence = "mechanisms must name a webhook at least: nothing else is told here";
        return Err(Error::Invalid(sentence.to_owned()));
    }
    Ok(parsed)
}

fn webhook_of(id: NotifierId, new: NewWebhook) -> Result<Webhook, Error> {
    let invalid = |sentence: String| Err(Error::Invalid(sentence));
    let is_http = reqwest::Url::parse(&new.url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !is_http || new.url.len() > Webhook::URL_BYTES_MAX {
        let max = Webhook::URL_BYTES_MAX;
        return invalid(format!(
            "url must be a valid http or https URL of {max} bytes at most"
        ));
    }
    let secret = new.secret.filter(|secret| !secret.is_empty());
    let is_sendable = |secret: &String| {
        secret.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && secret.trim() == secret
    };
    if let Some(secret) = &secret
        && (!is_sendable(secret) || secret.len() > Webhook::SECRET_BYTES_MAX)
    {
        let max = Webhook::SECRET_BYTES_MAX;
        return invalid(format!(
            "secret must be printable ASCII of {max} bytes at most, without spaces around it"
        ));
    }
    Ok(Webhook {
        id,
        name: name(new.name)?,
        url: new.url,
        secret,
        created: Timestamp::now(),
        last_success: None,
        last_failure: None,
    })
}

fn name(name: String) -> Result<String, Error> {
    let max = Webhook::NAME_CHARS_MAX;
    if name.trim().is_empty() || name.chars().count() > max || name.contains('\0') {
        return Err(Error::Invalid(format!(
            "name must have 1 to {max} characters"
        )));
    }
    Ok(name)
}

fn description(text: Option<String>) -> Result<Option<String>, Error> {
    let max = NotificationPolicy::DESCRIPTION_CHARS_MAX;
    let is_too_long = |text: &String| text.chars().count() > max || text.contains('\0');
    if text.as_ref().is_some_and(is_too_long) {
        return Err(Error::Invalid(format!(
            "description may have {max} characters at most"
        )));
    }
    Ok(text)
}

/// How long a webhook is left alone after so many attempts which failed.
fn pause_after(attempts: u32) -> Duration {
    let factor = PAUSE_GROWTH.saturating_pow(attempts.saturating_sub(1));
    PAUSE.saturating_mul(factor).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let seconds: Vec<u64> = [1, 2, 3, 4, 5, 6, 7, 1_000]
            .map(|attempts| pause_after(attempts).as_secs())
            .into();
        assert_eq!(seconds, [5, 20, 80, 320, 1_280, 3_600, 3_600, 3_600]);
    }
}

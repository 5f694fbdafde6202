//! Webhooks: who wants to know how direct creator uploads end, and telling them
//! (management-api.md, section 8.3).

mod message;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::{
    Account, AccountId, ImageId, NotificationPolicy, OpaqueId, Timestamp, UploadEnd, Webhook,
};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use store::catalog::Claimed;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

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
/// Notifications which a webhook is told in one go.
const ROUND: u32 = 8;
/// Longer than a round takes, in which every answer takes as long as it may.
const CLAIM: Duration = Duration::from_secs(20);
/// How long a webhook which fails, or a notification which is refused, is tried.
const AGE_MAX: Duration = Duration::from_hours(24);
/// The pause after the first failure, by how much it grows with each, and to what.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_GROWTH: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_mins(15);
/// Webhooks which are told at a time, and how much of that is written down at a time.
const WEBHOOKS_AT_ONCE: usize = 64;
const WRITES_AT_ONCE: usize = 4;
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
    ) -> Result<OpaqueId, Error> {
        let webhook = webhook_of(OpaqueId::generate(), new, self.catalog.now())?;
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
    ) -> Result<OpaqueId, Error> {
        let before = self.webhook(account, id).await?;
        let webhook = webhook_of(before.id, new, before.created)?;
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
        let id = OpaqueId::parse(id).ok_or(NO_POLICY)?;
        let all = self.catalog.policies(account).await?;
        let found = all.into_iter().find(|policy| policy.id == id);
        found.ok_or(NO_POLICY)
    }

    /// Makes a policy.
    pub async fn create_policy(
        &self,
        account: &AccountId,
        new: NewPolicy,
    ) -> Result<OpaqueId, Error> {
        let now = self.catalog.now();
        let policy = NotificationPolicy {
            id: OpaqueId::generate(),
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
    ) -> Result<OpaqueId, Error> {
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
                modified: self.catalog.now(),
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
        let id = OpaqueId::parse(id).ok_or(NO_POLICY)?;
        match self.catalog.delete_policy(account, &id).await {
            Err(store::Error::NotFound) => Err(NO_POLICY),
            deleted => Ok(deleted?),
        }
    }

    /// Notes that what came to a one-time upload URL was refused, for those who want to know. That it
    /// cannot be noted is no reason for another answer.
    pub async fn note_refused_upload(&self, account: &Account, id: &ImageId, reason: &str) {
        let noted = async {
            // Nearly nobody has any, and a look costs less than to write nothing.
            let policies = self.catalog.policies(&account.id).await?;
            if !policies.iter().any(|policy| policy.enabled) {
                return Ok(0);
            }
            let draft = self.catalog.image(&account.id, id).await?;
            let Some(draft) = draft.filter(model::Image::is_draft) else {
                return Ok(0);
            };
            let end = UploadEnd {
                image: draft.id,
                creator: draft.creator,
                outcome: Err(reason.to_owned()),
                happened: self.catalog.now(),
            };
            self.catalog.note_failed_upload(&account.id, &end).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a refused upload is not told to webhooks");
        }
    }

    /// What tells webhooks.
    pub fn teller(&self) -> Teller {
        Teller {
            service: self.clone(),
            writes: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            told: JoinSet::new(),
            at_work: HashSet::new(),
        }
    }

    /// Notes what becomes of a few notifications of one webhook.
    async fn tell_webhook(&self, webhook: i64, writes: &Semaphore) -> Result<Told, Error> {
        let mut all = Told::default();
        loop {
            let claims = {
                let _turn = writes.acquire().await;
                self.catalog
                    .claim_notifications(webhook, CLAIM, AGE_MAX, ROUND)
                    .await?
            };
            let mut round = Told {
                dropped: claims.dropped,
                ..Told::default()
            };
            if claims.dropped > 0 {
                tracing::warn!(
                    webhook,
                    claims.dropped,
                    "notifications were given up after a day"
                );
            }
            let sendings = claims.claimed.iter().map(|claimed| async move {
                (
                    claimed,
                    self.send(&claimed.webhook, message::of(claimed)).await,
                )
            });
            let mut sendings: FuturesUnordered<_> = sendings.collect();
            // What was begun is ended, so that what was sent is noted as far as that goes.
            let mut error = None;
            while let Some((claimed, sent)) = sendings.next().await {
                let _turn = writes.acquire().await;
                match self.note_sending(claimed, sent).await {
                    Ok(true) => round.told += 1,
                    Ok(false) => round.refused += 1,
                    Err(first) => error = error.or(Some(first)),
                }
            }
            self.meters.count_notifications(round);
            if let Some(error) = error {
                return Err(error);
            }
            all = all.and(round);
            if claims.claimed.is_empty() || round.refused > 0 {
                return Ok(all);
            }
        }
    }

    /// Whether it was taken.
    async fn note_sending(
        &self,
        claimed: &Claimed,
        sent: Result<(), FetchError>,
    ) -> Result<bool, Error> {
        let now = self.catalog.now();
        let Err(error) = sent else {
            self.catalog.notification_told(claimed, now).await?;
            return Ok(true);
        };
        let refused = self.catalog.notification_refused(claimed, now, pause_after);
        let (pause, attempts) = (refused.await?, claimed.attempts.saturating_add(1));
        // Its address may hold secrets.
        let webhook = &claimed.webhook.id;
        tracing::warn!(%webhook, %error, attempts, ?pause, "a webhook fails");
        Ok(false)
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

const NO_WEBHOOK: Error = Error::NotFound("webhook");
const NO_POLICY: Error = Error::NotFound("notification policy");

fn no_such_mechanism() -> Error {
    Error::Invalid("mechanisms.webhooks names a webhook which is not there".to_owned())
}

fn webhook_id(id: &str) -> Result<OpaqueId, Error> {
    OpaqueId::parse(id).ok_or(NO_WEBHOOK)
}

/// None twice, and at least one.
fn webhook_ids(ids: &[String]) -> Result<Vec<OpaqueId>, Error> {
    let mut known = HashSet::new();
    let mut parsed = Vec::new();
    for id in ids {
        let id = OpaqueId::parse(id).ok_or_else(no_such_mechanism)?;
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

fn webhook_of(id: OpaqueId, new: NewWebhook, created: Timestamp) -> Result<Webhook, Error> {
    let invalid = |sentence: String| Err(Error::Invalid(sentence));
    let is_http = reqwest::Url::parse(&new.url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    // A parser passes over some of these.
    let is_plain = !new
        .url
        .contains(|char: char| char.is_control() || char.is_whitespace());
    if !is_http || !is_plain || new.url.len() > Webhook::URL_BYTES_MAX {
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
        created,
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

impl Told {
    fn and(self, other: Self) -> Self {
        Self {
            told: self.told + other.told,
            refused: self.refused + other.refused,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// Tells webhooks what is due. Each is told by itself, so that a slow one holds up no other. Every
/// notification arrives at least once, in no certain order: what a receiver took in the moment in which
/// the server died is told again. Dropping it ends what it does.
pub struct Teller {
    service: Service,
    /// Turns at the database, which has others to serve.
    writes: Arc<Semaphore>,
    told: JoinSet<(i64, Result<Told, Error>)>,
    at_work: HashSet<i64>,
}

impl Teller {
    /// Whether there is something to do, or being done.
    pub async fn is_needed(&mut self) -> Result<bool, Error> {
        self.clear();
        if !self.at_work.is_empty() {
            return Ok(true);
        }
        Ok(!self.service.catalog.ready_webhooks(1).await?.is_empty())
    }

    /// Begins with every webhook for which something is due, and does not wait.
    pub async fn begin(&mut self) -> Result<(), Error> {
        self.clear();
        let limit = u32::try_from(2 * WEBHOOKS_AT_ONCE).unwrap_or(u32::MAX);
        for webhook in self.service.catalog.ready_webhooks(limit).await? {
            if self.at_work.len() >= WEBHOOKS_AT_ONCE {
                break;
            }
            if self.at_work.insert(webhook) {
                let (service, writes) = (self.service.clone(), Arc::clone(&self.writes));
                self.told.spawn(async move {
                    let told = service.tell_webhook(webhook, &writes).await;
                    (webhook, told)
                });
            }
        }
        Ok(())
    }

    /// Waits for all which was begun, and says what came of it.
    pub async fn end(&mut self) -> Result<Told, Error> {
        let mut all = Told::default();
        while let Some(told) = self.told.join_next().await {
            if let Ok((webhook, told)) = told {
                self.at_work.remove(&webhook);
                all = all.and(told?);
            }
        }
        self.at_work.clear();
        Ok(all)
    }

    /// Forgets what has ended. What failed is tried again when its claims have lapsed.
    fn clear(&mut self) {
        while let Some(told) = self.told.try_join_next() {
            let Ok((webhook, told)) = told else { continue };
            self.at_work.remove(&webhook);
            match told {
                // A store which has moved took what waits with it.
                Ok(_) | Err(Error::Store(store::Error::Closed)) => {}
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(webhook, %error, cause, "a webhook cannot be told at present");
                }
            }
        }
        if self.told.is_empty() {
            // One whose task panicked is not named.
            self.at_work.clear();
        }
    }
}

/// How long a webhook is left alone after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    let factor = PAUSE_GROWTH.saturating_pow(failures.saturating_sub(1));
    PAUSE.saturating_mul(factor).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_quarter_of_an_hour() {
        let seconds: Vec<u64> = [1, 2, 3, 4, 5, 6, 7, 1_000]
            .map(|attempts| pause_after(attempts).as_secs())
            .into();
        assert_eq!(seconds, [5, 20, 80, 320, 900, 900, 900, 900]);
    }
}

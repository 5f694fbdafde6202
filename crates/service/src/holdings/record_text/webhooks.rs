//! Webhooks, policies, and what was not told yet.

use model::{
    AccountId, Creator, ImageId, NotificationPolicy, OpaqueId, Pending, Timestamp, UploadEnd,
    Webhook,
};
use serde::{Deserialize, Serialize};
use store::Vault;

#[derive(Serialize, Deserialize)]
pub(super) struct WebhookLine {
    id: String,
    name: String,
    url: String,
    /// Sealed as the keys are.
    sealed: Option<String>,
    created: i64,
    last_success: Option<i64>,
    last_failure: Option<i64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PolicyLine {
    id: String,
    name: String,
    description: Option<String>,
    enabled: bool,
    webhooks: Vec<String>,
    created: i64,
    modified: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PendingLine {
    policy: String,
    webhook: String,
    image: String,
    creator: Option<String>,
    /// Of an upload which succeeded; one which failed has a reason.
    uploaded: Option<i64>,
    reason: Option<String>,
    happened: i64,
}

fn webhook_context(account: &AccountId, id: &OpaqueId) -> String {
    format!("backup of the secret of webhook {id} of account {account}")
}

pub(super) fn webhook_line(account: &AccountId, webhook: &Webhook, vault: &Vault) -> WebhookLine {
    let Webhook {
        id,
        name,
        url,
        secret,
        created,
        last_success,
        last_failure,
    } = webhook;
    let seal = |secret: &String| vault.seal(secret.as_bytes(), &webhook_context(account, id));
    WebhookLine {
        id: id.as_str().to_owned(),
        name: name.clone(),
        url: url.clone(),
        sealed: secret.as_ref().map(|secret| model::to_hex(&seal(secret))),
        created: created.micros(),
        last_success: last_success.map(Timestamp::micros),
        last_failure: last_failure.map(Timestamp::micros),
    }
}

pub(super) fn webhook(account: &AccountId, line: WebhookLine, vault: &Vault) -> Option<Webhook> {
    let id = OpaqueId::parse(&line.id)?;
    let secret = match line.sealed {
        Some(sealed) => {
            let sealed = model::from_hex(&sealed)?;
            let secret = vault.open(&sealed, &webhook_context(account, &id)).ok()?;
            Some(String::from_utf8(secret).ok()?)
        }
        None => None,
    };
    Some(Webhook {
        id,
        name: line.name,
        url: line.url,
        secret,
        created: Timestamp::from_micros(line.created),
        last_success: line.last_success.map(Timestamp::from_micros),
        last_failure: line.last_failure.map(Timestamp::from_micros),
    })
}

pub(super) fn policy_line(policy: &NotificationPolicy) -> PolicyLine {
    let NotificationPolicy {
        id,
        name,
        description,
        enabled,
        webhooks,
        created,
        modified,
    } = policy;
    PolicyLine {
        id: id.as_str().to_owned(),
        name: name.clone(),
        description: description.clone(),
        enabled: *enabled,
        webhooks: webhooks.iter().map(ToString::to_string).collect(),
        created: created.micros(),
        modified: modified.micros(),
    }
}

pub(super) fn policy(line: PolicyLine) -> Option<NotificationPolicy> {
    let webhooks = line.webhooks.iter().map(|id| OpaqueId::parse(id));
    Some(NotificationPolicy {
        id: OpaqueId::parse(&line.id)?,
        name: line.name,
        description: line.description,
        enabled: line.enabled,
        webhooks: webhooks.collect::<Option<_>>()?,
        created: Timestamp::from_micros(line.created),
        modified: Timestamp::from_micros(line.modified),
    })
}

pub(super) fn pending_line(pending: &Pending) -> PendingLine {
    let Pending {
        policy,
        webhook,
        end,
    } = pending;
    let UploadEnd {
        image,
        creator,
        outcome,
        happened,
    } = end;
    PendingLine {
        policy: policy.to_string(),
        webhook: webhook.to_string(),
        image: image.as_str().to_owned(),
        creator: creator.as_ref().map(|text| text.as_str().to_owned()),
        uploaded: outcome.as_ref().ok().map(|uploaded| uploaded.micros()),
        reason: outcome.as_ref().err().cloned(),
        happened: happened.micros(),
    }
}

pub(super) fn pending(line: PendingLine) -> Option<Pending> {
    let outcome = match (line.uploaded, line.reason) {
        (Some(uploaded), None) => Ok(Timestamp::from_micros(uploaded)),
        (None, Some(reason)) => Err(reason),
        _ => return None,
    };
    Some(Pending {
        policy: OpaqueId::parse(&line.policy)?,
        webhook: OpaqueId::parse(&line.webhook)?,
        end: UploadEnd {
            image: ImageId::from_path(line.image),
            creator: line.creator.and_then(Creator::from_stored),
            outcome,
            happened: Timestamp::from_micros(line.happened),
        },
    })
}

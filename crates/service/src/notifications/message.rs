//! What a webhook is sent: the generic payload of management-api.md, section 8.3.

use model::{Creator, NotificationPolicy, UploadEnd};
use ring::digest;
use serde_json::json;
use store::catalog::Claimed;

/// The JSON of a notification.
pub(super) fn of(claimed: &Claimed) -> String {
    let UploadEnd {
        image,
        creator,
        outcome,
        happened,
    } = &claimed.pending.end;
    let (account, name) = (claimed.account.as_str(), &claimed.policy_name);
    let (status, text) = match outcome {
        Ok(_) => ("uploaded", format!("The image {image} was uploaded.")),
        Err(reason) => (
            "failed",
            format!("The upload of the image {image} failed: {reason}."),
        ),
    };
    json!({
        "name": name,
        "text": text,
        "data": {
            "account_tag": account,
            "image_id": image.as_str(),
            "status": status,
            "reason": outcome.as_ref().err(),
            "uploaded": outcome.as_ref().ok().map(ToString::to_string),
            "creator": creator.as_ref().map(Creator::as_str),
        },
        "ts": happened.seconds(),
        "account_id": account,
        "policy_id": claimed.pending.policy.as_str(),
        "policy_name": name,
        "alert_type": NotificationPolicy::ALERT_TYPE,
        "alert_correlation_id": correlation(claimed),
        "alert_event": "ALERT_STATE_EVENT_START",
    })
    .to_string()
}

/// The JSON which tries a webhook out.
pub(super) fn of_trial() -> String {
    let text = "This is a test message. Notifications of your image service will arrive here.";
    json!({ "text": text }).to_string()
}

/// The same for every telling of one event, to whomever, and for no other event.
fn correlation(claimed: &Claimed) -> String {
    let UploadEnd {
        image, happened, ..
    } = &claimed.pending.end;
    let named = format!("{}\n{image}\n{}", claimed.account, happened.micros());
    let hash = digest::digest(&digest::SHA256, named.as_bytes());
    model::to_hex(&hash.as_ref()[..16])
}

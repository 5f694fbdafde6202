use std::time::Duration;

use model::{AccountId, NotificationPolicy, NotifierId, Timestamp, UploadEnd, Webhook};
use store::catalog::{Claimed, Claims, Portable};
use store::{Catalog, Error};

use crate::fixtures::{at, creator, draft, filled, id, new_account, reserve, upload};

const HOUR: Duration = Duration::from_hours(1);
const AGES: Duration = Duration::from_hours(1_000_000);

pub(crate) fn webhook(name: &str, secret: Option<&str>) -> Webhook {
    Webhook {
        id: NotifierId::generate(),
        name: name.to_owned(),
        url: format!("https://{name}.test/hook"),
        secret: secret.map(str::to_owned),
        created: at(3_000),
        last_success: None,
        last_failure: None,
    }
}

pub(crate) fn policy(webhooks: &[&Webhook]) -> NotificationPolicy {
    NotificationPolicy {
        id: NotifierId::generate(),
        name: "uploads \u{e9}".to_owned(),
        description: None,
        enabled: true,
        webhooks: webhooks.iter().map(|webhook| webhook.id.clone()).collect(),
        created: at(4_000),
        modified: at(5_000),
    }
}

pub(crate) fn failure(image: &str) -> UploadEnd {
    UploadEnd {
        image: id(image),
        creator: creator("x\0y"),
        outcome: Err("no image".to_owned()),
        happened: at(6_000),
    }
}

/// A new account with webhooks, each of which has a policy.
async fn listeners(catalog: &dyn Catalog, names: &[&str]) -> (AccountId, Vec<Webhook>) {
    let account = new_account(catalog).await;
    let mut webhooks = Vec::new();
    for name in names {
        let webhook = webhook(name, None);
        catalog.insert_webhook(&account, &webhook, 9).await.unwrap();
        let policy = policy(&[&webhook]);
        catalog.insert_policy(&account, &policy, 9).await.unwrap();
        webhooks.push(webhook);
    }
    (account, webhooks)
}

async fn claim(catalog: &dyn Catalog, limit: u32) -> Vec<Claimed> {
    let claimed = catalog.claim_notifications(HOUR, AGES, limit).await;
    let Claims { claimed, dropped } = claimed.unwrap();
    assert_eq!(dropped, 0);
    claimed
}

/// The images which are told of.
fn images(claimed: &[Claimed]) -> Vec<&str> {
    let mut images: Vec<_> = claimed
        .iter()
        .map(|claimed| claimed.pending.end.image.as_str())
        .collect();
    images.sort_unstable();
    images
}

pub(crate) async fn webhooks_are_kept_and_listed_oldest_first(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut one = webhook("one", Some("s3cret"));
    let other = webhook("other", None);
    for webhook in [&one, &other] {
        catalog.insert_webhook(&account, webhook, 2).await.unwrap();
    }
    let third = webhook("third", None);
    let full = catalog.insert_webhook(&account, &third, 2).await;
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    let listed = catalog.webhooks(&account).await.unwrap();
    assert_eq!(listed, [one.clone(), other.clone()]);

    (one.name, one.secret) = ("new".to_owned(), Some("another".to_owned()));
    "http://new.test".clone_into(&mut one.url);
    catalog.set_webhook(&account, &one).await.unwrap();
    assert_eq!(catalog.webhooks(&account).await.unwrap()[0], one);
    let unknown = catalog.set_webhook(&account, &third).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");

    let stranger = new_account(catalog).await;
    assert_eq!(catalog.webhooks(&stranger).await.unwrap(), []);
    let theirs = catalog.delete_webhook(&stranger, &one.id).await;
    assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
    catalog.delete_webhook(&account, &one.id).await.unwrap();
    assert_eq!(catalog.webhooks(&account).await.unwrap(), [other]);
    let gone = catalog.delete_webhook(&account, &one.id).await;
    assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
}

pub(crate) async fn a_policy_changes_only_from_what_it_is(catalog: &dyn Catalog) {
    let (account, webhooks) = listeners(catalog, &["one", "other"]).await;
    let before = catalog.policies(&account).await.unwrap();
    assert_eq!(before.len(), 2);
    let mut after = before[0].clone();
    "new".clone_into(&mut after.name);
    after.description = Some("of customers".to_owned());
    after.enabled = false;
    after.webhooks = vec![webhooks[1].id.clone(), webhooks[0].id.clone()];
    after.modified = at(7_000);
    let set = catalog.set_policy(&account, &before[0], &after).await;
    set.unwrap();
    let changed = [after.clone(), before[1].clone()];
    assert_eq!(catalog.policies(&account).await.unwrap(), changed);

    let late = catalog.set_policy(&account, &before[0], &after).await;
    assert!(matches!(late, Err(Error::Changed)), "{late:?}");
    let mut absent = after.clone();
    absent.webhooks.push(NotifierId::generate());
    let unknown = catalog.set_policy(&account, &after, &absent).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    absent.id = NotifierId::generate();
    let unknown = catalog.insert_policy(&account, &absent, 9).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    let full = catalog.insert_policy(&account, &policy(&[]), 2).await;
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    assert_eq!(catalog.policies(&account).await.unwrap(), changed);

    for webhook in &webhooks {
        let used = catalog.delete_webhook(&account, &webhook.id).await;
        assert!(matches!(used, Err(Error::InUse)), "{used:?}");
    }
    let stranger = new_account(catalog).await;
    let theirs = catalog.delete_policy(&stranger, &after.id).await;
    assert!(matches!(theirs, Err(Error::NotFound)), "{theirs:?}");
    catalog.delete_policy(&account, &after.id).await.unwrap();
    catalog
        .delete_webhook(&account, &webhooks[0].id)
        .await
        .unwrap();
    assert_eq!(catalog.policies(&account).await.unwrap(), changed[1..]);
}

pub(crate) async fn the_end_of_a_draft_is_noted_with_it(catalog: &dyn Catalog) {
    let (account, webhooks) = listeners(catalog, &["one", "other"]).await;
    let (silent, _) = listeners(catalog, &[]).await;
    assert!(!catalog.notifications_are_due().await.unwrap());
    let mut new = draft("full", at(9_000));
    new.creator = creator("x\0y");
    for owner in [&account, &silent] {
        upload(catalog, owner, new.clone()).await;
        upload(catalog, owner, draft("late", at(8_000))).await;
    }
    let mut stored = Vec::new();
    for owner in [&account, &silent] {
        let filled = filled(at(3_000));
        reserve(catalog, &filled.source).await;
        let filled = catalog.fill_draft(owner, &id("full"), filled, None).await;
        stored.push(filled.unwrap());
    }
    assert_eq!(
        catalog.delete_expired_drafts(at(8_000), 9).await.unwrap(),
        2
    );
    assert!(catalog.notifications_are_due().await.unwrap());

    let claimed = claim(catalog, 9).await;
    assert_eq!(images(&claimed), ["full", "full", "late", "late"]);
    for webhook in &webhooks {
        let of_one = |claimed: &&Claimed| claimed.webhook == *webhook;
        assert_eq!(claimed.iter().filter(of_one).count(), 2);
    }
    for claimed in &claimed {
        assert_eq!((&claimed.account, claimed.attempts), (&account, 1));
        assert_eq!(claimed.policy_name, "uploads \u{e9}");
        let policies = catalog.policies(&account).await.unwrap();
        let by = policies
            .iter()
            .find(|policy| policy.id == claimed.pending.policy);
        let told = std::slice::from_ref(&claimed.webhook.id);
        assert_eq!(by.unwrap().webhooks, told);
        let end = &claimed.pending.end;
        let (outcome, creator, happened) = if end.image == id("full") {
            let uploaded = stored[0].uploaded;
            (Ok(uploaded), creator("x\0y"), uploaded)
        } else {
            let reason = "the upload URL expired unused".to_owned();
            (Err(reason), None, at(8_000))
        };
        let expected = UploadEnd {
            image: end.image.clone(),
            creator,
            outcome,
            happened,
        };
        assert_eq!(*end, expected);
    }
    // They are somebody's for an hour.
    assert!(!catalog.notifications_are_due().await.unwrap());
    assert_eq!(images(&claim(catalog, 9).await), [""; 0]);
}

pub(crate) async fn a_notification_is_claimed_until_it_is_told(catalog: &dyn Catalog) {
    let (account, _) = listeners(catalog, &["one"]).await;
    for image in ["a", "b", "c"] {
        let noted = catalog.note_failed_upload(&account, &failure(image)).await;
        assert_eq!(noted.unwrap(), 1);
    }
    // The same failure again waits already.
    let noted = catalog.note_failed_upload(&account, &failure("b")).await;
    assert_eq!(noted.unwrap(), 0);
    let first = claim(catalog, 2).await;
    assert_eq!(images(&first), ["a", "b"]);
    assert_eq!(first[0].pending.end, failure(images(&first[..1])[0]));
    for claimed in &first {
        catalog.notification_told(claimed, at(8_000)).await.unwrap();
    }
    let told = catalog.webhooks(&account).await.unwrap();
    assert_eq!(told[0].last_success, Some(at(8_000)));
    assert_eq!(told[0].last_failure, None);
    // Of one which was told, the next failure is another.
    let noted = catalog.note_failed_upload(&account, &failure("b")).await;
    assert_eq!(noted.unwrap(), 1);

    // A claim of no time is of somebody who has died.
    let lost = catalog.claim_notifications(Duration::ZERO, AGES, 9).await;
    assert_eq!(images(&lost.unwrap().claimed), ["b", "c"]);
    let again = claim(catalog, 9).await;
    assert_eq!(images(&again), ["b", "c"]);
    assert_eq!(again[0].attempts, 2);
}

pub(crate) async fn a_webhook_which_fails_is_left_alone(catalog: &dyn Catalog) {
    let (account, webhooks) = listeners(catalog, &["one", "other"]).await;
    for image in ["a", "b"] {
        let noted = catalog.note_failed_upload(&account, &failure(image)).await;
        assert_eq!(noted.unwrap(), 2);
    }
    let first = catalog.claim_notifications(Duration::ZERO, AGES, 9).await;
    let first = first.unwrap().claimed;
    let failed = first
        .iter()
        .find(|claimed| claimed.webhook == webhooks[0])
        .unwrap();
    // For an hour, whatever waits for it, after the number of attempts of the oldest.
    let pause = |attempts: u32| HOUR * attempts;
    let refused = catalog.notification_refused(failed, at(9_000), pause).await;
    assert_eq!(refused.unwrap(), HOUR);
    let known = catalog.webhooks(&account).await.unwrap();
    assert_eq!(known[0].last_failure, Some(at(9_000)));
    assert_eq!(known[1].last_failure, None);
    let due = claim(catalog, 9).await;
    assert_eq!(images(&due), ["a", "b"]);
    assert!(due.iter().all(|claimed| claimed.webhook == webhooks[1]));

    // Another event tries it at once, and finds the pause of the older ones.
    let noted = catalog.note_failed_upload(&account, &failure("c")).await;
    assert_eq!(noted.unwrap(), 2);
    let due = claim(catalog, 9).await;
    assert_eq!(images(&due), ["c", "c"]);
    let at_once = |_| Duration::ZERO;
    let refused = catalog
        .notification_refused(&due[0], at(9_001), at_once)
        .await;
    assert_eq!(refused.unwrap(), Duration::ZERO);
    assert_eq!(images(&claim(catalog, 9).await), ["a", "b", "c"]);
}

pub(crate) async fn old_notifications_are_dropped(catalog: &dyn Catalog) {
    let (account, _) = listeners(catalog, &["one"]).await;
    let mut fresh = failure("fresh");
    fresh.happened = Timestamp::now();
    for end in [&failure("old"), &fresh] {
        catalog.note_failed_upload(&account, end).await.unwrap();
    }
    let claims = catalog.claim_notifications(HOUR, HOUR, 9).await.unwrap();
    assert_eq!(claims.dropped, 1);
    assert_eq!(images(&claims.claimed), ["fresh"]);
}

pub(crate) async fn what_waits_goes_with_its_policy_and_account(catalog: &dyn Catalog) {
    let (account, _) = listeners(catalog, &["one", "other"]).await;
    let (gone, _) = listeners(catalog, &["gone"]).await;
    for owner in [&account, &gone] {
        let noted = catalog.note_failed_upload(owner, &failure("a")).await;
        assert!(noted.unwrap() > 0);
    }
    catalog.delete_account(&gone).await.unwrap();
    assert_eq!(catalog.webhooks(&gone).await.unwrap(), []);
    let policies = catalog.policies(&account).await.unwrap();
    catalog
        .delete_policy(&account, &policies[0].id)
        .await
        .unwrap();
    let due = catalog.claim_notifications(Duration::ZERO, AGES, 9).await;
    assert_eq!(images(&due.unwrap().claimed), ["a"]);
    let mut silent = policies[1].clone();
    silent.enabled = false;
    let set = catalog.set_policy(&account, &policies[1], &silent).await;
    set.unwrap();
    assert!(!catalog.notifications_are_due().await.unwrap());
    let noted = catalog.note_failed_upload(&account, &failure("a")).await;
    assert_eq!(noted.unwrap(), 0);
}

pub(crate) async fn a_closed_catalog_tells_nobody(catalog: &dyn Portable) {
    let (account, webhooks) = listeners(catalog, &["one"]).await;
    let noted = catalog.note_failed_upload(&account, &failure("a")).await;
    assert_eq!(noted.unwrap(), 1);
    let due = catalog.claim_notifications(Duration::ZERO, AGES, 9).await;
    let due = due.unwrap().claimed;
    catalog.set_closed(true).await.unwrap();
    let closed = |outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    };
    closed(catalog.claim_notifications(HOUR, AGES, 9).await.map(drop));
    closed(catalog.notification_told(&due[0], at(1)).await);
    let end = failure("b");
    closed(catalog.note_failed_upload(&account, &end).await.map(drop));
    closed(catalog.set_webhook(&account, &webhooks[0]).await);
    let late = webhook("late", None);
    closed(catalog.insert_webhook(&account, &late, 9).await);
    let policies = catalog.policies(&account).await.unwrap();
    closed(catalog.delete_policy(&account, &policies[0].id).await);
    catalog.set_closed(false).await.unwrap();
    assert_eq!(images(&claim(catalog, 9).await), ["a"]);
}

use std::time::Duration;

use futures_util::future::join_all;
use model::{AccountId, NotificationPolicy, OpaqueId, UploadEnd, Webhook};
use store::catalog::{Claimed, Claims, Portable};
use store::{Catalog, Error};

use crate::fixtures::{at, creator, draft, filled, id, new_account, reserve, upload};

const HOUR: Duration = Duration::from_hours(1);
const AGES: Duration = Duration::from_hours(1_000_000);

pub(crate) fn webhook(name: &str, secret: Option<&str>) -> Webhook {
    Webhook {
        id: OpaqueId::generate(),
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
        id: OpaqueId::generate(),
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

/// Takes up to `limit` for each webhook.
async fn claim_for(catalog: &dyn Catalog, time: Duration, age_max: Duration, limit: u32) -> Claims {
    let mut all = Claims::default();
    for webhook in catalog.ready_webhooks(99).await.unwrap() {
        let claims = catalog.claim_notifications(webhook, time, age_max, limit);
        let claims = claims.await.unwrap();
        all.claimed.extend(claims.claimed);
        all.dropped += claims.dropped;
    }
    all
}

async fn claim(catalog: &dyn Catalog, limit: u32) -> Vec<Claimed> {
    let Claims { claimed, dropped } = claim_for(catalog, HOUR, AGES, limit).await;
    assert_eq!(dropped, 0);
    claimed
}

async fn are_due(catalog: &dyn Catalog) -> bool {
    !catalog.ready_webhooks(1).await.unwrap().is_empty()
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
    absent.webhooks.push(OpaqueId::generate());
    let unknown = catalog.set_policy(&account, &after, &absent).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    absent.id = OpaqueId::generate();
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
    assert!(!are_due(catalog).await);
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
    assert!(are_due(catalog).await);

    let claimed = claim(catalog, 9).await;
    assert_eq!(images(&claimed), ["full", "full", "late", "late"]);
    for webhook in &webhooks {
        let of_one = |claimed: &&Claimed| claimed.webhook == *webhook;
        assert_eq!(claimed.iter().filter(of_one).count(), 2);
    }
    for claimed in &claimed {
        assert_eq!((&claimed.account, claimed.attempts), (&account, 0));
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
    assert!(!are_due(catalog).await);
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
    let lost = claim_for(catalog, Duration::ZERO, AGES, 9).await;
    assert_eq!(images(&lost.claimed), ["b", "c"]);
    assert_eq!(images(&claim(catalog, 9).await), ["b", "c"]);
}

pub(crate) async fn a_webhook_which_fails_is_left_alone(catalog: &dyn Catalog) {
    let (account, webhooks) = listeners(catalog, &["one", "other"]).await;
    for image in ["a", "b", "c"] {
        let noted = catalog.note_failed_upload(&account, &failure(image)).await;
        assert_eq!(noted.unwrap(), 2);
    }
    let of_one = |claimed: Vec<Claimed>| -> Vec<Claimed> {
        let of_one = claimed.into_iter();
        of_one
            .filter(|claimed| claimed.webhook.id == webhooks[0].id)
            .collect()
    };
    let first = of_one(claim_for(catalog, Duration::ZERO, AGES, 2).await.claimed);
    assert_eq!(images(&first), ["a", "b"]);
    // An hour for each failure in a row; of two at a time the first counts.
    let pause = |failures: u32| HOUR * failures;
    for claimed in &first {
        let refused = catalog
            .notification_refused(claimed, at(9_000), pause)
            .await;
        assert_eq!(refused.unwrap(), HOUR);
    }
    let known = catalog.webhooks(&account).await.unwrap();
    assert_eq!(known[0].last_failure, Some(at(9_000)));
    assert_eq!(known[1].last_failure, None);
    // Whatever waits for it, what is new as well. The other one goes on.
    let noted = catalog.note_failed_upload(&account, &failure("d")).await;
    assert_eq!(noted.unwrap(), 2);
    let due = claim(catalog, 9).await;
    assert_eq!(images(&due), ["a", "b", "c", "d"]);
    assert!(due.iter().all(|claimed| claimed.webhook == webhooks[1]));

    // When it is set anew it is tried at once, with what it has refused least.
    catalog.set_webhook(&account, &webhooks[0]).await.unwrap();
    let again = of_one(claim_for(catalog, Duration::ZERO, AGES, 2).await.claimed);
    assert_eq!(images(&again), ["c", "d"]);
    assert_eq!(again[0].attempts, 0);
    let at_once = |failures: u32| Duration::ZERO * failures;
    for failures in 1..=3 {
        let refused = catalog
            .notification_refused(&again[0], at(9_001), at_once)
            .await;
        assert_eq!(refused.unwrap(), Duration::ZERO, "{failures}");
    }
    // One which failed is tried with one alone.
    let probe = of_one(claim_for(catalog, Duration::ZERO, AGES, 9).await.claimed);
    assert_eq!(images(&probe), ["d"]);
    catalog
        .notification_told(&probe[0], at(9_002))
        .await
        .unwrap();
    let rest = of_one(claim(catalog, 9).await);
    assert_eq!(images(&rest), ["a", "b", "c"]);
    assert_eq!(
        rest.iter()
            .map(|claimed| claimed.attempts)
            .collect::<Vec<_>>(),
        [1, 1, 3]
    );
}

pub(crate) async fn what_is_refused_for_too_long_is_dropped(catalog: &dyn Catalog) {
    let (account, _) = listeners(catalog, &["one"]).await;
    for image in ["a", "b"] {
        let noted = catalog.note_failed_upload(&account, &failure(image)).await;
        noted.unwrap();
    }
    // However old: what was never tried is.
    let claims = claim_for(catalog, Duration::ZERO, Duration::ZERO, 9).await;
    assert_eq!(
        (images(&claims.claimed), claims.dropped),
        (vec!["a", "b"], 0)
    );
    let refused = &claims.claimed[0];
    let at_once = |failures: u32| Duration::ZERO * failures;
    let refuse = async || {
        let refused = catalog.notification_refused(refused, at(9_000), at_once);
        refused.await.unwrap();
    };
    refuse().await;
    assert_eq!(claim_for(catalog, Duration::ZERO, AGES, 9).await.dropped, 0);
    let told = catalog
        .notification_told(&claims.claimed[1], at(9_000))
        .await;
    told.unwrap();
    // A webhook which takes others has not failed; a message which it refuses for long has.
    assert_eq!(
        claim_for(catalog, Duration::ZERO, Duration::ZERO, 9)
            .await
            .dropped,
        0
    );
    for _ in 0..9 {
        refuse().await;
        let told = catalog
            .notification_told(&claims.claimed[1], at(9_000))
            .await;
        told.unwrap();
    }
    assert_eq!(claim_for(catalog, Duration::ZERO, AGES, 9).await.dropped, 0);
    let claims = claim_for(catalog, Duration::ZERO, Duration::ZERO, 9).await;
    assert_eq!((images(&claims.claimed), claims.dropped), (vec![], 1));

    // And so has everything for one which takes nothing for long.
    for image in ["c", "d"] {
        let noted = catalog.note_failed_upload(&account, &failure(image)).await;
        noted.unwrap();
    }
    let claims = claim_for(catalog, Duration::ZERO, Duration::ZERO, 1).await;
    let refused = catalog.notification_refused(&claims.claimed[0], at(9_000), at_once);
    refused.await.unwrap();
    let claims = claim_for(catalog, Duration::ZERO, Duration::ZERO, 9).await;
    assert_eq!((images(&claims.claimed), claims.dropped), (vec![], 2));
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
    let due = claim_for(catalog, Duration::ZERO, AGES, 9).await;
    assert_eq!(images(&due.claimed), ["a"]);
    let mut silent = policies[1].clone();
    silent.enabled = false;
    let set = catalog.set_policy(&account, &policies[1], &silent).await;
    set.unwrap();
    assert!(!are_due(catalog).await);
    let noted = catalog.note_failed_upload(&account, &failure("a")).await;
    assert_eq!(noted.unwrap(), 0);
}

pub(crate) async fn a_closed_catalog_tells_nobody(catalog: &dyn Portable) {
    let (account, webhooks) = listeners(catalog, &["one"]).await;
    let noted = catalog.note_failed_upload(&account, &failure("a")).await;
    assert_eq!(noted.unwrap(), 1);
    let due = claim_for(catalog, Duration::ZERO, AGES, 9).await.claimed;
    catalog.set_closed(true).await.unwrap();
    let closed = |outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    };
    let ready = catalog.ready_webhooks(1).await.unwrap()[0];
    let claimed = catalog.claim_notifications(ready, HOUR, AGES, 9).await;
    closed(claimed.map(drop));
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

/// Who edits a policy does not make it miss what happens meanwhile.
pub(crate) async fn edits_of_a_policy_lose_nothing(catalog: &dyn Catalog) {
    let (account, webhooks) = listeners(catalog, &["one", "other"]).await;
    let edits = async {
        for number in 0..40 {
            let before = catalog.policies(&account).await.unwrap()[0].clone();
            let mut after = before.clone();
            after.name = format!("{number}");
            // The other one comes and goes, this one stays.
            after.webhooks.truncate(1);
            if number % 2 == 0 {
                after.webhooks.insert(0, webhooks[1].id.clone());
                after.webhooks.rotate_left(number % 4 / 2);
            } else {
                after.webhooks = vec![webhooks[0].id.clone()];
            }
            let set = catalog.set_policy(&account, &before, &after).await;
            set.unwrap();
        }
    };
    let failures: Vec<_> = (0..120)
        .map(|number| failure(&number.to_string()))
        .collect();
    let notes = async {
        for some in failures.chunks(4) {
            let noted = some
                .iter()
                .map(|end| catalog.note_failed_upload(&account, end));
            for noted in join_all(noted).await {
                noted.unwrap();
            }
        }
    };
    tokio::join!(edits, notes);
    let claimed = claim(catalog, 1_000).await;
    let of_one = claimed
        .iter()
        .filter(|claimed| claimed.webhook == webhooks[0]);
    assert_eq!(of_one.count(), 120);
}

/// What is told and what is refused at the same time do not stand in each other's way.
pub(crate) async fn answers_of_both_kinds_are_noted_at_once(catalog: &dyn Catalog) {
    let (account, webhooks) = listeners(catalog, &["one"]).await;
    for number in 0..60 {
        let end = failure(&number.to_string());
        catalog.note_failed_upload(&account, &end).await.unwrap();
    }
    let claimed = claim(catalog, 60).await;
    let answers = claimed
        .iter()
        .enumerate()
        .map(|(number, claimed)| async move {
            if number % 2 == 0 {
                catalog.notification_told(claimed, at(1)).await
            } else {
                let pause = |_| Duration::ZERO;
                let refused = catalog.notification_refused(claimed, at(2), pause).await;
                refused.map(drop)
            }
        });
    for answer in join_all(answers).await {
        answer.unwrap();
    }
    catalog.set_webhook(&account, &webhooks[0]).await.unwrap();
    let left = claim(catalog, 60).await;
    assert_eq!(left.len(), 30);
    assert!(left.iter().all(|claimed| claimed.attempts == 1));
}

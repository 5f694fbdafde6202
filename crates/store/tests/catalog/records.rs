//! A catalog as a whole: read, written elsewhere, and compared.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{
    AccountConfig, AccountId, AllowedOrigins, ApiToken, CreatorFilter, Image, KeyName, Permission,
    SigningKey, Timestamp, TokenHash, TokenId, Variant, VariantName, VariantOptions, Zone,
    ZoneConfigs,
};
use store::catalog::{ImageEdit, Order, Place, Portable, Reading, Record};
use store::{Catalog, Error, Sqlite, Vault};

use crate::fixtures::{
    LATE, account, at, blob, creator, draft, filled, id, image, metadata, new_account, pages,
    query, reserve, source, upload,
};
use crate::notifications::{failure, policy, webhook};

/// Everything, in the order in which it is read.
pub(crate) async fn all(catalog: &dyn Portable, reading: Reading) -> Vec<Record> {
    let mut records = catalog.records(reading);
    let mut all = Vec::new();
    while let Some(some) = records.recv().await {
        all.extend(some.unwrap());
    }
    all
}

async fn other() -> Sqlite {
    // Another secret key, so that what is sealed has to be sealed anew.
    Sqlite::open_in_memory(Vault::from_key([9; 32]))
        .await
        .unwrap()
}

/// Copies everything, some at a time.
async fn copy(from: &dyn Portable, to: &dyn Portable) {
    let records = all(from, Reading::PieceByPiece).await;
    for some in records.chunks(7) {
        to.put_records(some.to_vec()).await.unwrap();
    }
}

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Fills a catalog with whatever there can be, by way of what a server does.
pub(crate) async fn fill(catalog: &dyn Catalog, random: &mut Random) {
    for number in 0..3 {
        let mut owner = account(&format!("account {number} \u{1f4f7}"));
        owner.config = AccountConfig {
            flexible_variants: random.below(2) == 1,
            browser_ttl: 3_600 + random.below(100) as u32,
            preserve_content_credentials: random.below(2) == 1,
            zones: ZoneConfigs::default(),
        };
        let zone = Zone::parse("zone.test").unwrap();
        let told = owner.config.zones.of_mut(&zone);
        if random.below(2) == 1 {
            let allowed = AllowedOrigins::parse("b.test, *.\u{e4}.test").unwrap();
            told.allowed_origins = Some((allowed, at(random.below(1_000) as i64)));
        }
        told.content_credentials = Some((random.below(2) == 1, at(7)));
        let key = SigningKey::generate(KeyName::default_name());
        catalog
            .create_account(&owner, &Variant::public(), &key)
            .await
            .unwrap();
        fill_account(catalog, &owner.id, random).await;
    }
    let gone = new_account(catalog).await;
    upload(catalog, &gone, image("gone")).await;
    catalog.delete_account(&gone).await.unwrap();
}

async fn fill_account(catalog: &dyn Catalog, owner: &AccountId, random: &mut Random) {
    // Names whose order of creation is not that of the alphabet.
    for name in ["zebra", "ant", "mule"] {
        let options = serde_json::json!({
            "fit": "cover", "width": 1 + random.below(900), "metadata": "none", "blur": 3,
        });
        let variant = Variant {
            name: VariantName::parse(name).unwrap(),
            options: VariantOptions::from_json(options.as_object().unwrap()).unwrap(),
            never_require_signed_urls: random.below(2) == 1,
        };
        catalog.insert_variant(owner, &variant, 10).await.unwrap();
    }
    let key = SigningKey::generate(KeyName::parse("another").unwrap());
    catalog.put_signing_key(owner, &key, 9).await.unwrap();
    for permission in [Permission::Read, Permission::Write] {
        let token = ApiToken {
            id: TokenId::generate(),
            hash: TokenHash(model::random_bytes()),
            account: owner.clone(),
            name: "ci \u{e9}".to_owned(),
            permission,
            created: at(1_234),
            expires: (random.below(2) == 1).then(|| at(9_999)),
            not_before: (random.below(2) == 1).then(|| at(1)),
        };
        catalog.insert_token(&token).await.unwrap();
    }
    // One which is told and one which is not, and what waits for them from here on.
    for (name, enabled) in [("told", true), ("not told", false)] {
        let hook = webhook("hook", (random.below(2) == 1).then_some("s3cret"));
        catalog.insert_webhook(owner, &hook, 9).await.unwrap();
        let mut by = policy(&[&hook]);
        (by.name, by.enabled) = (name.to_owned(), enabled);
        by.description = (random.below(2) == 1).then(|| "of customers".to_owned());
        catalog.insert_policy(owner, &by, 9).await.unwrap();
    }
    for name in ["old", "older"] {
        let source = crate::imports::source(name);
        catalog
            .insert_import_source(owner, &source, 9)
            .await
            .unwrap();
    }
    let end = failure("broken \u{e9}");
    catalog.note_failed_upload(owner, &end).await.unwrap();
    for number in 0..40 {
        let mut next = image(&format!("images/{number} \u{e9}\u{1f431}"));
        next.creator = creator(["", "ann", "bob", "x\0y"][random.below(4) as usize]);
        next.metadata = match random.below(3) {
            0 => None,
            1 => metadata(r#"{"a":1,"b":{"c":"x"},"a b":[1,2]}"#),
            // A spelling which another database must not tidy up.
            _ => metadata(r#"{"z":1.50,"a":"\u0041","n":12345678901234567890}"#),
        };
        next.require_signed_urls = random.below(2) == 1;
        if random.below(8) == 0 {
            let mut late = draft(
                &format!("drafts/{number}"),
                at(5_000 + random.below(3) as i64),
            );
            late.metadata = next.metadata.clone();
            catalog.insert_image(owner, late, None).await.unwrap();
        }
        if random.below(8) == 0 {
            let name = format!("filled/{number}");
            catalog
                .insert_image(owner, draft(&name, LATE), None)
                .await
                .unwrap();
            let filled = filled(at(3_000));
            reserve(catalog, &filled.source).await;
            catalog
                .fill_draft(owner, &id(&name), filled, None)
                .await
                .unwrap();
        }
        let stored = upload(catalog, owner, next).await;
        match random.below(6) {
            0 => drop(catalog.delete_image(owner, &stored.id, LATE).await.unwrap()),
            1 => {
                let edit = ImageEdit {
                    creator: Some(creator("eve")),
                    metadata: Some(metadata(r#"{"edited":true}"#)),
                    require_signed_urls: Some(true),
                };
                catalog.edit_image(owner, &stored.id, edit).await.unwrap();
            }
            _ => {}
        }
    }
}

pub(crate) async fn a_copy_equals_its_source_in_every_record(catalog: &dyn Portable) {
    let mut random = Random::new();
    let seed = random.0;
    let from = other().await;
    fill(&from, &mut random).await;
    copy(&from, catalog).await;
    let back = other().await;
    copy(catalog, &back).await;

    let records = all(&from, Reading::AtOneMoment).await;
    assert!(records.len() > 100, "seed {seed}");
    assert!(records.is_sorted_by_key(Record::place), "seed {seed}");
    for reading in [Reading::AtOneMoment, Reading::PieceByPiece] {
        assert_eq!(all(catalog, reading).await, records, "seed {seed}");
    }
    assert_eq!(
        all(&back, Reading::AtOneMoment).await,
        records,
        "seed {seed}"
    );

    // What is kept beside the records, to count and to find them, is right, too.
    for owner in from.accounts().await.unwrap() {
        let listed = pages(&from, &owner.id, query(Order::Descending, 9)).await;
        let copied = pages(catalog, &owner.id, query(Order::Descending, 9)).await;
        assert_eq!(copied, listed, "seed {seed}");
        for name in ["", "ann", "bob", "eve", "x\0y"] {
            let filter = crate::fixtures::is(name);
            let count = from.image_count(&owner.id, &filter).await.unwrap();
            let copied = catalog.image_count(&owner.id, &filter).await.unwrap();
            assert_eq!(copied, count, "seed {seed}, creator {name:?}");
        }
        let any = catalog.image_count(&owner.id, &CreatorFilter::Any).await;
        assert_eq!(any.unwrap(), listed.len() as u64, "seed {seed}");
    }

    // A second time changes nothing.
    copy(&from, catalog).await;
    assert_eq!(
        all(catalog, Reading::AtOneMoment).await,
        records,
        "seed {seed}"
    );
    let loose = catalog.abandoned_blobs(LATE, 1_000).await.unwrap();
    assert_eq!(loose, [], "seed {seed}");
}

pub(crate) async fn a_copied_catalog_goes_on_where_the_source_was(catalog: &dyn Portable) {
    let from = other().await;
    let owner = new_account(&from).await;
    let mut late = image("late");
    late.uploaded = at(9_000);
    let late = upload(&from, &owner, late).await;
    from.delete_image(&owner, &late.id, LATE).await.unwrap();
    copy(&from, catalog).await;
    let Some(Record::Account(records)) = all(catalog, Reading::AtOneMoment).await.pop() else {
        panic!("there is one account and nothing else");
    };
    assert_eq!(records.last_uploaded, late.uploaded);
}

pub(crate) async fn what_is_in_the_way_of_a_record_goes(catalog: &dyn Portable) {
    let owner = new_account(catalog).await;
    let one = upload(catalog, &owner, image("one")).await;
    let two = upload(catalog, &owner, image("two")).await;
    let three = upload(catalog, &owner, image("three")).await;
    let expires = at(7_000);
    let late = draft("late", expires);
    catalog.insert_image(&owner, late, None).await.unwrap();

    // The names of two images were exchanged; a third has the moment of another; a draft was filled.
    let named = |image: &Image, name: &str| Image {
        id: id(name),
        ..image.clone()
    };
    let new = Image {
        uploaded: three.uploaded,
        creator: creator("ann"),
        ..image("new")
    };
    let filled = Image {
        uploaded: at(8_000),
        ..image("late")
    };
    let put = [named(&one, "two"), named(&two, "one"), new, filled];
    let records = put
        .iter()
        .map(|image| Record::Image(owner.clone(), image.clone()));
    catalog.put_records(records.collect()).await.unwrap();

    let mut listed = pages(catalog, &owner, query(Order::Ascending, 10)).await;
    let mut expected = put.to_vec();
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(listed, expected);
    let count = catalog.image_count(&owner, &CreatorFilter::Any).await;
    assert_eq!(count.unwrap(), 4);
    let loose = catalog.abandoned_blobs(LATE, 10).await.unwrap();
    assert_eq!(loose, [blob(&three)]);

    let places = vec![
        Place::Image(blob(&one)),
        Place::Draft(expires, owner.clone(), id("late")),
        Place::Account(AccountId::generate()),
    ];
    catalog.remove_records(places).await.unwrap();
    assert_eq!(catalog.image(&owner, &id("two")).await.unwrap(), None);
    assert!(catalog.image(&owner, &id("late")).await.unwrap().is_some());
    let places = vec![Place::Account(owner.clone())];
    catalog.remove_records(places).await.unwrap();
    assert_eq!(all(catalog, Reading::AtOneMoment).await, []);
}

pub(crate) async fn an_image_of_no_account_is_not_put(catalog: &dyn Portable) {
    let owner = new_account(catalog).await;
    let records = vec![
        Record::Image(owner.clone(), image("a")),
        Record::Image(AccountId::generate(), image("b")),
    ];
    let put = catalog.put_records(records).await;
    assert!(matches!(put, Err(Error::NotFound)), "{put:?}");
    assert_eq!(catalog.image(&owner, &id("a")).await.unwrap(), None);
}

pub(crate) async fn a_reading_at_one_moment_sees_no_later_write(catalog: &dyn Portable) {
    let owner = new_account(catalog).await;
    let mut stored = Vec::new();
    for number in 0..1_200 {
        let mut next = image(&number.to_string());
        next.uploaded = at(10_000 + number);
        stored.push(Record::Image(owner.clone(), next));
    }
    catalog.put_records(stored.clone()).await.unwrap();
    let mut reading = catalog.records(Reading::AtOneMoment);
    let mut seen = reading.recv().await.unwrap().unwrap();
    for record in &stored {
        if let Record::Image(_, image) = record {
            catalog.delete_image(&owner, &image.id, LATE).await.unwrap();
        }
    }
    upload(catalog, &owner, image("later")).await;
    while let Some(some) = reading.recv().await {
        seen.extend(some.unwrap());
    }
    seen.retain(|record| matches!(record, Record::Image(..)));
    stored.sort_by_key(Record::place);
    assert_eq!(seen, stored);
}

pub(crate) async fn held_blobs_are_not_handed_out(catalog: &dyn Portable) {
    let owner = new_account(catalog).await;
    let stored = upload(catalog, &owner, image("a")).await;
    let now = Timestamp::now();
    let hour = Duration::from_hours(1);
    let (one, other) = ([1; 16], [2; 16]);
    catalog.hold_blobs(one, hour).await.unwrap();
    catalog.hold_blobs(other, hour).await.unwrap();
    catalog
        .delete_image(&owner, &stored.id, at(0))
        .await
        .unwrap();
    assert_eq!(catalog.abandoned_blobs(now, 10).await.unwrap(), []);
    catalog.hold_blobs(one, Duration::ZERO).await.unwrap();
    assert_eq!(catalog.abandoned_blobs(now, 10).await.unwrap(), []);
    catalog.hold_blobs(other, Duration::ZERO).await.unwrap();
    let found = catalog.abandoned_blobs(now, 10).await.unwrap();
    assert_eq!(found, [blob(&stored)]);
}

pub(crate) async fn a_closed_catalog_is_read_and_not_written(catalog: &dyn Portable) {
    let owner = new_account(catalog).await;
    let stored = upload(catalog, &owner, image("a")).await;
    let reserved = source();
    reserve(catalog, &reserved).await;
    let before = all(catalog, Reading::AtOneMoment).await;
    assert!(!catalog.is_closed().await.unwrap());
    catalog.set_closed(true).await.unwrap();
    catalog.set_closed(true).await.unwrap();
    assert!(catalog.is_closed().await.unwrap());

    let closed = |outcome: Result<(), Error>| {
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    };
    closed(
        catalog
            .reserve_blobs(std::slice::from_ref(&source().blob), LATE)
            .await,
    );
    let mut late = image("b");
    late.source = Some(reserved);
    closed(catalog.insert_image(&owner, late, None).await.map(drop));
    let edit = ImageEdit {
        creator: Some(creator("eve")),
        ..ImageEdit::default()
    };
    closed(catalog.edit_image(&owner, &stored.id, edit).await.map(drop));
    closed(
        catalog
            .delete_image(&owner, &stored.id, LATE)
            .await
            .map(drop),
    );
    closed(catalog.delete_account(&owner).await);
    let key = SigningKey::generate(KeyName::default_name());
    closed(catalog.put_signing_key(&owner, &key, 9).await.map(drop));
    let gone = catalog.delete_variant(&owner, &VariantName::public()).await;
    closed(gone);
    assert_eq!(all(catalog, Reading::AtOneMoment).await, before);
    assert_eq!(
        catalog.image(&owner, &stored.id).await.unwrap(),
        Some(stored.clone())
    );

    catalog.set_closed(false).await.unwrap();
    assert!(!catalog.is_closed().await.unwrap());
    catalog
        .delete_image(&owner, &stored.id, LATE)
        .await
        .unwrap();
}

pub(crate) async fn a_catalog_says_what_it_is_filled_from(catalog: &dyn Portable) {
    assert!(catalog.is_empty().await.unwrap());
    assert_eq!(catalog.incoming().await.unwrap(), None);
    catalog.set_incoming(Some("here")).await.unwrap();
    catalog.set_incoming(Some("there")).await.unwrap();
    assert_eq!(catalog.incoming().await.unwrap().as_deref(), Some("there"));
    assert!(catalog.is_empty().await.unwrap());
    catalog.set_incoming(None).await.unwrap();
    assert_eq!(catalog.incoming().await.unwrap(), None);
    let owner = new_account(catalog).await;
    assert!(!catalog.is_empty().await.unwrap());
    catalog.delete_account(&owner).await.unwrap();
    assert!(catalog.is_empty().await.unwrap());
    reserve(catalog, &source()).await;
    assert!(!catalog.is_empty().await.unwrap());
}

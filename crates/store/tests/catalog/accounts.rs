use model::{
    AccountConfig, AccountId, AllowedOrigins, ApiToken, CreatorFilter, Permission, TokenHash,
    TokenId, Variant, VariantName, Zone,
};
use store::catalog::Order;
use store::{Catalog, Error};

use crate::fixtures::{
    LATE, account, at, blob, default_key, draft, image, new_account, pages, query, upload,
    upload_some,
};

pub(crate) async fn a_created_account_is_found(catalog: &dyn Catalog) {
    let mut account = account("Ünï");
    account.config.flexible_variants = true;
    account.config.browser_ttl = 3_600;
    let key = default_key();
    catalog
        .create_account(&account, &Variant::public(), &key)
        .await
        .unwrap();
    let id = &account.id;
    assert_eq!(catalog.account(id).await.unwrap(), Some(account.clone()));
    let by_hash = catalog.account_by_hash(&account.hash).await.unwrap();
    assert_eq!(by_hash, Some(account.clone()));
    assert_eq!(catalog.variants(id).await.unwrap(), [Variant::public()]);
    assert_eq!(catalog.signing_keys(id).await.unwrap(), [key]);
    let other = AccountId::generate();
    assert_eq!(catalog.account(&other).await.unwrap(), None);
}

pub(crate) async fn a_taken_account_is_refused_whole(catalog: &dyn Catalog) {
    let first = account("first");
    let (variant, key) = (Variant::public(), default_key());
    catalog
        .create_account(&first, &variant, &key)
        .await
        .unwrap();
    let mut same_id = account("second");
    same_id.id = first.id.clone();
    let mut same_hash = account("second");
    same_hash.hash = first.hash.clone();
    for second in [same_id, same_hash] {
        let refused = catalog.create_account(&second, &variant, &key).await;
        assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    }
    assert_eq!(
        catalog.accounts().await.unwrap(),
        std::slice::from_ref(&first)
    );
    assert_eq!(catalog.signing_keys(&first.id).await.unwrap(), [key]);
}

pub(crate) async fn accounts_are_listed_oldest_first(catalog: &dyn Catalog) {
    for (name, created) in [("b", 20), ("a", 10), ("c", 30), ("d", 30)] {
        let mut account = account(name);
        account.created = at(created);
        catalog
            .create_account(&account, &Variant::public(), &default_key())
            .await
            .unwrap();
    }
    let accounts = catalog.accounts().await.unwrap();
    let names: Vec<_> = accounts.iter().map(|account| &account.name).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

pub(crate) async fn settings_change_only_from_what_they_are(catalog: &dyn Catalog) {
    let id = new_account(catalog).await;
    let before = AccountConfig::default();
    let mut after = AccountConfig {
        preserve_content_credentials: true,
        browser_ttl: 7_200,
        ..before.clone()
    };
    let zone = Zone::parse("zone.test").unwrap();
    let allowed = AllowedOrigins::parse(" b.test,").unwrap();
    after.zones.of_mut(&zone).allowed_origins = Some((allowed, at(9)));
    catalog.set_config(&id, &before, &after).await.unwrap();
    let found = catalog.account(&id).await.unwrap().unwrap();
    assert_eq!(found.config, after);
    let late = catalog.set_config(&id, &before, &after).await;
    assert!(matches!(late, Err(Error::Changed)), "{late:?}");
    let unknown = AccountId::generate();
    let unknown = catalog.set_config(&unknown, &before, &after).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
}

pub(crate) async fn a_deleted_account_leaves_nothing(catalog: &dyn Catalog) {
    let mut doomed = account("doomed");
    doomed.created = at(5);
    let key = default_key();
    catalog
        .create_account(&doomed, &Variant::public(), &key)
        .await
        .unwrap();
    let id = &doomed.id;
    let token = ApiToken {
        id: TokenId::generate(),
        hash: TokenHash::of("secret"),
        account: id.clone(),
        name: "ci".to_owned(),
        permission: Permission::Write,
        created: at(6),
        expires: None,
        not_before: None,
    };
    catalog.insert_token(&token).await.unwrap();
    let stored = upload(catalog, id, image("a")).await;
    upload(catalog, id, draft("b", LATE)).await;

    catalog.delete_account(id).await.unwrap();
    assert_eq!(catalog.account(id).await.unwrap(), None);
    assert_eq!(catalog.account_by_hash(&doomed.hash).await.unwrap(), None);
    assert_eq!(catalog.accounts().await.unwrap(), []);
    assert_eq!(catalog.token(&token.hash).await.unwrap(), None);
    assert_eq!(catalog.signing_keys(id).await.unwrap(), []);
    assert_eq!(catalog.variants(id).await.unwrap(), []);
    assert_eq!(catalog.image(id, &stored.id).await.unwrap(), None);
    let count = catalog.image_count(id, &CreatorFilter::Any).await.unwrap();
    assert_eq!(count, 0);
    let abandoned = catalog.abandoned_blobs(at(0), 10).await.unwrap();
    assert_eq!(abandoned, [blob(&stored)]);
    let again = catalog.delete_account(id).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    // Nothing of it is in the way of another.
    catalog
        .create_account(&doomed, &Variant::public(), &key)
        .await
        .unwrap();
    upload(catalog, id, image("a")).await;
}

pub(crate) async fn a_deleted_account_spares_the_others(catalog: &dyn Catalog) {
    let (doomed, spared) = (new_account(catalog).await, new_account(catalog).await);
    upload(catalog, &doomed, image("a")).await;
    let kept = upload(catalog, &spared, image("a")).await;
    catalog.delete_account(&doomed).await.unwrap();
    let found = catalog.image(&spared, &kept.id).await.unwrap();
    assert_eq!(found, Some(kept));
    let public = VariantName::public();
    assert!(catalog.variant(&spared, &public).await.unwrap().is_some());
}

pub(crate) async fn a_large_account_is_deleted_in_steps(catalog: &dyn Catalog) {
    let (doomed, spared) = (new_account(catalog).await, new_account(catalog).await);
    let images = upload_some(catalog, &doomed, 1_200).await;
    let (deleted, kept) = tokio::join!(
        catalog.delete_account(&doomed),
        upload_some(catalog, &spared, 20)
    );
    deleted.unwrap();
    let blobs = catalog.abandoned_blobs(at(0), 5_000).await.unwrap();
    assert_eq!(blobs.len(), images.len());
    let order = query(Order::Ascending, 100);
    assert_eq!(pages(catalog, &spared, order).await, kept);
}

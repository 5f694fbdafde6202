use model::{AccountId, KeyName, SigningKey, Variant, VariantName, VariantOptions};
use serde_json::json;
use store::{Catalog, Error};

use crate::fixtures::new_account;

fn key(name: &str) -> SigningKey {
    SigningKey::generate(KeyName::parse(name).unwrap())
}

fn variant(name: &str, width: u32) -> Variant {
    let options = json!({ "fit": "cover", "width": width, "blur": 3, "browser_ttl": 7200 });
    Variant {
        name: VariantName::parse(name).unwrap(),
        options: VariantOptions::from_json(options.as_object().unwrap()).unwrap(),
        never_require_signed_urls: true,
    }
}

pub(crate) async fn a_key_is_added_rotated_and_limited(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let first = catalog.signing_keys(&account).await.unwrap();
    let second = key("second");
    let both = catalog.put_signing_key(&account, &second, 2).await.unwrap();
    assert_eq!(both, [first[0].clone(), second]);
    let refused = catalog.put_signing_key(&account, &key("third"), 2).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let rotated = key("default");
    let keys = catalog
        .put_signing_key(&account, &rotated, 2)
        .await
        .unwrap();
    assert_eq!(keys, [rotated, both[1].clone()]);
    assert_eq!(catalog.signing_keys(&account).await.unwrap(), keys);
    let unknown = catalog
        .put_signing_key(&AccountId::generate(), &key("a"), 2)
        .await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
}

pub(crate) async fn the_last_key_has_a_successor(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let second = key("second");
    catalog.put_signing_key(&account, &second, 2).await.unwrap();
    let successor = key("default");
    let default = KeyName::default_name();
    let left = catalog
        .delete_signing_key(&account, &default, &successor)
        .await
        .unwrap();
    assert_eq!(left, std::slice::from_ref(&second));
    let unknown = catalog
        .delete_signing_key(&account, &default, &successor)
        .await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    let left = catalog
        .delete_signing_key(&account, &second.name, &successor)
        .await
        .unwrap();
    assert_eq!(left, [successor]);
}

pub(crate) async fn keys_of_accounts_are_apart(catalog: &dyn Catalog) {
    let (one, other) = (new_account(catalog).await, new_account(catalog).await);
    let key = key("same");
    catalog.put_signing_key(&one, &key, 2).await.unwrap();
    let others = catalog.signing_keys(&other).await.unwrap();
    assert_eq!(others.len(), 1);
    assert_ne!(others[0], key);
}

pub(crate) async fn variants_are_listed_public_first(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let public = VariantName::public();
    catalog.delete_variant(&account, &public).await.unwrap();
    let (zebra, apple) = (variant("zebra", 1), variant("apple", 2));
    for variant in [&zebra, &apple, &Variant::public()] {
        catalog
            .insert_variant(&account, variant, 100)
            .await
            .unwrap();
    }
    let listed = catalog.variants(&account).await.unwrap();
    assert_eq!(listed, [Variant::public(), zebra.clone(), apple]);
    let found = catalog.variant(&account, &zebra.name).await.unwrap();
    assert_eq!(found, Some(zebra));
}

pub(crate) async fn a_taken_variant_is_refused(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let first = variant("hero", 1);
    catalog.insert_variant(&account, &first, 9).await.unwrap();
    let refused = catalog
        .insert_variant(&account, &variant("hero", 2), 9)
        .await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    // Names are told apart by case.
    let upper = variant("HERO", 3);
    catalog.insert_variant(&account, &upper, 9).await.unwrap();
    let found = catalog.variant(&account, &first.name).await.unwrap();
    assert_eq!(found, Some(first));
}

pub(crate) async fn variants_are_limited(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    catalog
        .insert_variant(&account, &variant("a", 1), 2)
        .await
        .unwrap();
    let refused = catalog.insert_variant(&account, &variant("b", 1), 2).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    assert_eq!(catalog.variants(&account).await.unwrap().len(), 2);
}

pub(crate) async fn a_variant_changes_only_from_what_it_is(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let (before, after) = (variant("hero", 1), variant("hero", 2));
    let unknown = catalog.set_variant(&account, &before, &after).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
    catalog.insert_variant(&account, &before, 9).await.unwrap();
    catalog
        .set_variant(&account, &before, &after)
        .await
        .unwrap();
    let found = catalog.variant(&account, &after.name).await.unwrap();
    assert_eq!(found.as_ref(), Some(&after));
    let late = catalog.set_variant(&account, &before, &after).await;
    assert!(matches!(late, Err(Error::Changed)), "{late:?}");
}

pub(crate) async fn a_deleted_variant_is_gone(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let variant = variant("hero", 1);
    catalog.insert_variant(&account, &variant, 9).await.unwrap();
    catalog
        .delete_variant(&account, &variant.name)
        .await
        .unwrap();
    let found = catalog.variant(&account, &variant.name).await.unwrap();
    assert_eq!(found, None);
    let again = catalog.delete_variant(&account, &variant.name).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
}

use model::BlobKey;
use store::{Catalog, Error};

use crate::fixtures::{LATE, at, blob, image, new_account, upload};

pub(crate) async fn a_reservation_lapses(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let image = image("a");
    let key = blob(&image);
    catalog
        .reserve_blobs(std::slice::from_ref(&key), at(100))
        .await
        .unwrap();
    assert_eq!(catalog.abandoned_blobs(at(99), 10).await.unwrap(), []);
    let abandoned = catalog.abandoned_blobs(at(100), 10).await.unwrap();
    assert_eq!(abandoned, [key]);
    let refused = catalog.insert_image(&account, image.clone(), None).await;
    assert!(
        matches!(refused, Err(Error::ReservationLapsed)),
        "{refused:?}"
    );
    assert_eq!(catalog.image(&account, &image.id).await.unwrap(), None);
}

pub(crate) async fn a_reservation_is_taken_once(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let image = image("a");
    let key = blob(&image);
    catalog
        .reserve_blobs(std::slice::from_ref(&key), at(100))
        .await
        .unwrap();
    // Its time is over, but nobody has swept it away yet.
    catalog
        .insert_image(&account, image.clone(), None)
        .await
        .unwrap();
    assert_eq!(catalog.abandoned_blobs(LATE, 10).await.unwrap(), []);
    let mut second = image;
    second.id = crate::fixtures::id("b");
    let refused = catalog.insert_image(&account, second, None).await;
    assert!(refused.is_err());
}

pub(crate) async fn a_deletion_releases_the_blob_later(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let image = upload(catalog, &account, image("a")).await;
    catalog
        .delete_image(&account, &image.id, at(500))
        .await
        .unwrap();
    assert!(catalog.knows_blob(&blob(&image)).await.unwrap());
    assert_eq!(catalog.abandoned_blobs(at(499), 10).await.unwrap(), []);
    let refused = catalog.insert_image(&account, image.clone(), None).await;
    assert!(
        matches!(refused, Err(Error::ReservationLapsed)),
        "{refused:?}"
    );
    let abandoned = catalog.abandoned_blobs(at(500), 10).await.unwrap();
    assert_eq!(abandoned, [blob(&image)]);
}

pub(crate) async fn abandoned_blobs_are_handed_out_until_forgotten(catalog: &dyn Catalog) {
    let mut keys: Vec<_> = (0..5).map(|_| BlobKey::generate()).collect();
    for key in &keys {
        catalog
            .reserve_blobs(std::slice::from_ref(key), at(10))
            .await
            .unwrap();
    }
    assert_eq!(catalog.abandoned_blobs(at(10), 3).await.unwrap().len(), 3);
    let mut handed_out = Vec::new();
    for _ in 0..2 {
        let abandoned = catalog.abandoned_blobs(at(10), 9).await.unwrap();
        assert_eq!(abandoned.len(), 5);
        handed_out = abandoned;
    }
    handed_out.sort();
    keys.sort();
    assert_eq!(handed_out, keys);
    catalog.forget_blobs(&keys[..4]).await.unwrap();
    catalog.forget_blobs(&keys[..4]).await.unwrap();
    let left = catalog.abandoned_blobs(at(10), 9).await.unwrap();
    assert_eq!(left, keys[4..]);
}

pub(crate) async fn a_forgotten_reservation_is_gone(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let image = image("a");
    let key = blob(&image);
    catalog
        .reserve_blobs(std::slice::from_ref(&key), at(10))
        .await
        .unwrap();
    catalog
        .forget_blobs(std::slice::from_ref(&key))
        .await
        .unwrap();
    assert!(!catalog.knows_blob(&key).await.unwrap());
    let refused = catalog.insert_image(&account, image, None).await;
    assert!(
        matches!(refused, Err(Error::ReservationLapsed)),
        "{refused:?}"
    );
}

pub(crate) async fn a_known_blob_is_known(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let image = image("a");
    let key = blob(&image);
    assert!(!catalog.knows_blob(&key).await.unwrap());
    catalog
        .reserve_blobs(std::slice::from_ref(&key), at(10))
        .await
        .unwrap();
    assert!(catalog.knows_blob(&key).await.unwrap());
    let image = catalog.insert_image(&account, image, None).await.unwrap();
    assert!(catalog.knows_blob(&key).await.unwrap());
    catalog
        .delete_image(&account, &image.id, at(10))
        .await
        .unwrap();
    assert!(catalog.knows_blob(&key).await.unwrap());
    catalog.abandoned_blobs(at(10), 1).await.unwrap();
    catalog
        .forget_blobs(std::slice::from_ref(&key))
        .await
        .unwrap();
    assert!(!catalog.knows_blob(&key).await.unwrap());
}

pub(crate) async fn a_working_catalog_answers(catalog: &dyn Catalog) {
    catalog.ping().await.unwrap();
}

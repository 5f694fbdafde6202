use model::{AccountId, CreatorFilter, ImageId};
use store::catalog::{ImageEdit, Order};
use store::{Catalog, Error};

use crate::fixtures::{
    LATE, at, blob, creator, id, image, metadata, new_account, pages, query, reserve, upload,
    upload_some,
};

pub(crate) async fn an_inserted_image_is_found(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut full = image("a/b c/é.png");
    full.creator = creator("mara");
    full.metadata = metadata(r#"{"z":1,"a":{"é":[1.5,null]},"big":18446744073709551615}"#);
    full.require_signed_urls = true;
    let mut bare = image("bare");
    bare.filename = None;
    for image in [full, bare] {
        let stored = upload(catalog, &account, image.clone()).await;
        let found = catalog.image(&account, &image.id).await.unwrap().unwrap();
        assert_eq!(found, stored);
        let image = model::Image {
            uploaded: stored.uploaded,
            ..image
        };
        assert_eq!(found, image);
    }
    let text = catalog.image(&account, &id("a/b c/é.png")).await.unwrap();
    let text = text.unwrap().metadata.unwrap().as_json().to_owned();
    assert!(text.starts_with(r#"{"z":1,"a""#), "{text}");
    let other = new_account(catalog).await;
    assert_eq!(catalog.image(&other, &id("bare")).await.unwrap(), None);
}

pub(crate) async fn a_taken_id_is_refused(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let first = upload(catalog, &account, image("a")).await;
    let second = image("a");
    reserve(catalog, second.source.as_ref().unwrap()).await;
    let refused = catalog.insert_image(&account, second, None).await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    let found = catalog.image(&account, &first.id).await.unwrap();
    assert_eq!(found, Some(first));
    let other = new_account(catalog).await;
    upload(catalog, &other, image("a")).await;
}

pub(crate) async fn ids_are_compared_byte_by_byte(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    for name in ["a", "A", "é", "e\u{301}", "a ", "%61"] {
        upload(catalog, &account, image(name)).await;
    }
    for name in ["a", "A", "é", "e\u{301}", "a ", "%61"] {
        let found = catalog.image(&account, &id(name)).await.unwrap().unwrap();
        assert_eq!(found.id.as_str(), name);
    }
    assert_eq!(catalog.image(&account, &id("É")).await.unwrap(), None);
}

pub(crate) async fn uploads_are_strictly_ordered(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut last = at(0);
    // The clock stands still, and goes back.
    for (name, uploaded) in [("a", 50), ("b", 50), ("c", 40), ("d", 60)] {
        let mut image = image(name);
        image.uploaded = at(uploaded);
        let stored = upload(catalog, &account, image).await;
        assert!(stored.uploaded > last && stored.uploaded >= at(uploaded));
        last = stored.uploaded;
    }
    assert_eq!(last, at(60));
    let other = new_account(catalog).await;
    let stored = upload(catalog, &other, image("a")).await;
    assert!(stored.uploaded > last);
}

pub(crate) async fn an_account_holds_no_more_than_it_may(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    for (name, fits) in [("a", true), ("b", true), ("c", false)] {
        let image = image(name);
        reserve(catalog, image.source.as_ref().unwrap()).await;
        let inserted = catalog.insert_image(&account, image, Some(2)).await;
        match inserted {
            Ok(_) => assert!(fits),
            Err(error) => assert!(!fits && matches!(error, Error::Full), "{error:?}"),
        }
    }
    catalog
        .delete_image(&account, &id("a"), at(0))
        .await
        .unwrap();
    let image = image("c");
    reserve(catalog, image.source.as_ref().unwrap()).await;
    catalog
        .insert_image(&account, image, Some(2))
        .await
        .unwrap();
}

pub(crate) async fn an_image_needs_an_account(catalog: &dyn Catalog) {
    let account = AccountId::generate();
    let image = image("a");
    reserve(catalog, image.source.as_ref().unwrap()).await;
    let refused = catalog.insert_image(&account, image, None).await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
}

pub(crate) async fn an_edit_changes_what_it_names(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut before = image("a");
    before.creator = creator("mara");
    before.metadata = metadata(r#"{"a":1}"#);
    let before = upload(catalog, &account, before).await;
    let same = catalog
        .edit_image(&account, &before.id, ImageEdit::default())
        .await
        .unwrap();
    assert_eq!(same, before);

    let edit = ImageEdit {
        metadata: Some(metadata(r#"{"b":2}"#)),
        creator: Some(creator("nils")),
        require_signed_urls: Some(true),
    };
    let after = catalog
        .edit_image(&account, &before.id, edit)
        .await
        .unwrap();
    let expected = model::Image {
        metadata: metadata(r#"{"b":2}"#),
        creator: creator("nils"),
        require_signed_urls: true,
        ..before.clone()
    };
    assert_eq!(after, expected);
    let found = catalog.image(&account, &before.id).await.unwrap();
    assert_eq!(found, Some(after));

    let edit = ImageEdit {
        metadata: Some(None),
        creator: Some(None),
        require_signed_urls: None,
    };
    let cleared = catalog
        .edit_image(&account, &before.id, edit)
        .await
        .unwrap();
    assert_eq!((cleared.metadata, cleared.creator), (None, None));
    assert!(cleared.require_signed_urls);

    let unknown = catalog
        .edit_image(&account, &id("b"), ImageEdit::default())
        .await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
}

fn access(require_signed_urls: bool) -> ImageEdit {
    ImageEdit {
        require_signed_urls: Some(require_signed_urls),
        ..ImageEdit::default()
    }
}

pub(crate) async fn access_is_part_of_a_generated_id(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let open = ImageId::generate(false);
    let before = upload(catalog, &account, image(open.as_str())).await;
    let kept = catalog
        .edit_image(&account, &open, access(false))
        .await
        .unwrap();
    assert_eq!(kept.id, open);
    let signed = catalog
        .edit_image(&account, &open, access(true))
        .await
        .unwrap();
    assert_eq!(signed.id, open.with_access(true));
    assert_eq!(catalog.image(&account, &open).await.unwrap(), None);
    let found = catalog.image(&account, &signed.id).await.unwrap();
    assert_eq!(found, Some(signed.clone()));
    let again = catalog
        .edit_image(&account, &signed.id, access(false))
        .await
        .unwrap();
    assert_eq!(again, before);
    let listed = pages(catalog, &account, query(Order::Ascending, 10)).await;
    assert_eq!(listed, [before]);
}

pub(crate) async fn an_edit_to_a_taken_id_is_refused(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let open = ImageId::generate(false);
    let first = upload(catalog, &account, image(open.as_str())).await;
    upload(catalog, &account, image(open.with_access(true).as_str())).await;
    let edit = ImageEdit {
        creator: Some(creator("mara")),
        ..access(true)
    };
    let refused = catalog.edit_image(&account, &open, edit).await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    let found = catalog.image(&account, &open).await.unwrap();
    assert_eq!(found, Some(first));
}

pub(crate) async fn a_deleted_image_is_gone(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let images = upload_some(catalog, &account, 3).await;
    let deleted = catalog
        .delete_image(&account, &images[1].id, LATE)
        .await
        .unwrap();
    assert_eq!(deleted, images[1]);
    assert_eq!(catalog.image(&account, &deleted.id).await.unwrap(), None);
    let listed = pages(catalog, &account, query(Order::Ascending, 10)).await;
    assert_eq!(listed, [images[0].clone(), images[2].clone()]);
    let any = CreatorFilter::Any;
    assert_eq!(catalog.image_count(&account, &any).await.unwrap(), 2);
    let again = catalog.delete_image(&account, &deleted.id, LATE).await;
    assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
    upload(catalog, &account, image(deleted.id.as_str())).await;
}

pub(crate) async fn a_refused_insert_leaves_its_reservation(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    upload(catalog, &account, image("a")).await;
    let mut second = image("a");
    reserve(catalog, second.source.as_ref().unwrap()).await;
    let refused = catalog.insert_image(&account, second.clone(), None).await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    second.id = id("b");
    let refused = catalog
        .insert_image(&account, second.clone(), Some(1))
        .await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let stored = catalog.insert_image(&account, second, None).await.unwrap();
    assert!(catalog.knows_blob(&blob(&stored)).await.unwrap());
}

use model::{CreatorFilter, ImageId};
use store::catalog::{ImageEdit, Order};
use store::{Catalog, Error};

use crate::fixtures::{
    LATE, at, creator, draft, filled, filter, id, image, is, metadata, new_account, pages, query,
    reserve, upload,
};

pub(crate) async fn a_draft_is_found_but_not_listed(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let mut draft = draft("a", LATE);
    draft.creator = creator("mara");
    draft.metadata = metadata(r#"{"k":1}"#);
    let stored = upload(catalog, &account, draft).await;
    assert!(stored.is_draft());
    let found = catalog.image(&account, &stored.id).await.unwrap();
    assert_eq!(found, Some(stored));
    for creator in [CreatorFilter::Any, is("mara")] {
        let mut query = query(Order::Ascending, 10);
        query.creator = creator.clone();
        assert_eq!(pages(catalog, &account, query.clone()).await, []);
        query.filter = filter(&[("meta.k[eq]", "1")]);
        assert_eq!(pages(catalog, &account, query).await, []);
        let page = catalog.images_at(&account, &creator, 0, 10).await.unwrap();
        assert_eq!(page, []);
        assert_eq!(catalog.image_count(&account, &creator).await.unwrap(), 0);
    }
    // Nor does it count against the limit.
    let image = image("b");
    reserve(catalog, image.source.as_ref().unwrap()).await;
    catalog
        .insert_image(&account, image, Some(1))
        .await
        .unwrap();
}

pub(crate) async fn a_draft_takes_its_id(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    upload(catalog, &account, draft("a", at(1))).await;
    let second = image("a");
    reserve(catalog, second.source.as_ref().unwrap()).await;
    for image in [second, draft("a", LATE)] {
        let refused = catalog.insert_image(&account, image, None).await;
        assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    }
}

pub(crate) async fn a_draft_is_filled_once(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let earlier = upload(catalog, &account, image("earlier")).await;
    let mut draft = draft("a", LATE);
    draft.creator = creator("mara");
    draft.metadata = metadata(r#"{"k":1}"#);
    let draft = upload(catalog, &account, draft).await;
    let content = filled(at(3_000));
    reserve(catalog, &content.source).await;
    let image = catalog
        .fill_draft(&account, &draft.id, content.clone(), None)
        .await
        .unwrap();
    let expected = model::Image {
        source: Some(content.source),
        filename: content.filename,
        uploaded: at(3_000),
        draft_expires: None,
        ..draft.clone()
    };
    assert_eq!(image, expected);
    let found = catalog.image(&account, &draft.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&image));
    let mut list = query(Order::Ascending, 10);
    assert_eq!(
        pages(catalog, &account, list.clone()).await,
        [earlier, image.clone()]
    );
    list.creator = is("mara");
    list.filter = filter(&[("meta.k[eq:number]", "1")]);
    assert_eq!(pages(catalog, &account, list).await, [image]);
    assert_eq!(catalog.image_count(&account, &is("mara")).await.unwrap(), 1);

    let again = filled(at(3_001));
    reserve(catalog, &again.source).await;
    let refused = catalog
        .fill_draft(&account, &draft.id, again.clone(), None)
        .await;
    assert!(matches!(refused, Err(Error::DraftUsed)), "{refused:?}");
    let unknown = catalog.fill_draft(&account, &id("b"), again, None).await;
    assert!(matches!(unknown, Err(Error::NotFound)), "{unknown:?}");
}

pub(crate) async fn a_draft_expires(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let draft = upload(catalog, &account, draft("a", at(500))).await;
    for now in [500, 501] {
        let late = filled(at(now));
        reserve(catalog, &late.source).await;
        let refused = catalog.fill_draft(&account, &draft.id, late, None).await;
        assert!(matches!(refused, Err(Error::DraftExpired)), "{refused:?}");
    }
    let timely = filled(at(499));
    reserve(catalog, &timely.source).await;
    catalog
        .fill_draft(&account, &draft.id, timely, None)
        .await
        .unwrap();
}

pub(crate) async fn a_filled_draft_follows_the_rules_of_an_image(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let draft = upload(catalog, &account, draft("a", LATE)).await;
    let unreserved = filled(at(9));
    let refused = catalog
        .fill_draft(&account, &draft.id, unreserved, None)
        .await;
    assert!(
        matches!(refused, Err(Error::ReservationLapsed)),
        "{refused:?}"
    );
    let content = filled(at(9));
    reserve(catalog, &content.source).await;
    let refused = catalog
        .fill_draft(&account, &draft.id, content.clone(), Some(0))
        .await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let found = catalog.image(&account, &draft.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&draft));
    let image = catalog
        .fill_draft(&account, &draft.id, content, Some(1))
        .await
        .unwrap();
    assert!(image.uploaded > draft.uploaded, "the clock went back");
}

pub(crate) async fn a_draft_is_edited_and_deleted(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let open = ImageId::generate(false);
    let draft = upload(catalog, &account, draft(open.as_str(), LATE)).await;
    let edit = ImageEdit {
        metadata: Some(metadata(r#"{"k":1}"#)),
        creator: Some(creator("mara")),
        require_signed_urls: Some(true),
    };
    let edited = catalog.edit_image(&account, &open, edit).await.unwrap();
    assert_eq!(edited.id, open.with_access(true));
    assert_eq!(edited.draft_expires, draft.draft_expires);
    let any = CreatorFilter::Any;
    assert_eq!(catalog.image_count(&account, &any).await.unwrap(), 0);
    let deleted = catalog
        .delete_image(&account, &edited.id, at(0))
        .await
        .unwrap();
    assert_eq!(deleted, edited);
    assert_eq!(catalog.image(&account, &edited.id).await.unwrap(), None);
    assert_eq!(catalog.image_count(&account, &any).await.unwrap(), 0);
    assert_eq!(catalog.abandoned_blobs(LATE, 10).await.unwrap(), []);
}

pub(crate) async fn expired_drafts_are_deleted(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    for (name, expires) in [("a", 10), ("b", 20), ("c", 30), ("d", 40)] {
        upload(catalog, &account, draft(name, at(expires))).await;
    }
    upload(catalog, &account, image("e")).await;
    assert_eq!(catalog.delete_expired_drafts(at(9), 9).await.unwrap(), 0);
    assert_eq!(catalog.delete_expired_drafts(at(30), 2).await.unwrap(), 2);
    assert_eq!(catalog.delete_expired_drafts(at(30), 2).await.unwrap(), 1);
    assert_eq!(catalog.delete_expired_drafts(at(30), 2).await.unwrap(), 0);
    for (name, is_left) in [("a", false), ("b", false), ("c", false), ("d", true)] {
        let found = catalog.image(&account, &id(name)).await.unwrap();
        assert_eq!(found.is_some(), is_left, "{name}");
    }
    assert!(catalog.image(&account, &id("e")).await.unwrap().is_some());
}

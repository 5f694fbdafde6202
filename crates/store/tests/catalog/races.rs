use futures_util::future::join_all;
use model::{CreatorFilter, KeyName, SigningKey};
use store::{Catalog, Error};

use crate::fixtures::{LATE, at, blob, draft, filled, image, new_account, reserve, upload};

const MANY: usize = 50;

pub(crate) async fn one_of_many_inserts_wins(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let images: Vec<_> = (0..MANY).map(|_| image("same")).collect();
    let inserts = images.iter().map(|image| async {
        reserve(catalog, image.source.as_ref().unwrap()).await;
        catalog.insert_image(&account, image.clone(), None).await
    });
    let outcomes = join_all(inserts).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, MANY - 1));
    for outcome in lost {
        assert!(matches!(outcome, Err(Error::Taken)), "{outcome:?}");
    }
    let winner = won.into_iter().next().unwrap().unwrap();
    let found = catalog.image(&account, &winner.id).await.unwrap();
    assert_eq!(found, Some(winner));
    let count = catalog.image_count(&account, &CreatorFilter::Any).await;
    assert_eq!(count.unwrap(), 1);
    let abandoned = catalog.abandoned_blobs(LATE, 100).await.unwrap();
    assert_eq!(abandoned.len(), MANY - 1);
}

pub(crate) async fn one_of_many_fillings_wins(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let draft = upload(catalog, &account, draft("same", LATE)).await;
    let fillings = (0..MANY).map(|_| async {
        let content = filled(at(3_000));
        reserve(catalog, &content.source).await;
        catalog.fill_draft(&account, &draft.id, content, None).await
    });
    let outcomes = join_all(fillings).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, MANY - 1));
    for outcome in lost {
        assert!(matches!(outcome, Err(Error::DraftUsed)), "{outcome:?}");
    }
    let winner = won.into_iter().next().unwrap().unwrap();
    let found = catalog.image(&account, &draft.id).await.unwrap();
    assert_eq!(found, Some(winner));
}

pub(crate) async fn one_of_many_keys_finds_place(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let account = &account;
    let puts = (0..MANY).map(|number| async move {
        let name = KeyName::parse(&format!("key{number}")).unwrap();
        let key = SigningKey::generate(name);
        catalog.put_signing_key(account, &key, 2).await
    });
    let outcomes = join_all(puts).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    assert_eq!(catalog.signing_keys(account).await.unwrap().len(), 2);
}

pub(crate) async fn a_reservation_is_taken_or_lapses(catalog: &dyn Catalog) {
    let account = new_account(catalog).await;
    let account = &account;
    let uploads = (0..MANY).map(|number| async move {
        let image = image(&format!("image {number}"));
        let key = blob(&image);
        catalog
            .reserve_blobs(std::slice::from_ref(&key), at(10))
            .await
            .unwrap();
        let (inserted, swept) = tokio::join!(
            catalog.insert_image(account, image, None),
            catalog.abandoned_blobs(at(10), 1_000)
        );
        let swept = swept.unwrap().contains(&key);
        match inserted {
            Ok(_) => assert!(!swept, "a sweep took the blob of an image"),
            Err(error) => assert!(matches!(error, Error::ReservationLapsed), "{error:?}"),
        }
    });
    join_all(uploads).await;
}

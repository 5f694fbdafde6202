//! What holds for the embedded catalog alone: its file, its lock, its schema.

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use model::{CreatorFilter, Image};
use rusqlite::Connection;
use store::catalog::Order;
use store::{Catalog, Error, Sqlite, Vault};
use tempfile::TempDir;

use crate::fixtures::{LATE, at, blob, image, new_account, pages, query, upload, upload_some};

fn vault() -> Vault {
    Vault::from_key([7; 32])
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    (folder, path)
}

async fn open(path: &Path) -> Sqlite {
    Sqlite::open(path, vault()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reopened_catalog_holds_everything() {
    let (_folder, path) = folder();
    let first = open(&path).await;
    let account = new_account(&first).await;
    let keys = first.signing_keys(&account).await.unwrap();
    let images = upload_some(&first, &account, 20).await;
    drop(first);

    let second = open(&path).await;
    assert_eq!(second.signing_keys(&account).await.unwrap(), keys);
    let all = query(Order::Ascending, 7);
    assert_eq!(pages(&second, &account, all.clone()).await, images);
    second.close().await.unwrap();

    let third = open(&path).await;
    assert_eq!(pages(&third, &account, all).await, images);
    let any = CreatorFilter::Any;
    assert_eq!(third.image_count(&account, &any).await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_stay_ordered_when_the_clock_goes_back_over_a_restart() {
    let (_folder, path) = folder();
    let first = open(&path).await;
    let account = new_account(&first).await;
    let mut late = image("late");
    late.uploaded = at(9_000);
    let late = upload(&first, &account, late).await;
    first.delete_image(&account, &late.id, LATE).await.unwrap();
    first.close().await.unwrap();
    let second = open(&path).await;
    let next = upload(&second, &account, image("next")).await;
    assert!(next.uploaded > late.uploaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_catalog_has_one_file_and_answers_no_more() {
    let (folder, path) = folder();
    let catalog = open(&path).await;
    let account = new_account(&catalog).await;
    upload_some(&catalog, &account, 3).await;
    catalog.close().await.unwrap();
    catalog.close().await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["catalog.sqlite"]);
    let read = catalog.ping().await;
    assert!(matches!(read, Err(Error::Database(_))), "{read:?}");
    let written = catalog.delete_account(&account).await;
    assert!(matches!(written, Err(Error::Database(_))), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_writes_are_finished_before_the_catalog_closes() {
    let (_folder, path) = folder();
    let catalog = open(&path).await;
    let account = new_account(&catalog).await;
    let images: Vec<_> = (0..40).map(|number| image(&number.to_string())).collect();
    for image in &images {
        catalog
            .reserve_blobs(std::slice::from_ref(&blob(image)), LATE)
            .await
            .unwrap();
    }
    let inserts = images
        .iter()
        .map(|image| catalog.insert_image(&account, image.clone(), None));
    let (inserted, closed) = tokio::join!(biased; join_all(inserts), catalog.close());
    closed.unwrap();
    assert!(inserted.iter().all(Result::is_ok));
    let again = open(&path).await;
    let listed = pages(&again, &account, query(Order::Ascending, 100)).await;
    assert_eq!(listed.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_and_kept() {
    let (_folder, path) = folder();
    open(&path).await.close().await.unwrap();
    let database = Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    let refused = Sqlite::open(&path, vault()).await.unwrap_err();
    assert!(matches!(refused, Error::Schema(_)), "{refused:?}");
    let sentence = refused.to_string();
    assert!(sentence.contains("version 999"), "{sentence}");
    let database = Connection::open(&path).unwrap();
    let version: i64 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_or_broken_database_is_refused() {
    let (_folder, path) = folder();
    let database = Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(database);
    let refused = Sqlite::open(&path, vault()).await.unwrap_err();
    assert!(matches!(refused, Error::Schema(_)), "{refused:?}");

    let (_folder, path) = self::folder();
    open(&path).await.close().await.unwrap();
    let database = Connection::open(&path).unwrap();
    database.execute_batch("DROP TABLE leaves").unwrap();
    drop(database);
    let refused = Sqlite::open(&path, vault()).await.unwrap_err();
    assert!(matches!(refused, Error::Schema(_)), "{refused:?}");

    let (_folder, path) = self::folder();
    std::fs::write(
        &path,
        "no database at all, but long enough to be one ".repeat(99),
    )
    .unwrap();
    let refused = Sqlite::open(&path, vault()).await.unwrap_err();
    assert!(matches!(refused, Error::Database(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_key_opens_no_signing_key() {
    let (_folder, path) = folder();
    let catalog = open(&path).await;
    let account = new_account(&catalog).await;
    catalog.close().await.unwrap();
    let text = std::fs::read(&path).unwrap();
    let other = Sqlite::open(&path, Vault::from_key([8; 32])).await.unwrap();
    let sealed = other.signing_keys(&account).await;
    assert!(matches!(sealed, Err(Error::Sealed)), "{sealed:?}");
    let right = open(&path).await;
    let keys = right.signing_keys(&account).await.unwrap();
    let value = keys[0].value.as_bytes();
    assert!(!text.windows(value.len()).any(|window| window == value));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_write_does_not_fail_those_beside_it() {
    let (_folder, path) = folder();
    let catalog = open(&path).await;
    let account = new_account(&catalog).await;
    upload(&catalog, &account, image("taken")).await;
    let images: Vec<Image> = (0..60)
        .map(|number| {
            let name = format!("image {number}");
            image(if number % 3 == 0 { "taken" } else { &name })
        })
        .collect();
    for image in &images {
        catalog
            .reserve_blobs(std::slice::from_ref(&blob(image)), LATE)
            .await
            .unwrap();
    }
    let inserts = images
        .iter()
        .map(|image| catalog.insert_image(&account, image.clone(), None));
    let outcomes = join_all(inserts).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(_) => assert_ne!(number % 3, 0),
            Err(error) => {
                assert_eq!(number % 3, 0);
                assert!(matches!(error, Error::Taken), "{error:?}");
            }
        }
    }
    let any = CreatorFilter::Any;
    assert_eq!(catalog.image_count(&account, &any).await.unwrap(), 41);
    // The reservations of those which failed were not taken.
    let abandoned = catalog.abandoned_blobs(LATE, 100).await.unwrap();
    assert_eq!(abandoned.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_happens_though_its_caller_goes_away() {
    let (_folder, path) = folder();
    let catalog = open(&path).await;
    let account = new_account(&catalog).await;
    let image = image("a");
    catalog
        .reserve_blobs(std::slice::from_ref(&blob(&image)), LATE)
        .await
        .unwrap();
    let insert = catalog.insert_image(&account, image.clone(), None);
    // Polled once, which queues it, and dropped.
    drop(insert.now_or_never());
    // Writes are done in order, so this one comes after it.
    catalog
        .reserve_blobs(std::slice::from_ref(&model::BlobKey::generate()), LATE)
        .await
        .unwrap();
    let found = catalog.image(&account, &image.id).await.unwrap();
    assert!(found.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_lock_is_waited_for() {
    let (_folder, path) = folder();
    let catalog = open(&path).await;
    let account = new_account(&catalog).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let image = image("a");
    let key = blob(&image);
    let reserving = catalog.reserve_blobs(std::slice::from_ref(&key), LATE);
    let mut reserving = std::pin::pin!(reserving);
    tokio::select! {
        biased;
        early = &mut reserving => panic!("a foreign lock was not heeded: {early:?}"),
        () = async {} => {}
    }
    // Readers do not wait.
    assert!(catalog.account(&account).await.unwrap().is_some());
    other.execute_batch("ROLLBACK").unwrap();
    reserving.await.unwrap();
    catalog.insert_image(&account, image, None).await.unwrap();
}

//! What needs a hand on the connections: failures of the database, and many rows at once.

use futures_util::future::join_all;
use model::{
    Account, AccountConfig, AccountHash, AccountId, BlobKey, Image, ImageId, KeyName, MediaType,
    Metadata, MetadataFilter, SigningKey, Source, Timestamp, Variant,
};

use super::*;
use crate::catalog::{ListQuery, Order, Position};

const LATE: Timestamp = Timestamp::from_seconds(4_000_000_000);

async fn catalog() -> Sqlite {
    Sqlite::open_in_memory(Vault::from_key([7; 32]))
        .await
        .unwrap()
}

async fn limit_pages(catalog: &Sqlite, pages: i64) {
    catalog
        .write(Touched::Nothing, move |writing| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            writing.connection.query_row(&sql, [], |_| Ok(()))?;
            Ok(())
        })
        .await
        .unwrap();
}

async fn reserve_many(catalog: &Sqlite) -> Vec<Result<(), Error>> {
    let keys: Vec<_> = (0..1_000).map(|_| BlobKey::generate()).collect();
    join_all(
        keys.iter()
            .map(|key| catalog.reserve_blobs(std::slice::from_ref(key), LATE)),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_which_cannot_grow_says_so_and_recovers() {
    let catalog = catalog().await;
    limit_pages(&catalog, 1).await;
    let outcomes = reserve_many(&catalog).await;
    let (kept, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(!refused.is_empty(), "the limit was not reached");
    for outcome in refused {
        assert!(matches!(outcome, Err(Error::NoSpace(_))), "{outcome:?}");
    }
    let stored = catalog.abandoned_blobs(LATE, 0).await.unwrap();
    assert_eq!(stored, []);
    limit_pages(&catalog, 1_000_000).await;
    let stored = catalog.abandoned_blobs(LATE, 10_000).await.unwrap();
    assert_eq!(stored.len(), kept.len(), "a write was kept by halves");
    assert!(reserve_many(&catalog).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_job_fails_alone() {
    let catalog = catalog().await;
    let key = BlobKey::generate();
    let (panicked, reserved) = tokio::join!(
        catalog.write(Touched::Nothing, |_| -> Result<(), Error> {
            panic!("out of luck")
        }),
        catalog.reserve_blobs(std::slice::from_ref(&key), LATE)
    );
    let text = match panicked {
        Err(Error::Database(cause)) => cause.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(text.contains("out of luck"), "{text}");
    reserved.unwrap();
    assert!(catalog.knows_blob(&key).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_commit_fails_every_job() {
    let catalog = catalog().await;
    // A violated reference is found by the commit when it is deferred.
    let broken = catalog.write(Touched::Nothing, |writing| {
        writing.connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON;
             INSERT INTO variants (account, name, options, never_require_signed_urls)
             VALUES (4711, 'a', '{}', 0);",
        )?;
        Ok(())
    });
    let key = BlobKey::generate();
    let (broken, reserved) = tokio::join!(
        broken,
        catalog.reserve_blobs(std::slice::from_ref(&key), LATE)
    );
    assert!(matches!(broken, Err(Error::Database(_))), "{broken:?}");
    // It may have been in the same transaction, or in the next.
    assert_eq!(
        catalog.knows_blob(&key).await.unwrap(),
        reserved.is_ok(),
        "{reserved:?}"
    );
    let next = BlobKey::generate();
    catalog
        .reserve_blobs(std::slice::from_ref(&next), LATE)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_durable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    let catalog = Sqlite::open(&path, Vault::from_key([7; 32])).await.unwrap();
    let settings = catalog
        .write(Touched::Nothing, |writing| {
            let read = |name| {
                writing
                    .connection
                    .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            };
            let mode = writing
                .connection
                .pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?;
            Ok((mode, read("synchronous")?, read("page_size")?))
        })
        .await
        .unwrap();
    // 2 is FULL: the log is synced with every commit.
    assert_eq!(settings, ("wal".to_owned(), 2, 4096));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_catalog_leaves_nothing() {
    let catalog = catalog().await;
    let folder = catalog.temporary.clone().unwrap();
    assert!(folder.exists());
    drop(catalog);
    assert!(!folder.exists());
}

async fn account(catalog: &Sqlite) -> Account {
    let account = Account {
        id: AccountId::generate(),
        hash: AccountHash::generate(),
        name: String::new(),
        created: LATE,
        config: AccountConfig::default(),
    };
    let key = SigningKey::generate(KeyName::default_name());
    catalog
        .create_account(&account, &Variant::public(), &key)
        .await
        .unwrap();
    account
}

fn numbered(number: i64, value: i64) -> Image {
    Image {
        id: ImageId::from_path(format!("image {number}")),
        filename: None,
        metadata: Metadata::from_stored(&format!(r#"{{"n":{value}}}"#)),
        creator: None,
        uploaded: Timestamp::from_micros(number),
        require_signed_urls: false,
        source: Some(Source {
            blob: BlobKey::generate(),
            bytes: 1,
            sha256: [0; 32],
            format: MediaType::Png,
            width: 1,
            height: 1,
        }),
        draft_expires: None,
    }
}

/// Matches are too many to be collected at first, and too rare at the beginning to be found by
/// walking alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_full_where_a_frequent_range_begins_sparse() {
    let catalog = catalog().await;
    let account = account(&catalog).await;
    let matches = |number: i64| number > 9_000 || number % 200 == 0;
    let id = account.id.clone();
    catalog
        .write(Touched::Nothing, move |writing| {
            for number in 1..14_000 {
                let image = numbered(number, i64::from(matches(number)));
                let blob = image.source.as_ref().map(|source| &source.blob);
                sweep::reserve(writing, std::slice::from_ref(blob.unwrap()), LATE)?;
                images::insert(writing, &id, image, None)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let mut filter = MetadataFilter::default();
    filter.add("meta.n[gte]", "1").unwrap();
    let mut all: Vec<_> = (1..14_000).filter(|number| matches(*number)).collect();
    for order in [Order::Ascending, Order::Descending] {
        let mut query = ListQuery {
            order,
            after: None,
            limit: 50,
            creator: CreatorFilter::Any,
            filter: filter.clone(),
        };
        for expected in all.chunks(50).take(3) {
            let page = catalog.images_after(&account.id, &query).await.unwrap();
            let found: Vec<_> = page.iter().map(|image| image.uploaded.micros()).collect();
            assert_eq!(found, expected);
            query.after = page.last().map(|image| Position {
                uploaded: image.uploaded,
                id: image.id.clone(),
            });
        }
        all.reverse();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_writes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog");
    let open = || Sqlite::open(&path, Vault::from_key([7; 32]));
    let (server, command) = (open().await.unwrap(), open().await.unwrap());
    let account = account(&server).await;
    let read = async || {
        server
            .account_by_hash(&account.hash)
            .await
            .unwrap()
            .unwrap()
    };
    assert!(!read().await.config.flexible_variants);
    let after = model::AccountConfig {
        flexible_variants: true,
        ..account.config.clone()
    };
    command
        .set_config(&account.id, &account.config, &after)
        .await
        .unwrap();
    let noticed = async {
        while !read().await.config.flexible_variants {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), noticed)
        .await
        .expect("it is noticed");
}

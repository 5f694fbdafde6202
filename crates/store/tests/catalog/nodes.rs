//! What holds for several nodes on one PostgreSQL database, and for one whose database fails it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use model::{AccountId, CreatorFilter, Image, ImageId, Timestamp, Variant};
use store::catalog::{ImageEdit, Order};
use store::{Catalog, Error, Postgres, PostgresUrl, Vault};

use crate::fixtures::{
    LATE, at, blob, draft, filled, image, new_account, pages, query, reserve, upload, upload_some,
};
use crate::postgres::{self, Postgres as Server};

/// How late a node may see what another one did.
const SEEN: Duration = Duration::from_secs(1);

/// How long callers ask for a connection on a slow machine.
const PATIENCE: Duration = Duration::from_mins(2);

async fn open(url: &str, vault: [u8; 32]) -> Result<Postgres, Error> {
    let url = PostgresUrl::parse(url).unwrap();
    Postgres::open(&url, 16, Vault::from_key(vault)).await
}

/// A node on the database of this address.
pub(crate) async fn node(url: &str) -> Postgres {
    open(url, [7; 32]).await.unwrap()
}

/// Two nodes, the first of which made an account.
async fn two_nodes() -> Option<(Postgres, Postgres, AccountId)> {
    let url = postgres::database()?;
    let (one, other) = tokio::join!(node(&url), node(&url));
    let account = new_account(&one).await;
    Some((one, other, account))
}

/// Asks until the answer is the expected one, or for too long.
async fn sees<T: PartialEq + std::fmt::Debug>(expected: T, mut ask: impl AsyncFnMut() -> T) {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let found = ask().await;
        if found == expected {
            return;
        }
        // A look which began in time and found the old state is what must not be.
        assert!(asked - start < SEEN, "a node still sees {found:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_many_nodes_start_at_once() {
    let Some(url) = postgres::database() else {
        return;
    };
    let nodes = join_all((0..8).map(|_| node(&url))).await;
    let account = new_account(&nodes[0]).await;
    for node in &nodes {
        assert!(node.account(&account).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_change_is_seen_by_every_node_within_a_second() {
    let Some((one, other, account)) = two_nodes().await else {
        return;
    };
    let stored = upload(&one, &account, image("a")).await;
    let id = &stored.id;
    let is_private = async || {
        let image = other.image(&account, id).await.unwrap();
        image.map(|image| image.require_signed_urls)
    };
    // Remembered from here on.
    assert_eq!(is_private().await, Some(false));
    let private = ImageEdit {
        require_signed_urls: Some(true),
        ..ImageEdit::default()
    };
    one.edit_image(&account, id, private).await.unwrap();
    sees(Some(true), is_private).await;
    one.delete_image(&account, id, LATE).await.unwrap();
    sees(None, is_private).await;

    let draft = upload(&one, &account, draft("d", LATE)).await;
    let is_draft = async || {
        let found = other.image(&account, &draft.id).await.unwrap();
        found.map(|image| image.is_draft())
    };
    assert_eq!(is_draft().await, Some(true));
    let content = filled(at(3_000));
    reserve(&one, &content.source).await;
    one.fill_draft(&account, &draft.id, content, None)
        .await
        .unwrap();
    sees(Some(false), is_draft).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_settings_are_seen_by_every_node_within_a_second() {
    let Some((one, other, account)) = two_nodes().await else {
        return;
    };
    let public = Variant::public();
    let never_signed = async || {
        let variant = other.variant(&account, &public.name).await.unwrap();
        variant.map(|variant| variant.never_require_signed_urls)
    };
    assert_eq!(never_signed().await, Some(public.never_require_signed_urls));
    let mut after = public.clone();
    after.never_require_signed_urls = !public.never_require_signed_urls;
    one.set_variant(&account, &public, &after).await.unwrap();
    sees(Some(after.never_require_signed_urls), never_signed).await;

    let keys = async || other.signing_keys(&account).await.unwrap();
    let before = keys().await;
    let next = model::SigningKey::generate(model::KeyName::default_name());
    let rotated = one.put_signing_key(&account, &next, 2).await.unwrap();
    assert_ne!(rotated, before);
    sees(rotated, keys).await;

    let hash = one.account(&account).await.unwrap().unwrap().hash;
    let exists = async || other.account_by_hash(&hash).await.unwrap().is_some();
    assert!(exists().await);
    one.delete_account(&account).await.unwrap();
    sees(false, exists).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_one_of_two_nodes_wins_an_id() {
    let Some((one, other, account)) = two_nodes().await else {
        return;
    };
    for round in 0..20 {
        let image = || image(&format!("image {round}"));
        let (first, second) = (image(), image());
        reserve(&one, first.source.as_ref().unwrap()).await;
        reserve(&other, second.source.as_ref().unwrap()).await;
        let (first, second) = tokio::join!(
            one.insert_image(&account, first, None),
            other.insert_image(&account, second, None)
        );
        let outcomes = [first, second];
        let won: Vec<&Image> = outcomes
            .iter()
            .filter_map(|one| one.as_ref().ok())
            .collect();
        let lost = outcomes.iter().find_map(|one| one.as_ref().err());
        assert!(matches!(lost, Some(Error::Taken)), "{outcomes:?}");
        let found = one.image(&account, &won[0].id).await.unwrap();
        assert_eq!(found.as_ref(), Some(won[0]));
    }
    let count = other.image_count(&account, &CreatorFilter::Any).await;
    assert_eq!(count.unwrap(), 20);
}

/// Both nodes begin at the same moment, so that they choose the same upload times.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_nodes_with_one_clock_give_different_upload_times() {
    let Some((one, other, account)) = two_nodes().await else {
        return;
    };
    let (of_one, of_other) = (&one, &other);
    let account = &account;
    let uploads = (0..60).map(|number| async move {
        let node = if number % 2 == 0 { of_one } else { of_other };
        upload(node, account, image(&format!("image {number}"))).await
    });
    let mut uploaded: Vec<Timestamp> = join_all(uploads)
        .await
        .iter()
        .map(|image| image.uploaded)
        .collect();
    uploaded.sort_unstable();
    uploaded.dedup();
    assert_eq!(uploaded.len(), 60);
    let listed = pages(&other, account, query(Order::Ascending, 7)).await;
    assert_eq!(listed.len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_one_node_holds_a_lease() {
    let Some((one, other, _)) = two_nodes().await else {
        return;
    };
    let hour = Duration::from_hours(1);
    assert!(one.take_lease("sweep", hour).await.unwrap());
    assert!(!other.take_lease("sweep", hour).await.unwrap());
    assert!(other.take_lease("another job", hour).await.unwrap());
    // Its holder prolongs it, here by nothing, so that it lapses.
    assert!(one.take_lease("sweep", Duration::ZERO).await.unwrap());
    assert!(other.take_lease("sweep", hour).await.unwrap());
    assert!(!one.take_lease("sweep", hour).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_node_with_another_secret_key_is_refused() {
    let Some(url) = postgres::database() else {
        return;
    };
    let first = node(&url).await;
    let account = new_account(&first).await;
    let refused = open(&url, [8; 32]).await.unwrap_err();
    assert!(matches!(refused, Error::Schema(_)), "{refused:?}");
    assert!(refused.to_string().contains("secret_key"), "{refused}");
    let again = node(&url).await;
    let keys = first.signing_keys(&account).await.unwrap();
    assert_eq!(again.signing_keys(&account).await.unwrap(), keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_newer_or_foreign_schema_is_refused_and_kept() {
    let Some(url) = postgres::database() else {
        return;
    };
    execute(&url, "CREATE TABLE accounts (theirs INT)").await;
    let refused = open(&url, [7; 32]).await.unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
    // Nothing of ours is left in it.
    execute(&url, "SELECT theirs FROM accounts").await;
    execute(
        &url,
        "DROP TABLE accounts; CREATE TABLE images (ours INT); DROP TABLE images",
    )
    .await;

    let _ = node(&url).await;
    execute(&url, "UPDATE schema_version SET version = 999").await;
    let refused = open(&url, [7; 32]).await.unwrap_err();
    assert!(refused.to_string().contains("version 999"), "{refused}");
    execute(
        &url,
        "UPDATE schema_version SET version = 5; DROP TABLE leaves",
    )
    .await;
    let refused = open(&url, [7; 32]).await.unwrap_err();
    assert!(refused.to_string().contains("leaves"), "{refused}");
}

pub(crate) async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_a_closed_catalog_answers_no_more() {
    let Some((one, other, account)) = two_nodes().await else {
        return;
    };
    one.close().await.unwrap();
    one.close().await.unwrap();
    let read = one.ping().await;
    assert!(matches!(read, Err(Error::Database(_))), "{read:?}");
    let written = one.delete_account(&account).await;
    assert!(matches!(written, Err(Error::Database(_))), "{written:?}");
    assert!(other.account(&account).await.unwrap().is_some());
}

/// Asks again where no connection came free in time, as a client is told to: then nothing was done.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> T {
    let start = Instant::now();
    loop {
        match ask().await {
            Err(Error::Exhausted) if start.elapsed() < PATIENCE => {}
            outcome => return outcome.unwrap(),
        }
    }
}

/// The server has fewer connections than the node would open.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_few_connections_serve_many_callers() {
    let Some(url) = postgres::database() else {
        return;
    };
    let role = "few";
    execute(
        &url,
        &format!("CREATE ROLE {role} LOGIN SUPERUSER CONNECTION LIMIT -1"),
    )
    .await;
    let limited = url.replace("postgres@", &format!("{role}@"));
    drop(node(&limited).await);
    execute(
        &url,
        &format!("ALTER ROLE {role} NOSUPERUSER CONNECTION LIMIT 3"),
    )
    .await;
    let catalog = &node(&limited).await;
    let account = &new_account(catalog).await;
    let uploads = (0..60).map(|number| async move {
        let image = &image(&format!("image {number}"));
        let keys = &[blob(image)];
        patiently(async || catalog.reserve_blobs(keys, LATE).await).await;
        let insert = async || catalog.insert_image(account, image.clone(), None).await;
        let stored = patiently(insert).await;
        let found = patiently(async || catalog.image(account, &stored.id).await).await;
        assert_eq!(found, Some(stored));
    });
    join_all(uploads).await;
    let count = catalog.image_count(account, &CreatorFilter::Any).await;
    assert_eq!(count.unwrap(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_what_was_acknowledged_survives_a_crash_of_the_server() {
    let Some(server) = Server::start_or_skip() else {
        return;
    };
    let url = server.create();
    let catalog = node(&url).await;
    let account = new_account(&catalog).await;
    let images = upload_some(&catalog, &account, 10).await;
    for _ in 0..3 {
        let next = image(&ImageId::generate(false).to_string());
        catalog
            .reserve_blobs(std::slice::from_ref(&blob(&next)), LATE)
            .await
            .unwrap();
        let (crashed, inserted) = tokio::join!(
            async { tokio::task::block_in_place(|| server.crash()) },
            catalog.insert_image(&account, next.clone(), None)
        );
        let () = crashed;
        let found = catalog.image(&account, &next.id).await.unwrap();
        match inserted {
            Ok(stored) => assert_eq!(found, Some(stored)),
            // Nobody knows; but half of it there is not.
            Err(error) => {
                assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
                let knows = catalog.knows_blob(&blob(&next)).await.unwrap();
                assert!(knows, "the blob belongs to a record or a reservation");
            }
        }
    }
    for image in &images {
        let found = catalog.image(&account, &image.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(image));
    }
    let listed = pages(&catalog, &account, query(Order::Ascending, 7)).await;
    let count = catalog.image_count(&account, &CreatorFilter::Any).await;
    assert_eq!(count.unwrap(), listed.len() as u64);
}

/// A node which cannot look for changes must not show what may have been made private.
#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_nothing_is_remembered_while_the_database_stands_still() {
    let Some(server) = Server::start_or_skip() else {
        return;
    };
    let catalog = node(&server.create()).await;
    let account = new_account(&catalog).await;
    let stored = upload(&catalog, &account, image("a")).await;
    assert!(catalog.image(&account, &stored.id).await.unwrap().is_some());
    server.pause();
    let paused = Instant::now();
    loop {
        let asked = paused.elapsed();
        let found = tokio::time::timeout(SEEN, catalog.image(&account, &stored.id)).await;
        match found {
            Ok(found) => assert!(found.unwrap().is_some()),
            Err(_) => break,
        }
        assert!(asked < SEEN, "it still counts on what it remembers");
        tokio::task::yield_now().await;
    }
    server.resume();
    let found = catalog.image(&account, &stored.id).await.unwrap();
    assert_eq!(found, Some(stored));
}

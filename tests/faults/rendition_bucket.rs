//! The bucket of renditions stands still: it is a cache, and everything else goes on without it.

use std::time::Duration;

use futures_util::future::join_all;
use model::{AccountId, BlobKey, ImageId};
use reqwest::{Client, Response};
use serde_json::Value;
use store::{Catalog as _, Postgres, PostgresUrl, RenditionKey, Renditions, Vault};
use tokio::time::timeout;

use crate::gate::Gate;
use crate::nodes::{Nodes, SECRET_KEY, blob, client, deliver, upload};
use crate::server::{ACCOUNT_HASH, ACCOUNT_ID, API_TOKEN, Server};
use crate::until::until;
use crate::{delete, get, picture, s3};

/// No answer may wait for the bucket until it gives up by itself, which would take longer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// An image whose rendition is looked for in the bucket.
struct Watched {
    id: &'static str,
    blob: BlobKey,
    rendition: RenditionKey,
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_and_s3_a_bucket_of_renditions_which_stalls_is_done_without() {
    let Some(nodes) = Nodes::new() else { return };
    let prefix = s3::prefix().expect("the server of the other bucket runs");
    let address = prefix.endpoint.strip_prefix("http://");
    let gate = Gate::before(address.expect("an address")).await;
    // The images themselves share a folder, so that the gate is before the renditions alone.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blobs = folder.path().join("blobs");
    let start = || {
        nodes
            .settings()
            .set("blobs", &format!("file:{}", blobs.display()))
            .set("s3-endpoint", &format!("http://{}", gate.address()))
            .set("rendition-bucket", &prefix.url)
            .set("cache-memory-bytes", "0")
            .set("cache-disk-bytes", "0")
            .start()
    };
    let (one, other) = (start(), start());
    let client = client();
    let seen = seen_by_somebody_else(&prefix, folder.path()).await;

    let mut watched = Vec::new();
    for id in ["kept", "deleted"] {
        let (status, answer) = upload(&client, &one, id, id.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
        let (_, key) = explain(&client, &one, id).await;
        let blob = blob_of(&nodes, id).await;
        let rendition = RenditionKey {
            blob: blob.clone(),
            transform: digest_of(&key),
        };
        until(async || seen.get_shared(&rendition).await.is_some()).await;
        assert_eq!(explain(&client, &other, id).await.0, "bucket");
        watched.push(Watched {
            id,
            blob,
            rendition,
        });
    }
    let [kept, deleted] = &watched[..] else {
        panic!("there are two");
    };

    gate.shut();
    // Both nodes render what they cannot have, and whatever is new.
    let deliveries = [&one, &other].map(|node| in_time(deliver(&client, node, kept.id)));
    for answer in join_all(deliveries).await {
        assert_is_picture(answer).await;
    }
    let uploads = (0..8).map(|number| {
        let (client, one, other) = (&client, &one, &other);
        async move {
            let id = format!("new{number}");
            let (status, answer) = in_time(upload(client, one, &id, id.as_bytes())).await;
            assert_eq!(status, 200, "{answer}");
            for node in [one, other] {
                assert_is_picture(in_time(deliver(client, node, &id)).await).await;
            }
            id
        }
    });
    let uploaded = join_all(uploads).await;
    // Not one is left to the bucket, again and again.
    for id in &uploaded {
        assert_is_picture(in_time(deliver(&client, &one, id)).await).await;
    }
    for id in [deleted.id, &uploaded[0]] {
        assert_eq!(in_time(delete(&client, &one, id)).await, 200, "{id}");
        assert_eq!(get(&client, &one, id).await.0, 404, "{id}");
        assert_eq!(in_time(deliver(&client, &one, id)).await.status(), 404);
    }
    // Nor is anybody kept from starting.
    let late = start();
    assert_is_picture(in_time(deliver(&client, &late, kept.id)).await).await;
    drop(late);
    // Neither is anybody kept from ending, or from what it was told.
    let ended = in_time(tokio::task::spawn_blocking(move || other.terminate()));
    assert!(ended.await.expect("it ends").success());
    let (status, bytes) = in_time(blob(&client, &one, kept.id)).await;
    let expected = (200, picture::gif(kept.id.as_bytes()));
    assert_eq!((status.as_u16(), bytes), expected);

    gate.open();
    let other = start();
    // What the one makes the other finds there again.
    let mut number = 0;
    until(async || {
        number += 1;
        let id = format!("after{number}");
        let (status, answer) = upload(&client, &one, &id, id.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
        assert_is_picture(deliver(&client, &one, &id).await).await;
        explain(&client, &other, &id).await.0 == "bucket"
    })
    .await;
    // And what was deleted meanwhile is gone everywhere.
    let catalog = catalog_of(&nodes).await;
    until(async || {
        !catalog
            .knows_blob(&deleted.blob)
            .await
            .expect("it is asked")
    })
    .await;
    assert!(seen.get_shared(&deleted.rendition).await.is_none());
    let bytes = store::Blobs::beside(&blobs).expect("they open");
    assert_eq!(bytes.head(&deleted.blob).await.expect("asked"), None);
    assert!(bytes.head(&kept.blob).await.expect("asked").is_some());
    assert!(seen.get_shared(&kept.rendition).await.is_some());
}

async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    let answer = timeout(ANSWER_DEADLINE, answer).await;
    answer.expect("nobody waits for the bucket")
}

async fn assert_is_picture(answer: Response) {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    let bytes = answer.bytes().await.expect("the whole body");
    assert!(bytes.ends_with(b"\xff\xd9"), "{bytes:?}");
}

/// From where a rendition comes, and under which digest it is kept.
async fn explain(client: &Client, node: &Server, id: &str) -> (String, String) {
    let url = format!("{}/{ACCOUNT_HASH}/{id}/public?explain=1", node.url());
    let answer = client.get(url).bearer_auth(API_TOKEN).send().await;
    let explained: Value = answer.expect("an answer").json().await.expect("JSON");
    let text = |name| explained["cache"][name].as_str().map(str::to_owned);
    (text("tier").expect("a tier"), text("key").expect("a key"))
}

fn digest_of(digits: &str) -> [u8; 32] {
    let bytes = model::from_hex(digits).expect("digits");
    bytes.try_into().expect("32 bytes")
}

/// The bucket, past the gate.
async fn seen_by_somebody_else(prefix: &s3::Prefix, folder: &std::path::Path) -> Renditions {
    let bucket = store::Bucket {
        url: store::BucketUrl::parse(&prefix.url).expect("an address"),
        endpoint: Some(prefix.endpoint.clone()),
        region: None,
        path_style: true,
        credentials: Some((s3::KEY.0.to_owned(), s3::KEY.1.to_owned())),
    };
    let seen = Renditions::open(&folder.join("seen"), 0, 0).expect("a cache");
    seen.sharing(&bucket).await.expect("a bucket")
}

async fn catalog_of(nodes: &Nodes) -> Postgres {
    let url = PostgresUrl::parse(&nodes.database).expect("an address");
    let vault = Vault::from_key(digest_of(SECRET_KEY));
    let opened = Postgres::open(&url, 2, vault).await;
    opened.expect("it opens")
}

async fn blob_of(nodes: &Nodes, id: &str) -> BlobKey {
    let account = AccountId::try_from(ACCOUNT_ID).expect("an id");
    let id = ImageId::from_path(id.to_owned());
    let image = catalog_of(nodes).await.image(&account, &id).await;
    let image = image.expect("it is read").expect("it is there");
    image.source.expect("it has bytes").blob
}

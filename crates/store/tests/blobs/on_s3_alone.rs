//! What holds for a bucket alone: its keys, its neighbours, its absence.

use std::net::TcpListener;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use model::BlobKey;
use store::{Blobs, BucketUrl};

use crate::{bucket, s3};

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_neighbours_in_one_bucket_do_not_meet() {
    let (Some(one), Some(other)) = (s3::prefix(), s3::prefix()) else {
        return;
    };
    let one = Blobs::bucket(&bucket(&one)).unwrap();
    let other = Blobs::bucket(&bucket(&other)).unwrap();
    let key = BlobKey::generate();
    one.put(&key, Bytes::from_static(b"one")).await.unwrap();
    assert_eq!(other.get(&key).await.unwrap(), None);
    let listed: Vec<_> = other.list().try_collect().await.unwrap();
    assert_eq!(listed, []);
    other.delete(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(one.get(&key).await.unwrap().unwrap(), "one");
}

/// As when the answer to the first was lost.
#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_put_can_be_repeated() {
    let Some(prefix) = s3::prefix() else { return };
    let blobs = Blobs::bucket(&bucket(&prefix)).unwrap();
    let key = BlobKey::generate();
    for _ in 0..2 {
        blobs.put(&key, Bytes::from_static(b"same")).await.unwrap();
    }
    assert_eq!(blobs.get(&key).await.unwrap().unwrap(), "same");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_s3_a_wrong_key_or_bucket_is_found_at_the_start() {
    let Some(prefix) = s3::prefix() else { return };
    let right = bucket(&prefix);
    Blobs::bucket(&right).unwrap().check().await.unwrap();
    let mut wrong = right.clone();
    wrong.credentials = Some(("test".to_owned(), "guessed".to_owned()));
    let refused = Blobs::bucket(&wrong).unwrap();
    assert!(refused.check().await.is_err());
    assert!(
        refused
            .put(&BlobKey::generate(), Bytes::new())
            .await
            .is_err()
    );
    let mut wrong = right.clone();
    wrong.url = BucketUrl::parse("s3://another").unwrap();
    assert!(Blobs::bucket(&wrong).unwrap().check().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_which_is_not_there_is_an_error() {
    // A port on which nobody listens any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let absent = bucket(&s3::Prefix {
        endpoint,
        url: "s3://images/absent".to_owned(),
    });
    let blobs = Blobs::bucket(&absent).unwrap();
    assert!(blobs.check().await.is_err());
    assert!(blobs.get(&BlobKey::generate()).await.is_err());
}

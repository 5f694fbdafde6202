//! What holds for a bucket alone: its keys, its neighbours, its absence.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use model::BlobKey;
use store::{Blobs, BucketUrl, Presigner};
use tokio::net::TcpSocket;

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
async fn on_s3_a_presigned_address_gives_one_blob_for_its_time() {
    let Some(prefix) = s3::prefix() else { return };
    let mut bucket = bucket(&prefix);
    bucket.url = BucketUrl::parse(&format!("{}/a b+ü", prefix.url)).unwrap();
    let blobs = Blobs::bucket(&bucket).unwrap();
    let [one, other] = [BlobKey::generate(), BlobKey::generate()];
    blobs.put(&one, Bytes::from_static(b"one")).await.unwrap();
    let put = blobs.put(&other, Bytes::from_static(b"other")).await;
    put.unwrap();
    let presigner = Presigner::new(&bucket).unwrap();
    let hour = Duration::from_hours(1);
    let address = presigner.address(&one, hour).await.unwrap();

    let client = reqwest::Client::new();
    let get = async |address: &str| {
        let answer = client.get(address).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    };
    assert_eq!(get(&address).await, (200, Bytes::from_static(b"one")));

    let bare = address.split_once('?').unwrap().0;
    let last = if address.ends_with('0') { "1" } else { "0" };
    for changed in [
        bare.to_owned(),
        address.replace(&one.to_string(), &other.to_string()),
        address.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"),
        format!("{}{last}", &address[..address.len() - 1]),
    ] {
        assert_ne!(changed, address);
        let (status, bytes) = get(&changed).await;
        assert_eq!(status, 403, "{changed} gave {bytes:?}");
    }
    let deleted = client.delete(&address).send().await.unwrap();
    assert_eq!(deleted.status(), 403);
    assert_eq!(get(&address).await.0, 200);

    let second = Duration::from_secs(1);
    let brief = presigner.address(&one, second).await.unwrap();
    let start = Instant::now();
    while get(&brief).await.0 == 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "it never ends");
    }
    // Ceph refuses it as others do, Garage as a bad request.
    let (status, bytes) = get(&brief).await;
    assert!(matches!(status, 400 | 403), "{status} {bytes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_which_is_not_there_is_an_error() {
    // A port which is taken, so that nobody else gets it, and on which nobody listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let absent = bucket(&s3::Prefix {
        endpoint,
        url: "s3://images/absent".to_owned(),
    });
    let blobs = Blobs::bucket(&absent).unwrap();
    assert!(blobs.check().await.is_err());
    assert!(blobs.get(&BlobKey::generate()).await.is_err());
}

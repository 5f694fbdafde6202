//! The contract of `Blobs`, for files and for a real S3 server: each test is an async function of
//! `&Blobs`.

mod contract;
mod on_s3_alone;
#[path = "../../../../tests/support/s3.rs"]
mod s3;

use store::{Blobs, Bucket, BucketUrl};

/// Blobs in this part of the bucket.
fn bucket(prefix: &s3::Prefix) -> Bucket {
    Bucket {
        url: BucketUrl::parse(&prefix.url).unwrap(),
        endpoint: Some(prefix.endpoint.clone()),
        region: None,
        path_style: true,
        credentials: Some((s3::KEY.0.to_owned(), s3::KEY.1.to_owned())),
    }
}

/// Runs each test on each backend.
macro_rules! suite {
    ($($name:ident,)*) => {
        mod on_files {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let blobs = super::Blobs::local(folder.path()).unwrap();
                    crate::contract::$name(&blobs).await;
                }
            )*
        }
        mod on_s3 {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    if let Some(prefix) = crate::s3::prefix() {
                        let blobs = super::Blobs::bucket(&super::bucket(&prefix)).unwrap();
                        crate::contract::$name(&blobs).await;
                    }
                }
            )*
        }
    };
}

suite! {
    a_blob_is_written_read_and_deleted,
    an_empty_blob_is_a_blob,
    ranges_end_with_the_blob,
    a_large_blob_is_whole,
    a_thousand_blobs_are_deleted_at_once,
    every_blob_is_listed_with_its_time,
    many_blobs_are_written_at_once,
    a_store_agrees_with_a_simple_model,
}

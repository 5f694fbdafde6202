use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use model::{BlobKey, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::Blobs;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

async fn put(blobs: &Blobs, bytes: impl Into<Bytes>) -> BlobKey {
    let key = BlobKey::generate();
    blobs.put(&key, bytes.into()).await.unwrap();
    key
}

async fn listed(blobs: &Blobs) -> Vec<BlobKey> {
    let found: Vec<_> = blobs.list().try_collect().await.unwrap();
    let mut keys: Vec<_> = found.into_iter().map(|(key, _)| key).collect();
    keys.sort_by_key(ToString::to_string);
    keys
}

pub(crate) async fn a_blob_is_written_read_and_deleted(blobs: &Blobs) {
    let absent = BlobKey::generate();
    assert_eq!(blobs.get(&absent).await.unwrap(), None);
    assert_eq!(blobs.head(&absent).await.unwrap(), None);
    assert_eq!(blobs.get_range(&absent, 0..1).await.unwrap(), None);
    blobs.check().await.unwrap();

    let key = put(blobs, "light").await;
    assert_eq!(blobs.get(&key).await.unwrap().unwrap(), "light");
    assert_eq!(blobs.head(&key).await.unwrap(), Some(5));
    blobs.check().await.unwrap();

    blobs.delete(&[absent, key.clone()]).await.unwrap();
    assert_eq!(blobs.get(&key).await.unwrap(), None);
    assert_eq!(blobs.head(&key).await.unwrap(), None);
    blobs.delete(&[key]).await.unwrap();
    blobs.delete(&[]).await.unwrap();
}

pub(crate) async fn an_empty_blob_is_a_blob(blobs: &Blobs) {
    let key = put(blobs, "").await;
    assert_eq!(blobs.get(&key).await.unwrap(), Some(Bytes::new()));
    assert_eq!(blobs.head(&key).await.unwrap(), Some(0));
}

pub(crate) async fn ranges_end_with_the_blob(blobs: &Blobs) {
    let key = put(blobs, "light").await;
    for (range, expected) in [(0..5, "light"), (1..3, "ig"), (3..9, "ht"), (4..5, "t")] {
        let found = blobs.get_range(&key, range.clone()).await.unwrap();
        assert_eq!(found.unwrap(), expected, "{range:?}");
    }
    let beyond = blobs.get_range(&key, 5..6).await;
    assert!(beyond.is_err(), "{beyond:?}");
}

/// Larger than the parts in which it goes.
pub(crate) async fn a_large_blob_is_whole(blobs: &Blobs) {
    let bytes: Vec<u8> = (0_u32..20 * 262_144 + 3)
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    let key = put(blobs, bytes.clone()).await;
    assert_eq!(blobs.head(&key).await.unwrap(), Some(bytes.len() as u64));
    let found = blobs.get(&key).await.unwrap().unwrap();
    assert!(found == bytes, "other bytes came back");
    let across = 8_388_600..8_388_620;
    let found = blobs
        .get_range(&key, across.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, bytes[across.start as usize..across.end as usize]);
}

pub(crate) async fn a_thousand_blobs_are_deleted_at_once(blobs: &Blobs) {
    let kept = put(blobs, "kept").await;
    let mut keys: Vec<_> = (0..1_500).map(|_| BlobKey::generate()).collect();
    // In every request for a thousand of them there are some which exist.
    for at in (0..keys.len()).step_by(100) {
        keys[at] = put(blobs, "gone").await;
    }
    blobs.delete(&keys).await.unwrap();
    assert_eq!(listed(blobs).await, [kept]);
}

pub(crate) async fn every_blob_is_listed_with_its_time(blobs: &Blobs) {
    let before = Timestamp::from_seconds(Timestamp::now().seconds() - 60);
    assert_eq!(listed(blobs).await, []);
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(put(blobs, "x").await);
    }
    keys.sort_by_key(ToString::to_string);
    let found: Vec<_> = blobs.list().try_collect().await.unwrap();
    assert!(found.iter().all(|(_, written)| *written > before));
    assert_eq!(listed(blobs).await, keys);
}

pub(crate) async fn many_blobs_are_written_at_once(blobs: &Blobs) {
    let keys = join_all((0..64).map(|number| put(blobs, format!("blob {number}")))).await;
    let read = join_all(keys.iter().map(|key| blobs.get(key))).await;
    for (number, found) in read.into_iter().enumerate() {
        assert_eq!(found.unwrap().unwrap(), format!("blob {number}"));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>),
    Read(usize),
    ReadRange(usize, u64, u64),
    Delete(Vec<usize>),
}

/// Random histories, compared with a map in memory.
pub(crate) async fn a_store_agrees_with_a_simple_model(blobs: &Blobs) {
    let chosen = any::<usize>;
    let step = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Step::Put),
        2 => chosen().prop_map(Step::Read),
        2 => (chosen(), 0_u64..220, 1_u64..220).prop_map(|(at, start, length)| {
            Step::ReadRange(at, start, start + length)
        }),
        1 => prop::collection::vec(chosen(), 0..4).prop_map(Step::Delete),
    ];
    let config = Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    };
    let handle = Handle::current();
    let outcome = block_in_place(|| {
        TestRunner::new(config).run(&prop::collection::vec(step, 1..25), |steps| {
            handle.block_on(check(blobs, steps));
            Ok(())
        })
    });
    outcome.unwrap();
}

async fn check(blobs: &Blobs, steps: Vec<Step>) {
    let mut keys: Vec<BlobKey> = Vec::new();
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for step in steps {
        let key = |at: usize| keys.get(at % keys.len().max(1)).cloned();
        match step {
            Step::Put(bytes) => {
                let key = put(blobs, bytes.clone()).await;
                model.insert(key.to_string(), bytes);
                keys.push(key);
            }
            Step::Read(at) => {
                let Some(key) = key(at) else { continue };
                let expected = model.get(&key.to_string());
                let found = blobs.get(&key).await.unwrap();
                assert_eq!(found.as_deref(), expected.map(Vec::as_slice));
                let size = blobs.head(&key).await.unwrap();
                assert_eq!(size, expected.map(|bytes| bytes.len() as u64));
            }
            Step::ReadRange(at, start, end) => {
                let Some(key) = key(at) else { continue };
                let found = blobs.get_range(&key, start..end).await;
                match model.get(&key.to_string()) {
                    None => assert_eq!(found.unwrap(), None),
                    Some(bytes) if start >= bytes.len() as u64 => assert!(found.is_err()),
                    Some(bytes) => {
                        let end = bytes.len().min(end as usize);
                        assert_eq!(found.unwrap().unwrap(), bytes[start as usize..end]);
                    }
                }
            }
            Step::Delete(chosen) => {
                let gone: Vec<_> = chosen.into_iter().filter_map(key).collect();
                blobs.delete(&gone).await.unwrap();
                for key in gone {
                    model.remove(&key.to_string());
                }
            }
        }
    }
    let left: Vec<String> = listed(blobs)
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left, model.keys().cloned().collect::<Vec<_>>());
    blobs.delete(&keys).await.unwrap();
}

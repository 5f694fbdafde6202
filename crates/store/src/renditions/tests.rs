use std::fs::File;

use futures_util::future::join_all;

use super::*;

fn key(blob: &BlobKey, transform: u8) -> RenditionKey {
    RenditionKey {
        blob: blob.clone(),
        transform: [transform; 32],
    }
}

fn rendition(bytes: usize) -> StoredRendition {
    StoredRendition {
        format: MediaType::Webp,
        bytes: vec![7; bytes].into(),
        warnings: vec!["not animated".to_owned()],
    }
}

/// A cache which has counted what it holds.
fn open(dir: &Path, bytes_max: u64) -> Renditions {
    let shards = Shards::open(dir, bytes_max).unwrap();
    shards.count();
    on_disk_alone(shards)
}

fn on_disk_alone(shards: Shards) -> Renditions {
    Renditions {
        memory: Arc::new(Memory::new(0)),
        shards: Arc::new(shards),
        shared: None,
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in dir.read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[tokio::test]
async fn a_rendition_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Renditions::open(dir.path(), 1 << 20, 1 << 20).unwrap();
    let (one, other) = (BlobKey::generate(), BlobKey::generate());
    assert_eq!(cache.get(&key(&one, 1)).await, None);
    cache.put(&key(&one, 1), &rendition(100)).await;
    assert_eq!(cache.get(&key(&one, 1)).await, Some(rendition(100)));
    assert_eq!(cache.get(&key(&one, 2)).await, None);
    assert_eq!(cache.get(&key(&other, 1)).await, None);
    cache.put(&key(&one, 1), &rendition(200)).await;
    assert_eq!(cache.get(&key(&one, 1)).await, Some(rendition(200)));
    let place = format!("r/{}/{one}/{}", &one.to_string()[..2], "01".repeat(32));
    assert_eq!(files(dir.path()), [dir.path().join(place)]);
}

#[tokio::test]
async fn a_cache_survives_a_restart_and_knows_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let blob = BlobKey::generate();
    let cache = open(dir.path(), 1 << 20);
    cache.put(&key(&blob, 1), &rendition(5_000)).await;
    cache.put(&key(&blob, 2), &rendition(1)).await;
    cache.put(&key(&blob, 2), &rendition(2)).await;
    assert_eq!(cache.bytes(), 3 * 4096);
    std::fs::write(dir.path().join("new/left"), b"by a crash").unwrap();

    let cache = open(dir.path(), 1 << 20);
    assert_eq!(cache.bytes(), 3 * 4096);
    assert_eq!(cache.get(&key(&blob, 1)).await, Some(rendition(5_000)));
    assert_eq!(files(dir.path()).len(), 2);
    cache.remove_blob(&blob).await;
    assert_eq!(cache.bytes(), 0);
}

#[tokio::test]
async fn sizes_are_exact_while_they_are_being_counted() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 30);
    let blobs: Vec<_> = (0..60).map(|_| BlobKey::generate()).collect();
    join_all(blobs[..40].iter().map(async |blob| {
        cache.put(&key(blob, 1), &rendition(10)).await;
    }))
    .await;
    let cache = on_disk_alone(Shards::open(dir.path(), 1 << 30).unwrap());
    let counted = tokio::task::spawn_blocking({
        let shards = Arc::clone(&cache.shards);
        move || shards.count()
    });
    let changes = join_all(
        blobs
            .iter()
            .enumerate()
            .map(async |(number, blob)| match number {
                0..20 => cache.remove_blob(blob).await,
                20..40 => cache.put(&key(blob, 1), &rendition(5_000)).await,
                _ => cache.put(&key(blob, 1), &rendition(10)).await,
            }),
    );
    let (counted, _) = tokio::join!(counted, changes);
    counted.unwrap();
    assert_eq!(cache.bytes(), (20 * 2 + 20) * 4096);
}

#[tokio::test]
async fn the_budget_is_kept_and_what_was_used_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 100 * 4096);
    // All in one shard, so that which of them is used least is certain.
    let mut blobs = Vec::new();
    while blobs.len() < 100 {
        let mut bytes = *BlobKey::generate().bytes();
        bytes[0] = 0xab;
        blobs.push(BlobKey::from_bytes(bytes));
    }
    for blob in &blobs {
        cache.put(&key(blob, 1), &rendition(10)).await;
    }
    assert_eq!(cache.bytes(), 100 * 4096);
    let path = |blob: &BlobKey| dir.path().join("r").join(key(blob, 1).path());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for blob in &blobs {
        let file = File::options().write(true).open(path(blob)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    for blob in &blobs[..90] {
        assert!(cache.get(&key(blob, 1)).await.is_some());
    }
    let new: Vec<_> = (0..10).map(|_| BlobKey::generate()).collect();
    for blob in &new {
        cache.put(&key(blob, 1), &rendition(10)).await;
        assert!(cache.bytes() <= 100 * 4096);
    }
    assert_eq!(files(dir.path()).len(), 100);
    for blob in &blobs[..90] {
        assert!(path(blob).exists(), "a used rendition gave way");
    }
}

#[tokio::test]
async fn a_small_budget_is_kept_by_any_mixture() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 10 * 4096);
    let puts = (0..200_usize).map(async |number| {
        let blob = BlobKey::generate();
        cache
            .put(&key(&blob, 1), &rendition(number * 131 % 20_000))
            .await;
    });
    join_all(puts).await;
    assert!(cache.bytes() <= 10 * 4096);
    let on_disk: u64 = files(&dir.path().join("r"))
        .iter()
        .map(|file| file.metadata().unwrap().len().next_multiple_of(4096))
        .sum();
    assert_eq!(on_disk, cache.bytes());
    assert!(on_disk > 0);
    // A smaller budget is met at the next start.
    assert!(open(dir.path(), 4096).bytes() <= 4096);
}

#[tokio::test]
async fn what_never_fits_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let blob = BlobKey::generate();
    for bytes_max in [0, 4096] {
        let cache = open(dir.path(), bytes_max);
        cache.put(&key(&blob, 1), &rendition(5_000)).await;
        assert_eq!(cache.get(&key(&blob, 1)).await, None);
    }
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_torn_file_is_a_miss_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    let key = key(&BlobKey::generate(), 1);
    let path = dir.path().join("r").join(key.path());
    for torn in [0, 5, 50, 120] {
        cache.put(&key, &rendition(100)).await;
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(torn).unwrap();
        assert_eq!(cache.get(&key).await, None);
        assert!(!path.exists());
        assert_eq!(cache.bytes(), 0);
    }
    cache.put(&key, &rendition(100)).await;
    assert_eq!(cache.get(&key).await, Some(rendition(100)));
}

#[tokio::test]
async fn a_removed_blob_leaves_the_disk_and_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    let (gone, kept) = (BlobKey::generate(), BlobKey::generate());
    for transform in 0..5 {
        cache.put(&key(&gone, transform), &rendition(10)).await;
    }
    cache.put(&key(&kept, 0), &rendition(10)).await;
    cache.remove_blob(&gone).await;
    cache.put(&key(&gone, 9), &rendition(10)).await;
    let left = dir.path().join("r").join(key(&kept, 0).path());
    assert_eq!(files(dir.path()), [left]);
    assert_eq!(cache.bytes(), 4096);
    cache.remove_blob(&gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_put_outlives_the_removal_of_its_blob() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    for _ in 0..50 {
        let blob = BlobKey::generate();
        let puts = (0..8).map(|transform| {
            let (cache, key) = (cache.clone(), key(&blob, transform));
            tokio::spawn(async move { cache.put(&key, &rendition(3_000)).await })
        });
        let puts: Vec<_> = puts.collect();
        cache.remove_blob(&blob).await;
        for put in puts {
            put.await.unwrap();
        }
    }
    assert_eq!(files(dir.path()), [] as [PathBuf; 0]);
    assert_eq!(cache.bytes(), 0);
}

#[tokio::test]
async fn a_cache_which_cannot_be_written_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    std::fs::remove_dir_all(dir.path()).unwrap();
    let key = key(&BlobKey::generate(), 1);
    cache.put(&key, &rendition(10)).await;
    assert_eq!(cache.get(&key).await, None);
    cache.remove_blob(&key.blob).await;
}

#[tokio::test]
async fn memory_answers_before_the_disk_and_learns_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let blob = BlobKey::generate();
    let cache = Renditions::open(dir.path(), 1 << 20, 1 << 20).unwrap();
    assert_eq!(cache.get_ready(&key(&blob, 1)), None);
    cache.put(&key(&blob, 1), &rendition(100)).await;
    std::fs::remove_dir_all(dir.path().join("r")).unwrap();
    assert_eq!(cache.get_ready(&key(&blob, 1)), Some(rendition(100)));
    assert_eq!(cache.get(&key(&blob, 1)).await, Some(rendition(100)));

    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), 1 << 20)
        .put(&key(&blob, 1), &rendition(100))
        .await;
    let cache = Renditions::open(dir.path(), 1 << 20, 1 << 20).unwrap();
    assert_eq!(cache.get_ready(&key(&blob, 1)), None);
    assert_eq!(cache.get(&key(&blob, 1)).await, Some(rendition(100)));
    assert_eq!(cache.get_ready(&key(&blob, 1)), Some(rendition(100)));
}

#[tokio::test]
async fn nothing_of_a_removed_blob_stays_in_memory() {
    for disk in [0, 1 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let blob = BlobKey::generate();
        let cache = Renditions::open(dir.path(), disk, 1 << 20).unwrap();
        cache.put(&key(&blob, 1), &rendition(100)).await;
        assert!(cache.memory_bytes() > 100);
        cache.remove_blob(&blob).await;
        assert_eq!(cache.get(&key(&blob, 1)).await, None);
        // This one was in the making.
        cache.put(&key(&blob, 2), &rendition(100)).await;
        assert_eq!(cache.get(&key(&blob, 2)).await, None);
        assert_eq!(cache.memory_bytes(), 0);
    }
}

#[tokio::test]
async fn notes_share_budget_and_fate_with_renditions() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), 1 << 20);
    let blob = BlobKey::generate();
    cache.put(&key(&blob, 1), &rendition(10)).await;
    cache
        .put_note(&key(&blob, 2), Bytes::from_static(b"note"))
        .await;
    assert_eq!(cache.bytes(), 2 * 4096);
    let note = cache.get_note(&key(&blob, 2)).await;
    assert_eq!(note.as_deref(), Some(&b"note"[..]));
    cache.empty_blob(&blob).await;
    assert_eq!(cache.bytes(), 0);
    assert_eq!(cache.get_note(&key(&blob, 2)).await, None);
    assert_eq!(cache.get(&key(&blob, 1)).await, None);
    // Unlike one which was removed, it may come back.
    cache.put(&key(&blob, 1), &rendition(10)).await;
    assert_eq!(cache.get(&key(&blob, 1)).await, Some(rendition(10)));
}

//! Bytes at rest: the uploaded sources.

mod bucket;
mod credentials_file;
mod presigner;

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::{BlobKey, Timestamp};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart};

use crate::Error;
use crate::data_folder::sync_folder;
pub use bucket::{Bucket, BucketUrl};
pub use presigner::Presigner;

/// Larger blobs go to a bucket in parts, so many at a time.
const PART_BYTES: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 4;

/// Blobs in an object store: `o/ab/cd/<key>` where `ab` and `cd` begin the key. A blob is written
/// once and never changed.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    place: Place,
}

/// A blob as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub key: BlobKey,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub written: Timestamp,
}

impl Stored {
    /// `None` if something else lies there.
    fn of(found: &object_store::ObjectMeta) -> Option<Self> {
        let key = found.location.filename().and_then(BlobKey::parse)?;
        (found.location == location(&key)).then(|| Self {
            bytes: found.size,
            written: Timestamp::from_micros(found.last_modified.timestamp_micros()),
            key,
        })
    }
}

/// What they are kept in.
#[derive(Clone, Debug)]
enum Place {
    /// Files, which are synced.
    Folder { root: PathBuf, writing: Writing },
    /// Objects, which are durable when they were accepted.
    Bucket,
}

/// The keys which are being written.
#[derive(Clone, Debug, Default)]
struct Writing(Arc<Mutex<HashSet<BlobKey>>>);

impl Blobs {
    /// Blobs as files below a folder, which nobody else writes to. Half-written files of a process
    /// which crashed are removed in the background.
    pub fn local(root: &Path) -> Result<Self, Error> {
        Self::folder(root, Duration::ZERO)
    }

    /// Blobs as files below a folder which other nodes use at the same time. Half-written files are
    /// removed when they are so old that nobody can be writing them.
    pub fn shared(root: &Path) -> Result<Self, Error> {
        Self::folder(root, WRITE_MAX)
    }

    fn folder(root: &Path, leftovers_age: Duration) -> Result<Self, Error> {
        let unusable = |error: io::Error| Error::folder(root, error);
        fs::create_dir_all(root).map_err(unusable)?;
        if let Some(parent) = root
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            sync_folder(parent).map_err(unusable)?;
        }
        let store = LocalFileSystem::new_with_prefix(root).map_err(Error::blobs)?;
        let writing = Writing::default();
        let (folder, in_use) = (root.join("o"), writing.clone());
        thread::Builder::new()
            .name("blob leftovers".to_owned())
            .spawn(move || {
                if let Err(error) = remove_leftovers(&folder, leftovers_age, &in_use) {
                    tracing::warn!(%error, "half-written blobs could not be removed");
                }
            })
            .map_err(unusable)?;
        Ok(Self {
            store: Arc::new(store.with_fsync(true)),
            place: Place::Folder {
                root: root.to_owned(),
                writing,
            },
        })
    }

    /// Blobs as files below a folder which a server may be using.
    pub fn beside(root: &Path) -> Result<Self, Error> {
        let store = LocalFileSystem::new_with_prefix(root).map_err(Error::blobs)?;
        Ok(Self {
            store: Arc::new(store.with_fsync(true)),
            place: Place::Folder {
                root: root.to_owned(),
                writing: Writing::default(),
            },
        })
    }

    /// Blobs as objects in a bucket, which other nodes may use at the same time.
    pub fn bucket(bucket: &Bucket) -> Result<Self, Error> {
        Ok(Self {
            store: bucket.open()?,
            place: Place::Bucket,
        })
    }

    /// Asks the store for something, so that a wrong bucket or key is found at the start.
    pub async fn check(&self) -> Result<(), Error> {
        let mut found = self.list();
        found.next().await.transpose().map(drop)
    }

    /// Writes a blob. It is durable when this returns. In a folder, `Taken` if the key exists; a
    /// bucket does not look, and the same bytes may be written twice, after an answer was lost.
    pub async fn put(&self, key: &BlobKey, bytes: Bytes) -> Result<(), Error> {
        let location = location(key);
        let (mode, _writing) = match &self.place {
            Place::Folder { writing, .. } => (PutMode::Create, Some(writing.enter(key))),
            Place::Bucket if bytes.len() > PART_BYTES => {
                return self.put_in_parts(&location, bytes).await;
            }
            Place::Bucket => (PutMode::Overwrite, None),
        };
        let payload = PutPayload::from_bytes(bytes);
        match self.store.put_opts(&location, payload, mode.into()).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => Err(Error::Taken),
            Err(error) => Err(Error::blobs(error)),
        }
    }

    /// The object is there after its last part, or not at all.
    async fn put_in_parts(
        &self,
        location: &object_store::path::Path,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let upload = self.store.put_multipart(location).await;
        let mut writer =
            WriteMultipart::new_with_chunk_size(upload.map_err(Error::blobs)?, PART_BYTES);
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Err(error) = writer.wait_for_capacity(PARTS_AT_ONCE).await {
                // What is not given up is the bucket's to expire.
                if let Err(error) = writer.abort().await {
                    tracing::warn!(%error, "an unfinished upload is left in the bucket");
                }
                return Err(Error::blobs(error));
            }
            writer.put(rest.split_to(PART_BYTES.min(rest.len())));
        }
        writer.finish().await.map(drop).map_err(Error::blobs)
    }

    /// The bytes of a blob.
    pub async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>, Error> {
        match self.store.get(&location(key)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(Error::blobs),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::blobs(error)),
        }
    }

    /// Some bytes of a blob. What lies beyond its end is left out; a range which begins there is
    /// an error.
    pub async fn get_range(
        &self,
        key: &BlobKey,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Error> {
        found(self.store.get_range(&location(key), range).await)
    }

    /// How many bytes a blob has.
    pub async fn head(&self, key: &BlobKey) -> Result<Option<u64>, Error> {
        let found = found(self.store.head(&location(key)).await)?;
        Ok(found.map(|found| found.size))
    }

    /// Deletes blobs, in a bucket a thousand with one request; those which do not exist are deleted
    /// already. Durable when it returns: a blob
    /// which came back after a power cut would belong to nobody. One which cannot be deleted does
    /// not keep the others from it.
    pub async fn delete(&self, keys: &[BlobKey]) -> Result<(), Error> {
        let locations: Vec<_> = keys.iter().map(|key| Ok(location(key))).collect();
        let mut deleted = self.store.delete_stream(stream::iter(locations).boxed());
        let mut failed = None;
        while let Some(outcome) = deleted.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => failed = Some(Error::blobs(error)),
            }
        }
        let folders = self.folders_of(keys);
        let synced = tokio::task::spawn_blocking(move || {
            folders
                .iter()
                .try_for_each(|folder| match sync_folder(folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                })
        });
        match (failed, synced.await) {
            (Some(error), _) => Err(error),
            (None, Ok(synced)) => synced.map_err(|error| Error::Blobs(error.into())),
            (None, Err(error)) => Err(Error::Blobs(error.into())),
        }
    }

    /// The folders in which these are files.
    fn folders_of(&self, keys: &[BlobKey]) -> HashSet<PathBuf> {
        let Place::Folder { root, .. } = &self.place else {
            return HashSet::new();
        };
        let folder = |key: &BlobKey| {
            let key = key.to_string();
            root.join("o").join(&key[..2]).join(&key[2..4])
        };
        keys.iter().map(folder).collect()
    }

    /// Every blob, in the order of their keys. Of the keys, a part in 256 is held in memory at
    /// once, and as much again while it is read ahead.
    pub fn sorted(&self) -> BoxStream<'static, Result<Stored, Error>> {
        let store = Arc::clone(&self.store);
        stream::iter(0..=u8::MAX)
            .map(move |first| {
                let prefix = object_store::path::Path::from(format!("o/{first:02x}"));
                let found = store.list(Some(&prefix));
                async move {
                    let mut part: Vec<Stored> = found
                        .map_err(Error::blobs)
                        .try_filter_map(|found| async move { Ok(Stored::of(&found)) })
                        .try_collect()
                        .await?;
                    part.sort_unstable_by(|one, other| one.key.cmp(&other.key));
                    Ok::<_, Error>(stream::iter(part.into_iter().map(Ok)))
                }
            })
            .buffered(2)
            .try_flatten()
            .boxed()
    }

    /// Every blob with the time of its writing, in no order.
    pub fn list(&self) -> BoxStream<'static, Result<(BlobKey, Timestamp), Error>> {
        let prefix = object_store::path::Path::from("o");
        self.store
            .list(Some(&prefix))
            .map_err(Error::blobs)
            .try_filter_map(|found| async move {
                let key = found.location.filename().and_then(BlobKey::parse);
                let written = Timestamp::from_micros(found.last_modified.timestamp_micros());
                Ok(key.map(|key| (key, written)))
            })
            .boxed()
    }
}

fn location(key: &BlobKey) -> object_store::path::Path {
    let key = key.to_string();
    object_store::path::Path::from(format!("o/{}/{}/{key}", &key[..2], &key[2..4]))
}

fn found<T>(outcome: Result<T, object_store::Error>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(Error::blobs(error)),
    }
}

impl Writing {
    fn lock(&self) -> MutexGuard<'_, HashSet<BlobKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, key: &BlobKey) -> Entered {
        self.lock().insert(key.clone());
        Entered(self.clone(), key.clone())
    }
}

/// A key which is being written, until this is dropped.
struct Entered(Writing, BlobKey);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// No node writes one blob for so long, even where the clocks of the others and of the disk differ.
const WRITE_MAX: Duration = Duration::from_hours(4);

/// The object store writes to `<key>#<number>` and renames. What a crash left of that is nobody's,
/// unless the key is being written again.
fn remove_leftovers(folder: &Path, age: Duration, writing: &Writing) -> io::Result<()> {
    for outer in folders(folder)? {
        for inner in folders(&outer)? {
            for entry in fs::read_dir(inner)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some((key, _)) = name.to_str().and_then(|name| name.split_once('#')) else {
                    continue;
                };
                let Some(key) = BlobKey::parse(key) else {
                    continue;
                };
                let in_use = writing.lock();
                if in_use.contains(&key) {
                    continue;
                }
                match remove_if_old(&entry, age) {
                    Ok(false) => {}
                    Ok(true) => tracing::info!(%key, "removed a half-written blob"),
                    // Another node has just finished it, or removed it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

fn remove_if_old(entry: &DirEntry, age: Duration) -> io::Result<bool> {
    if !age.is_zero() {
        // A time which is still to come is not old.
        let elapsed = entry.metadata()?.modified()?.elapsed();
        if !elapsed.is_ok_and(|elapsed| elapsed >= age) {
            return Ok(false);
        }
    }
    fs::remove_file(entry.path())?;
    Ok(true)
}

fn folders(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::local(folder.path()).unwrap();
        (folder, blobs)
    }

    fn path(folder: &Path, key: &BlobKey) -> PathBuf {
        folder.join(location(key).as_ref())
    }

    #[tokio::test]
    async fn a_blob_is_written_read_and_deleted() {
        let (folder, blobs) = blobs();
        let key = BlobKey::generate();
        assert_eq!(blobs.get(&key).await.unwrap(), None);
        assert_eq!(blobs.head(&key).await.unwrap(), None);
        assert_eq!(blobs.get_range(&key, 0..1).await.unwrap(), None);

        blobs.put(&key, Bytes::from_static(b"light")).await.unwrap();
        assert_eq!(blobs.get(&key).await.unwrap().unwrap(), "light");
        assert_eq!(blobs.head(&key).await.unwrap(), Some(5));
        assert_eq!(blobs.get_range(&key, 1..3).await.unwrap().unwrap(), "ig");
        assert_eq!(blobs.get_range(&key, 3..9).await.unwrap().unwrap(), "ht");

        let at = path(folder.path(), &key);
        let beside = fs::read_dir(at.parent().unwrap()).unwrap();
        assert_eq!(beside.count(), 1, "no staging file remains");

        let absent = BlobKey::generate();
        blobs.delete(&[absent, key.clone()]).await.unwrap();
        assert_eq!(blobs.get(&key).await.unwrap(), None);
        blobs.delete(&[key]).await.unwrap();
    }

    #[tokio::test]
    async fn a_key_is_written_once() {
        let (_folder, blobs) = blobs();
        let key = BlobKey::generate();
        blobs.put(&key, Bytes::from_static(b"one")).await.unwrap();
        let again = blobs.put(&key, Bytes::from_static(b"two")).await;
        assert!(matches!(again, Err(Error::Taken)), "{again:?}");
        assert_eq!(blobs.get(&key).await.unwrap().unwrap(), "one");
    }

    #[tokio::test]
    async fn every_blob_is_listed() {
        let (_folder, blobs) = blobs();
        let before = Timestamp::from_seconds(Timestamp::now().seconds() - 60);
        let mut keys: Vec<_> = (0..20).map(|_| BlobKey::generate()).collect();
        for key in &keys {
            blobs.put(key, Bytes::new()).await.unwrap();
        }
        let listed: Vec<_> = blobs.list().try_collect().await.unwrap();
        assert!(listed.iter().all(|(_, written)| *written > before));
        let mut listed: Vec<_> = listed.into_iter().map(|(key, _)| key).collect();
        listed.sort();
        keys.sort();
        assert_eq!(listed, keys);
    }

    #[test]
    fn leftovers_are_removed_unless_they_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [(); 3].map(|()| BlobKey::generate());
        let [whole, broken, used] = keys.each_ref().map(|key| path(folder.path(), key));
        let staging = |path: &Path| PathBuf::from(format!("{}#1", path.display()));
        let files = [whole, staging(&broken), staging(&used)];
        for file in &files {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, b"light").unwrap();
        }
        let writing = Writing::default();
        let _entered = writing.enter(&keys[2]);
        let folder = folder.path().join("o");
        let left = || files.each_ref().map(|file| file.exists());
        // Another node may be writing it.
        remove_leftovers(&folder, WRITE_MAX, &writing).unwrap();
        assert_eq!(left(), [true, true, true]);
        let old = std::time::SystemTime::now() - WRITE_MAX;
        for file in &files {
            fs::File::open(file).unwrap().set_modified(old).unwrap();
        }
        remove_leftovers(&folder, WRITE_MAX, &writing).unwrap();
        assert_eq!(left(), [true, false, true]);
        fs::write(&files[1], b"light").unwrap();
        remove_leftovers(&folder, Duration::ZERO, &writing).unwrap();
        assert_eq!(left(), [true, false, true]);
    }

    #[test]
    fn a_full_disk_is_recognised_through_its_causes() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = object_store::Error::Generic {
            store: "local",
            source: Box::new(full),
        };
        assert!(matches!(Error::blobs(error), Error::NoSpace(_)));
    }
}

//! Renditions in a bucket which all nodes share, so that what one of them made no other makes again.
//! It is a cache behind the cache: whatever goes wrong is a miss, and what is slow is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use model::BlobKey;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{RenditionKey, StoredRendition, blob_path, file};
use crate::Error;

/// How long the start of a server waits.
const CHECK_MAX: Duration = Duration::from_secs(3);

/// How long a rendition is waited for, which can also be made.
const GET_MAX: Duration = Duration::from_secs(1);

/// How long one may take on its way there.
const PUT_MAX: Duration = Duration::from_secs(20);

/// How many are on their way at one time; others are not kept there.
const PUTS_MAX: usize = 32;

/// After a failure, the bucket is left alone for so long.
const REST: Duration = Duration::from_secs(5);

/// A bucket of renditions: `r/ab/<blob>/<hex of transform>`, each as its file on disk is.
#[derive(Debug)]
pub(super) struct Shared {
    store: Arc<dyn ObjectStore>,
    puts: Arc<Semaphore>,
    started: Instant,
    /// When the bucket is asked again, in milliseconds after the start.
    rests_until: AtomicU64,
}

impl Shared {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            puts: Arc::new(Semaphore::new(PUTS_MAX)),
            started: Instant::now(),
            rests_until: AtomicU64::new(0),
        }
    }

    /// Asks for something, so that a wrong bucket or key is found at the start. A store which does not
    /// answer in time is done without, as later.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let Ok(found) = timeout(CHECK_MAX, self.store.list(None).next()).await else {
            tracing::warn!("the bucket of renditions does not answer");
            return Ok(());
        };
        found.transpose().map(drop).map_err(Error::blobs)
    }

    pub(super) async fn get(&self, key: &RenditionKey) -> Option<StoredRendition> {
        if self.rests() {
            return None;
        }
        let read = async {
            match self.store.get(&location(key)).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let file: Option<Bytes> = self.or_rest(timeout(GET_MAX, read).await)?;
        file::read(&file?)
    }

    /// Sends a rendition there, without anybody waiting for it.
    pub(super) fn put(self: &Arc<Self>, key: &RenditionKey, rendition: &StoredRendition) {
        if self.rests() {
            return;
        }
        let Ok(turn) = Arc::clone(&self.puts).try_acquire_owned() else {
            return;
        };
        let (this, location) = (Arc::clone(self), location(key));
        let payload = PutPayload::from(file::write(rendition));
        tokio::spawn(async move {
            let put = this.store.put(&location, payload);
            let _ = this.or_rest(timeout(PUT_MAX, put).await);
            drop(turn);
        });
    }

    /// Removes every rendition of a blob.
    pub(super) async fn empty_blob(&self, blob: &BlobKey) -> Result<(), Error> {
        let folder = Path::from(format!("r/{}", blob_path(blob).display()));
        let found = self.store.list(Some(&folder));
        let found: Vec<_> = found.try_collect().await.map_err(Error::blobs)?;
        let locations = found.into_iter().map(|found| found.location);
        self.delete(locations.collect()).await
    }

    /// Removes these, whether they are there or not.
    pub(super) async fn remove(&self, keys: &[RenditionKey]) -> Result<(), Error> {
        self.delete(keys.iter().map(location).collect()).await
    }

    async fn delete(&self, locations: Vec<Path>) -> Result<(), Error> {
        let locations = futures_util::stream::iter(locations).map(Ok).boxed();
        let mut deleted = self.store.delete_stream(locations);
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::blobs(error)),
            }
        }
        Ok(())
    }

    fn rests(&self) -> bool {
        let until = self.rests_until.load(Ordering::Relaxed);
        self.started.elapsed().as_millis() < u128::from(until)
    }

    /// What came of a request; after a failure nobody waits for the bucket for a while.
    fn or_rest<T, E>(&self, outcome: Result<object_store::Result<T>, E>) -> Option<T> {
        let error = match outcome {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        let until = (self.started.elapsed() + REST).as_millis();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.rests_until.store(until, Ordering::Relaxed);
        tracing::warn!(error, "the bucket of renditions is left alone for a while");
        None
    }
}

fn location(key: &RenditionKey) -> Path {
    Path::from(format!("r/{}", key.path().display()))
}
